//! The coordinator dies in the middle of a run and comes back: the run goes on as if nothing had been.

use std::time::Duration;

use serde_json::json;
use shared::phase::{Outcome, RunStatus};
use shared::result::RunResult;
use tests::Reported;

use crate::fixture::{
    Cluster, Moments, PATIENCE, no_second_is_missing, pairs, result, rounds, stage, start, target,
};

const CALLS: u32 = 60;

#[test]
fn a_run_survives_the_coordinators_death_without_a_missing_second() {
    let Some(mut cluster) =
        Cluster::start("coordinator-lost", &[("a", "eu"), ("b", "eu"), ("c", "us")])
    else {
        return;
    };
    let lab = target();
    let quiet = run_through(&mut cluster, &lab, 0, &mut Moments::new());
    let mut moments = Moments::new();
    for round in 1..=rounds(2) {
        let shaken = run_through(&mut cluster, &lab, 2, &mut moments);
        println!(
            "round {round}: MOS p50 {:?} (quiet {:?}), setup p50 {:?} (quiet {:?})",
            shaken.all.metric("mos").map(|figures| figures.p50),
            quiet.all.metric("mos").map(|figures| figures.p50),
            shaken
                .all
                .metric("call.setup_ms")
                .map(|figures| figures.p50),
            quiet.all.metric("call.setup_ms").map(|figures| figures.p50),
        );
        let mos = |result: &RunResult| result.all.metric("mos").expect("a MOS").p50;
        assert!((mos(&shaken) - mos(&quiet)).abs() < 0.1);
    }
}

/// A run, with the coordinator killed so often and back after 5 s each time.
fn run_through(
    cluster: &mut Cluster,
    lab: &lab::LabHandle,
    kills: u32,
    moments: &mut Moments,
) -> RunResult {
    let stage = stage_once(cluster, lab);
    let duration = format!("{}s", 12 + kills * 12);
    let test = pairs(&stage, CALLS, &duration, &json!({}));
    let answered = lab.stats().sip.calls_answered;
    let run = start(cluster, &stage, &test, lab);
    for _ in 0..kills {
        let after = moments.wait(Duration::from_secs(4));
        println!("killed after {after:?}");
        cluster.service.kill();
        // Five seconds without a coordinator are what is tried.
        std::thread::sleep(Duration::from_secs(5));
        assert_eq!(
            lab.stats().sip.calls_now,
            u64::from(CALLS),
            "calls were dropped"
        );
        cluster.service.start();
        let seen: shared::api::Run = cluster.api().read(&format!("runs/{}", run.id));
        assert_eq!(
            seen.status,
            RunStatus::Running,
            "{seen:#?}\n{}",
            cluster.tell()
        );
    }
    let stage = stage.at(&cluster.api());
    let ended = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(
        ended.status,
        RunStatus::Completed,
        "{ended:#?}\n{}",
        cluster.tell()
    );
    let result = result(cluster, &run);
    assert_eq!(
        lab.stats().sip.calls_answered - answered,
        u64::from(CALLS),
        "calls were made twice"
    );
    for endpoint in &result.endpoints {
        assert_eq!(
            endpoint.report().outcome,
            Outcome::Success,
            "{:?}",
            endpoint.report()
        );
    }
    no_second_is_missing(&result);
    assert_eq!(result.all.counts.calls_established, u64::from(CALLS));
    result
}

/// Each run has a project of its own, so that accounts are free.
fn stage_once(cluster: &Cluster, lab: &lab::LabHandle) -> tests::Stage {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let name = format!(
        "shaken-{}",
        NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    );
    tests::Stage::new(&cluster.api(), &name, lab.sip_addr().port(), CALLS * 2)
}

#[test]
fn a_coordinator_that_is_gone_for_good_leaves_no_call_behind() {
    let Some(mut cluster) = Cluster::start("coordinator-gone", &[("a", "eu"), ("b", "us")]) else {
        return;
    };
    let lab = target();
    let stage = stage(&cluster, &lab, 40);
    let test = pairs(&stage, 20, "10m", &json!({}));
    let run = start(&cluster, &stage, &test, &lab);
    let killed = std::time::Instant::now();
    cluster.service.kill();
    let silent = crate::fixture::takes("no call at the target", killed, || {
        lab.stats().sip.calls_now == 0
    });
    println!("the last call was ended {silent:?} after the coordinator's death");
    assert!(silent <= Duration::from_secs(15), "{silent:?}");
    assert!(
        silent >= Duration::from_secs(7),
        "the lease ended too early: {silent:?}"
    );
    // Back later than the grace: the run is found ended, its last seconds are stored, it is settled once.
    let rest = Duration::from_secs(17).saturating_sub(killed.elapsed());
    std::thread::sleep(rest);
    cluster.service.start();
    let stage = stage.at(&cluster.api());
    let ended = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(ended.status, RunStatus::Failed, "{ended:#?}");
    let result = result(&cluster, &run);
    no_second_is_missing(&result);
    for endpoint in &result.endpoints {
        // They lived until their lease ran out, and what they measured then is there.
        assert!(
            endpoint.seconds.len() >= 7,
            "{} seconds",
            endpoint.seconds.len()
        );
    }
    stage.wait(run.id, PATIENCE, |run| run.used.is_some());
}
