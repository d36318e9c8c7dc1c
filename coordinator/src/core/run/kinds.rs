//! What goes into a run's core and what comes out of it.

use shared::definition::{Account, Test};
use shared::id::{NodeId, RunId};
use shared::phase::RunStatus;
use shared::result::{LiveUpdate, StatusMove};
use shared::wire::{Downward, EndpointReport, Frame, Held, Item, LifeId, Problem, Trace};

use crate::core::cluster::Cluster;
use crate::core::summary::{AggregateSecond, Summary};

/// What comes in.
#[derive(Debug)]
pub(crate) enum Input {
    /// Time has passed, or a node's status changed.
    Wake,
    /// A node's lease was granted; to be given to every run for each renewal that was
    /// [`Granted`](crate::core::cluster::Renewal::Granted), after the cluster took it.
    Renewed {
        /// Who renewed.
        node: NodeId,
        /// Its life.
        life: LifeId,
        /// The newest coordinator epoch that the node has obeyed.
        epoch: u64,
        /// What it says of this run; none: it does not hold it.
        held: Option<Held>,
    },
    /// A node's answer to the order to prepare.
    Prepared {
        /// Who answers.
        node: NodeId,
        /// Its life.
        life: LifeId,
        /// The epoch under which the run was accepted.
        run_epoch: u64,
        /// Every reason why it cannot; empty: ready.
        problems: Vec<Problem>,
    },
    /// Something measured, from whom the subject says.
    Item {
        /// Who sent it.
        node: NodeId,
        /// Its life.
        life: LifeId,
        /// What.
        item: Box<Item>,
    },
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
    /// The commit of this status is on disk. Nodes are told to begin, and forget a run, only then.
    Committed(RunStatus),
    /// The checkpoint of this number is on disk, with all records before it.
    Checkpointed(u64),
    /// Somebody asks for a stop.
    Stop(StopCause),
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

/// What must be done. Moves and records in this order; what is sent waits for nothing: a run sends
/// only what is stored already.
#[derive(Debug)]
pub(crate) enum Output {
    /// Store and flush before anything after it.
    Move(StatusMove),
    /// Store.
    Store(Record),
    /// Send to this life of the node; the shell makes the head.
    Send(NodeId, LifeId, Downward),
    /// Show.
    Live(Box<LiveUpdate>),
    /// After a terminal move, once: nothing of the run lives on any node any more. Slots, credits and
    /// accounts go back. Where it follows its move at once (see
    /// [`is_released`](super::Run::is_released)) one commit does both.
    Release,
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
    pub(crate) nodes: &'a Cluster,
}

/// What never changes in a run.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// Its id.
    pub(crate) id: RunId,
    /// The coordinator's start count when it was accepted; the same under a later coordinator.
    pub(crate) epoch: u64,
    /// The frozen configuration.
    pub(crate) test: Test,
    /// Media files that do not exist, as the shell found.
    pub(crate) missing_media: Vec<String>,
}

/// What of nodes' messages was not taken, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Untaken {
    /// Of a node, a life or an epoch that the run does not have, or in another's name.
    pub(crate) foreign: u64,
    /// Items that had come before.
    pub(crate) repeated: u64,
    /// Items before which one is missing: they come again.
    pub(crate) early: u64,
    /// What came after the end.
    pub(crate) late: u64,
    /// Tells that make no sense.
    pub(crate) tells: u64,
}
