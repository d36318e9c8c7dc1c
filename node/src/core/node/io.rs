//! What goes into [`super::NodeCore`] and what comes out.

use bytes::Bytes;
use shared::id::RunId;
use shared::wire::{Desired, Downward, Message, Problem, Report, Tell, Upward};

use crate::core::desired::StopKind;
use crate::core::fence::Fence;
use crate::core::outbox;

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A message of a coordinator.
    Message(Box<Message<Downward>>),
    /// Something on our subject that could not be read.
    Unreadable,
    /// So many messages, since the start, found the queue of commands full.
    Overflow(u64),
    /// A coordinator starts.
    Hello,
    /// The bus is there again after it was away.
    Connected,
    /// This process was told to leave.
    Drain,
    /// Something of a run.
    Run(RunId, RunEvent),
    /// The bus refused this item.
    ItemRefused {
        /// Its run.
        run: RunId,
        /// Its number.
        sequence: u64,
    },
    /// What became of an [`Output::Disk`].
    Disk(DiskEvent),
}

/// What a run's shards tell.
#[derive(Debug)]
pub enum RunEvent {
    /// The preparation is done: empty where it can run, else every reason why not.
    Prepared(Vec<Problem>),
    /// A frame, an endpoint's end, a trace, tells.
    Item(Report),
    /// Nothing of it lives any more, and all its items were given.
    Over,
}

/// An answer of the disk.
#[derive(Debug)]
pub enum DiskEvent {
    /// An item could not be written.
    SpillFailed {
        /// Its run.
        run: RunId,
        /// As it was to be written.
        octets: Bytes,
        /// Why not.
        error: String,
    },
    /// What was asked for.
    Loaded {
        /// The run.
        run: RunId,
        /// Oldest first.
        items: Vec<Bytes>,
    },
    /// It cannot be read.
    LoadFailed {
        /// The run.
        run: RunId,
        /// Why not.
        error: String,
    },
}

/// What the shell must do.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Publish it. If the bus refuses an item, say so by [`Input::ItemRefused`].
    Send(Box<Message<Upward>>),
    /// Keep the fence for the lives to come, before anything that follows is done.
    Fence(Fence),
    /// Check, load, bind; answer by [`RunEvent::Prepared`].
    Prepare(Box<Desired>),
    /// Let it run; all it sends asks the guard with this generation.
    Start {
        /// The run.
        run: RunId,
        /// Of the lease.
        generation: u64,
    },
    /// End it, in whatever state it is; [`RunEvent::Over`] follows.
    Stop {
        /// The run.
        run: RunId,
        /// How.
        kind: StopKind,
    },
    /// Callers and callees on other nodes did this.
    Tell {
        /// The run.
        run: RunId,
        /// In their order.
        tells: Vec<Tell>,
    },
    /// Let go of everything of it.
    Forget(RunId),
    /// The outboxes' files; the answer is an [`Input::Disk`].
    Disk(outbox::Output),
    /// Something for the log.
    Notice(Notice),
    /// The last output: the process has nothing to do any more.
    Exit(Exit),
}

/// Why a node leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was told to.
    Drained,
    /// A newer process has its name.
    Displaced,
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The lease was granted after there was none.
    Joined(Fence),
    /// The lease ran out: everything is ended.
    LeaseLost,
    /// The coordinator refuses this node, in its words.
    Refused(String),
    /// A newer process has this name.
    Displaced,
    /// A coordinator of an earlier start of the database spoke: not obeyed.
    Outdated {
        /// Its start count.
        epoch: u64,
        /// What is obeyed.
        fence: Fence,
    },
    /// A coordinator with another database spoke: not obeyed while this one's runs are held.
    Foreign(Fence),
    /// An operator drains this node, or takes it back.
    Drain(bool),
    /// The coordinator does not know this run: it is ended.
    Abandoned(RunId),
    /// The run must end, for want of room for its measurements.
    NoRoom(RunId, String),
    /// A report of this run could not be kept, for this reason.
    NotKept(RunId, String),
}
