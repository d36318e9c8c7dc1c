//! What ends with the process that carries it: runs of the embedded node.

use shared::api::UpdateRun;
use shared::result::LiveUpdate;

use super::*;

#[actix::test]
async fn what_a_crash_leaves_is_ended_and_settled_once() {
    let mut scene = Scene::with_credits(Directory::new("crash"), 100_000).await;
    let running = scene.handle.start_run(request()).await.unwrap().id;
    let desired = scene.running(running).await;
    let queued = scene.handle.start_run(request()).await.unwrap().id;
    scene.wait_for(queued, DesiredState::Prepared).await;
    for second in 0..3 {
        scene.frame(&desired, second);
    }
    let mut live = scene.handle.subscribe(running).await.unwrap();
    let newest = |update: LiveUpdate| update.all.mos.map_or(0.0, |mos| mos.max);
    while newest(live.next().await.unwrap()) < 2.9 {}
    // A commit of the run takes what it measured to the disk first.
    let label = |label: &str| UpdateRun {
        label: Some(label.to_owned()),
        pinned: None,
    };
    let changed = scene
        .handle
        .update_run(running, label("new"), Some(1))
        .await;
    assert_eq!(changed.unwrap().label, "new");
    let stale = scene
        .handle
        .update_run(running, label("other"), Some(1))
        .await;
    assert_eq!(stale, Err(RequestError::RevisionMismatch { current: 2 }));

    let restarted = Scene::new(scene._directory.crashed()).await;
    let first = restarted.record(running);
    assert_eq!(
        (first.status(), first.last().unwrap().reason.as_str()),
        (RunStatus::Failed, "coordinator_restart")
    );
    assert_eq!(
        (first.elapsed_ms, first.used_endpoint_ms),
        (3_000, Some(6_000))
    );
    assert_eq!(
        (first.label.as_str(), first.verdict),
        ("new", Some(shared::result::Verdict::Failed))
    );
    let second = restarted.record(queued);
    assert_eq!(
        (second.status(), second.used_endpoint_ms),
        (RunStatus::Failed, Some(0))
    );
    assert_eq!(restarted.figures(), (94_000, 0, 6_000));
    assert_eq!(restarted.handle.usage(ORG, &plan(5)).concurrent_runs, 0);
    restarted.audit_holds().await;
    let result = restarted.handle.result(running, false).await.unwrap();
    assert_eq!(
        (result.status, result.seconds.len()),
        (RunStatus::Failed, 3)
    );
    for run in [running, queued] {
        let stop = restarted.handle.stop(run, StopReason::Requested);
        stop.await.unwrap();
    }
    let again = Scene::new(restarted._directory.crashed()).await;
    assert_eq!(again.figures(), (94_000, 0, 6_000));
    assert_eq!(again.record(running).history, first.history);
    again.audit_holds().await;
    let next = again.handle.start_run(request()).await.unwrap();
    assert_eq!(next.status(), RunStatus::Queued, "no slot leaked");
}

#[actix::test]
async fn a_shutdown_stops_what_lives_and_starts_nothing_more() {
    let mut scene = Scene::with_credits(Directory::new("shutdown"), 100_000).await;
    let run = scene.handle.start_run(request()).await.unwrap().id;
    scene.wait_for(run, DesiredState::Prepared).await;
    assert!(scene.handle.shutdown(Duration::from_secs(20)).await);
    let record = scene.record(run);
    let reasons: Vec<_> = record
        .history
        .iter()
        .map(|step| step.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "submitted",
            "validated",
            "coordinator_shutdown",
            "stopped_before_start"
        ]
    );
    assert_eq!(scene.figures(), (100_000, 0, 0));
    let late = scene.handle.start_run(request()).await;
    assert_eq!(late, Err(RequestError::ShuttingDown));
}
