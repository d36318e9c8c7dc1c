//! One audio stream of one call at one end: sends a clip, measures what comes, talks RTCP.
//!
//! Owns: everything about one stream that is not a socket. Never: a clock (time comes in), a
//! thread, an address. `Stream` is sans-IO: the engine gives it datagrams and instants, it gives
//! back octets and figures. No call allocates but `new` and the RTCP ones.
//! Source: RFC 3550, RFC 3551, RFC 3611, RFC 5761.

mod config;
mod control;
mod rating;
mod receive;
mod report;
mod sampled;
mod second;

use std::time::{Duration, Instant};

use crate::rtcp::Bye;
use crate::rtp::{Sender, SenderStart};
use control::{Control, Own};
use rating::Rater;
use receive::Receiver;
use report::Closed;

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
    sender: Sender,
    receiver: Receiver,
    control: Control,
    rater: Rater,
    second_began: Instant,
    direction_changed: bool,
    closed: Closed,
}

impl Stream {
    /// A stream that starts at `now` (the first packet's delay counts from here).
    #[must_use]
    pub fn new(now: Instant, config: StreamConfig) -> Self {
        let start = SenderStart {
            ssrc: config.ssrc,
            payload_type: config.payload_type,
            sequence: config.first_sequence,
            timestamp: config.first_timestamp,
            ptime: Duration::from_millis(u64::from(config.ptime_ms)),
        };
        let mut sender = Sender::new(&start, config.clip.clone());
        if !config.send {
            sender.pause();
        }
        Self {
            sender,
            receiver: Receiver::new(now, &config),
            control: Control::new(now, &config),
            rater: Rater::new(config.codec, config.plc, config.ptime_ms),
            second_began: now,
            // The second in which it begins is not a whole one, whatever its length.
            direction_changed: true,
            closed: Closed::default(),
            config,
        }
    }

    /// Writes the packet of this ptime slot, header and payload, and gives its length.
    ///
    /// `now` is the moment of the call; `sent` tells afterwards how late that was, and so when the
    /// packet was due: sender reports need it. None: we do not send, have no clip, or `buf` is too
    /// small (counted as an error).
    pub fn next_packet(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        self.sender.next_packet(now, buf)
    }

    /// The engine was too late for `n` slots: audio and timestamps go on, the sequence does not.
    pub fn skip_slots(&mut self, n: u32) {
        self.sender.skip_slots(n);
    }

    /// Tells what became of the packet of the last `next_packet`: `late` against its schedule,
    /// `ok` false where the kernel refused it.
    pub fn sent(&mut self, late: Duration, ok: bool) {
        self.sender.sent(late, ok);
    }

    /// A datagram from the agreed address that `rtp::classify` calls RTP. It is measured on hold
    /// too. `arrival`: the kernel's receive time is best.
    pub fn on_rtp(&mut self, arrival: Instant, datagram: &[u8]) -> RtpVerdict {
        self.receiver.on_rtp(arrival, datagram)
    }

    /// An RTCP datagram from the agreed address. `wall` is the wall clock at `now`, read together
    /// with it: their distance goes into the one-way delay.
    pub fn on_rtcp(&mut self, now: Instant, wall: NtpTime, datagram: &[u8]) {
        self.control
            .on_rtcp(now, wall, datagram, &mut self.receiver);
    }

    /// A packet came for us from an address or a source that was not agreed.
    pub fn on_stranger(&mut self) {
        self.receiver.counts.strangers += 1;
    }

    /// A datagram came that `rtp::classify` calls invalid.
    pub fn on_invalid(&mut self) {
        self.receiver.counts.invalid += 1;
    }

    /// When `write_rtcp` wants to be called; None where no RTCP is sent (any more).
    #[must_use]
    pub fn rtcp_deadline(&self) -> Option<Instant> {
        self.control.deadline
    }

    /// Writes a compound report and plans the next. None: not due yet, or `buf` too small
    /// ([`RTCP_MAX`] octets are enough).
    pub fn write_rtcp(&mut self, now: Instant, wall: NtpTime, buf: &mut [u8]) -> Option<usize> {
        let due = self
            .control
            .deadline
            .is_some_and(|deadline| deadline <= now);
        if due {
            self.write(now, wall, Bye::Stay, buf)
        } else {
            None
        }
    }

    /// Writes the last compound report, with BYE. Nothing is planned after it. None: no RTCP is
    /// sent, BYE was written before, or `buf` too small.
    pub fn write_bye(&mut self, now: Instant, wall: NtpTime, buf: &mut [u8]) -> Option<usize> {
        self.control.deadline?;
        self.write(now, wall, Bye::Leave, buf)
    }

    /// Hold and resume. Sending again begins a talkspurt.
    pub fn set_direction(&mut self, send: bool, receive: bool) {
        if (send, receive) == (self.config.send, self.config.receive) {
            return;
        }
        self.direction_changed = true;
        if send {
            self.sender.resume();
        } else {
            self.sender.pause();
        }
        if receive && !self.config.receive {
            self.receiver.forget_timing();
            self.receiver.spacing.forget_last();
        }
        self.config.send = send;
        self.config.receive = receive;
    }

    /// True where `ssrc` is the source that is measured now.
    #[must_use]
    pub fn expects(&self, ssrc: u32) -> bool {
        self.receiver.remote == Some(ssrc)
    }

    fn write(&mut self, now: Instant, wall: NtpTime, bye: Bye, buf: &mut [u8]) -> Option<usize> {
        let rated = self.whole_call().filter(|_| self.config.rtcp_xr);
        let newest = self.control.round_trips.newest();
        let own = Own {
            sent: self.sender.total(),
            anchor: self.sender.anchor(),
            voip: self
                .config
                .rtcp_xr
                .then(|| self.rater.voip(&self.receiver, rated.as_ref(), newest))
                .flatten(),
            receiver: &self.receiver,
        };
        self.control.write(now, wall, own, bye, buf)
    }
}

/// Octets that the largest compound packet of ours needs.
pub const RTCP_MAX: usize = 512;

#[cfg(test)]
mod tests;
