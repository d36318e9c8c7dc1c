//! Messages between coordinator and node. Internal: not a contract with subscribers.
//!
//! All of them are bincode inside one envelope (`envelope`) with version and checksum, also on the
//! in-process bus: there is no second path. Commands carry *desired state*, are idempotent by
//! (run, epoch, node), and frames are numbered so that none is stored twice (DESIGN 8 and 9).

mod cluster;
mod envelope;
mod seal;

pub use cluster::{
    ClockOffset, ClusterId, Downward, EndCause, HELLO, Head, Held, HeldState, Hello, Item,
    LEASE_GRACE, LEASE_TTL, LOST_AFTER, Lease, LeaseVerdict, LifeId, Message, NodeCondition,
    NodeStatus, Order, RENEW_EVERY, Refused, Renew, TELLS_MAX, Tell, Upward,
};
pub use envelope::{EnvelopeError, MESSAGE_MAX, VERSION, decode, encode, encoded_len};
pub use seal::{PublicSealKey, SealError, SealKey, seal};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::definition::Test;
use crate::id::{EndpointIndex, GroupIndex, NodeId, RunId};
use crate::metric::MetricId;
use crate::phase::{Outcome, Phase};
use crate::result::LimitDetail;
use crate::stat::Histogram;

/// The subject on which a node hears its commands.
#[must_use]
pub fn command_subject(node: &NodeId) -> String {
    format!("carillon.internal.nodes.{node}.command")
}

/// The subject on which the coordinator hears a node.
#[must_use]
pub fn report_subject(node: &NodeId) -> String {
    format!("carillon.internal.nodes.{node}.report")
}

/// Every node's reports.
pub const REPORTS: &str = "carillon.internal.nodes.*.report";

/// What the coordinator wants of a node for one run. Sent whole each time; a repeat changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// The run.
    pub run: RunId,
    /// Grows with every coordinator start; an older one is refused.
    pub epoch: u64,
    /// Grows with every change of this run's desired state; an older one is ignored.
    pub sequence: u64,
    /// What it should be doing.
    pub state: DesiredState,
    /// The frozen configuration; on the bus without passwords.
    pub test: Test,
    /// This node's exact share.
    pub shares: Vec<Share>,
    /// The passwords of its share, sealed to the node's key ([`seal`]); empty: none.
    pub sealed: Vec<u8>,
    /// The media files of its share, where the node wants them.
    pub media: Vec<MediaFile>,
}

/// A media file that goes with a run, for a node that does not see the coordinator's disk.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaFile {
    /// As the test names it.
    pub path: String,
    /// The whole file.
    pub octets: Bytes,
}

impl std::fmt::Debug for MediaFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} octets)", self.path, self.octets.len())
    }
}

/// What a node should be doing for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DesiredState {
    /// Check descriptors and ports, load media, bind SIP sockets; answer with `Prepared`.
    Prepared,
    /// Register, call, measure.
    Running,
    /// No new calls; BYE, CANCEL, un-REGISTER, last reports; then `Ended`.
    Stopped,
}

/// A run of consecutive endpoints of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The group.
    pub group: GroupIndex,
    /// First place within the group.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What a node tells the coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// Sent at start and every two seconds.
    Status(NodeStatus),
    /// The node is ready for the run, or says why it cannot (all reasons at once).
    Prepared {
        /// The run.
        run: RunId,
        /// The node.
        node: NodeId,
        /// Empty: ready. Else sentences for people with a machine-readable code.
        problems: Vec<Problem>,
    },
    /// One second of a run on this node, or a part of it.
    Frame(Box<Frame>),
    /// An endpoint reached its end.
    Endpoint(Box<EndpointReport>),
    /// The SIP trace of an endpoint.
    Trace(Box<Trace>),
    /// For endpoints on other nodes.
    Tells(Vec<Tell>),
    /// Every endpoint of this node's share has reported; nothing more will come.
    Ended {
        /// The run.
        run: RunId,
        /// The node.
        node: NodeId,
        /// Why.
        cause: EndCause,
    },
}

/// Something that prevents a run, for a machine and for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `not_enough_descriptors`, `media_file_missing`, …
    pub code: String,
    /// What is wrong, where, and what would be right.
    pub sentence: String,
    /// The limit that was met; none where it is not about one.
    #[serde(default)]
    pub limit: Option<LimitDetail>,
}

impl Problem {
    /// A problem that is not about a limit.
    #[must_use]
    pub fn new(code: &str, sentence: String) -> Self {
        Self {
            code: code.to_owned(),
            sentence,
            limit: None,
        }
    }
}

/// One second of one run on one node: endpoints × metrics, by column.
///
/// Bounds: at most [`FRAME_ROWS_MAX`] rows; a node with more sends several frames for one second,
/// the last of them with `last_of_second`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The run.
    pub run: RunId,
    /// The node.
    pub node: NodeId,
    /// The coordinator epoch under which the run was commanded.
    pub epoch: u64,
    /// Counts this node's frames of this run from 0 without a hole.
    pub sequence: u64,
    /// Whole seconds of the node's own count, second 0 being the one in which the run began there (so
    /// it is shorter); row values belong to [second, second + 1).
    pub second: u32,
    /// True for the last (or only) frame of this second.
    pub last_of_second: bool,
    /// The endpoints that have rows here.
    pub endpoints: Vec<EndpointIndex>,
    /// The phase of each at the end of the second.
    pub phases: Vec<Phase>,
    /// One column for each metric that any of them has; same order as `endpoints`.
    pub columns: Vec<Column>,
    /// The generator's own second; with `last_of_second` only.
    pub generator: Option<GeneratorSecond>,
}

/// Most rows in one frame: keeps a frame below NATS' 1 MiB with every metric present.
pub const FRAME_ROWS_MAX: usize = 1_000;

/// One metric of all rows of a frame. NaN: absent (never 0 for "no data").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Which.
    pub metric: MetricId,
    /// As many as the frame has endpoints.
    pub values: Vec<f32>,
}

/// The generator's own health in one second on one node (DESIGN 11).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratorSecond {
    /// Lateness of RTP packets against their schedule, in microseconds.
    pub send_late_us: Histogram,
    /// Lateness of SIP timers and planned starts, in microseconds.
    pub timer_late_us: Histogram,
    /// CPU of this process in this second: 1.0 is one core busy.
    pub cpu_cores: f32,
    /// Datagrams that our own socket buffers dropped (SO_RXQ_OVFL).
    pub socket_drops: u64,
    /// Packets whose slot was skipped because the engine was too late.
    pub skipped_packets: u64,
    /// Messages refused by a full mailbox, queue or table.
    pub refused: u64,
    /// Datagrams at shared RTP sockets that no stream expects, or that several might have meant.
    pub strangers: u64,
    /// Endpoints that panicked and were rebuilt.
    pub panics: u64,
    /// Resident memory of the process in octets.
    pub resident_bytes: u64,
}

/// How an endpoint ended, with everything measured over its life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndpointReport {
    /// The run.
    pub run: RunId,
    /// Its number.
    pub endpoint: EndpointIndex,
    /// Its group.
    pub group: GroupIndex,
    /// Account or local user name.
    pub account: String,
    /// Where it ran.
    pub node: NodeId,
    /// How far it came.
    pub phase: Phase,
    /// How it ended.
    pub outcome: Outcome,
    /// One sentence for people: what happened and what to check.
    pub reason: String,
    /// Last SIP code of the registration.
    pub registration_code: Option<u16>,
    /// Last SIP code of the call.
    pub call_code: Option<u16>,
    /// Reason phrase or Reason header beside `call_code`.
    pub call_reason: Option<String>,
    /// Un-REGISTER was confirmed with 200.
    pub unregistered: bool,
    /// The calls it took part in, oldest first; at most [`CALLS_PER_ENDPOINT_MAX`].
    pub calls: Vec<CallReport>,
}

/// Calls kept in detail for one endpoint; further ones are counted in the metrics only.
pub const CALLS_PER_ENDPOINT_MAX: usize = 16;

/// One call as one endpoint saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallReport {
    /// The SIP Call-ID.
    pub call_id: String,
    /// True where we sent the INVITE.
    pub caller: bool,
    /// 200 OK and ACK were exchanged.
    pub established: bool,
    /// Final code of the INVITE.
    pub code: Option<u16>,
    /// INVITE (sent or received) in milliseconds after the run's begin.
    pub started_ms: u64,
    /// RFC 6076 SRD of a successful attempt.
    pub pdd_ms: Option<f32>,
    /// INVITE to 200.
    pub setup_ms: Option<f32>,
    /// 200 to BYE.
    pub duration_ms: Option<f32>,
    /// BYE to its 2xx.
    pub sdd_ms: Option<f32>,
    /// Whole-call media figures; none where no media was set up.
    pub media: Option<MediaReport>,
}

/// Media of one whole call at one end. Cumulative figures, not averages of seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MediaReport {
    /// Codec that was agreed, by its SDP name.
    pub codec: String,
    /// Where we listened.
    pub local: String,
    /// Where we sent to.
    pub remote: String,
    /// Our SSRC.
    pub ssrc: u32,
    /// The peer's SSRC, once a packet came.
    pub remote_ssrc: Option<u32>,
    /// RTP packets sent.
    pub tx_packets: u64,
    /// RTP packets received, duplicates counted.
    pub rx_packets: u64,
    /// Expected by sequence number.
    pub rx_expected: u64,
    /// Expected minus received.
    pub rx_lost: i64,
    /// Duplicates.
    pub rx_duplicates: u64,
    /// Reordered.
    pub rx_reordered: u64,
    /// Discarded by the playout buffer model.
    pub discarded: u64,
    /// Packets of strangers.
    pub strangers: u64,
    /// `rx_lost / rx_expected`.
    pub loss_pct: Option<f32>,
    /// Lost and discarded of expected: the E-model's Ppl.
    pub ppl_pct: Option<f32>,
    /// Burst ratio over the call.
    pub burst_r: Option<f32>,
    /// Mean of the RFC 3550 jitter over all packets.
    pub jitter_mean_ms: Option<f32>,
    /// Largest RFC 3550 jitter.
    pub jitter_max_ms: Option<f32>,
    /// Mean of all RTT samples.
    pub rtt_mean_ms: Option<f32>,
    /// Largest RTT sample.
    pub rtt_max_ms: Option<f32>,
    /// RTT samples.
    pub rtt_samples: u32,
    /// Whole-call MOS-CQ on `scale`.
    pub mos: Option<f32>,
    /// Whole-call R on `scale`.
    pub r: Option<f32>,
    /// `NB`, `WB` or `FB`.
    pub scale: String,
    /// False where the codec has no published Ie and Bpl.
    pub grounded: bool,
    /// Bursts over the call, RFC 3611 by definition.
    pub bursts: u32,
    /// Burst density in per cent.
    pub burst_density_pct: Option<f32>,
    /// Loss of what we sent, as the far end reported last (cumulative).
    pub tx_lost_reported: Option<i64>,
    /// Jitter of what we sent, as the far end reported last.
    pub tx_jitter_reported_ms: Option<f32>,
    /// MOS-CQ as the far end's XR reported last.
    pub tx_mos_reported: Option<f32>,
    /// Packets that the far end says it sent, as its last sender report says.
    pub remote_sent_packets: Option<u32>,
    /// Packets that the kernel refused.
    pub tx_errors: u64,
    /// Slots skipped because the engine came too late.
    pub tx_skipped: u64,
    /// Sequence numbers that never came: what `loss_pct` and the E-model count.
    pub rx_missing: u64,
    /// MOS without the delay impairment, on `scale`.
    pub mos_lq: Option<f32>,
    /// Delay impairment Id.
    pub id: Option<f32>,
    /// Effective equipment impairment Ie,eff.
    pub ie_eff: Option<f32>,
    /// One-way mouth-to-ear delay that the E-model used.
    pub delay_ms: Option<f32>,
    /// False where the network's part of `delay_ms` was never known and is left out.
    pub delay_has_network: bool,
    /// Mean one-way network delay, where both ends share a clock.
    pub one_way_delay_ms: Option<f32>,
    /// Mean delay of the playout buffer model.
    pub jb_delay_ms: Option<f32>,
    /// Where Ie and Bpl come from.
    pub mos_profile: String,
    /// RTCP compound packets sent.
    pub rtcp_sent: u64,
    /// RTCP compound packets received.
    pub rtcp_received: u64,
}

/// The SIP messages of one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The run.
    pub run: RunId,
    /// The endpoint.
    pub endpoint: EndpointIndex,
    /// Messages that the bounded ring had to drop before the first one here.
    pub dropped: u32,
    /// Oldest first.
    pub messages: Vec<TraceMessage>,
}

/// One SIP message of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceMessage {
    /// Microseconds after the run's begin.
    pub at_us: u64,
    /// True where we sent it.
    pub sent: bool,
    /// Our address.
    pub local: String,
    /// The other's.
    pub remote: String,
    /// `UDP` or `TCP`.
    pub transport: String,
    /// As on the wire.
    pub bytes: Vec<u8>,
}
