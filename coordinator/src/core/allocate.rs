//! Exact shares: which node runs which endpoints.
//!
//! Deterministic: the same test and nodes give the same shares. Groups that call each other are cut
//! at the same places, so both ends of a call land on one node (DESIGN 1: across machines or cores
//! a call costs more).

use std::collections::BTreeMap;

use shared::definition::{Target, Test};
use shared::id::{GroupIndex, NodeId};
use shared::wire::{NodeStatus, Share};

use super::placement;

/// Shares all endpoints of `test` out over those of `nodes` that each group may run on, in
/// proportion to their cores.
///
/// Shape: every endpoint in exactly one share; nodes without a share are left out. A group that no
/// node may run gets no share: validation has refused it before. Bounds: groups × nodes shares.
pub(crate) fn allocate(test: &Test, nodes: &[&NodeStatus]) -> Vec<(NodeId, Vec<Share>)> {
    let allowed: Vec<Vec<&NodeStatus>> = test
        .groups
        .iter()
        .map(|group| placement::allowed(group, nodes))
        .collect();
    let spans = spans(test, &allowed);
    let mut shares: BTreeMap<&NodeId, Vec<Share>> = BTreeMap::new();
    for (index, ((group, allowed), span)) in test.groups.iter().zip(&allowed).zip(spans).enumerate()
    {
        let weight: u64 = allowed.iter().map(|node| weight(node)).sum();
        let mut before = 0;
        for node in allowed {
            let after = before + self::weight(node);
            let first = cut(span, before, weight).min(group.count);
            let end = cut(span, after, weight).min(group.count);
            before = after;
            if end > first {
                shares.entry(&node.node).or_default().push(Share {
                    group: GroupIndex(u16::try_from(index).unwrap_or(u16::MAX)),
                    first,
                    count: end - first,
                });
            }
        }
    }
    shares
        .into_iter()
        .map(|(node, shares)| (node.clone(), shares))
        .collect()
}

fn weight(node: &NodeStatus) -> u64 {
    u64::from(node.cores.max(1))
}

/// The place at which the first `part` of `whole` end, for a group of `span` endpoints.
fn cut(span: u32, part: u64, whole: u64) -> u32 {
    let place = u64::from(span) * part / whole.max(1);
    u32::try_from(place).unwrap_or(span)
}

/// The span by which each group is cut: the largest of the groups that call each other and may run
/// on the same nodes.
fn spans(test: &Test, allowed: &[Vec<&NodeStatus>]) -> Vec<u32> {
    let names = |index: usize| {
        let nodes = allowed.get(index).into_iter().flatten();
        nodes.map(|node| &node.node)
    };
    let mut family: Vec<usize> = (0..test.groups.len()).collect();
    for (index, group) in test.groups.iter().enumerate() {
        let Target::Group(callee) = group.target else {
            continue;
        };
        if !names(index).eq(names(usize::from(callee))) {
            continue;
        }
        let (mine, theirs) = (family.get(index), family.get(usize::from(callee)));
        if let (Some(&mine), Some(&theirs)) = (mine, theirs) {
            for member in &mut family {
                if *member == mine {
                    *member = theirs;
                }
            }
        }
    }
    family
        .iter()
        .map(|mine| {
            test.groups
                .iter()
                .zip(&family)
                .filter(|(_, theirs)| *theirs == mine)
                .map(|(group, _)| group.count)
                .max()
                .unwrap_or(0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn node(name: &str, cores: u32) -> NodeStatus {
        NodeStatus {
            cores,
            ..testing::node(name)
        }
    }

    #[test]
    fn one_node_gets_everything() {
        let test = testing::pair_test(7, 7);
        let only = node("a", 2);
        let allocation = allocate(&test, &[&only]);
        assert_eq!(allocation.len(), 1);
        assert_eq!(
            allocation[0].1,
            [
                Share {
                    group: GroupIndex(0),
                    first: 0,
                    count: 7
                },
                Share {
                    group: GroupIndex(1),
                    first: 0,
                    count: 7
                }
            ]
        );
    }

    #[test]
    fn no_node_gives_no_share() {
        assert!(allocate(&testing::pair_test(3, 3), &[]).is_empty());
    }

    #[test]
    fn shares_sum_up_exactly_and_pairs_stay_together() {
        for seed in 0..500u64 {
            let mut random = testing::Random::new(seed);
            let (callers, callees) = (random.below(2_000), random.below(2_000));
            let test = testing::pair_test(callers, callees);
            let nodes: Vec<NodeStatus> = (0..=random.below(9))
                .map(|n| node(&format!("n{n}"), random.below(9)))
                .collect();
            let mut given: Vec<&NodeStatus> = nodes.iter().collect();
            let allocation = allocate(&test, &given);
            given.reverse();
            assert_eq!(allocation, allocate(&test, &given), "seed {seed}: order");
            let mut owner = [vec![None; callers as usize], vec![None; callees as usize]];
            for (node, shares) in &allocation {
                for share in shares {
                    for place in share.first..share.first + share.count {
                        let slot = &mut owner[share.group.index()][place as usize];
                        assert_eq!(*slot, None, "seed {seed}: twice");
                        *slot = Some(node.clone());
                    }
                }
            }
            assert!(
                owner.iter().flatten().all(Option::is_some),
                "seed {seed}: left out"
            );
            for (caller, callee) in owner[0].iter().zip(&owner[1]) {
                assert_eq!(caller, callee, "seed {seed}: a pair was parted");
            }
        }
    }

    #[test]
    fn groups_stay_in_their_region_and_on_their_nodes() {
        let place = |name: &str, region: &str| NodeStatus {
            region: region.to_owned(),
            ..node(name, 1)
        };
        let nodes = [place("c", "us"), place("b", "eu"), place("a", "eu")];
        let nodes: Vec<&NodeStatus> = nodes.iter().collect();
        let mut test = testing::pair_test(10, 11);
        test.groups[0].region = Some("eu".to_owned());
        test.groups[1].nodes = vec![NodeId("c".to_owned()), NodeId("b".to_owned())];
        let shares: Vec<_> = allocate(&test, &nodes)
            .into_iter()
            .flat_map(|(node, shares)| shares.into_iter().map(move |s| (node.0.clone(), s)))
            .map(|(node, share)| (node, share.group.0, share.first, share.count))
            .collect();
        assert_eq!(
            shares,
            [
                ("a".to_owned(), 0, 0, 5),
                ("b".to_owned(), 0, 5, 5),
                ("b".to_owned(), 1, 0, 5),
                ("c".to_owned(), 1, 5, 6),
            ]
        );
        // Where both may run on the same nodes, both ends of a call are on one of them.
        test.groups[1].nodes.clear();
        test.groups[1].region = Some("eu".to_owned());
        let shares = allocate(&test, &nodes);
        assert_eq!(shares.len(), 2);
        for (_, shares) in shares {
            assert_eq!(shares[0].first, shares[1].first);
        }
    }
}
