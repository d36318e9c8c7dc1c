//! The packets that we send: one clip in a loop.
//!
//! Owns: sequence number, timestamp, marker, what was sent. Never: when to send, or to whom.
//! Source: RFC 3550 §5.1; RFC 3551 §4.1 for the marker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtp::header::Header;
use webrtc_util::marshal::Marshal;

use crate::codec::EncodedClip;

/// Sends one clip. Bounds: no allocation after `new`.
#[derive(Debug)]
pub struct Sender {
    header: Header,
    clip: Option<Arc<EncodedClip>>,
    frame: usize,
    ticks: u32,
    ptime: Duration,
    /// Octets of payload of the packet that `sent` has not told of yet, and its moment.
    pending: Option<(u32, u32, Instant)>,
    anchor: Option<Anchor>,
    paused: bool,
    resumed: bool,
    second: Sent,
    closed: Sent,
}

/// A timestamp and the moment at which it was due: the media clock against the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// RTP timestamp.
    pub timestamp: u32,
    /// When the packet that carried it was due.
    pub due: Instant,
}

/// What was sent in a second or a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets that the kernel took.
    pub packets: u64,
    /// Their payload octets.
    pub bytes: u64,
    /// Packets that it refused, or that did not fit the buffer.
    pub errors: u64,
    /// Slots for which the engine came too late.
    pub skipped: u64,
    /// Largest lateness of a packet; none where none was sent.
    pub late_max: Option<Duration>,
}

/// How a sender begins.
#[derive(Clone, Debug)]
pub struct SenderStart {
    /// Our SSRC.
    pub ssrc: u32,
    /// What the packets are marked as.
    pub payload_type: u8,
    /// First sequence number.
    pub sequence: u16,
    /// First timestamp.
    pub timestamp: u32,
    /// Distance of packets.
    pub ptime: Duration,
}

impl Sender {
    /// A sender whose first packet carries the marker.
    #[must_use]
    pub fn new(start: &SenderStart, clip: Option<Arc<EncodedClip>>) -> Self {
        let header = Header {
            version: 2,
            marker: true,
            payload_type: start.payload_type & 0x7F,
            sequence_number: start.sequence,
            timestamp: start.timestamp,
            ssrc: start.ssrc,
            ..Header::default()
        };
        let ticks = clip.as_ref().map_or(0, |clip| clip.ticks_per_frame);
        Self {
            header,
            clip,
            frame: 0,
            ticks,
            ptime: start.ptime,
            pending: None,
            anchor: None,
            paused: false,
            resumed: false,
            second: Sent::default(),
            closed: Sent::default(),
        }
    }

    /// Writes header and payload of this slot. None: paused, nothing to send, or `buf` too small.
    pub fn next_packet(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        if self.paused {
            return None;
        }
        if self.resumed {
            self.begin_talkspurt(now);
        }
        let clip = self.clip.as_ref()?;
        let payload = clip.frames.get(self.frame)?;
        let Some(room) = buf.get_mut(..HEADER_LENGTH + payload.len()) else {
            self.second.errors += 1;
            return None;
        };
        let (head, body) = room.split_at_mut(HEADER_LENGTH);
        self.header.marshal_to(head).ok()?;
        body.copy_from_slice(payload);
        let octets = payload.len() as u32;
        self.frame = if self.frame + 1 < clip.frames.len() {
            self.frame + 1
        } else {
            0
        };
        self.pending = Some((octets, self.header.timestamp, now));
        self.header.marker = false;
        self.header.sequence_number = self.header.sequence_number.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(self.ticks);
        Some(HEADER_LENGTH + octets as usize)
    }

    /// Tells what became of the packet written last.
    pub fn sent(&mut self, late: Duration, ok: bool) {
        let Some((octets, timestamp, at)) = self.pending.take() else {
            return;
        };
        let due = at.checked_sub(late).unwrap_or(at);
        self.anchor = Some(Anchor { timestamp, due });
        if !ok {
            self.second.errors += 1;
            return;
        }
        self.second.packets += 1;
        self.second.bytes += u64::from(octets);
        self.second.late_max = self.second.late_max.max(Some(late));
    }

    /// The engine came too late for `n` slots: audio and timestamps go on, the sequence does not.
    pub fn skip_slots(&mut self, n: u32) {
        let Some(clip) = self.clip.as_ref().filter(|_| !self.paused) else {
            return;
        };
        self.second.skipped += u64::from(n);
        self.header.timestamp = self
            .header
            .timestamp
            .wrapping_add(self.ticks.wrapping_mul(n));
        self.frame = (self.frame + n as usize) % clip.frames.len().max(1);
    }

    /// Stops sending until `resume`.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Sends again: the next packet begins a talkspurt.
    pub fn resume(&mut self) {
        self.resumed |= self.paused;
        self.paused = false;
    }

    /// The timestamp moves on with the clock while nothing is sent (RFC 3551 §4.1).
    fn begin_talkspurt(&mut self, now: Instant) {
        self.resumed = false;
        self.header.marker = true;
        let Some(anchor) = self.anchor else { return };
        let gone = now.saturating_duration_since(anchor.due).as_secs_f64();
        let slots = (gone / self.ptime.as_secs_f64().max(1e-3)).round().max(1.0) as u32;
        self.header.timestamp = anchor
            .timestamp
            .wrapping_add(self.ticks.wrapping_mul(slots));
    }

    /// The media clock's newest anchor; none before the first packet was sent.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor> {
        self.anchor
    }

    /// True where packets go out.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.paused && self.clip.is_some()
    }

    /// Since the last call of this.
    pub fn close_second(&mut self) -> Sent {
        let second = self.second;
        self.closed = self.total();
        self.second = Sent::default();
        second
    }

    /// The whole call.
    #[must_use]
    pub fn total(&self) -> Sent {
        Sent {
            packets: self.closed.packets + self.second.packets,
            bytes: self.closed.bytes + self.second.bytes,
            errors: self.closed.errors + self.second.errors,
            skipped: self.closed.skipped + self.second.skipped,
            late_max: self.closed.late_max.max(self.second.late_max),
        }
    }
}

/// A header without CSRCs and extensions.
pub const HEADER_LENGTH: usize = 12;

#[cfg(test)]
mod tests;
