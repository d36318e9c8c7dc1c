//! How a run ends: by itself, by a stop, by what is lost of it; and when its nodes have let go of it.

use std::time::Duration;

use shared::definition::OnNodeLoss;
use shared::id::NodeId;
use shared::phase::RunStatus;
use shared::result::MissingShare;
use shared::wire::{DesiredState, HeldState, LEASE_GRACE, LEASE_TTL, Problem};

use super::{Output, Over, Record, Run, StopCause, TEARDOWN_WITHIN, World, names, start};
use crate::core::cluster::Lost;
use crate::core::outcome::clock;
use crate::core::{Now, millis};

/// What a run fails of once everything that was measured is in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Broken {
    pub(super) reason: String,
    pub(super) sentence: String,
}

/// Why a share is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing was heard of its node for this long.
    Silent(Duration),
    /// A new process has the node's name; the former one was silent for this long.
    Replaced(Duration),
    /// The node lives and does not know the run.
    Forgotten,
    /// The node ended it since its lease had run out.
    LeaseLost,
    /// The node ended it since its outbox was full.
    NoRoom,
    /// The node was told to leave.
    Drained,
}

impl Loss {
    fn reason(self) -> &'static str {
        match self {
            Self::Silent(_) | Self::Replaced(_) | Self::Forgotten => "node_lost",
            Self::LeaseLost => "lease_lost",
            Self::NoRoom => "node_no_room",
            Self::Drained => "node_drained",
        }
    }

    fn silent(self) -> Duration {
        match self {
            Self::Silent(silent) | Self::Replaced(silent) => silent,
            Self::Forgotten | Self::LeaseLost | Self::NoRoom | Self::Drained => Duration::ZERO,
        }
    }

    /// What happened to `node`, last heard at `seen`.
    fn told(self, node: &NodeId, seen: &str) -> String {
        match self {
            Self::Silent(silent) => format!(
                "Node `{node}` was lost: last heard at {seen} ({} s ago)",
                silent.as_secs()
            ),
            Self::Replaced(_) => format!(
                "Node `{node}` was lost: its process, last heard at {seen}, was replaced by a new one"
            ),
            Self::Forgotten => {
                format!("Node `{node}` was lost: at {seen} it did not know the run any more")
            }
            Self::LeaseLost => format!(
                "Node `{node}` lost its lease and ended its calls, as it told at {seen}: it could not reach the coordinator for {} s",
                LEASE_TTL.as_secs()
            ),
            Self::NoRoom => format!(
                "Node `{node}` had no room left for measurements that the coordinator had not stored, and ended its calls, as it told at {seen}"
            ),
            Self::Drained => {
                format!("Node `{node}` was drained and ended its calls, as it told at {seen}")
            }
        }
    }

    fn to_check(self) -> &'static str {
        match self {
            Self::Silent(_) => "Check that its process and its connection live.",
            Self::Replaced(_) | Self::Forgotten => "Look at its log for why it was restarted.",
            Self::LeaseLost => {
                "Check the connection between it, the NATS server and the coordinator."
            }
            Self::NoRoom => {
                "Check that the coordinator keeps up and that the node's outbox has the room its configuration gives it."
            }
            Self::Drained => {
                "Start the test again; other nodes, or this one once it is back, run it."
            }
        }
    }
}

impl Run {
    pub(super) fn cannot_run(&mut self, now: Now, problems: Vec<Problem>) {
        let reason = match problems.as_slice() {
            [only] => only.code.clone(),
            _ => "validation_failed".to_owned(),
        };
        let sentences: Vec<&str> = problems
            .iter()
            .map(|problem| problem.sentence.as_str())
            .collect();
        let sentence = sentences.join(" ");
        self.problems.extend(problems);
        self.end(now, RunStatus::CannotRunForNow, &reason, sentence);
    }

    /// Who of the nodes is lost.
    pub(super) fn look_after_nodes(&mut self, now: Now, world: &World<'_>) {
        for member in self.members.iter_mut().filter(|member| member.lost) {
            let (node, life) = (&member.node, member.life);
            member.holds &= !world.nodes.released(now.instant, node, life);
        }
        for index in 0..self.members.len() {
            let Some(member) = self.members.get(index).filter(|member| !member.is_over()) else {
                continue;
            };
            let lost = world.nodes.is_lost(now.instant, &member.node, member.life);
            let loss = match lost {
                Some(Lost::Silent(silent)) => Loss::Silent(silent),
                Some(Lost::Replaced(silent)) => Loss::Replaced(silent),
                None if member.absent >= ABSENT_MAX => Loss::Forgotten,
                None => continue,
            };
            self.lose(now, index, loss);
            if self.status().is_terminal() {
                return;
            }
        }
    }

    /// A share is lost: the run fails, or goes on without it.
    pub(super) fn lose(&mut self, now: Now, index: usize, loss: Loss) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        member.lost = true;
        let (node, carried) = (member.node.clone(), member.carried());
        let shares = member.shares.clone();
        let seen = now.unix_ms.saturating_sub(millis(loss.silent()));
        // Should it come back, it has nothing to go on with.
        self.command_one(index, DesiredState::Stopped);
        let told = format!(
            "{}; it carried {carried} of {} endpoints",
            loss.told(&node, &clock(seen)),
            self.endpoints()
        );
        let is_over = loss == Loss::LeaseLost || loss == Loss::Drained;
        let began = self.status() != RunStatus::Queued;
        if began {
            self.missing.push(MissingShare {
                node: node.0.clone(),
                last_seen_unix_ms: seen,
                from_second: self.aggregate.complete_to(&node),
                endpoints: carried,
                unreported: 0,
            });
        }
        let goes_on = self.frozen.test.on_node_loss == OnNodeLoss::Continue
            && began
            && self.members.iter().any(|member| !member.lost);
        if goes_on {
            self.aggregate.ended(&node);
            self.close_seconds(now);
            self.tell_of_lost(&node, &shares);
            self.look_after_end(now);
            return;
        }
        let sentence = format!("{told}. {}", loss.to_check());
        if is_over && self.members.iter().any(|member| !member.is_over()) {
            self.breaks(now, loss.reason(), sentence);
            self.look_after_end(now);
        } else {
            self.fail(now, loss.reason(), sentence);
        }
    }

    /// It will fail; its other nodes end their calls and tell what they measured first.
    pub(super) fn breaks(&mut self, now: Now, reason: &str, sentence: String) {
        if self.broken.is_some() {
            return;
        }
        self.broken = Some(Broken {
            reason: reason.to_owned(),
            sentence: sentence.clone(),
        });
        let within = now.instant + TOLD_WITHIN;
        let deadline = self.deadline.map_or(within, |planned| planned.min(within));
        if self.status() == RunStatus::Running {
            let sentence = format!("{sentence} The other nodes end their calls.");
            self.go(now, RunStatus::Stopping, reason, sentence);
            self.command(DesiredState::Stopped);
        }
        self.deadline = Some(deadline);
    }

    pub(super) fn overdue(&mut self, now: Now) {
        match self.status() {
            RunStatus::Queued => {
                let late: Vec<NodeId> = self
                    .members
                    .iter()
                    .filter(|member| !member.ready)
                    .map(|member| member.node.clone())
                    .collect();
                let sentence = format!(
                    "{} did not get ready within {} s; look at its log.",
                    names(&late),
                    start::PREPARE_WITHIN.as_secs()
                );
                self.cannot_run(now, vec![Problem::new("node_not_ready", sentence)]);
            }
            RunStatus::Running | RunStatus::Stopping => {
                if let Some(broken) = self.broken.take() {
                    self.fail(now, &broken.reason, broken.sentence);
                    return;
                }
                let missing = self.unreported();
                self.fail(
                    now,
                    "node_silent",
                    format!(
                        "The run should have ended by now, but {missing} of {} endpoints have not reported their end; their node reports but does not finish. Look at its log.",
                        self.endpoints()
                    ),
                );
            }
            RunStatus::Pending
            | RunStatus::Completed
            | RunStatus::Failed
            | RunStatus::CannotRunForNow => {}
        }
    }

    /// Ends it where every node has told everything or is lost.
    pub(super) fn look_after_end(&mut self, now: Now) {
        let live = matches!(self.status(), RunStatus::Running | RunStatus::Stopping);
        if !live || !self.aggregate.all_ended() && !self.members.iter().all(|m| m.is_over()) {
            return;
        }
        if let Some(broken) = self.broken.take() {
            self.fail(now, &broken.reason, broken.sentence);
            return;
        }
        self.all_ended(now);
    }

    /// Endpoints without a report, beside those whose node was lost or never heard of the start.
    fn unreported(&self) -> usize {
        let excused = self.members.iter();
        let excused = excused.filter(|member| member.lost || member.never_began());
        let excused: usize = excused
            .map(|member| self.unreported_of(&member.shares))
            .sum();
        self.aggregate.unreported().saturating_sub(excused)
    }

    fn unreported_of(&self, shares: &[shared::wire::Share]) -> usize {
        shares
            .iter()
            .map(|share| self.aggregate.unreported_of(share))
            .sum()
    }

    fn all_ended(&mut self, now: Now) {
        let missing = self.unreported();
        if self.status() == RunStatus::Stopping && self.aggregate.is_untouched() {
            // The stop overtook the start: the nodes were ready and were told to end.
            let sentence = "Stopped before any endpoint began; nothing was measured.".to_owned();
            self.end(now, RunStatus::Completed, "stopped", sentence);
        } else if missing > 0 {
            let sentence = format!(
                "The nodes say that they are done, but {missing} of {} endpoints never reported; this is a fault of Carillon, please report it.",
                self.endpoints()
            );
            self.fail(now, "reports_missing", sentence);
        } else if self.aggregate.strange().lost() > 0 {
            let lost = self.aggregate.strange().lost();
            let sentence = format!(
                "{lost} frames of measurements were lost or unreadable between node and coordinator; the figures would not be whole. This is a fault of Carillon, please report it."
            );
            self.fail(now, "frames_lost", sentence);
        } else if self.status() == RunStatus::Stopping {
            let sentence = format!(
                "The run was stopped; everything measured before is kept.{}",
                self.what_is_missing()
            );
            self.end(now, RunStatus::Completed, "stopped", sentence);
        } else if let Some(error) = self
            .endings
            .critical(&self.frozen.test, &self.aggregate.all_counts())
        {
            self.end(now, RunStatus::Failed, error.reason, error.sentence);
        } else if self.missing.is_empty() {
            let sentence = format!("All {} endpoints reached their end.", self.endpoints());
            self.end(now, RunStatus::Completed, "ended", sentence);
        } else {
            let sentence = format!(
                "All endpoints of the nodes that are left reached their end.{}",
                self.what_is_missing()
            );
            self.end(now, RunStatus::Completed, "ended_without_lost", sentence);
        }
    }

    /// For people, after the sentence of the end.
    fn what_is_missing(&self) -> String {
        let told: Vec<String> = self
            .missing
            .iter()
            .map(|share| {
                format!(
                    " Missing: the {} endpoints of node `{}` from second {} on (last heard at {}).",
                    share.endpoints,
                    share.node,
                    share.from_second,
                    clock(share.last_seen_unix_ms)
                )
            })
            .collect();
        told.concat()
    }

    pub(super) fn stop(&mut self, now: Now, cause: StopCause) {
        if self.status() == RunStatus::Stopping {
            return;
        }
        self.interrupted = cause != StopCause::Requested;
        let started = self.status() == RunStatus::Running;
        let (reason, who) = cause.told();
        let what = if started {
            "live calls are ended and registrations removed"
        } else {
            "it had not started"
        };
        self.go(now, RunStatus::Stopping, reason, format!("{who}; {what}."));
        self.command(DesiredState::Stopped);
        if started {
            self.deadline = Some(now.instant + TEARDOWN_WITHIN);
        } else {
            let sentence = "Stopped before it started; nothing was measured.".to_owned();
            self.end(now, RunStatus::Completed, "stopped_before_start", sentence);
        }
    }

    /// A critical error, and the nodes are told to be silent.
    pub(super) fn fail(&mut self, now: Now, reason: &str, sentence: String) {
        let to = if self.status() == RunStatus::Pending {
            RunStatus::CannotRunForNow
        } else {
            RunStatus::Failed
        };
        self.end(now, to, reason, sentence);
    }

    pub(super) fn end(&mut self, now: Now, to: RunStatus, reason: &str, sentence: String) {
        for index in 0..self.missing.len() {
            let name = self.missing.get(index).map(|share| share.node.clone());
            let member = self
                .members
                .iter()
                .find(|member| Some(&member.node.0) == name.as_ref());
            let left = member.map_or(0, |member| self.unreported_of(&member.shares));
            if let Some(share) = self.missing.get_mut(index) {
                share.unreported = u32::try_from(left).unwrap_or(u32::MAX);
            }
        }
        let summary = self.summary(now, to);
        self.store(Record::Summary(Box::new(summary)));
        self.deadline = None;
        self.command(DesiredState::Stopped);
        self.go(now, to, reason, sentence);
        // Where none of them ever began, or all have ended, nothing is held.
        self.over = Some(Over {
            since: now.instant,
            is_stored: false,
            is_released: false,
        });
        if self.members.iter().all(|member| !member.holds) {
            self.release();
        }
    }

    /// After its terminal status: whether nothing of it lives on any node any more, so that slots,
    /// credits and accounts may go back with the very commit of its end.
    pub(crate) fn is_released(&self) -> bool {
        self.over.is_some_and(|over| over.is_released)
    }

    /// Its end is on disk and it is released: nothing is to be expected of it any more.
    #[cfg(any(feature = "simulation", test))]
    pub(crate) fn is_done(&self) -> bool {
        self.over
            .is_some_and(|over| over.is_stored && over.is_released)
    }

    /// Who of the nodes may still hold calls of a run that has ended.
    pub(super) fn look_after_release(&mut self, now: Now, world: &World<'_>) {
        let Some(over) = self.over.filter(|over| !over.is_released) else {
            return;
        };
        let long = now.instant.saturating_duration_since(over.since) >= LEASE_TTL + LEASE_GRACE;
        for member in &mut self.members {
            // A node that obeys ends its calls as fast as their peers answer; who never answers
            // holds nobody's slot.
            let obeys = member.shown == Some(HeldState::Stopping);
            let alive = world
                .nodes
                .is_lost(now.instant, &member.node, member.life)
                .is_none();
            if world.nodes.released(now.instant, &member.node, member.life)
                || (long && obeys && alive)
            {
                member.holds = false;
            }
        }
        if self.members.iter().all(|member| !member.holds) {
            self.release();
        }
    }

    pub(super) fn release(&mut self) {
        if let Some(over) = self.over.as_mut().filter(|over| !over.is_released) {
            over.is_released = true;
            self.outputs.push_back(Output::Release);
        }
    }
}

/// Renewals in a row that do not show a run which the node should have: one may have left before the
/// node heard of it.
const ABSENT_MAX: u32 = 3;
/// Time for the other nodes of a run that fails to end their calls and tell what they measured.
const TOLD_WITHIN: Duration = Duration::from_secs(15);
