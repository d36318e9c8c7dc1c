//! What the media threads tell the node. Plain data.

use std::net::SocketAddr;

use media::stream::{StreamSecond, StreamSummary};
use nix::errno::Errno;
use shared::stat::Histogram;

use crate::net::egress::Refused;

/// Names a stream; chosen by whoever starts it, unique in an engine while the stream lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A report of one media thread.
#[derive(Clone, Debug)]
pub enum MediaReport {
    /// One second of one thread.
    Second(Box<MediaSecond>),
    /// A stream has ended; nothing more will come of it.
    Ended {
        /// Which.
        id: StreamId,
        /// The engine second in which it ended.
        engine_second: u64,
        /// The whole call.
        summary: Box<StreamSummary>,
        /// What came after its last whole second; its `length_ms` says how long that was.
        last: Box<StreamSecond>,
    },
    /// Something went wrong; at most one a second for each stream.
    Trouble {
        /// Whose; none where several streams send to the address and the kernel does not say.
        id: Option<StreamId>,
        /// What.
        what: TroubleWhat,
    },
}

/// One second of all streams of one media thread, and the thread's own health.
#[derive(Clone, Debug, Default)]
pub struct MediaSecond {
    /// The thread, from 0.
    pub thread: usize,
    /// Whole seconds from [`super::Engine::start`] to the begin of this one; all threads agree.
    pub engine_second: u64,
    /// The streams that lived at its end. A stream's second begins and ends up to one ptime after
    /// the engine's, always at the same place.
    pub rows: Vec<(StreamId, StreamSecond)>,
    /// Lateness of every RTP packet sent, against its 1 ms tick, in microseconds.
    pub send_late_us: Histogram,
    /// Packets whose slot was skipped because the thread was later than their ptime.
    pub skipped: u64,
    /// Datagrams that our socket buffers dropped (`SO_RXQ_OVFL`).
    pub socket_drops: u64,
    /// Datagrams at shared sockets from addresses that no stream expects.
    pub strangers: u64,
    /// Datagrams at shared sockets that several streams might have meant.
    pub ambiguous: u64,
    /// Reports that did not fit into the channel to the node since the last second that did.
    pub refused_reports: u64,
    /// Steps of the wall clock that were kept out of the arrival times, since the start.
    pub clock_steps: u64,
    /// CPU time of the thread in this second, in microseconds.
    pub cpu_us: u64,
    /// Streams that lived at its end.
    pub streams: u32,
}

/// What went wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TroubleWhat {
    /// The kernel refused packets or an ICMP error came back.
    #[error("packets to {address} do not arrive: {errno} ({times} times since the last report)")]
    Network {
        /// Where they were sent.
        address: SocketAddr,
        /// What the kernel said; `ECONNREFUSED` is ICMP "port unreachable".
        errno: Errno,
        /// How often since the last report.
        times: u32,
    },
    /// The destination is not allowed: nothing is sent there.
    #[error(transparent)]
    Egress(#[from] Refused),
    /// A stream of this id is already there: the new one was dropped.
    #[error("a stream of this id exists already")]
    Duplicate,
    /// The thread has no room: the new stream was dropped.
    #[error("the media thread has {limit} streams already, which is its bound")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// Redirect or stop of a stream that is not there.
    #[error("there is no stream of this id")]
    Unknown,
}
