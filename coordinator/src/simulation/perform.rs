//! What the cores put out, in the actor's order.

use shared::id::{OrganizationId, RegistrarId, RunId};
use shared::phase::RunStatus;
use shared::result::StatusMove;

use super::disk::Write;
use super::{CoordinatorCore, Start};
use crate::core::Now;
use crate::core::ledger::Transfer;
use crate::core::limits::{Limits, Wanted, exceeded};
use crate::core::record::RunRecord;
use crate::core::request::GroupPool;
use crate::core::run::{Backlog, Frozen, Input, Output, Record, Run, World};

/// A run in the coordinator's hands.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) core: Run,
    pub(super) record: RunRecord,
    pub(super) limits: Limits,
    pub(super) pools: Vec<GroupPool>,
    pub(super) backlog: Backlog,
}

/// A transfer with what is stored in the same commit.
#[derive(Debug)]
pub(super) struct Movement {
    organization: OrganizationId,
    transfer: Transfer,
    record: Option<RunRecord>,
}

impl Movement {
    pub(super) fn grant(organization: OrganizationId, transfer: Transfer) -> Self {
        Self {
            organization,
            transfer,
            record: None,
        }
    }
}

/// What is to be done once a batch is on the disk.
#[derive(Debug)]
pub(super) enum Acknowledged {
    Stored(Box<RunRecord>),
    Transferred(Vec<shared::api::LedgerEntry>, Option<Box<RunRecord>>),
    Checkpoint(RunId, u64),
}

impl CoordinatorCore {
    pub(super) fn begin(&mut self, now: Now, start: Start) {
        if self.runs.contains_key(&start.run) || self.records.contains_key(&start.run) {
            return;
        }
        let limits = Limits {
            credits: true,
            ..Limits::local(&start.plan)
        };
        let record = RunRecord {
            created_unix_ms: now.unix_ms,
            organization: start.organization,
            project: start.project,
            ..RunRecord::blank(start.run, &start.test)
        };
        let pools = self.pools(start.test.groups.len());
        let frozen = Frozen {
            id: start.run,
            epoch: self.epoch,
            test: start.test,
            missing_media: Vec::new(),
        };
        let live = Live {
            core: Run::new(now, frozen),
            record,
            limits,
            pools,
            backlog: Backlog::default(),
        };
        self.runs.insert(start.run, live);
        self.drive(now, start.run, Input::Wake);
    }

    /// Every group picks from the same pool, if there is one.
    fn pools(&self, groups: usize) -> Vec<GroupPool> {
        let groups = if self.pool.is_empty() { 0 } else { groups };
        let pool = |group| GroupPool {
            group,
            registrar: RegistrarId(1),
            candidates: self.pool.clone(),
        };
        (0..).take(groups).map(pool).collect()
    }

    pub(super) fn drive(&mut self, now: Now, run: RunId, input: Input) {
        let world = World {
            nodes: &self.cluster,
        };
        let Some(live) = self.runs.get_mut(&run) else {
            self.untaken.foreign += u64::from(matches!(input, Input::Item { .. }));
            return;
        };
        live.core.handle(now, input, &world);
        self.admit(now, run);
        self.perform(now, run);
    }

    fn admit(&mut self, now: Now, run: RunId) {
        let Some(live) = self.runs.get(&run) else {
            return;
        };
        if !live.core.is_due(now, &self.cluster) {
            return;
        }
        let owner = (live.record.organization, live.record.project);
        let wanted = Wanted::of(live.core.test());
        let mut limits = exceeded(&live.limits, &self.ledger.in_use(owner.0, owner.1), wanted);
        let (picked, too_few) = self.accounts.pick(live.core.test(), &live.pools);
        limits.extend(too_few);
        let pays = live.limits.credits;
        let world = World {
            nodes: &self.cluster,
        };
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        let accounts = picked.groups.clone();
        let admit = Input::Admit { limits, accounts };
        live.core.handle(now, admit, &world);
        if live.core.status() == RunStatus::Queued {
            let (organization, project) = owner;
            self.ledger
                .hold(now.unix_ms, (organization, project, run), wanted, pays);
            let end = now.unix_ms.saturating_add(wanted.duration.0);
            self.accounts.take(run, &picked, end);
        }
    }

    fn perform(&mut self, now: Now, run: RunId) {
        loop {
            let Some(live) = self.runs.get_mut(&run) else {
                return;
            };
            let sent = live.backlog.take(&mut live.core);
            let next = live.backlog.next();
            for output in sent {
                if let Output::Send(node, life, body) = output {
                    self.send(now, node, life, body);
                }
            }
            match next {
                Some(Output::Move(step)) => self.step(now, run, &step),
                Some(Output::Store(record)) => {
                    if let Some(live) = self.runs.get_mut(&run) {
                        if let Record::Summary(summary) = &record {
                            live.record.summed_up(summary);
                        }
                        self.batch.0.push(Write::Record(run, record));
                    }
                }
                Some(Output::Release) => self.release(now, run),
                Some(Output::Live(_) | Output::Send(..)) => {}
                None => break,
            }
        }
        let queued = self
            .runs
            .get(&run)
            .is_some_and(|live| live.core.status() == RunStatus::Queued);
        if !queued {
            self.queue.leave(run);
        }
    }

    fn step(&mut self, now: Now, run: RunId, step: &StatusMove) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        match step.status {
            RunStatus::Queued => {
                live.record.accepted = true;
                live.record.reserved_endpoint_ms = Wanted::of(live.core.test()).estimate();
            }
            RunStatus::Running => {
                let organization = live.record.organization;
                self.ledger.began(step.at_unix_ms, organization, run);
                self.look_after_checkpoint(now, run);
            }
            _ => {}
        }
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        live.record.moved(step);
        let ends = step.status.is_terminal();
        let settles = ends && (live.core.is_released() || !live.record.accepted);
        if settles {
            live.record.settle();
        }
        live.backlog.commit_began();
        let record = live.record.clone();
        let transfer = match step.status {
            RunStatus::Queued => Some(Transfer::Reserve(run)),
            _ if settles && record.accepted => Some(Transfer::Settle {
                run,
                used: record.used_endpoint_ms.unwrap_or(0),
            }),
            _ => None,
        };
        self.commit(now, record, transfer);
    }

    /// Its nodes have let go of it after its end was stored.
    fn release(&mut self, now: Now, run: RunId) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        if !live.record.holds() {
            return;
        }
        let used = live.record.settle();
        live.backlog.commit_began();
        let record = live.record.clone();
        self.commit(now, record, Some(Transfer::Settle { run, used }));
    }

    pub(super) fn commit(&mut self, now: Now, record: RunRecord, transfer: Option<Transfer>) {
        match transfer {
            Some(transfer) => self.transfer(
                now,
                Movement {
                    organization: record.organization,
                    transfer,
                    record: Some(record),
                },
            ),
            None => {
                let write = Write::Commit(Vec::new(), vec![record.clone()]);
                self.batch.0.push(write);
                self.acknowledged
                    .push(Acknowledged::Stored(Box::new(record)));
            }
        }
    }

    /// One after the other: each entry follows the one before it.
    pub(super) fn transfer(&mut self, now: Now, movement: Movement) {
        self.transfers.push_back(movement);
        self.send_transfer(now);
    }

    fn send_transfer(&mut self, now: Now) {
        if self.transferring {
            return;
        }
        let Some(movement) = self.transfers.pop_front() else {
            return;
        };
        self.transferring = true;
        let entries = self
            .ledger
            .entries(now.unix_ms, movement.organization, &[movement.transfer]);
        let records = movement.record.iter().cloned().collect();
        self.batch.0.push(Write::Commit(entries.clone(), records));
        self.acknowledged.push(Acknowledged::Transferred(
            entries,
            movement.record.map(Box::new),
        ));
    }

    pub(super) fn look_after_checkpoint(&mut self, now: Now, run: RunId) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        // Records that wait for a commit are not written yet.
        let waits = live.backlog.is_committing() || live.backlog.has_record();
        if waits || !live.core.is_checkpoint_due(now) {
            return;
        }
        match live.core.checkpoint(now) {
            Ok(checkpoint) => {
                let write = Write::Checkpoint(run, checkpoint.octets);
                self.batch.0.push(write);
                self.acknowledged
                    .push(Acknowledged::Checkpoint(run, checkpoint.number));
            }
            Err(error) => self.drive(now, run, Input::StorageFailed(error.to_string())),
        }
    }

    pub(super) fn persisted(&mut self, now: Now, number: u64) {
        while let Some((_, done)) = self.under_way.pop_front_if(|(n, _)| *n <= number) {
            for acknowledged in done {
                match acknowledged {
                    Acknowledged::Stored(record) => self.stored(now, *record),
                    Acknowledged::Transferred(entries, record) => {
                        self.ledger.confirm(&entries);
                        self.transferring = false;
                        if let Some(record) = record {
                            self.stored(now, *record);
                        }
                        self.send_transfer(now);
                    }
                    Acknowledged::Checkpoint(run, number) => {
                        self.drive(now, run, Input::Checkpointed(number));
                    }
                }
            }
        }
    }

    fn stored(&mut self, now: Now, record: RunRecord) {
        let run = record.id;
        let status = record.status();
        if !record.holds() {
            self.accounts.free(run);
        }
        self.records.insert(run, record);
        let Some(live) = self.runs.get_mut(&run) else {
            self.unsettled.retain(|left| *left != run);
            return;
        };
        live.backlog.commit_ended();
        if status == RunStatus::Queued {
            let test = Box::new(live.core.test().clone());
            let accounts = self.accounts.of(run);
            self.batch.0.push(Write::Create(run, test, accounts));
            self.queue.enter(run);
        }
        self.drive(now, run, Input::Committed(status));
        if self.runs.get(&run).is_some_and(|live| {
            live.core.is_done() && !live.backlog.is_committing() && live.backlog.is_empty()
        }) && let Some(live) = self.runs.remove(&run)
        {
            self.untaken.add(live.core.untaken());
        }
    }

    /// Runs that hold a slot and of which nothing is on its way to the disk.
    pub(super) fn idle_holders(&self) -> impl Iterator<Item = RunId> {
        self.ledger
            .holders()
            .filter(|run| {
                self.runs
                    .get(run)
                    .is_none_or(|live| !live.backlog.is_committing())
            })
            .filter(|run| !self.unsettled.contains(run))
    }
}
