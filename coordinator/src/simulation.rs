//! The coordinator's cores without actors, disk and bus: for simulations in virtual time.
//!
//! [`CoordinatorCore`] performs what its cores put out in the very order in which the actor does, but
//! hands it on instead of doing it: messages to nodes, and writes to a [`Disk`] that the simulation
//! owns, delays, tears and hands to the next start. Nothing in here looks at a clock.

mod disk;
mod kinds;
mod perform;
mod restart;

pub use disk::{Batch, Disk, RunView, WriteView};
pub use kinds::{Input, Output, Start, Untaken};

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use shared::definition::Account;
use shared::id::{AccountId, NodeId, RunId};
use shared::phase::RunStatus;
use shared::wire::{
    ClusterId, Downward, Head, LEASE_TTL, LeaseVerdict, LifeId, Message, Order, Renew, Upward,
};

use self::perform::{Acknowledged, Live, Movement};
use crate::core::Now;
use crate::core::accounts::AccountsInUse;
use crate::core::cluster::{Cluster, Renewal};
use crate::core::ledger::{Ledger, Transfer};
use crate::core::queue::StartQueue;
use crate::core::run::{Input as RunInput, StopCause};

/// One life of a coordinator.
#[derive(Debug)]
pub struct CoordinatorCore {
    cluster_id: ClusterId,
    epoch: u64,
    cluster: Cluster,
    runs: BTreeMap<RunId, Live>,
    ledger: Ledger,
    accounts: AccountsInUse,
    /// What the groups of a started test pick from; empty: they bring their own accounts.
    pool: Vec<(AccountId, Account)>,
    queue: StartQueue,
    /// Ended by an earlier coordinator while nodes might still hold them.
    unsettled: Vec<RunId>,
    records: BTreeMap<RunId, crate::core::record::RunRecord>,
    transfers: VecDeque<Movement>,
    transferring: bool,
    batch: Batch,
    acknowledged: Vec<Acknowledged>,
    number: u64,
    under_way: VecDeque<(u64, Vec<Acknowledged>)>,
    sent: u64,
    untaken: Untaken,
    outputs: VecDeque<Output>,
}

impl CoordinatorCore {
    /// Takes one input at a moment of both clocks.
    pub fn handle(&mut self, instant: Instant, unix_ms: u64, input: Input) {
        let now = Now { instant, unix_ms };
        self.cluster.look(instant);
        match input {
            Input::Message(node, message) => self.message(now, node, *message),
            Input::Wake => self.wake(now),
            Input::Grant {
                organization,
                id,
                amount,
            } => {
                let transfer = Transfer::Grant {
                    id: format!("{id:032x}"),
                    amount,
                    note: String::new(),
                };
                self.transfer(now, Movement::grant(organization, transfer));
            }
            Input::Start(start) => self.begin(now, *start),
            Input::Stop(run) => self.drive(now, run, RunInput::Stop(StopCause::Requested)),
            Input::Drain(node, drain) => {
                self.cluster.drain(&node, drain);
            }
            Input::Persisted(number) => self.persisted(now, number),
        }
        while let Some(run) = self.queue.grant() {
            self.drive(now, run, RunInput::Slot);
        }
        if !self.batch.is_empty() {
            self.number += 1;
            let acknowledged = std::mem::take(&mut self.acknowledged);
            self.under_way.push_back((self.number, acknowledged));
            let batch = std::mem::take(&mut self.batch);
            self.outputs.push_back(Output::Persist(self.number, batch));
        }
    }

    /// The next thing to do. Call until none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Its start count.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The status of a run of this life as it is decided; it may not be on the disk yet.
    #[must_use]
    pub fn status(&self, run: RunId) -> Option<RunStatus> {
        Some(self.runs.get(&run)?.core.status())
    }

    /// Runs that hold a slot.
    pub fn holders(&self) -> impl Iterator<Item = RunId> {
        self.ledger.holders()
    }

    /// Tests that are started from now on pick their accounts from these.
    pub fn use_pool(&mut self, pool: Vec<(AccountId, Account)>) {
        self.pool = pool;
    }

    /// Runs of this life that are not over and let go of, with their statuses as they are decided.
    pub fn statuses(&self) -> impl Iterator<Item = (RunId, RunStatus)> {
        let live = self.runs.iter();
        live.map(|(run, live)| (*run, live.core.status()))
    }

    /// True where nothing is on its way to the disk.
    #[must_use]
    pub fn is_persisted(&self) -> bool {
        self.batch.is_empty() && self.under_way.is_empty()
    }

    /// Where the books in memory contradict the runs that hold slots; empty where they agree.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.ledger.faults()
    }

    /// What of the nodes' messages was not taken.
    #[must_use]
    pub fn untaken(&self) -> Untaken {
        let mut all = self.untaken;
        for live in self.runs.values() {
            all.add(live.core.untaken());
        }
        all
    }

    /// Nodes as the API shows them.
    #[must_use]
    pub fn nodes(&self, instant: Instant, unix_ms: u64) -> Vec<shared::api::Node> {
        self.cluster.list(Now { instant, unix_ms })
    }

    fn wake(&mut self, now: Now) {
        let runs: Vec<RunId> = self.runs.keys().copied().collect();
        for run in runs {
            self.drive(now, run, RunInput::Wake);
            self.look_after_checkpoint(now, run);
        }
        self.settle_the_left(now);
    }

    fn message(&mut self, now: Now, node: NodeId, message: Message<Upward>) {
        let Message { head, body } = message;
        let life = head.life;
        match body {
            Upward::Renew(renew) => self.renew(now, &node, &head, &renew),
            Upward::Prepared {
                run,
                run_epoch,
                problems,
            } => {
                let input = RunInput::Prepared {
                    node,
                    life,
                    run_epoch,
                    problems,
                };
                self.drive(now, run, input);
            }
            Upward::Item(item) => {
                let run = item.run;
                self.drive(now, run, RunInput::Item { node, life, item });
            }
        }
    }

    fn renew(&mut self, now: Now, node: &NodeId, head: &Head, renew: &Renew) {
        let life = head.life;
        let verdict = match self.cluster.renewed(now, node, life, renew) {
            Renewal::Outdated => return,
            Renewal::Denied(verdict) => verdict,
            Renewal::Granted { .. } => LeaseVerdict::Granted,
        };
        // What a node of another cluster obeyed says nothing about this one's epochs.
        let epoch = if head.cluster == self.cluster_id {
            head.epoch
        } else {
            0
        };
        let mut orders: Vec<Order> = Vec::new();
        if verdict == LeaseVerdict::Granted {
            let runs: Vec<RunId> = self.runs.keys().copied().collect();
            for run in runs {
                let held = renew.runs.iter().find(|held| held.run == run).copied();
                let input = RunInput::Renewed {
                    node: node.clone(),
                    life,
                    epoch,
                    held,
                };
                self.drive(now, run, input);
                let live = self.runs.get(&run);
                orders.extend(live.and_then(|live| live.core.order(node, life)));
            }
        }
        let unix_us = i64::try_from(now.unix_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let lease = self
            .cluster
            .lease(unix_us, unix_us, node, renew, verdict, orders);
        // Also to those who are not in the table: they must hear why.
        let ttl = u64::try_from(LEASE_TTL.as_micros()).unwrap_or(u64::MAX);
        let expires_boot_us = renew.sent_boot_us.saturating_add(ttl);
        let body = Downward::Lease(Box::new(lease));
        self.publish(node.clone(), life, expires_boot_us, body);
    }

    fn send(&mut self, now: Now, node: NodeId, life: LifeId, body: Downward) {
        let expires_boot_us = self.cluster.expires_boot_us(now.instant, &node, life);
        self.publish(node, life, expires_boot_us, body);
    }

    fn publish(&mut self, node: NodeId, life: LifeId, expires_boot_us: u64, body: Downward) {
        self.sent += 1;
        let head = Head {
            cluster: self.cluster_id,
            epoch: self.epoch,
            life,
            sequence: self.sent,
            expires_boot_us,
        };
        let message = Box::new(Message { head, body });
        self.outputs.push_back(Output::Send(node, message));
    }
}

#[cfg(test)]
mod tests;
