//! The bus: what nodes say comes in and is counted where it is not taken, what is wanted of them and
//! their leases go out.
//!
//! Whoever sent a message is what its subject says, since that is what the bus' permissions hold
//! nodes to; bodies that name another are refused by the cores.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::WeakAddr;
use shared::api::NodeState;
use shared::bus::BusMessage;
use shared::id::{NodeId, RunId};
use shared::wire::{
    Downward, HELLO, Head, Hello, LEASE_TTL, LeaseVerdict, LifeId, Message, Renew, Report, Upward,
    command_subject, decode, encode,
};

use super::coordinator::{CoordinatorActor, now};
use super::equip::equip;
use crate::core::cluster::Renewal;
use crate::core::run::{Input, Untaken};
use crate::failpoint::{self, failpoint};

/// What the actor keeps of the bus.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Messages sent to each node in this epoch. Bounds: names that the cluster knows.
    sent: BTreeMap<NodeId, u64>,
    /// Messages sent to those that it does not know.
    denials: u64,
    counts: BusCounts,
    /// Of runs that are not in memory any more.
    past: Untaken,
    /// When something strange was told last.
    told: Option<Instant>,
    /// Nodes as subscribers were told last.
    states: BTreeMap<String, NodeState>,
    /// Connections that came up, as seen last.
    connections: u64,
}

/// What of nodes' messages was not taken, and what could not be sent, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BusCounts {
    /// Not readable: not ours, cut, changed, another version, or on a subject of nobody.
    pub(crate) unreadable: u64,
    /// A full queue had no room for them.
    pub(crate) overflow: u64,
    /// Of runs that are not live.
    pub(crate) unknown_run: u64,
    /// Renewals of those who may not join.
    pub(crate) refused: u64,
    /// Renewals of lives that were replaced.
    pub(crate) displaced: u64,
    /// Renewals older than the newest.
    pub(crate) outdated: u64,
    /// By the runs.
    pub(crate) untaken: Untaken,
    /// Commands that the bus did not take: they are asked for again.
    pub(crate) unsent: u64,
}

impl CoordinatorActor {
    /// Takes a message in.
    pub(super) fn message(&mut self, message: &BusMessage, address: &WeakAddr<Self>) {
        let read = decode::<Message<Upward>>(&message.payload);
        let (node, Message { head, body }) = match (sender(&message.subject), read) {
            (Some(node), Ok(message)) => (node, message),
            (node, read) => {
                self.line.counts.unreadable += 1;
                let why = match read {
                    Err(error) if node.is_some() => error.to_string(),
                    _ => "its subject names no node".to_owned(),
                };
                self.strange(&message.subject, &why);
                return;
            }
        };
        let life = head.life;
        match body {
            Upward::Renew(renew) => self.renew(&node, &head, &renew, address),
            Upward::Prepared {
                run,
                run_epoch,
                problems,
            } => {
                let input = Input::Prepared {
                    node,
                    life,
                    run_epoch,
                    problems,
                };
                self.tell(run, input, address);
            }
            Upward::Item(item) => {
                if matches!(item.report, Report::Ended { .. }) {
                    failpoint(failpoint::AFTER_LAST_REPORT);
                }
                self.tell(item.run, Input::Item { node, life, item }, address);
            }
        }
    }

    /// As `drive`, for what a node says of a run.
    fn tell(&mut self, run: RunId, input: Input, address: &WeakAddr<Self>) {
        if self.runs.get(&run).is_none_or(|live| live.core.is_none()) {
            self.line.counts.unknown_run += 1;
            return;
        }
        self.drive(run, input, address);
    }

    fn renew(&mut self, node: &NodeId, head: &Head, renew: &Renew, address: &WeakAddr<Self>) {
        let received_unix_us = unix_us();
        let life = head.life;
        let verdict = match self.nodes.renewed(now(), node, life, renew) {
            Renewal::Outdated => return,
            Renewal::Denied(verdict) => {
                self.strange(&node.0, &format!("its renewal is denied: {verdict:?}"));
                verdict
            }
            Renewal::Granted { replaced } => {
                if let Some(replaced) = replaced {
                    tracing::warn!(%node, former = replaced.0, life = life.0, "a new process has the node's name");
                }
                LeaseVerdict::Granted
            }
        };
        // What a node of another cluster obeyed says nothing about this one's epochs.
        let epoch = if head.cluster == self.cluster {
            head.epoch
        } else {
            0
        };
        let mut orders = Vec::new();
        if verdict == LeaseVerdict::Granted {
            for run in self.driven() {
                let held = renew.runs.iter().find(|held| held.run == run);
                let input = Input::Renewed {
                    node: node.clone(),
                    life,
                    epoch,
                    held: held.copied(),
                };
                self.drive(run, input, address);
                let core = self.runs.get(&run).and_then(|live| live.core.as_ref());
                orders.extend(core.and_then(|core| core.order(node, life)));
            }
        }
        let granted = verdict == LeaseVerdict::Granted;
        let nodes = &self.nodes;
        let lease = nodes.lease(received_unix_us, unix_us(), node, renew, verdict, orders);
        // Also to those who are not in the table: they must hear why.
        let ttl = u64::try_from(LEASE_TTL.as_micros()).unwrap_or(u64::MAX);
        let expires_boot_us = renew.sent_boot_us.saturating_add(ttl);
        self.publish_to(
            node,
            life,
            expires_boot_us,
            Downward::Lease(Box::new(lease)),
        );
        if granted && let Some(shown) = self.nodes.one(now(), node) {
            self.line.states.insert(shown.name.clone(), shown.status);
            self.outward.node(&shown);
        }
    }

    /// Puts a message under its head and on the bus. What is lost there is asked for again.
    pub(super) fn send(&mut self, node: &NodeId, life: LifeId, mut body: Downward) {
        if let Downward::Prepare(desired) = &mut body
            && !equip(&self.nodes, node, life, desired)
        {
            return;
        }
        let expires_boot_us = self.nodes.expires_boot_us(now().instant, node, life);
        self.publish_to(node, life, expires_boot_us, body);
    }

    fn publish_to(&mut self, node: &NodeId, life: LifeId, expires_boot_us: u64, body: Downward) {
        let sequence = if self.nodes.life(node).is_some() {
            self.line.sent.entry(node.clone()).or_default()
        } else {
            &mut self.line.denials
        };
        *sequence += 1;
        let head = Head {
            cluster: self.cluster,
            epoch: self.epoch,
            life,
            sequence: *sequence,
            expires_boot_us,
        };
        match encode(&Message { head, body }) {
            Ok(payload) => {
                let published = self.bus.publish(&command_subject(node), payload);
                if published.refused > 0 {
                    self.line.counts.unsent += 1;
                }
            }
            Err(error) => tracing::error!(%node, %error, "a command cannot be written"),
        }
    }

    /// Asks every node to renew at once.
    pub(super) fn hello(&mut self) {
        let head = Head {
            cluster: self.cluster,
            epoch: self.epoch,
            ..Head::default()
        };
        match encode(&Message { head, body: Hello }) {
            Ok(payload) => {
                // Who does not hear it renews within two seconds.
                let _ = self.bus.publish(HELLO, payload);
            }
            Err(error) => tracing::error!(%error, "a hello cannot be written"),
        }
    }

    /// Time has passed: whether the bus came back, what is shown of nodes and counts.
    pub(super) fn look_after_bus(&mut self, overflow: u64) {
        let connections = self.bus.connections();
        if connections > self.line.connections {
            self.line.connections = connections;
            self.hello();
        }
        let at = now();
        // Only what changed by itself: a renewal has been told already.
        let mut changed = BTreeSet::new();
        for (name, told) in &mut self.line.states {
            let state = self.nodes.state(at.instant, &NodeId(name.clone()));
            if let Some(state) = state.filter(|state| state != told) {
                *told = state;
                changed.insert(NodeId(name.clone()));
            }
        }
        for node in changed {
            if let Some(shown) = self.nodes.one(at, &node) {
                tracing::info!(%node, status = ?shown.status, reason = %shown.reason, "a node's state changed");
                self.outward.node(&shown);
            }
        }
        let cores = self.runs.values().filter_map(|live| live.core.as_ref());
        let untaken = cores.fold(self.line.past, |sum, core| sum.plus(core.untaken()));
        let joins = self.nodes.counts();
        self.board.count_bus(BusCounts {
            overflow,
            refused: joins.refused,
            displaced: joins.displaced,
            outdated: joins.outdated,
            untaken,
            ..self.line.counts
        });
    }

    /// A run leaves the memory with what it had not taken.
    pub(super) fn keep_counts(&mut self, untaken: Untaken) {
        self.line.past = self.line.past.plus(untaken);
    }

    /// Runs whose cores hear of nodes and of time.
    pub(super) fn driven(&self) -> Vec<RunId> {
        let live = self.runs.iter().filter(|(_, live)| live.core.is_some());
        live.map(|(run, _)| *run).collect()
    }

    /// Tells the log, at most once in a while: whoever floods the bus must not flood the log.
    fn strange(&mut self, subject: &str, why: &str) {
        let at = Instant::now();
        let rested = |told: Instant| at.saturating_duration_since(told) >= TELL_EVERY;
        if self.line.told.is_none_or(rested) {
            self.line.told = Some(at);
            let subject: String = subject.chars().take(SUBJECT_TOLD).collect();
            tracing::warn!(subject, why, counts = ?self.line.counts, "a node's message is not taken; further ones are only counted for a while");
        }
    }
}

impl Untaken {
    fn plus(self, other: Self) -> Self {
        Self {
            foreign: self.foreign + other.foreign,
            repeated: self.repeated + other.repeated,
            early: self.early + other.early,
            late: self.late + other.late,
            tells: self.tells + other.tells,
        }
    }
}

/// The node whose reports come on a subject.
fn sender(subject: &str) -> Option<NodeId> {
    let name = subject
        .strip_prefix("carillon.internal.nodes.")?
        .strip_suffix(".report")?;
    (!name.is_empty() && !name.contains('.')).then(|| NodeId(name.to_owned()))
}

/// This machine's wall clock in microseconds since 1970.
fn unix_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

/// How often strange messages are told to the log.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Characters of a subject that the log shows.
const SUBJECT_TOLD: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_says_who_speaks() {
        let node = |subject| sender(subject).map(|node| node.0);
        assert_eq!(
            node("carillon.internal.nodes.fra-1.report").as_deref(),
            Some("fra-1")
        );
        for subject in [
            "",
            "carillon.internal.nodes..report",
            "carillon.internal.nodes.a.b.report",
            "carillon.internal.nodes.a.command",
            "carillon.internal.nodes.report",
        ] {
            assert_eq!(node(subject), None, "{subject}");
        }
    }
}
