//! A node dies in the middle of a run: the run says so in time, nothing stays held, and the calls it
//! left at the target are ended by its next life.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::api::{EndpointRow, LedgerEntry, NodeState, Organization, Page, TransferKind};
use shared::phase::{Phase, RunStatus};
use shared::result::EndpointResult;
use tests::{Stage, until};

use crate::fixture::{
    Cluster, Moments, PATIENCE, pairs, result, rounds, stage, start, takes, target, wait_for_calls,
};

const CALLS: u32 = 100;

#[test]
fn a_killed_node_fails_the_run_in_time_and_its_next_life_ends_its_calls() {
    let Some(mut cluster) = Cluster::start("node-lost", &[("a", "eu"), ("b", "eu"), ("c", "us")])
    else {
        return;
    };
    let mut moments = Moments::new();
    for round in 1..=rounds(2) {
        // A killed node's registrations stay until they expire: a target of its own for each round.
        let lab = target();
        let port = lab.sip_addr().port();
        let name = format!("round {round}");
        let stage = Stage::new(&cluster.api(), &name, port, CALLS * 2);
        let test = pairs(&stage, CALLS, "10m", &json!({}));
        let run = start(&cluster, &stage, &test, &lab);
        moments.wait(Duration::from_secs(2));
        let killed = Instant::now();
        cluster.nodes[1].kill();
        let failed = takes("FAILED", killed, || {
            let run: shared::api::Run = cluster.api().read(&format!("runs/{}", run.id));
            run.status.is_terminal()
        });
        let ended = stage.wait_for_end(run.id, PATIENCE);
        assert_eq!(ended.status, RunStatus::Failed, "{ended:#?}");
        assert_eq!(ended.reason, "node_lost", "{ended:#?}");
        assert!(ended.sentence.contains("`b`"), "{}", ended.sentence);
        assert!(
            ended
                .sentence
                .contains(&format!("of {} endpoints", CALLS * 2)),
            "{}",
            ended.sentence
        );
        assert!(failed <= Duration::from_secs(15), "FAILED after {failed:?}");
        let free = takes("slots and credits back", killed, || {
            let own: Page<Organization> = cluster.api().read("organizations");
            let own = &own.items[0];
            own.usage.concurrent_runs == 0
                && own.usage.concurrent_endpoints == 0
                && own.balance.reserved.endpoint_ms == 0
        });
        assert!(free <= Duration::from_secs(20), "free after {free:?}");
        // Not before the dead node's lease and grace are over: it might have lived behind a cut.
        assert!(
            free >= Duration::from_secs(12),
            "free after {free:?} already"
        );
        let lost = result(&cluster, &run).missing;
        let lost: Vec<&str> = lost.iter().map(|share| share.node.as_str()).collect();
        assert_eq!(lost, ["b"]);
        let ledger: Page<LedgerEntry> = cluster.api().read("ledger?limit=500");
        let of_run = ledger
            .items
            .iter()
            .filter(|entry| entry.run == Some(run.id));
        let kinds: Vec<_> = of_run.map(|entry| entry.kind).collect();
        assert_eq!(kinds, [TransferKind::Settle, TransferKind::Reserve]);
        // The others have hung up; what the dead one held is still there, and nobody else can end it.
        let left = lab.stats().sip.calls_now;
        assert!(left > 0 && left < u64::from(CALLS), "{left} calls left");
        let restarted = Instant::now();
        cluster.nodes[1].start();
        let silent = takes("the target without calls", restarted, || {
            lab.stats().sip.calls_now == 0
        });
        println!(
            "round {round}: FAILED after {failed:?}, free after {free:?}, {left} dialogs left, ended {silent:?} after the restart"
        );
        assert!(
            silent <= Duration::from_secs(5),
            "dialogs ended after {silent:?}"
        );
        cluster.wait_for(3, NodeState::Online);
    }
    for node in &cluster.nodes {
        assert!(!node.log().contains("panicked"), "{}", node.log());
    }
}

#[test]
fn a_run_that_may_go_on_without_a_node_says_what_is_missing() {
    let Some(mut cluster) = Cluster::start("node-loss-continue", &[("a", "eu"), ("b", "eu")])
    else {
        return;
    };
    let lab = target();
    let stage = stage(&cluster, &lab, 40);
    let test = pairs(&stage, 20, "30s", &json!({ "on_node_loss": "continue" }));
    let run = start(&cluster, &stage, &test, &lab);
    until("figures of all of the node's endpoints", PATIENCE, || {
        let rows: Page<EndpointRow> = cluster
            .api()
            .read(&format!("runs/{}/endpoints?node=a", run.id));
        assert_eq!(rows.items.len(), 20);
        rows.items.iter().all(|row| row.mos.is_some()).then_some(())
    });
    cluster.nodes[0].kill();
    let ended = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(
        ended.status,
        RunStatus::Completed,
        "{ended:#?}\n{}",
        cluster.tell()
    );
    assert!(ended.sentence.contains("`a`"), "{}", ended.sentence);
    let result = result(&cluster, &run);
    let [missing] = &result.missing[..] else {
        panic!("one share is missing: {:#?}", result.missing);
    };
    assert_eq!((missing.node.as_str(), missing.endpoints), ("a", 20));
    assert_eq!(missing.unreported, 20);
    let of = |node: &str| -> Vec<&EndpointResult> {
        let endpoints = result.endpoints.iter();
        endpoints
            .filter(|endpoint| endpoint.node.0 == node)
            .collect()
    };
    assert_eq!((of("a").len(), of("b").len()), (20, 20));
    // Nobody knows how the lost ones ended, so nothing is claimed; what was measured before is there.
    for endpoint in of("a") {
        assert_eq!(endpoint.report, None);
        assert!(endpoint.phase == Phase::Incall, "{endpoint:?}");
        assert!(!endpoint.account.is_empty() && !endpoint.seconds.is_empty());
    }
    assert_eq!(result.all.counts.outcomes.iter().sum::<u32>(), 20);
    // What went on has all its seconds.
    for endpoint in of("b") {
        assert!(
            endpoint.seconds.len() >= 25,
            "{} seconds",
            endpoint.seconds.len()
        );
    }
    // The lost node's calls are its next life's business.
    cluster.nodes[0].start();
    wait_for_calls(&lab, 0);
}
