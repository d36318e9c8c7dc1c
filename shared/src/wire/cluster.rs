//! What keeps coordinator and nodes together: renewals and leases, orders, numbered items.
//!
//! Every message on the bus is a [`Message`]: a [`Head`] that says who sent it, under which epoch, in
//! which order and until when it may be obeyed, and a body. The in-process bus carries the same.
//!
//! Upwards a node sends [`Upward`]: a renewal every [`RENEW_EVERY`], and everything of a run as
//! numbered [`Item`]s, which it keeps until the coordinator says that they are stored.
//! Downwards the coordinator sends [`Downward`]: the answer to each renewal, which is the lease and
//! the whole of what is wanted, and the same orders at once where they change.
//! Source: DESIGN 8, 9 and 10.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Desired, DesiredState, Problem, PublicSealKey, Report};
use crate::id::{GroupIndex, NodeId, RunId};

/// How often a node renews its lease.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);
/// A lease lasts this long, counted from when the node *sent* the renewal, on `CLOCK_BOOTTIME`.
pub const LEASE_TTL: Duration = Duration::from_secs(10);
/// After the lease: by its end the node is silent. The coordinator frees what a silent node held only
/// [`LEASE_TTL`] + this after it heard it last.
pub const LEASE_GRACE: Duration = Duration::from_secs(5);
/// Silence after which a run that needs the node is ended (or goes on without it): between the end of
/// the lease, when the node has stopped calling, and the release of what it held.
pub const LOST_AFTER: Duration = Duration::from_secs(12);

/// The subject on which a coordinator that starts asks every node to renew at once.
pub const HELLO: &str = "carillon.internal.hello";

/// One process life of a node: random, new with each start. The same name with another life is
/// another process: what the former one carried is lost.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct LifeId(pub u64);

/// One coordinator database: random, made at its first start and kept in it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct ClusterId(pub u64);

/// What stands before every body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The coordinator's database; upwards: the one the node follows, 0 before it knows one.
    pub cluster: ClusterId,
    /// The coordinator's start count; upwards: the newest one the node has obeyed, 0 before.
    pub epoch: u64,
    /// The life of the node that sends it or that it is for.
    pub life: LifeId,
    /// Counts the sender's messages to this receiver in this epoch or life, from 1.
    pub sequence: u64,
    /// Downwards: the instant on the *node's* `CLOCK_BOOTTIME`, in microseconds, after which it must
    /// not be obeyed any more. The coordinator reckons it from the node's newest renewal, so clocks
    /// need not agree and a delay can only make it earlier. Upwards 0: never.
    pub expires_boot_us: u64,
}

/// A message on the bus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message<T> {
    /// Who, when, until when.
    pub head: Head,
    /// What.
    pub body: T,
}

/// From a node to the coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Upward {
    /// It lives, this is how it stands, this is what it holds; asks for the lease.
    Renew(Box<Renew>),
    /// The answer to [`Downward::Prepare`]. Not numbered: a lost one is asked for again.
    Prepared {
        /// The run.
        run: RunId,
        /// The epoch under which the run was accepted.
        run_epoch: u64,
        /// Empty: ready. Else every reason why not.
        problems: Vec<Problem>,
    },
    /// Something of a run that must be stored exactly once.
    Item(Box<Item>),
}

/// A node says that it lives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Renew {
    /// The node's `CLOCK_BOOTTIME` at sending, in microseconds: the lease counts from here.
    pub sent_boot_us: u64,
    /// The node's wall clock at sending, in microseconds since 1970.
    pub sent_unix_us: i64,
    /// How it stands.
    pub status: NodeStatus,
    /// The runs it holds. A run that is not here is not known to it.
    pub runs: Vec<Held>,
    /// Its clock against the coordinator's; none before the first answer.
    pub clock: Option<ClockOffset>,
    /// What it refused since its start.
    pub refused: Refused,
}

/// A run as a node holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The run.
    pub run: RunId,
    /// The epoch under which it was accepted.
    pub run_epoch: u64,
    /// The newest order that was obeyed, as (epoch, sequence).
    pub order: (u64, u64),
    /// How far it is.
    pub state: HeldState,
    /// The number that the next [`Item`] will have.
    pub next_item: u64,
    /// How many [`Tell`]s it has taken in, without a hole.
    pub tells: u64,
}

/// How far a run is on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeldState {
    /// Checking, loading, binding.
    Preparing,
    /// Ready.
    Prepared,
    /// Registers, calls, measures.
    Running,
    /// Ends its calls.
    Stopping,
    /// Nothing lives any more; items may still wait to be stored.
    Ended(EndCause),
}

/// Why a run ended on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndCause {
    /// Every endpoint reached its end by itself.
    Finished,
    /// The coordinator ordered it.
    Ordered,
    /// The node was told to leave.
    Drained,
    /// The lease ran out.
    LeaseLost,
    /// What was measured and not yet stored filled the node's outbox.
    NoRoom,
}

/// Something of a run, numbered from 0 without a hole by (run, node, life).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The run.
    pub run: RunId,
    /// The epoch under which it was accepted.
    pub run_epoch: u64,
    /// Its number.
    pub sequence: u64,
    /// What: a frame, an endpoint's end, a trace, tells, the end.
    pub report: Report,
}

/// From the coordinator to a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Downward {
    /// The answer to a renewal.
    Lease(Box<Lease>),
    /// Hold this run ready: the frozen test and the node's share. Repeated until the renewal shows it.
    Prepare(Box<Desired>),
    /// What is wanted of one run changed, or more of its items are stored.
    Order(Order),
    /// What callers and callees on other nodes did. Repeated until the renewal shows it.
    Tells {
        /// The run.
        run: RunId,
        /// The epoch under which it was accepted.
        run_epoch: u64,
        /// The number of the first one here; they are numbered from 0 by (run, node).
        first: u64,
        /// In their order; at most [`TELLS_MAX`].
        tells: Vec<Tell>,
    },
}

/// The answer to a renewal: the lease, and all that is wanted of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// [`Renew::sent_boot_us`] of the renewal that is answered.
    pub renewal_boot_us: u64,
    /// [`Renew::sent_unix_us`] of the same.
    pub renewal_unix_us: i64,
    /// The coordinator's wall clock when it came, in microseconds since 1970.
    pub received_unix_us: i64,
    /// The coordinator's wall clock when this was sent.
    pub sent_unix_us: i64,
    /// Granted or why not.
    pub verdict: LeaseVerdict,
    /// Every run the coordinator wants of this node. A run that the node holds and that is not here
    /// is to be ended and forgotten, items and all.
    pub orders: Vec<Order>,
    /// The node is to take no new runs (an operator drains it).
    pub drain: bool,
}

/// Whether a node may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseVerdict {
    /// Until [`Lease::renewal_boot_us`] + [`LEASE_TTL`].
    Granted,
    /// A newer process joined under this name: end everything and leave.
    Displaced,
    /// Not in this cluster, in words for people: wrong version, name not allowed, table full.
    Refused(String),
}

/// What the coordinator wants of a node for one run. Whole, idempotent, ordered by (epoch, sequence).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The run.
    pub run: RunId,
    /// The epoch under which it was accepted.
    pub run_epoch: u64,
    /// Grows with every change of what is wanted of this run, within the epoch of the head.
    pub sequence: u64,
    /// What it should be doing.
    pub state: DesiredState,
    /// Items of this node below this number are stored (flushed): they may be let go.
    pub stored_to: u64,
}

/// What an endpoint's counterpart on another node must know (PRODUCT §3: a caller never dials before
/// its callee is registered or its failure is known).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tell {
    /// The callee at this place can be called, at this URI; or never, for this reason.
    Callee {
        /// The group that is called.
        group: GroupIndex,
        /// The place, in both groups.
        place: u32,
        /// The URI to call, or why never.
        readiness: Result<String, String>,
    },
    /// The caller of this place is over: its callee waits for nobody.
    CallerOver {
        /// The group that is called.
        group: GroupIndex,
        /// The place, in both groups.
        place: u32,
    },
}

/// Tells in one message.
pub const TELLS_MAX: usize = 1_000;

/// A coordinator starts: every node renews at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello;

/// A node as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: NodeId,
    /// Region, blank where none was given.
    pub region: String,
    /// What people say about it: `rack = "b7"`.
    pub labels: BTreeMap<String, String>,
    /// The program's version.
    pub version: String,
    /// Whether it takes work.
    pub condition: NodeCondition,
    /// File descriptors it may still open.
    pub free_descriptors: u32,
    /// UDP ports it may still bind for media.
    pub free_ports: u32,
    /// CPU cores it may use.
    pub cores: u32,
    /// Endpoints in a G.711 call that its media engine carries, as it measured itself at its start;
    /// 0: not measured.
    pub capacity_endpoints: u32,
    /// Endpoints it runs now.
    pub endpoints: u32,
    /// CPU of the process: 1.0 is one core busy.
    pub cpu_cores: f32,
    /// Resident memory in octets.
    pub resident_bytes: u64,
    /// It does not see the coordinator's disk: media files are to be sent.
    pub wants_media: bool,
    /// What SIP passwords for this process are sealed to.
    pub seal_key: PublicSealKey,
}

/// Whether a node takes work, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeCondition {
    /// It does.
    #[default]
    Online,
    /// It ends its work and takes none.
    Draining,
    /// It cannot work, for this reason.
    Error(String),
}

/// A node's wall clock against the coordinator's, measured over the bus as NTP does (RFC 5905 §8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// Node's clock minus coordinator's, in microseconds.
    pub offset_us: i64,
    /// Half of the round trip: the true offset differs by at most this.
    pub error_us: u64,
}

/// What a node refused to obey, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Past their expiry.
    pub expired: u64,
    /// Of an older epoch, sequence or another cluster.
    pub outdated: u64,
    /// For another life.
    pub other_life: u64,
    /// Repeated: obeyed before.
    pub repeated: u64,
    /// Not readable: not ours, cut, changed, another version.
    pub unreadable: u64,
    /// What the queue of commands had no room for.
    pub overflow: u64,
}
