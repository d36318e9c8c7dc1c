//! Who runs where: regions, named nodes, exact shares, accounts that are never used twice.

use std::collections::BTreeSet;

use serde_json::json;
use shared::phase::RunStatus;

use crate::fixture::{Cluster, PATIENCE, no_second_is_missing, pairs, result, stage, target};

#[test]
fn groups_go_where_they_were_asked_to_and_what_is_not_there_is_named() {
    let Some(cluster) = Cluster::start("allocation", &[("a", "eu"), ("b", "eu"), ("c", "us")])
    else {
        return;
    };
    let lab = target();
    let stage = stage(&cluster, &lab, 60);
    let test = stage.test(json!({
        "name": "placed", "duration": "6s", "buildup": "1s",
        "groups": {
            "callers": { "count": 15, "registrar": "pbx", "region": "eu", "calls": { "group": "callees" } },
            "callees": { "count": 15, "registrar": "pbx", "nodes": ["c", "b"], "receives": true },
        },
    }));
    let run = stage.start(&test);
    let ended = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(
        ended.status,
        RunStatus::Completed,
        "{ended:#?}\n{}",
        cluster.tell()
    );
    let result = result(&cluster, &run);
    let nodes = |group: &str| -> Vec<String> {
        let of = result
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.group_name == group);
        let names: BTreeSet<String> = of.map(|endpoint| endpoint.node.0.clone()).collect();
        names.into_iter().collect()
    };
    assert_eq!(
        (nodes("callers"), nodes("callees")),
        (vec!["a".into(), "b".into()], vec!["b".into(), "c".into()])
    );
    assert_eq!(
        result.all.counts.calls_established, 15,
        "{:#?}",
        result.failures
    );
    no_second_is_missing(&result);
    // A caller never dials before its callee is registered, wherever that is.
    assert!(result.failures.is_empty(), "{:#?}", result.failures);

    let nowhere = stage.test(json!({
        "name": "nowhere", "duration": "6s",
        "groups": { "callers": { "count": 1, "registrar": "pbx", "region": "mars" } },
    }));
    let refused = stage.wait_for_end(stage.start(&nowhere).id, PATIENCE);
    assert_eq!(
        (refused.status, refused.reason.as_str()),
        (RunStatus::CannotRunForNow, "no_node_in_region")
    );
    for part in ["mars", "a (eu) ONLINE", "c (us) ONLINE"] {
        assert!(refused.sentence.contains(part), "{}", refused.sentence);
    }
}

#[test]
fn accounts_are_never_used_twice_at_once_across_runs() {
    let Some(cluster) = Cluster::start("accounts", &[("a", "eu"), ("b", "us")]) else {
        return;
    };
    let lab = target();
    let stage = stage(&cluster, &lab, 50);
    let test = pairs(&stage, 10, "10s", &json!({}));
    let first = stage.start(&test);
    let second = stage.start(&test);
    let third = stage.wait_for_end(stage.start(&test).id, PATIENCE);
    assert_eq!(
        (third.status, third.reason.as_str()),
        (RunStatus::CannotRunForNow, "not_enough_accounts"),
        "{third:#?}"
    );
    let mut used = BTreeSet::new();
    for run in [&first, &second] {
        let ended = stage.wait_for_end(run.id, PATIENCE);
        assert_eq!(
            ended.status,
            RunStatus::Completed,
            "{ended:#?}\n{}",
            cluster.tell()
        );
        for endpoint in &result(&cluster, run).endpoints {
            assert!(
                used.insert(endpoint.account.clone()),
                "{} twice",
                endpoint.account
            );
        }
    }
    assert_eq!(used.len(), 40);
}
