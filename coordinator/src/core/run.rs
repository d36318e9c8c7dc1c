//! One run from its submission to its end: the core behind the CoordinatorActor.
//!
//! Shape: `handle(now, input, world)`, then `poll` until none. The shell wakes it at least five times
//! a second; all deadlines are kept in here. Source: PRODUCT §2, §3, §7; DESIGN "The way of a run".

mod kinds;
mod start;
mod tell;

pub(crate) use kinds::{Frozen, Input, Output, Record, StopCause, World};

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use shared::definition::Test;
use shared::id::NodeId;
use shared::phase::RunStatus;
use shared::wire::{DesiredState, Problem, Report, Share};

use self::tell::Live;
use super::aggregate::Aggregate;
use super::nodes::Nodes;
use super::outcome::Endings;
use super::status::StatusMachine;
use super::{Now, millis};

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    frozen: Frozen,
    status: StatusMachine,
    sequence: u64,
    allocation: Vec<(NodeId, Vec<Share>)>,
    prepared: BTreeSet<NodeId>,
    aggregate: Aggregate,
    endings: Endings,
    problems: Vec<Problem>,
    /// When the present status must have been left.
    deadline: Option<Instant>,
    began: Option<Now>,
    interrupted: bool,
    live: Live,
    outputs: VecDeque<Output>,
}

impl Run {
    /// Submits a run: PENDING, waiting for its first look at the nodes.
    pub(crate) fn new(now: Now, frozen: Frozen) -> Self {
        let status = StatusMachine::new(now);
        let aggregate = Aggregate::new(frozen.id, frozen.epoch, &frozen.test, &[]);
        let mut run = Self {
            status,
            aggregate,
            frozen,
            sequence: 0,
            allocation: Vec::new(),
            prepared: BTreeSet::new(),
            endings: Endings::default(),
            problems: Vec::new(),
            deadline: Some(now.instant + start::NODE_WAIT),
            began: None,
            interrupted: false,
            live: Live::default(),
            outputs: VecDeque::new(),
        };
        run.outputs.push_back(Output::Move(run.status.last()));
        run.show(now);
        run
    }

    /// The status now.
    pub(crate) fn status(&self) -> RunStatus {
        self.status.current()
    }

    /// The frozen test; groups with a pool have their accounts once it is QUEUED.
    pub(crate) fn test(&self) -> &Test {
        &self.frozen.test
    }

    /// All its endpoints.
    pub(crate) fn endpoints(&self) -> u32 {
        self.frozen.test.endpoint_count()
    }

    /// The next thing to do. Call until none.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes one input. After a terminal status nothing changes any more.
    pub(crate) fn handle(&mut self, now: Now, input: Input, world: &World<'_>) {
        if self.status().is_terminal() {
            return;
        }
        match input {
            Input::Wake => self.wake(now, world),
            Input::Report(report) => self.report(now, report),
            Input::Admit { limits, accounts } => self.admit(now, limits, accounts, world),
            Input::Slot => self.prepare(now, world),
            Input::Stop(cause) => self.stop(now, cause),
            Input::Undelivered(node) => self.undelivered(now, &node),
            Input::Overflow(count) => self.fail(
                now,
                "bus_overflow",
                format!(
                    "{count} reports of nodes were lost because the coordinator could not keep up; the figures would not be whole. Use fewer endpoints or a faster disk."
                ),
            ),
            Input::StorageFailed(error) => self.fail(
                now,
                "storage_failed",
                format!("What was measured can no longer be stored: {error}. Check the disk under the data directory."),
            ),
        }
    }

    fn wake(&mut self, now: Now, world: &World<'_>) {
        match self.status() {
            RunStatus::Queued | RunStatus::Running | RunStatus::Stopping => {
                // Who waits for its start slot gets its nodes anew with it.
                if !self.waits_for_slot() {
                    self.look_after_nodes(now, world.nodes);
                }
                if self.status().is_terminal() {
                    return;
                }
                if self
                    .deadline
                    .is_some_and(|deadline| now.instant >= deadline)
                {
                    self.overdue(now);
                } else if self
                    .live
                    .shown
                    .is_none_or(|shown| now.instant.saturating_duration_since(shown) >= LIVE_EVERY)
                {
                    self.show(now);
                }
            }
            RunStatus::Pending
            | RunStatus::Completed
            | RunStatus::Failed
            | RunStatus::CannotRunForNow => {}
        }
    }

    fn cannot_run(&mut self, now: Now, problems: Vec<Problem>) {
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

    fn look_after_nodes(&mut self, now: Now, nodes: &Nodes) {
        let lost = self
            .allocation
            .iter()
            .find_map(|(node, shares)| Some((node, shares, nodes.silent_for(now.instant, node)?)));
        if let Some((node, shares, silent)) = lost {
            let carried: u32 = shares.iter().map(|share| share.count).sum();
            let seen = now.unix_ms.saturating_sub(millis(silent));
            let sentence = format!(
                "Node `{node}` was lost: last heard at {} ({} s ago); it carried {carried} of {} endpoints. Check that its process and its connection live.",
                super::outcome::clock(seen),
                silent.as_secs(),
                self.endpoints()
            );
            self.fail(now, "node_lost", sentence);
        }
    }

    fn overdue(&mut self, now: Now) {
        match self.status() {
            RunStatus::Queued => {
                let late: Vec<NodeId> = self
                    .nodes()
                    .filter(|node| !self.prepared.contains(*node))
                    .cloned()
                    .collect();
                let problem = Problem {
                    code: "node_not_ready".to_owned(),
                    sentence: format!(
                        "{} did not get ready within {} s; look at its log.",
                        names(&late),
                        start::PREPARE_WITHIN.as_secs()
                    ),
                    limit: None,
                };
                self.cannot_run(now, vec![problem]);
            }
            RunStatus::Running | RunStatus::Stopping => {
                let missing = self.aggregate.unreported();
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

    fn report(&mut self, now: Now, report: Report) {
        match report {
            // The shell keeps the nodes' own table.
            Report::Status(_) | Report::Tells(_) => {}
            Report::Prepared { node, problems, .. } => self.ready(now, node, problems),
            Report::Frame(frame) => {
                if self.aggregate.frame(&frame) {
                    self.store(Record::Frame(frame));
                    self.close_seconds(now);
                }
            }
            Report::Endpoint(report) => {
                if self.aggregate.report(&report) {
                    self.endings.add(now, &self.frozen.test, &report);
                    self.store(Record::Report(report));
                }
            }
            Report::Trace(trace) => self.store(Record::Trace(trace)),
            Report::Ended { node, .. } => {
                self.aggregate.ended(&node);
                self.close_seconds(now);
                let live = matches!(self.status(), RunStatus::Running | RunStatus::Stopping);
                if live && self.aggregate.all_ended() {
                    self.all_ended(now);
                }
            }
        }
    }

    fn close_seconds(&mut self, now: Now) {
        let mut closed = false;
        while let Some((second, parts)) = self.aggregate.poll_second() {
            self.live.parts = parts.iter().map(super::part::Sketches::live).collect();
            self.live.generator = second.generator();
            for (group, second) in self.aggregate.group_seconds(second.second, &parts) {
                self.store(Record::GroupSecond(group, Box::new(second)));
            }
            self.store(Record::Second(Box::new(second)));
            closed = true;
        }
        if closed {
            self.show(now);
        }
    }

    fn all_ended(&mut self, now: Now) {
        let missing = self.aggregate.unreported();
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
            let sentence = "The run was stopped; everything measured before is kept.".to_owned();
            self.end(now, RunStatus::Completed, "stopped", sentence);
        } else if let Some(error) = self
            .endings
            .critical(&self.frozen.test, &self.aggregate.all_counts())
        {
            self.end(now, RunStatus::Failed, error.reason, error.sentence);
        } else {
            let sentence = format!("All {} endpoints reached their end.", self.endpoints());
            self.end(now, RunStatus::Completed, "ended", sentence);
        }
    }

    fn stop(&mut self, now: Now, cause: StopCause) {
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

    fn undelivered(&mut self, now: Now, node: &NodeId) {
        let sentence = format!(
            "Node `{node}` does not take commands (nobody listens, or its queue is full); check that its process lives."
        );
        match self.status() {
            RunStatus::Queued => self.cannot_run(
                now,
                vec![Problem {
                    code: "node_not_listening".to_owned(),
                    sentence,
                    limit: None,
                }],
            ),
            RunStatus::Running | RunStatus::Stopping => self.fail(now, "node_lost", sentence),
            RunStatus::Pending
            | RunStatus::Completed
            | RunStatus::Failed
            | RunStatus::CannotRunForNow => {}
        }
    }

    /// A critical error, and the nodes are told to be silent.
    fn fail(&mut self, now: Now, reason: &str, sentence: String) {
        let to = if self.status() == RunStatus::Pending {
            RunStatus::CannotRunForNow
        } else {
            RunStatus::Failed
        };
        self.end(now, to, reason, sentence);
        self.command(DesiredState::Stopped);
    }

    fn end(&mut self, now: Now, to: RunStatus, reason: &str, sentence: String) {
        let summary = self.summary(now, to);
        self.store(Record::Summary(Box::new(summary)));
        self.deadline = None;
        if to == RunStatus::CannotRunForNow && !self.prepared.is_empty() {
            self.command(DesiredState::Stopped);
        }
        self.go(now, to, reason, sentence);
    }

    fn go(&mut self, now: Now, to: RunStatus, reason: &str, sentence: String) {
        match self.status.go(now, to, reason, sentence) {
            Ok(step) => {
                self.outputs.push_back(Output::Move(step));
                self.show(now);
            }
            // Every caller has looked at the status; a refusal is our own mistake, seen in tests.
            Err(illegal) => debug_assert!(false, "{illegal}"),
        }
    }

    fn store(&mut self, record: Record) {
        self.outputs.push_back(Output::Store(record));
    }

    fn elapsed_ms(&self, now: Now) -> u64 {
        self.began.map_or(0, |began| {
            millis(now.instant.saturating_duration_since(began.instant))
        })
    }

    fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.allocation.iter().map(|(node, _)| node)
    }
}

fn names(nodes: &[NodeId]) -> String {
    match nodes {
        [only] => format!("node `{only}`"),
        [first, .., last] => format!("{} nodes, `{first}` to `{last}`", nodes.len()),
        [] => "no node".to_owned(),
    }
}

/// After the duration: a BYE or CANCEL and then the un-REGISTER may each run into 64*T1 = 32 s
/// (RFC 3261 §17.1.2.2, Timer F) and an endpoint gives each up after 40 s at the latest; and a margin
/// for media and reports.
const TEARDOWN_WITHIN: Duration = Duration::from_secs(2 * 40 + 16);
/// Live updates without a new second: elapsed time moves on.
const LIVE_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "run/tests.rs"]
mod tests;
