//! Runs on other machines: what a coordinator that comes back finds, what is held until nodes are
//! silent, and what is not taken from the bus.

use bytes::Bytes;
use shared::bus::Bus;
use shared::wire::{
    Head, Item, LEASE_GRACE, LEASE_TTL, LifeId, Message, Upward, encode, report_subject,
};

use super::*;
use crate::core::roster::{Query, Sort, SortKey};

/// A run on another machine, with so many seconds said.
async fn remote(name: &str, seconds: u32) -> (Scene, Desired) {
    let mut scene = Scene::with(Directory::new(name), None).await;
    scene.grant(100_000).await;
    let run = scene.handle.start_run(request()).await.unwrap().id;
    let desired = scene.running(run).await;
    for second in 0..seconds {
        scene.frame(&desired, second);
    }
    (scene, desired)
}

/// Another coordinator on what a crash leaves, and the same node there.
fn again(scene: &mut Scene) -> Directory {
    let crashed = scene._directory.crashed();
    let bus = LocalBus::new();
    scene.handle = started(&crashed, &bus, None);
    scene.node.join(&bus);
    crashed
}

/// Listens until all that the node said of a run is stored.
async fn stored(node: &mut ScriptedNode, run: RunId) {
    node.until(|node| node.runs[&run].items.is_empty()).await;
}

#[actix::test]
async fn a_coordinator_that_comes_back_goes_on_with_what_other_machines_carry() {
    let (mut scene, desired) = remote("adopt", 3).await;
    let run = desired.run;
    // What is stored the node lets go of; what it says after that is in no checkpoint.
    stored(&mut scene.node, run).await;
    for second in 3..5 {
        scene.frame(&desired, second);
    }
    let before = scene.record(run);
    let _crashed = again(&mut scene);

    assert_eq!(scene.record(run), before, "it is as it was");
    assert_eq!(before.status(), RunStatus::Running);
    assert_eq!(scene.figures(), (80_000, 20_000, 0));
    assert_eq!(scene.handle.usage(ORG, &plan(5)).concurrent_runs, 1);
    scene.audit_holds().await;
    let query = Query {
        phases: Vec::new(),
        outcomes: Vec::new(),
        groups: Vec::new(),
        account: None,
        code: None,
        node: None,
        has_trace: None,
        sort: Sort {
            key: SortKey::Endpoint,
            descending: false,
        },
        after: None,
        limit: 10,
    };
    let rows = scene.handle.endpoints(run, query).await.unwrap().rows;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.node.0.as_str(), row.phase))
        .collect();
    assert_eq!(rows, [("local", Phase::Incall); 2]);

    scene.node.renew();
    stored(&mut scene.node, run).await;
    let live = scene.handle.live(run).unwrap();
    assert_eq!(live.live.status, RunStatus::Running);
    scene.frame(&desired, 5);
    // Said twice, as after a connection that broke: stored once.
    scene.node.say_again();
    scene.finish(&desired);
    scene.node.say_again();
    let ended = scene.ended(run).await;
    assert_eq!(ended.status(), RunStatus::Completed, "{:?}", ended.last());
    assert!(ended.settled);
    let result = scene.handle.result(run, true).await.unwrap();
    let seconds: Vec<_> = result.seconds.iter().map(|second| second.second).collect();
    assert_eq!(seconds, [0, 1, 2, 3, 4, 5], "no second is missing");
    let mos = result.all.metric("mos").unwrap();
    assert_eq!(mos.count, 12, "none counts twice");
    for endpoint in &result.endpoints {
        assert_eq!(endpoint.seconds.len(), 6);
    }
    let used = ended.used_endpoint_ms.unwrap();
    assert_eq!(scene.figures(), (100_000 - used, 0, used));
    scene.audit_holds().await;
    // Its node is told to forget it.
    scene.node.renew();
    scene.node.until(|node| node.runs.is_empty()).await;
}

#[actix::test]
async fn a_shutdown_leaves_alone_what_other_machines_carry() {
    let (mut scene, desired) = remote("outlives", 1).await;
    let run = desired.run;
    let waiting = scene.handle.start_run(request()).await.unwrap().id;
    assert!(scene.handle.shutdown(Duration::from_secs(4)).await);
    assert_eq!(scene.record(run).status(), RunStatus::Running);
    assert!(scene.record(waiting).status().is_terminal());
    let _crashed = again(&mut scene);
    scene.node.renew();
    scene.finish(&desired);
    // Whom it hears now has not stored what the other one took: it says it again.
    scene.node.until(|node| node.runs.is_empty()).await;
    let ended = scene.ended(run).await;
    assert_eq!(ended.status(), RunStatus::Completed, "{:?}", ended.last());
}

#[actix::test]
async fn a_silent_nodes_slots_are_held_until_it_cannot_call_any_more() {
    let (mut scene, desired) = remote("silent", 1).await;
    let run = desired.run;
    let begun = std::time::Instant::now();
    let failed = scene.ended(run).await;
    assert_eq!(
        (failed.status(), failed.last().unwrap().reason.as_str()),
        (RunStatus::Failed, "node_lost")
    );
    assert!(failed.last().unwrap().sentence.contains("`local`"));
    assert_eq!((failed.settled, failed.used_endpoint_ms), (false, None));
    assert_eq!(scene.figures(), (80_000, 20_000, 0), "nothing is freed");
    assert_eq!(scene.handle.usage(ORG, &plan(5)).concurrent_runs, 1);
    scene.audit_holds().await;

    // A coordinator that begins now waits as long again, and settles once.
    let _crashed = again(&mut scene);
    assert_eq!(scene.figures(), (80_000, 20_000, 0));
    assert_eq!(scene.handle.usage(ORG, &plan(5)).concurrent_runs, 1);
    while !scene.record(run).settled {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= LEASE_TTL + LEASE_GRACE);
    let settled = scene.record(run);
    assert_eq!(settled.history, failed.history);
    let used = settled.used_endpoint_ms.unwrap();
    assert_eq!(scene.figures(), (100_000 - used, 0, used));
    assert_eq!(scene.handle.usage(ORG, &plan(5)).concurrent_runs, 0);
    scene.audit_holds().await;
}

#[actix::test]
async fn what_makes_no_sense_on_the_bus_is_counted_and_changes_nothing() {
    let (mut scene, desired) = remote("strange", 1).await;
    let run = desired.run;
    let bus = scene.node.bus.clone();
    let local = || NodeId("local".to_owned());
    let subject = report_subject(&local());
    let mut random = testing::Random::new(7);
    for length in 0..200 {
        let octets: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let _ = bus.publish(&subject, Bytes::from(octets));
    }
    // Another node speaks of a run that it does not have, and another life of this node does.
    let item = Item {
        run,
        run_epoch: scene.node.runs[&run].desired.epoch,
        sequence: 1,
        report: Report::Ended {
            run,
            node: local(),
            cause: EndCause::Finished,
        },
    };
    for (name, life) in [("other", LifeId(7)), ("local", LifeId(8))] {
        let head = Head {
            life,
            ..Head::default()
        };
        let body = Upward::Item(Box::new(item.clone()));
        let payload = encode(&Message { head, body }).unwrap();
        let _ = bus.publish(&report_subject(&NodeId(name.to_owned())), payload.clone());
        // Cut, and with one bit changed.
        let _ = bus.publish(&subject, payload.slice(..payload.len() - 1));
        let mut changed = payload.to_vec();
        changed[20] ^= 1;
        let _ = bus.publish(&subject, Bytes::from(changed));
    }
    scene.frame(&desired, 1);
    stored(&mut scene.node, run).await;
    let counts = loop {
        let counts = scene.handle.board().bus_counts();
        if counts.untaken.foreign > 0 {
            break counts;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((counts.unreadable, counts.untaken.foreign), (204, 2));
    assert_eq!(scene.record(run).status(), RunStatus::Running);
    scene.finish(&desired);
    assert_eq!(scene.ended(run).await.status(), RunStatus::Completed);
}

#[actix::test]
async fn a_drained_node_takes_nothing_new_also_after_a_restart() {
    let mut scene = Scene::with(Directory::new("drained"), None).await;
    scene.grant(100_000).await;
    let local = || NodeId("local".to_owned());
    let drains = |node: &ScriptedNode| node.lease.as_ref().is_some_and(|lease| lease.drain);
    let unknown = scene.handle.drain(NodeId("x".to_owned()), true).await;
    assert_eq!(unknown, Ok(None));
    for _ in 0..2 {
        let drained = scene.handle.drain(local(), true).await.unwrap().unwrap();
        assert_eq!(drained.status, api::NodeState::Draining);
    }
    scene.node.renew();
    scene.node.until(drains).await;
    let _crashed = again(&mut scene);
    scene.node.lease = None;
    scene.node.renew();
    scene.node.until(drains).await;
    let waits = scene.handle.start_run(request()).await.unwrap();
    assert_eq!(codes(&*scene.ended(waits.id).await), ["no_node"]);
    let online = scene.handle.drain(local(), false).await.unwrap().unwrap();
    assert_eq!(online.status, api::NodeState::Online);
    let taken = scene.handle.start_run(request()).await.unwrap();
    assert_eq!(taken.status(), RunStatus::Queued);
}
