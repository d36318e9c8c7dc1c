//! Which nodes a group may run on, and what to say where there are none.
//!
//! Source: PRODUCT §1 (assignment: a region, or named nodes) and §7.

use std::collections::BTreeSet;
use std::time::Instant;

use shared::definition::{Group, Test};
use shared::id::NodeId;
use shared::wire::{NodeStatus, Problem};

use super::cluster::Cluster;

/// Those of `online` that `group` may run on, in the order of their names.
pub(crate) fn allowed<'a>(group: &Group, online: &[&'a NodeStatus]) -> Vec<&'a NodeStatus> {
    let mut nodes: Vec<&NodeStatus> = online
        .iter()
        .copied()
        .filter(|node| fits(group, node))
        .collect();
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    nodes
}

fn fits(group: &Group, node: &NodeStatus) -> bool {
    let region = group.region.as_ref();
    region.is_none_or(|region| *region == node.region)
        && (group.nodes.is_empty() || group.nodes.contains(&node.node))
}

/// What speaks against the wishes of the groups; those who wish the same are told of once.
pub(crate) fn problems(now: Instant, test: &Test, nodes: &Cluster) -> Vec<Problem> {
    let online: Vec<&NodeStatus> = nodes.online(now).collect();
    let mut problems = Vec::new();
    let mut told: BTreeSet<(Option<&str>, &[NodeId])> = BTreeSet::new();
    for group in &test.groups {
        if !told.insert((group.region.as_deref(), &group.nodes)) {
            continue;
        }
        if group.region.is_none() && group.nodes.is_empty() {
            if online.is_empty() {
                problems.push(Problem::new(
                    "no_node",
                    format!(
                        "No node is ONLINE to run this test ({}); start one or wait for it to report.",
                        nodes.describe(now)
                    ),
                ));
            }
            continue;
        }
        let before = problems.len();
        named(now, group, nodes, &online, &mut problems);
        if problems.len() == before && allowed(group, &online).is_empty() {
            problems.push(no_node_in_region(now, group, nodes));
        }
    }
    problems
}

/// Every named node must be ONLINE: the test counts on all of them.
fn named(
    now: Instant,
    group: &Group,
    nodes: &Cluster,
    online: &[&NodeStatus],
    problems: &mut Vec<Problem>,
) {
    for name in &group.nodes {
        if !online.iter().any(|node| node.node == *name) {
            problems.push(Problem::new(
                "node_not_online",
                format!(
                    "Group `{}` wants node `{name}`, which is not ONLINE ({}); start it, wait for it to report, or name another.",
                    group.name,
                    nodes.describe(now)
                ),
            ));
        }
    }
}

fn no_node_in_region(now: Instant, group: &Group, nodes: &Cluster) -> Problem {
    let region = group.region.as_deref().unwrap_or_default();
    let which = if group.nodes.is_empty() {
        "node"
    } else {
        "named node"
    };
    Problem::new(
        "no_node_in_region",
        format!(
            "Group `{}` wants region `{region}`, and no {which} that is ONLINE is in it ({}); start one there, or name another region.",
            group.name,
            nodes.describe(now)
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::wire::LEASE_TTL;

    use super::*;
    use crate::core::Now;
    use crate::testing;

    fn node(name: &str, region: &str) -> NodeStatus {
        NodeStatus {
            region: region.to_owned(),
            ..testing::node(name)
        }
    }

    #[test]
    fn a_region_without_a_node_names_those_that_exist() {
        let begin = Instant::now();
        let mut nodes = testing::cluster(begin, [node("b", "us"), node("a", "eu")]);
        let mut now = begin;
        for second in 1..=LEASE_TTL.as_secs() {
            now += Duration::from_secs(1);
            let at = Now {
                instant: now,
                unix_ms: 0,
            };
            let renew = testing::renew(node("b", "us"), Duration::from_secs(1 + second));
            nodes.renewed(at, &NodeId("b".to_owned()), testing::LIFE, &renew);
        }
        let mut test = testing::pair_test(2, 2);
        test.groups[0].region = Some("eu".to_owned());
        test.groups[1].region = Some("eu".to_owned());
        let found = problems(now, &test, &nodes);
        assert_eq!(found.len(), 1, "the same wish is told of once");
        assert_eq!(found[0].code, "no_node_in_region");
        for part in ["`eu`", "a (eu) OFFLINE", "b (us) ONLINE"] {
            assert!(found[0].sentence.contains(part), "{}", found[0].sentence);
        }
        test.groups[0].region = Some("us".to_owned());
        test.groups[1].region = None;
        assert_eq!(problems(now, &test, &nodes), []);
    }

    #[test]
    fn every_named_node_must_be_online() {
        let now = Instant::now();
        let nodes = testing::cluster(now, [node("a", "eu")]);
        let mut test = testing::pair_test(2, 2);
        test.groups[0].nodes = ["a", "x", "y"].map(|n| NodeId(n.to_owned())).to_vec();
        let found = problems(now, &test, &nodes);
        let codes: Vec<_> = found.iter().map(|problem| problem.code.as_str()).collect();
        assert_eq!(codes, ["node_not_online", "node_not_online"]);
        assert!(found[1].sentence.contains("`y`"));
        test.groups[0].nodes.truncate(1);
        test.groups[0].region = Some("us".to_owned());
        assert_eq!(problems(now, &test, &nodes)[0].code, "no_node_in_region");
    }
}
