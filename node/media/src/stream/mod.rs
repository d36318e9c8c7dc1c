//! One audio stream of one call at one end: sends a clip, measures what comes, talks RTCP.
//!
//! Owns: everything about one stream that is not a socket. Never: a clock (time comes in), a
//! thread, an address. `Stream` is sans-IO: the engine gives it datagrams and instants, it gives
//! back octets and figures. No call allocates but `new` and the RTCP ones.
//! Source: RFC 3550, RFC 3551, RFC 3611, RFC 5761.

mod config;
mod second;

use std::time::{Duration, Instant};

pub use config::{Playout, StreamConfig};
pub use second::{Scale, StreamSecond, StreamSummary};

/// Wall clock as NTP has it: seconds since 1900 in the upper, their fraction in the lower 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// From the time since 1970 (RFC 868's offset between the epochs; wraps in 2036 as NTP does).
    #[must_use]
    pub fn from_unix(since_1970: Duration) -> Self {
        const UNIX_EPOCH_IN_NTP: u64 = 2_208_988_800;
        let seconds = since_1970.as_secs().wrapping_add(UNIX_EPOCH_IN_NTP) & 0xFFFF_FFFF;
        let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// The middle 32 bits, 1/65536 s each (RFC 3550 §4).
    #[must_use]
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// What became of a datagram that was given as RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpVerdict {
    /// Measured.
    Measured,
    /// Held back until a second packet in sequence confirms a new source or a restart.
    Probation,
    /// A sequence number that had come before: counted.
    Duplicate,
    /// Not an agreed payload type: counted.
    WrongPayloadType,
    /// Not RTP by the bounds check: counted.
    Invalid,
}

/// One stream.
pub struct Stream {
    config: StreamConfig,
    started: Instant,
}

impl Stream {
    /// A stream that starts at `now` (the first packet's delay counts from here).
    #[must_use]
    pub fn new(now: Instant, config: StreamConfig) -> Self {
        Self {
            config,
            started: now,
        }
    }

    /// Writes the packet of this ptime slot, header and payload, and gives its length.
    ///
    /// `now` is the moment of the call; `sent` tells afterwards how late that was. None: we do not
    /// send, have no clip, or `buf` is too small (counted as an error).
    pub fn next_packet(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        let _ = (now, buf);
        None
    }

    /// The engine was too late for `n` slots: audio and timestamps go on, the sequence does not.
    pub fn skip_slots(&mut self, n: u32) {
        let _ = n;
    }

    /// Tells what became of the packet of the last `next_packet`: `late` against its schedule,
    /// `ok` false where the kernel refused it.
    pub fn sent(&mut self, late: Duration, ok: bool) {
        let _ = (late, ok);
    }

    /// A datagram from the agreed address that is RTP by `rtp::classify` (or nothing at all).
    pub fn on_rtp(&mut self, arrival: Instant, datagram: &[u8]) -> RtpVerdict {
        let _ = (arrival, datagram);
        RtpVerdict::Invalid
    }

    /// An RTCP datagram from the agreed address. `wall` is the wall clock at `now`.
    pub fn on_rtcp(&mut self, now: Instant, wall: NtpTime, datagram: &[u8]) {
        let _ = (now, wall, datagram);
    }

    /// A packet came for us from an address or a source that was not agreed.
    pub fn on_stranger(&mut self) {}

    /// A datagram came that `rtp::classify` calls invalid.
    pub fn on_invalid(&mut self) {}

    /// When `write_rtcp` wants to be called.
    #[must_use]
    pub fn rtcp_deadline(&self) -> Option<Instant> {
        None
    }

    /// Writes a compound report and plans the next. None: not due, no RTCP, or `buf` too small
    /// ([`RTCP_MAX`] octets are enough).
    pub fn write_rtcp(&mut self, now: Instant, wall: NtpTime, buf: &mut [u8]) -> Option<usize> {
        let _ = (now, wall, buf);
        None
    }

    /// Writes the last compound report, with BYE. Nothing is planned after it.
    pub fn write_bye(&mut self, now: Instant, wall: NtpTime, buf: &mut [u8]) -> Option<usize> {
        let _ = (now, wall, buf);
        None
    }

    /// Hold and resume.
    pub fn set_direction(&mut self, send: bool, receive: bool) {
        self.config.send = send;
        self.config.receive = receive;
    }

    /// True where `ssrc` is the source that is measured now.
    #[must_use]
    pub fn expects(&self, ssrc: u32) -> bool {
        let _ = ssrc;
        false
    }

    /// Figures since the last call of this; their second is over.
    pub fn close_second(&mut self, now: Instant) -> StreamSecond {
        let _ = now.saturating_duration_since(self.started);
        StreamSecond::default()
    }

    /// Figures of the call so far.
    #[must_use]
    pub fn summary(&self) -> StreamSummary {
        StreamSummary::default()
    }
}

/// Octets that the largest compound packet of ours needs.
pub const RTCP_MAX: usize = 512;
