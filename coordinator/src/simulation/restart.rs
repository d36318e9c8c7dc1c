//! A coordinator starts on what an earlier one stored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use shared::id::RunId;
use shared::phase::RunStatus;
use shared::result::{StatusMove, Verdict};
use shared::units::Millis;
use shared::wire::ClusterId;

use super::disk::{Batch, Disk};
use super::perform::Live;
use super::{CoordinatorCore, Untaken};
use crate::core::Now;
use crate::core::accounts::AccountsInUse;
use crate::core::cluster::Cluster;
use crate::core::ledger::{Ledger, Transfer};
use crate::core::limits::{Limits, Wanted};
use crate::core::plan::Plan;
use crate::core::queue::StartQueue;
use crate::core::record::RunRecord;
use crate::core::run::{Backlog, Run};

impl CoordinatorCore {
    /// Starts on a disk: with the next epoch, taking over what lives and ending what cannot.
    pub fn start(instant: Instant, unix_ms: u64, cluster: ClusterId, disk: &mut Disk) -> Self {
        let now = Now { instant, unix_ms };
        disk.epoch += 1;
        let mut ledger = Ledger::default();
        for entry in &disk.entries {
            ledger.restore(entry);
        }
        let mut core = Self {
            cluster_id: cluster,
            epoch: disk.epoch,
            cluster: Cluster::new(instant, BTreeSet::new()),
            runs: BTreeMap::new(),
            ledger,
            accounts: AccountsInUse::default(),
            pool: Vec::new(),
            queue: StartQueue::new(STARTS_AT_ONCE),
            unsettled: Vec::new(),
            records: disk.records.clone(),
            transfers: VecDeque::new(),
            transferring: false,
            batch: Batch::default(),
            acknowledged: Vec::new(),
            number: 0,
            under_way: VecDeque::new(),
            sent: 0,
            untaken: Untaken::default(),
            outputs: VecDeque::new(),
        };
        let left: Vec<RunRecord> = disk
            .records
            .values()
            .filter(|record| record.holds())
            .cloned()
            .collect();
        for record in left {
            core.take_over(now, disk, record);
        }
        core
    }

    fn take_over(&mut self, now: Now, disk: &Disk, record: RunRecord) {
        let run = record.id;
        if record.accepted {
            let wanted = Wanted {
                endpoints: record.endpoints,
                duration: Millis(record.duration_ms),
            };
            let (organization, reserved) = (record.organization, record.reserved_endpoint_ms);
            self.ledger
                .adopt(organization, record.project, run, wanted, reserved);
            let began = record.began_unix_ms.unwrap_or(now.unix_ms);
            self.ledger.began(began, organization, run);
            if let Some(stored) = disk.runs.get(&run) {
                self.accounts.hold(run, stored.accounts.clone(), began);
            }
        }
        if record.status().is_terminal() {
            self.unsettled.push(run);
            return;
        }
        if let Some(core) = self.adopt(now, disk, &record) {
            let live = Live {
                core,
                record,
                limits: Limits {
                    credits: true,
                    ..Limits::local(&Plan::default())
                },
                pools: Vec::new(),
                backlog: Backlog::default(),
            };
            self.runs.insert(run, live);
            return;
        }
        self.give_up(now, record);
    }

    fn adopt(&self, now: Now, disk: &Disk, record: &RunRecord) -> Option<Run> {
        if !matches!(record.status(), RunStatus::Running | RunStatus::Stopping) {
            return None;
        }
        let stored = disk.runs.get(&record.id)?;
        let (test, checkpoint) = (stored.test.clone()?, stored.checkpoint.as_ref()?);
        Run::adopt(now, self.epoch, record, test, checkpoint).ok()
    }

    /// What an earlier coordinator left and nobody can go on with. Where it ran, its nodes end it
    /// within a lease and its grace.
    fn give_up(&mut self, now: Now, mut record: RunRecord) {
        let (run, ran) = (record.id, record.began_unix_ms.is_some());
        record.moved(&StatusMove {
            status: if record.status() == RunStatus::Pending {
                RunStatus::CannotRunForNow
            } else {
                RunStatus::Failed
            },
            at_unix_ms: now.unix_ms,
            reason: "coordinator_restart".to_owned(),
            sentence: "The coordinator ended while this run was going on.".to_owned(),
        });
        record.verdict = Some(Verdict::Failed);
        self.unsettled.push(run);
        if ran {
            self.records.insert(run, record.clone());
            self.commit(now, record, None);
        } else {
            let used = record.settle();
            self.records.insert(run, record.clone());
            let transfer = record.accepted.then_some(Transfer::Settle { run, used });
            self.commit(now, record, transfer);
        }
    }

    /// Runs that an earlier coordinator ended: settled once nothing of them can call any more.
    pub(super) fn settle_the_left(&mut self, now: Now) {
        if !self.cluster.has_outlived_former_leases(now.instant) {
            return;
        }
        let left: Vec<RunId> = self.unsettled.clone();
        for run in left {
            let Some(mut record) = self.records.get(&run).cloned() else {
                continue;
            };
            if !record.holds() {
                continue;
            }
            let used = record.settle();
            self.records.insert(run, record.clone());
            self.commit(now, record, Some(Transfer::Settle { run, used }));
        }
    }
}

/// Runs that are prepared at once.
const STARTS_AT_ONCE: u32 = 4;
