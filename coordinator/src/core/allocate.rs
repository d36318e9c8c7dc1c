//! Exact shares: which node runs which endpoints.
//!
//! In proportion to what each node has free: endpoints by its own measurement, descriptors, ports.
//! Deterministic: the same test and nodes give the same shares. Groups that call each other are cut
//! at the same places, so both ends of a call land on one node (DESIGN 1: across machines or cores
//! a call costs more).

use std::collections::BTreeMap;

use shared::definition::{Target, Test};
use shared::id::{GroupIndex, NodeId};
use shared::wire::{NodeStatus, Share};

use super::placement;
use super::validate::Needed;

/// Shares all endpoints of `test` out over those of `nodes` that each group may run on.
///
/// Shape: every endpoint in exactly one share; nodes without a share are left out. Where the nodes
/// together have room for a family of groups that call each other, none gets more than it has room
/// for. A group that no node may run gets no share: validation has refused it before. Bounds: groups
/// × nodes shares.
pub(crate) fn allocate(test: &Test, nodes: &[&NodeStatus]) -> Vec<(NodeId, Vec<Share>)> {
    let allowed: Vec<Vec<&NodeStatus>> = test
        .groups
        .iter()
        .map(|group| placement::allowed(group, nodes))
        .collect();
    let families = families(test, &allowed);
    let mut free: BTreeMap<&NodeId, Room> = nodes
        .iter()
        .map(|node| (&node.node, Room::of(node)))
        .collect();
    let mut shares: BTreeMap<&NodeId, Vec<Share>> = BTreeMap::new();
    for family in families {
        let members = || family.iter().filter_map(|group| test.groups.get(*group));
        let span = members().map(|group| group.count).max().unwrap_or(0);
        let place = members().fold(Needed::default(), |mut sum, group| {
            sum.add(&Needed::of_one(group));
            sum
        });
        let Some(allowed) = family.first().and_then(|group| allowed.get(*group)) else {
            continue;
        };
        let weights = weights(allowed, &free, &place);
        let whole: u64 = weights.iter().sum();
        let mut before = 0;
        for (node, weight) in allowed.iter().zip(weights) {
            let after = before + weight;
            let (first, end) = (cut(span, before, whole), cut(span, after, whole));
            before = after;
            if let Some(room) = free.get_mut(&node.node) {
                room.take(&place, u64::from(end - first));
            }
            for index in &family {
                let count = test.groups.get(*index).map_or(0, |group| group.count);
                let (first, end) = (first.min(count), end.min(count));
                if end > first {
                    shares.entry(&node.node).or_default().push(Share {
                        group: GroupIndex(u16::try_from(*index).unwrap_or(u16::MAX)),
                        first,
                        count: end - first,
                    });
                }
            }
        }
    }
    shares
        .into_iter()
        .map(|(node, mut shares)| {
            shares.sort_by_key(|share| share.group);
            (node.clone(), shares)
        })
        .collect()
}

/// What a node has free.
#[derive(Clone, Copy, Debug)]
struct Room {
    endpoints: u64,
    descriptors: u64,
    ports: u64,
    cores: u64,
}

impl Room {
    fn of(node: &NodeStatus) -> Self {
        let cores = u64::from(node.cores.max(1));
        let carries = match node.capacity_endpoints {
            0 => cores * ENDPOINTS_PER_CORE,
            measured => u64::from(measured),
        };
        Self {
            endpoints: carries.saturating_sub(u64::from(node.endpoints)),
            descriptors: u64::from(node.free_descriptors),
            ports: u64::from(node.free_ports),
            cores,
        }
    }

    /// How many places of a family fit.
    fn places(&self, place: &Needed) -> u64 {
        let of = |free: u64, each: u64| free.checked_div(each).unwrap_or(u64::MAX);
        of(self.endpoints, place.endpoints)
            .min(of(self.descriptors, place.descriptors))
            .min(of(self.ports, place.ports))
    }

    fn take(&mut self, place: &Needed, places: u64) {
        let less = |free: u64, each: u64| free.saturating_sub(each.saturating_mul(places));
        self.endpoints = less(self.endpoints, place.endpoints);
        self.descriptors = less(self.descriptors, place.descriptors);
        self.ports = less(self.ports, place.ports);
    }
}

/// Places that fit on each; by cores where there is no room anywhere: a node that is beyond its own
/// measure may still carry more, and says at its preparation what it cannot.
fn weights(allowed: &[&NodeStatus], free: &BTreeMap<&NodeId, Room>, place: &Needed) -> Vec<u64> {
    let rooms = || allowed.iter().filter_map(|node| free.get(&node.node));
    let weights: Vec<u64> = rooms()
        .map(|room| room.places(place).min(PLACES_MAX))
        .collect();
    if weights.iter().all(|weight| *weight == 0) {
        return rooms().map(|room| room.cores).collect();
    }
    weights
}

/// The place at which the first `part` of `whole` end, of `span`.
fn cut(span: u32, part: u64, whole: u64) -> u32 {
    let place = u64::from(span) * part / whole.max(1);
    u32::try_from(place).unwrap_or(span)
}

/// The groups in families: those that call each other and may run on the same nodes; in the order of
/// their first members.
fn families(test: &Test, allowed: &[Vec<&NodeStatus>]) -> Vec<Vec<usize>> {
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
    let mut families: Vec<(usize, Vec<usize>)> = Vec::new();
    for (index, mine) in family.into_iter().enumerate() {
        match families.iter_mut().find(|(theirs, _)| *theirs == mine) {
            Some((_, members)) => members.push(index),
            None => families.push((mine, vec![index])),
        }
    }
    families.into_iter().map(|(_, members)| members).collect()
}

/// Endpoints in a call that a core is taken to carry where the node did not measure itself.
const ENDPOINTS_PER_CORE: u64 = 2_000;
/// Room beyond this makes no difference; products with it stay far below 2^64.
const PLACES_MAX: u64 = 1 << 20;

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

    /// (node, group, first, count) of every share.
    fn told(test: &Test, nodes: &[NodeStatus]) -> Vec<(String, u16, u32, u32)> {
        let nodes: Vec<&NodeStatus> = nodes.iter().collect();
        allocate(test, &nodes)
            .into_iter()
            .flat_map(|(node, shares)| shares.into_iter().map(move |s| (node.0.clone(), s)))
            .map(|(node, share)| (node, share.group.0, share.first, share.count))
            .collect()
    }

    #[test]
    fn shares_follow_what_is_free() {
        let free = |name: &str, capacity: u32, endpoints: u32| NodeStatus {
            capacity_endpoints: capacity,
            endpoints,
            ..node(name, 2)
        };
        let mut test = testing::pair_test(100, 0);
        test.groups.truncate(1);
        test.groups[0].target = Target::Nobody;
        let of = |nodes: &[NodeStatus]| -> Vec<u32> {
            told(&test, nodes)
                .into_iter()
                .map(|share| share.3)
                .collect()
        };
        assert_eq!(of(&[free("a", 3_000, 0), free("b", 1_000, 0)]), [75, 25]);
        assert_eq!(
            of(&[free("a", 3_000, 2_000), free("b", 1_000, 0)]),
            [50, 50]
        );
        // Not measured: 2 cores.
        assert_eq!(of(&[free("a", 4_000, 0), free("b", 0, 0)]), [50, 50]);
        // Full: none of it, as long as another has room.
        assert_eq!(of(&[free("a", 500, 500), free("b", 1_000, 0)]), [100]);
        assert_eq!(of(&[free("a", 500, 500), free("b", 10, 10)]), [50, 50]);
    }

    #[test]
    fn no_node_gets_more_than_it_has_room_for_where_all_fits() {
        for seed in 0..300u64 {
            let mut random = testing::Random::new(seed);
            let nodes: Vec<NodeStatus> = (0..=random.below(6))
                .map(|n| NodeStatus {
                    capacity_endpoints: 2 + random.below(500),
                    free_ports: 4 + random.below(2_000),
                    ..node(&format!("n{n}"), 1)
                })
                .collect();
            // A pair: two endpoints, two ports each.
            let room = |node: &NodeStatus| (node.capacity_endpoints / 2).min(node.free_ports / 4);
            let all: u32 = nodes.iter().map(room).sum();
            let pairs = 1 + random.below(all);
            for (name, _, _, count) in told(&testing::pair_test(pairs, pairs), &nodes) {
                let node = nodes.iter().find(|node| node.node.0 == name).unwrap();
                assert!(count <= room(node), "seed {seed}: {name} got {count}");
            }
        }
    }
}
