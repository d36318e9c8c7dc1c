//! A node that was frozen for a minute says goodbye when it wakes, and nothing else.

use std::time::Duration;

use serde_json::json;
use shared::api::NodeState;
use shared::phase::RunStatus;
use tests::Capture;

use crate::bus_faults::unix;
use crate::fixture::{Cluster, PATIENCE, pairs, stage, target, wait_for_calls};

#[test]
fn a_node_frozen_for_a_minute_sends_only_goodbyes() {
    let Some(cluster) = Cluster::start("frozen", &[("a", "eu"), ("b", "eu")]) else {
        return;
    };
    let lab = target();
    let stage = stage(&cluster, &lab, 80);
    // The buildup is long, so that the frozen node has calls to come as well as calls that live.
    let test = pairs(&stage, 40, "10m", &json!({ "buildup": "4m" }));
    let run = stage.start(&test);
    stage.wait(run.id, PATIENCE, |run| run.status == RunStatus::Running);
    tests::until("some calls", PATIENCE, || {
        (lab.stats().sip.calls_now >= 4).then_some(())
    });
    let Some(capture) = Capture::start("lo") else {
        return;
    };
    cluster.nodes[0].signal("STOP");
    let failed = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(failed.reason, "node_lost", "{failed:#?}");
    cluster.wait_for(1, NodeState::Offline);
    // A minute of frozen time is what is tried.
    std::thread::sleep(Duration::from_secs(60));
    let woken = unix();
    cluster.nodes[0].signal("CONT");
    wait_for_calls(&lab, 0);
    // It joins again, with nothing.
    cluster.wait_for(2, NodeState::Online);
    tests::until("nobody holding endpoints", PATIENCE, || {
        cluster
            .list()
            .iter()
            .all(|node| node.endpoints == 0)
            .then_some(())
    });
    let from = format!("{}:", cluster.addresses[0]);
    let after: Vec<_> = capture
        .finish()
        .into_iter()
        .filter(|seen| seen.at >= woken && seen.from.starts_with(&from))
        .collect();
    let goodbyes = after
        .iter()
        .filter(|seen| ["BYE", "CANCEL"].contains(&seen.sip.as_str()));
    println!(
        "{} packets after the freeze, {} of them goodbyes",
        after.len(),
        goodbyes.clone().count()
    );
    assert!(goodbyes.count() > 0, "nothing was ended");
    for seen in &after {
        let is_answer = seen.sip.parse::<u16>().is_ok();
        assert!(
            is_answer || ["BYE", "CANCEL", "ACK"].contains(&seen.sip.as_str()),
            "after the freeze: {seen:?}"
        );
    }
}
