//! Nodes leave in order: by command and by SIGTERM.

use std::time::Duration;

use serde_json::json;
use shared::api::NodeState;
use shared::phase::RunStatus;

use crate::fixture::{Cluster, PATIENCE, pairs, stage, start, target, wait_for_calls};

#[test]
fn a_drained_node_ends_its_work_and_takes_none() {
    let Some(mut cluster) = Cluster::start("drain", &[("a", "eu"), ("b", "eu")]) else {
        return;
    };
    let lab = target();
    let stage = stage(&cluster, &lab, 40);
    let test = pairs(&stage, 10, "8s", &json!({}));
    let run = start(&cluster, &stage, &test, &lab);
    let answer = cluster.api().post("nodes/a/drain", &json!({}));
    assert!((200..300).contains(&answer.status), "{answer}");
    cluster.wait_for(1, NodeState::Draining);
    // What it carries goes on to its end.
    let ended = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(
        ended.status,
        RunStatus::Completed,
        "{ended:#?}\n{}",
        cluster.tell()
    );
    // What comes goes elsewhere.
    let next = start(&cluster, &stage, &test, &lab);
    tests::until("all of it on b", PATIENCE, || {
        let nodes = cluster.list();
        let on = |name: &str| {
            nodes
                .iter()
                .find(|node| node.name == name)
                .expect("it")
                .endpoints
        };
        (on("a") == 0 && on("b") == 20).then_some(())
    });
    stage.wait_for_end(next.id, PATIENCE);
    let answer = cluster.api().post("nodes/a/undrain", &json!({}));
    assert!((200..300).contains(&answer.status), "{answer}");
    cluster.wait_for(2, NodeState::Online);
    // SIGTERM with nothing to do: it leaves at once and well.
    cluster.nodes[0].signal("TERM");
    let status = cluster.nodes[0].wait(Duration::from_secs(10));
    assert!(status.success(), "{status}\n{}", cluster.nodes[0].tail());
}

#[test]
fn a_node_that_is_asked_to_leave_ends_its_calls_first() {
    let Some(mut cluster) = Cluster::start("leave", &[("a", "eu"), ("b", "eu")]) else {
        return;
    };
    cluster.nodes[0].kill();
    cluster.nodes[0].set("CARILLON_NODE_DRAIN_WAIT", "1s");
    cluster.start_again(0);
    cluster.wait_for(2, NodeState::Online);
    let lab = target();
    let stage = stage(&cluster, &lab, 40);
    let test = pairs(&stage, 20, "10m", &json!({}));
    let run = start(&cluster, &stage, &test, &lab);
    cluster.nodes[0].signal("TERM");
    let status = cluster.nodes[0].wait(Duration::from_secs(45));
    assert!(status.success(), "{status}\n{}", cluster.nodes[0].tail());
    let ended = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(ended.status, RunStatus::Failed, "{ended:#?}");
    assert_eq!(ended.reason, "node_drained", "{ended:#?}");
    assert!(ended.sentence.contains("`a`"), "{}", ended.sentence);
    wait_for_calls(&lab, 0);
}
