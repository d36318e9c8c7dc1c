//! The nodes the coordinator has heard of, and which of them are ONLINE.
//!
//! A coordinator that slept itself (a stopped process, a suspended machine) must not believe its
//! nodes dead for it: the time it did not look is not held against them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use shared::api::{self, NodeState};
use shared::id::NodeId;
use shared::wire::NodeStatus;

use super::{Now, millis};

/// Every node that ever sent a status, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    known: BTreeMap<NodeId, Known>,
    looked: Option<Instant>,
    refused: u64,
}

#[derive(Clone, Debug)]
struct Known {
    status: NodeStatus,
    seen: Instant,
}

impl Nodes {
    /// Takes a node's own report of itself.
    pub(crate) fn status(&mut self, now: Instant, status: NodeStatus) {
        self.look(now);
        if self.known.len() >= NODES_MAX && !self.known.contains_key(&status.node) {
            self.refused += 1;
            return;
        }
        self.known
            .insert(status.node.clone(), Known { status, seen: now });
    }

    /// Anything a node sends shows that it lives.
    pub(crate) fn heard(&mut self, now: Instant, node: &NodeId) {
        self.look(now);
        if let Some(known) = self.known.get_mut(node) {
            known.seen = now;
        }
    }

    /// To be called at least every [`LOOK_EVERY`]; a longer pause was the coordinator's own.
    pub(crate) fn look(&mut self, now: Instant) {
        if let Some(before) = self.looked {
            let pause = now.saturating_duration_since(before);
            if pause > LOOK_EVERY {
                for known in self.known.values_mut() {
                    known.seen += pause;
                }
            }
        }
        self.looked = Some(now);
    }

    /// Nodes that were heard within [`NODE_TTL`], in the order of their names.
    pub(crate) fn online(&self, now: Instant) -> impl Iterator<Item = &NodeStatus> {
        self.known
            .values()
            .filter(move |known| is_alive(now, known.seen))
            .map(|known| &known.status)
    }

    /// How long a node has been silent, where that is too long; none where it is ONLINE.
    pub(crate) fn silent_for(&self, now: Instant, node: &NodeId) -> Option<Duration> {
        match self.known.get(node) {
            Some(known) if is_alive(now, known.seen) => None,
            Some(known) => Some(now.saturating_duration_since(known.seen)),
            None => Some(NODE_TTL),
        }
    }

    /// Every known node as the API shows it.
    pub(crate) fn list(&self, now: Now) -> Vec<api::Node> {
        self.known
            .values()
            .map(|known| {
                let silent = now.instant.saturating_duration_since(known.seen);
                let status = &known.status;
                api::Node {
                    name: status.node.0.clone(),
                    region: status.region.clone(),
                    version: status.version.clone(),
                    status: if is_alive(now.instant, known.seen) {
                        NodeState::Online
                    } else {
                        NodeState::Offline
                    },
                    last_seen_unix_ms: now.unix_ms.saturating_sub(millis(silent)),
                    cores: status.cores,
                    free_descriptors: status.free_descriptors,
                    free_ports: status.free_ports,
                    endpoints: status.endpoints,
                    labels: status.labels.clone(),
                    reason: String::new(),
                    capacity_endpoints: Some(status.capacity_endpoints)
                        .filter(|measured| *measured > 0),
                    cpu_cores: status.cpu_cores,
                    resident_bytes: status.resident_bytes,
                    clock_offset_ms: None,
                    clock_error_ms: None,
                    refused_commands: 0,
                }
            })
            .collect()
    }

    /// Each known node with `ONLINE` or `OFFLINE`, for people.
    pub(crate) fn describe(&self, now: Instant) -> String {
        if self.known.is_empty() {
            return "no node has ever reported".to_owned();
        }
        let list: Vec<String> = self
            .known
            .values()
            .map(|known| {
                let status = if is_alive(now, known.seen) {
                    "ONLINE"
                } else {
                    "OFFLINE"
                };
                if known.status.region.is_empty() {
                    format!("{} {status}", known.status.node)
                } else {
                    format!("{} ({}) {status}", known.status.node, known.status.region)
                }
            })
            .collect();
        list.join(", ")
    }
}

fn is_alive(now: Instant, seen: Instant) -> bool {
    now.saturating_duration_since(seen) < NODE_TTL
}

/// Silence after which a node is lost: five of its two-second reports. DESIGN 10.
pub(crate) const NODE_TTL: Duration = Duration::from_secs(10);
/// A pause between two looks that is the coordinator's own, not the nodes'.
const LOOK_EVERY: Duration = Duration::from_secs(4);
/// Names remembered; more are refused and counted.
const NODES_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeStatus {
        NodeStatus {
            node: NodeId(name.to_owned()),
            region: String::new(),
            version: "0".to_owned(),
            free_descriptors: 1,
            free_ports: 1,
            cores: 1,
            endpoints: 0,
            ..NodeStatus::default()
        }
    }

    #[test]
    fn a_node_is_lost_after_ten_seconds_of_silence() {
        let begin = Instant::now();
        let mut nodes = Nodes::default();
        nodes.status(begin, node("a"));
        nodes.status(begin, node("b"));
        for second in 1..=12 {
            let now = begin + Duration::from_secs(second);
            nodes.look(now);
            nodes.heard(now, &NodeId("b".to_owned()));
        }
        let now = begin + Duration::from_secs(12);
        let online: Vec<_> = nodes.online(now).map(|node| node.node.0.clone()).collect();
        assert_eq!(online, ["b"]);
        assert_eq!(
            nodes.silent_for(now, &NodeId("a".to_owned())),
            Some(Duration::from_secs(12))
        );
        assert_eq!(nodes.describe(now), "a OFFLINE, b ONLINE");
    }

    #[test]
    fn a_coordinator_that_slept_does_not_blame_its_nodes() {
        let begin = Instant::now();
        let mut nodes = Nodes::default();
        nodes.status(begin, node("a"));
        let now = begin + Duration::from_secs(60);
        nodes.look(now);
        assert_eq!(nodes.silent_for(now, &NodeId("a".to_owned())), None);
    }

    #[test]
    fn the_table_is_bounded() {
        let begin = Instant::now();
        let mut nodes = Nodes::default();
        for n in 0..=NODES_MAX {
            nodes.status(begin, node(&n.to_string()));
        }
        assert_eq!((nodes.known.len(), nodes.refused), (NODES_MAX, 1));
    }
}
