//! What goes into a run's core and what comes out of it.

use shared::definition::{Account, Test};
use shared::id::{NodeId, RunId};
use shared::result::{LiveUpdate, StatusMove};
use shared::wire::{Desired, EndpointReport, Frame, Problem, Report, Trace};

use crate::core::nodes::Nodes;
use crate::core::summary::{AggregateSecond, Summary};

/// What comes in.
#[derive(Debug)]
pub(crate) enum Input {
    /// Time has passed, or a node's status changed.
    Wake,
    /// A node's message about this run.
    Report(Report),
    /// The limits were looked at and the accounts picked; to be given while
    /// [`is_due`](super::Run::is_due). Where nothing speaks against it the run is QUEUED afterwards.
    Admit {
        /// Limits that it would exceed.
        limits: Vec<Problem>,
        /// For each group that has a pool: its accounts.
        accounts: Vec<(u16, Vec<Account>)>,
    },
    /// The run got a start slot: nodes may be told to prepare.
    Slot,
    /// Somebody asks for a stop.
    Stop(StopCause),
    /// Nobody took a command off the bus.
    Undelivered(NodeId),
    /// Reports were lost because the coordinator's queue was full.
    Overflow(u64),
    /// What was measured cannot be stored.
    StorageFailed(String),
}

/// Who asks for a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// A person at the terminal: verdict `Interrupted`.
    Interrupted,
    /// A request: judged by what was measured.
    Requested,
    /// The coordinator shuts down: verdict `Interrupted`.
    Shutdown,
}

impl StopCause {
    /// The reason code of STOPPING, and who it was, for people.
    pub(crate) fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Interrupted => ("stop_interrupted", "A person interrupted the run"),
            Self::Requested => ("stop_requested", "A stop was asked for"),
            Self::Shutdown => ("coordinator_shutdown", "The coordinator is shutting down"),
        }
    }
}

/// What must be done, in this order.
#[derive(Debug)]
pub(crate) enum Output {
    /// Store and flush before anything after it.
    Move(StatusMove),
    /// Store.
    Store(Record),
    /// Publish to the node.
    Send(NodeId, Box<Desired>),
    /// Show.
    Live(Box<LiveUpdate>),
}

/// Something to store.
#[derive(Debug)]
pub(crate) enum Record {
    /// Endpoints × metrics of a second.
    Frame(Box<Frame>),
    /// An endpoint's end.
    Report(Box<EndpointReport>),
    /// An endpoint's SIP messages.
    Trace(Box<Trace>),
    /// The whole run's second.
    Second(Box<AggregateSecond>),
    /// A group's second, by the group's position; only where a test has several groups.
    GroupSecond(u16, Box<AggregateSecond>),
    /// The whole run.
    Summary(Box<Summary>),
}

/// What the run sees of the rest.
pub(crate) struct World<'a> {
    /// Nodes.
    pub(crate) nodes: &'a Nodes,
}

/// What never changes in a run.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// Its id.
    pub(crate) id: RunId,
    /// The coordinator's start count.
    pub(crate) epoch: u64,
    /// The frozen configuration.
    pub(crate) test: Test,
    /// Media files that do not exist, as the shell found.
    pub(crate) missing_media: Vec<String>,
}
