//! What of a run outlives the coordinator, and how the next one takes it over.
//!
//! A checkpoint holds everything that was made of the items below each node's next one. It is written
//! behind the records of the same items, in one flush; only then the nodes let go of those items. So
//! whatever a crash takes away the nodes send again, and nothing is counted twice.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::definition::{OnNodeLoss, Test};
use shared::phase::RunStatus;
use shared::result::MissingShare;
use shared::wire::{self, DesiredState, Downward, EndCause, EnvelopeError, LEASE_GRACE, LEASE_TTL};

use super::ending::{Broken, Loss};
use super::member::{FrozenMember, Member};
use super::tell::Live;
use super::{Began, Frozen, Output, Run, TEARDOWN_WITHIN, Untaken};
use crate::core::aggregate::{Aggregate, AggregateState};
use crate::core::outcome::Endings;
use crate::core::record::RunRecord;
use crate::core::status::StatusMachine;
use crate::core::{Now, millis};

/// A run as it is stored about once a second; the next one replaces it.
///
/// Bounds: as the run's figures: see `the_size_of_a_checkpoint` in the tests.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    /// For [`Input::Checkpointed`](super::Input::Checkpointed), once it is on disk.
    pub(crate) number: u64,
    /// What [`Run::adopt`] reads.
    pub(crate) octets: Bytes,
}

/// Checkpoints under way.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Something is in no checkpoint yet.
    pub(super) changed: bool,
    /// It must be in one at once.
    pub(super) urgent: bool,
    last: Option<Instant>,
    number: u64,
    /// What each covers: the next item of each member.
    under_way: VecDeque<(u64, Vec<u64>)>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    /// The epoch under which it was accepted.
    run_epoch: u64,
    unix_ms: u64,
    began_unix_ms: u64,
    elapsed_ms: u64,
    /// How long the present status may still last.
    left_ms: Option<u64>,
    interrupted: bool,
    broken: Option<Broken>,
    missing: Vec<MissingShare>,
    members: Vec<FrozenMember>,
    untaken: Untaken,
}

/// As it is written: figures are borrowed, not copied.
#[derive(Serialize)]
struct Out<'a>(&'a Written, AggregateState<'a>, &'a Endings);

impl Run {
    /// A checkpoint is to be taken now: at once at its begin, else about every second in which items
    /// came.
    pub(crate) fn is_checkpoint_due(&self, now: Now) -> bool {
        let live = matches!(self.status(), RunStatus::Running | RunStatus::Stopping);
        let rested = self
            .pending
            .last
            .is_none_or(|last| now.instant.saturating_duration_since(last) >= CHECKPOINT_EVERY);
        live && self.pending.changed && (self.pending.urgent || rested)
    }

    /// Everything of it as it stands now. To be written after all records that were put out before.
    ///
    /// Errors: it does not fit in one record; the run is to be told so as `StorageFailed`.
    pub(crate) fn checkpoint(&mut self, now: Now) -> Result<Checkpoint, EnvelopeError> {
        let written = Written {
            run_epoch: self.frozen.epoch,
            unix_ms: now.unix_ms,
            began_unix_ms: self.began.map_or(0, |began| began.unix_ms),
            elapsed_ms: self.elapsed_ms(now),
            left_ms: self
                .deadline
                .map(|deadline| millis(deadline.saturating_duration_since(now.instant))),
            interrupted: self.interrupted,
            broken: self.broken.clone(),
            missing: self.missing.clone(),
            members: self.members.iter().map(Member::freeze).collect(),
            untaken: self.untaken,
        };
        let octets = wire::encode(&Out(&written, self.aggregate.state(), &self.endings))?;
        let pending = &mut self.pending;
        pending.number += 1;
        pending.changed = false;
        pending.urgent = false;
        pending.last = Some(now.instant);
        if pending.under_way.len() >= UNDER_WAY_MAX {
            // The disk is slow; the newer ones cover what this one does.
            pending.under_way.pop_front();
        }
        let covered = self.members.iter().map(|m| m.next_item).collect();
        pending.under_way.push_back((pending.number, covered));
        Ok(Checkpoint {
            number: pending.number,
            octets,
        })
    }

    /// A checkpoint is on disk: its items may be let go.
    pub(super) fn checkpointed(&mut self, number: u64) {
        let mut newest = None;
        while let Some((_, covered)) = self.pending.under_way.pop_front_if(|(n, _)| *n <= number) {
            newest = Some(covered);
        }
        let (run, epoch) = (self.frozen.id, self.frozen.epoch);
        for (member, next_item) in self.members.iter_mut().zip(newest.unwrap_or_default()) {
            if member.stored_to >= next_item {
                continue;
            }
            member.stored_to = next_item;
            member.order.sequence += 1;
            let order = member.order.order(run, epoch, next_item);
            self.outputs.push_back(Output::Send(
                member.node.clone(),
                member.life,
                Downward::Order(order),
            ));
        }
    }

    /// Takes a run over that an earlier coordinator left RUNNING or STOPPING, as its newest
    /// checkpoint says. `epoch`: this coordinator's. `test`: as it was frozen; passwords are not needed.
    ///
    /// Its nodes have [`LEASE_TTL`] + [`LEASE_GRACE`] from the cluster's start to show that they hold
    /// it. Errors: the checkpoint cannot be read.
    pub(crate) fn adopt(
        now: Now,
        epoch: u64,
        record: &RunRecord,
        test: Test,
        checkpoint: &[u8],
    ) -> Result<Self, EnvelopeError> {
        let (written, state, endings): (Written, AggregateState<'static>, Endings) =
            wire::decode(checkpoint)?;
        // By the wall clock, the only one that both know. No node went on for longer than this without
        // a renewal, so that a clock that jumped, or days of absence, are not taken for time of the run.
        let away = Duration::from_millis(now.unix_ms.saturating_sub(written.unix_ms));
        let away = away.min(LEASE_TTL + LEASE_GRACE);
        let at_least = LEASE_TTL + LEASE_GRACE + LEASE_GRACE;
        let left = written
            .left_ms
            .map_or(TEARDOWN_WITHIN, Duration::from_millis);
        let left = left.saturating_sub(away).max(at_least);
        let frozen = Frozen {
            id: record.id,
            epoch: written.run_epoch,
            test,
            missing_media: Vec::new(),
        };
        let aggregate = Aggregate::restore(frozen.id, frozen.epoch, &frozen.test, state);
        let fails = frozen.test.on_node_loss == OnNodeLoss::Fail;
        let mut members: Vec<Member> = written.members.into_iter().map(Member::thaw).collect();
        let wanted = if record.status() == RunStatus::Running {
            DesiredState::Running
        } else {
            DesiredState::Stopped
        };
        for member in &mut members {
            // Where it fails of that, its end is not on disk: it is found again.
            member.lost &= !fails;
            member.order.state = if member.lost {
                DesiredState::Stopped
            } else {
                wanted
            };
        }
        let mut run = Self {
            status: StatusMachine::resume(&record.history),
            members,
            endings,
            problems: record.problems.clone(),
            deadline: Some(now.instant + left),
            began: Some(Began {
                unix_ms: written.began_unix_ms,
                at: now.instant,
                before: Duration::from_millis(written.elapsed_ms) + away,
            }),
            interrupted: written.interrupted,
            broken: written.broken,
            missing: written.missing,
            over: None,
            pending: Pending::default(),
            untaken: written.untaken,
            adopted_under: Some(epoch),
            live: Live::default(),
            outputs: VecDeque::new(),
            aggregate,
            frozen,
        };
        run.catch_up(now);
        run.show(now);
        Ok(run)
    }

    /// Does what the earlier coordinator had decided and could not store any more.
    fn catch_up(&mut self, now: Now) {
        if let Some(broken) = self.broken.take() {
            self.breaks(now, &broken.reason, broken.sentence);
        }
        for index in 0..self.members.len() {
            let Some(member) = self.members.get(index).filter(|member| !member.lost) else {
                continue;
            };
            match member.ended {
                Some(EndCause::LeaseLost) => self.lose(now, index, Loss::LeaseLost),
                Some(EndCause::NoRoom) => self.lose(now, index, Loss::NoRoom),
                Some(EndCause::Drained) if self.status() == RunStatus::Running => {
                    self.lose(now, index, Loss::Drained);
                }
                _ => {}
            }
            if self.status().is_terminal() {
                return;
            }
        }
        self.look_after_end(now);
    }
}

/// How often a run with new items is stored; a node lets go of an item so much later.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// Checkpoints that wait for their flush.
const UNDER_WAY_MAX: usize = 8;
