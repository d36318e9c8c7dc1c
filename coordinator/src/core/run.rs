//! One run from its submission to its end: the core behind the CoordinatorActor.
//!
//! Shape: `handle(now, input, world)`, then `poll` until none. The shell wakes it at least five times
//! a second; all deadlines are kept in here. After its terminal status a run only waits for its nodes
//! to let go of it. Source: PRODUCT §2, §3, §7; DESIGN "The way of a run", 9 and 10.

mod backlog;
mod checkpoint;
mod ending;
mod items;
mod kinds;
mod member;
mod orders;
mod relay;
mod start;
mod tell;

pub(crate) use backlog::Backlog;
pub(crate) use kinds::{Frozen, Input, Output, Record, StopCause, Untaken, World};

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use shared::definition::Test;
use shared::id::NodeId;
use shared::phase::RunStatus;
use shared::result::MissingShare;
use shared::wire::{Problem, Share};

use self::checkpoint::Pending;
use self::ending::Broken;
use self::member::Member;
use self::tell::Live;
use super::aggregate::Aggregate;
use super::outcome::Endings;
use super::status::StatusMachine;
use super::{Now, millis};

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    frozen: Frozen,
    status: StatusMachine,
    members: Vec<Member>,
    aggregate: Aggregate,
    endings: Endings,
    problems: Vec<Problem>,
    /// When the present status must have been left.
    deadline: Option<Instant>,
    began: Option<Began>,
    interrupted: bool,
    /// Why it fails as soon as its nodes have told everything.
    broken: Option<Broken>,
    /// Shares of lost nodes that it goes on without.
    missing: Vec<MissingShare>,
    /// Since when it has ended.
    over: Option<Over>,
    pending: Pending,
    untaken: Untaken,
    /// The epoch of the coordinator that took it over from a checkpoint.
    adopted_under: Option<u64>,
    live: Live,
    outputs: VecDeque<Output>,
}

/// When it went RUNNING.
#[derive(Clone, Copy, Debug)]
struct Began {
    unix_ms: u64,
    /// Of this moment it had run for `before`.
    at: Instant,
    before: Duration,
}

/// It has ended.
#[derive(Clone, Copy, Debug)]
struct Over {
    since: Instant,
    /// Its end is on disk.
    is_stored: bool,
    /// [`Output::Release`] was put out.
    is_released: bool,
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
            members: Vec::new(),
            endings: Endings::default(),
            problems: Vec::new(),
            deadline: Some(now.instant + start::NODE_WAIT),
            began: None,
            interrupted: false,
            broken: None,
            missing: Vec::new(),
            over: None,
            pending: Pending::default(),
            untaken: Untaken::default(),
            adopted_under: None,
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

    /// What of its nodes' messages was not taken.
    pub(crate) fn untaken(&self) -> Untaken {
        self.untaken
    }

    /// What each of its nodes carries; empty before it has its start slot.
    pub(crate) fn shares(&self) -> impl Iterator<Item = (&NodeId, &[Share])> {
        self.members
            .iter()
            .map(|member| (&member.node, member.shares.as_slice()))
    }

    /// Takes one input. After a terminal status nothing changes any more but who still holds it.
    pub(crate) fn handle(&mut self, now: Now, input: Input, world: &World<'_>) {
        match input {
            Input::Renewed {
                node,
                life,
                epoch,
                held,
            } => self.renewed(now, (&node, life), epoch, held.as_ref(), world),
            Input::Committed(status) => self.committed(now, status, world),
            Input::Checkpointed(number) => self.checkpointed(number),
            Input::Wake => self.wake(now, world),
            input if self.status().is_terminal() => {
                if matches!(input, Input::Item { .. } | Input::Prepared { .. }) {
                    self.untaken.late += 1;
                }
            }
            Input::Prepared {
                node,
                life,
                run_epoch,
                problems,
            } => self.ready(now, (&node, life), run_epoch, problems),
            Input::Item { node, life, item } => self.item(now, (&node, life), *item),
            Input::Admit { limits, accounts } => self.admit(now, limits, accounts, world),
            Input::Slot => self.prepare(now, world),
            Input::Stop(cause) => self.stop(now, cause),
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
                    self.look_after_nodes(now, world);
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
            RunStatus::Completed | RunStatus::Failed | RunStatus::CannotRunForNow => {
                self.look_after_release(now, world);
            }
            RunStatus::Pending => {}
        }
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
            millis(began.before + now.instant.saturating_duration_since(began.at))
        })
    }

    fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.members.iter().map(|member| &member.node)
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
#[path = "run/tests/nodes.rs"]
mod node_tests;
#[cfg(test)]
#[path = "run/tests.rs"]
mod tests;
