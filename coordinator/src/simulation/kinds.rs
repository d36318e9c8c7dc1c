//! What goes in, what comes out.

use shared::definition::Test;
use shared::id::{NodeId, OrganizationId, ProjectId, RunId};
use shared::wire::{Downward, Message, Upward};

use super::disk::Batch;
use crate::core::plan::Plan;
use crate::core::run;

/// What comes in.
#[derive(Debug)]
pub enum Input {
    /// A message on the report subject of this node.
    Message(NodeId, Box<Message<Upward>>),
    /// Time has passed: to be given at least five times a second of virtual time.
    Wake,
    /// An operator grants credits.
    Grant {
        /// To whom.
        organization: OrganizationId,
        /// Unique.
        id: u64,
        /// Endpoint-milliseconds.
        amount: u64,
    },
    /// Somebody starts a run.
    Start(Box<Start>),
    /// Somebody asks for a stop.
    Stop(RunId),
    /// An operator drains a node, or not any more.
    Drain(NodeId, bool),
    /// The batch of this number, and all before it, are on the disk.
    Persisted(u64),
}

/// A run to be started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Unique.
    pub run: RunId,
    /// Whose.
    pub organization: OrganizationId,
    /// Where it belongs.
    pub project: ProjectId,
    /// What, with its accounts.
    pub test: Test,
    /// What is allowed.
    pub plan: Plan,
}

/// What must be done.
#[derive(Debug)]
pub enum Output {
    /// Publish on the command subject of this node.
    Send(NodeId, Box<Message<Downward>>),
    /// Apply to the disk, after all before it, and say so by [`Input::Persisted`]. A crash may leave
    /// any prefix of its writes.
    Persist(u64, Batch),
}

/// What of nodes' messages was not taken, of all runs together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untaken {
    /// Of strangers: a life, a run or an epoch that is not known.
    pub foreign: u64,
    /// Taken before.
    pub repeated: u64,
    /// One before it is missing.
    pub early: u64,
    /// After the end.
    pub late: u64,
}

impl Untaken {
    pub(super) fn add(&mut self, of: run::Untaken) {
        self.foreign += of.foreign;
        self.repeated += of.repeated;
        self.early += of.early;
        self.late += of.late;
    }
}
