//! The nodes of the cluster: who lives, under which life, until when each may be taken to call, and
//! what each has room for.
//!
//! A node is a name and a life. The first renewal of a new life of a known name takes the name over;
//! a life that was replaced is told so. Silence is counted from when a renewal was taken in, which is
//! never before it was sent, so that the coordinator never believes a lease over that still runs.
//!
//! A coordinator that slept itself (a stopped process, a suspended machine) must not believe its
//! nodes dead for it: the time it did not look is not held against them. Source: DESIGN 10.

mod lease;
mod show;

pub(crate) use lease::Renewal;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use shared::api::NodeState;
use shared::id::NodeId;
use shared::wire::{
    ClockOffset, LEASE_GRACE, LEASE_TTL, LOST_AFTER, LifeId, NodeCondition, NodeStatus, Refused,
};

/// Every node that ever renewed, by name.
///
/// Bounds: [`NODES_MAX`] names, [`LIVES_MAX`] former lives of each.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    started: Instant,
    known: BTreeMap<NodeId, Known>,
    /// Names that an operator drains, known or not.
    drained: BTreeSet<NodeId>,
    looked: Option<Instant>,
    counts: Counts,
}

/// What was not taken, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Renewals that were refused: another's name in them, a name that is not one, no room.
    pub(crate) refused: u64,
    /// Renewals of lives that were replaced.
    pub(crate) displaced: u64,
    /// Renewals older than the newest one of their life: repeated or reordered.
    pub(crate) outdated: u64,
}

#[derive(Clone, Debug)]
struct Known {
    life: LifeId,
    status: NodeStatus,
    /// When the newest renewal was taken in; moved by the coordinator's own sleep.
    seen: Instant,
    /// When the newest renewal was taken in.
    came: Instant,
    sent_boot_us: u64,
    sent_unix_us: i64,
    /// Of the life's first renewal.
    first: (u64, i64),
    clock: Option<ClockOffset>,
    refused: Refused,
    /// Former lives with when each was heard last, oldest first.
    former: Vec<(LifeId, Instant)>,
}

impl Cluster {
    /// Nobody known yet. `now`: the coordinator's start; until a lease and its grace have passed from
    /// then on, nodes that an earlier coordinator knew may still live.
    /// `drained`: names that an operator drains, as they are stored.
    pub(crate) fn new(now: Instant, drained: BTreeSet<NodeId>) -> Self {
        Self {
            started: now,
            known: BTreeMap::new(),
            drained,
            looked: None,
            counts: Counts::default(),
        }
    }

    /// To be called at least every [`LOOK_EVERY`]; a longer pause was the coordinator's own.
    pub(crate) fn look(&mut self, now: Instant) {
        if let Some(before) = self.looked {
            let pause = now.saturating_duration_since(before);
            if pause > LOOK_EVERY {
                self.started += pause;
                for known in self.known.values_mut() {
                    known.seen += pause;
                    for (_, seen) in &mut known.former {
                        *seen += pause;
                    }
                }
            }
        }
        self.looked = Some(now);
    }

    /// What was not taken.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// How a node stands; none where it is not known.
    pub(crate) fn state(&self, now: Instant, node: &NodeId) -> Option<NodeState> {
        Some(self.state_of(now, self.known.get(node)?))
    }

    /// The life that has a name now.
    pub(crate) fn life(&self, node: &NodeId) -> Option<LifeId> {
        Some(self.known.get(node)?.life)
    }

    /// How a life described itself last; none where it has not that name now.
    pub(crate) fn status(&self, node: &NodeId, life: LifeId) -> Option<&NodeStatus> {
        let known = self.known.get(node).filter(|known| known.life == life)?;
        Some(&known.status)
    }

    /// Nodes that take new work, in the order of their names.
    pub(crate) fn online(&self, now: Instant) -> impl Iterator<Item = &NodeStatus> {
        self.known
            .values()
            .filter(move |known| self.state_of(now, known) == NodeState::Online)
            .map(|known| &known.status)
    }

    /// How long a life has been silent. One that nobody has heard of is silent since the start.
    pub(crate) fn silent_for(&self, now: Instant, node: &NodeId, life: LifeId) -> Duration {
        let seen = self.known.get(node).and_then(|known| known.seen(life));
        now.saturating_duration_since(seen.unwrap_or(self.started))
    }

    /// What a life carried is lost: it was silent for too long, or another took its name. One that
    /// an earlier coordinator knew has [`LEASE_TTL`] + [`LEASE_GRACE`] from the start to show itself.
    pub(crate) fn is_lost(&self, now: Instant, node: &NodeId, life: LifeId) -> Option<Lost> {
        let silent = self.silent_for(now, node, life);
        match self.known.get(node) {
            Some(known) if known.life != life => Some(Lost::Replaced(silent)),
            Some(_) => (silent >= LOST_AFTER).then_some(Lost::Silent(silent)),
            None => (silent >= LEASE_TTL + LEASE_GRACE).then_some(Lost::Silent(silent)),
        }
    }

    /// The life's lease and its grace are over: nothing of it can call any more.
    pub(crate) fn released(&self, now: Instant, node: &NodeId, life: LifeId) -> bool {
        self.silent_for(now, node, life) >= LEASE_TTL + LEASE_GRACE
    }

    /// The coordinator started at least this long ago.
    pub(crate) fn is_older_than(&self, now: Instant, age: Duration) -> bool {
        now.saturating_duration_since(self.started) >= age
    }

    /// Every lease that an earlier coordinator granted is over, with its grace.
    pub(crate) fn has_outlived_former_leases(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) >= LEASE_TTL + LEASE_GRACE
    }

    /// Sets or takes back an operator's wish that a node take no new runs; false, and nothing is
    /// changed, where the node is not known.
    pub(crate) fn drain(&mut self, node: &NodeId, drain: bool) -> bool {
        if !self.known.contains_key(node) && !self.drained.contains(node) {
            return false;
        }
        if drain {
            self.drained.insert(node.clone());
        } else {
            self.drained.remove(node);
        }
        true
    }

    fn state_of(&self, now: Instant, known: &Known) -> NodeState {
        if now.saturating_duration_since(known.seen) >= LEASE_TTL {
            return NodeState::Offline;
        }
        match &known.status.condition {
            NodeCondition::Error(_) => NodeState::Error,
            NodeCondition::Draining => NodeState::Draining,
            NodeCondition::Online if self.drained.contains(&known.status.node) => {
                NodeState::Draining
            }
            NodeCondition::Online => NodeState::Online,
        }
    }
}

/// Why a node's share is lost, and how long the life has been silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing was heard of it.
    Silent(Duration),
    /// A new process has its name.
    Replaced(Duration),
}

impl Known {
    fn seen(&self, life: LifeId) -> Option<Instant> {
        if self.life == life {
            return Some(self.seen);
        }
        let former = self.former.iter().find(|(former, _)| *former == life);
        former.map(|(_, seen)| *seen)
    }
}

/// A pause between two looks that is the coordinator's own, not the nodes'.
const LOOK_EVERY: Duration = Duration::from_secs(4);
/// Names remembered; more are refused and counted.
pub(crate) const NODES_MAX: usize = 1_000;
/// Former lives remembered of each name. A name that restarts more often than this within
/// [`FORMER_KEPT`] is refused.
const LIVES_MAX: usize = 16;
/// Longer than a renewal may be under way.
const FORMER_KEPT: Duration = Duration::from_secs(120);

#[cfg(test)]
#[path = "cluster/tests.rs"]
mod tests;
