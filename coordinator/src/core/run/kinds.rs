//! What goes into a run's core and what comes out of it.

use shared::definition::Test;
use shared::id::{NodeId, RunId};
use shared::result::{LiveUpdate, StatusMove};
use shared::wire::{Desired, EndpointReport, Frame, Report, Trace};

use crate::core::nodes::Nodes;
use crate::core::plan::{Plan, Usage};
use crate::core::summary::{AggregateSecond, Summary};

/// What comes in.
#[derive(Debug)]
pub(crate) enum Input {
    /// Time has passed, or a node's status changed.
    Wake,
    /// A node's message about this run.
    Report(Report),
    /// Somebody asks for a stop; `interrupted` where it was a person at the terminal.
    Stop {
        /// Decides the verdict.
        interrupted: bool,
    },
    /// Nobody took a command off the bus.
    Undelivered(NodeId),
    /// Reports were lost because the coordinator's queue was full.
    Overflow(u64),
    /// What was measured cannot be stored.
    StorageFailed(String),
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
    /// Other runs.
    pub(crate) usage: Usage,
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
    /// Limits.
    pub(crate) plan: Plan,
    /// Media files that do not exist, as the shell found.
    pub(crate) missing_media: Vec<String>,
}
