//! What comes: sources, sequence, timing, playout.
//!
//! Owns: everything measured from the far end's RTP. Never: RTCP (that is `control`), ratings.
//! Source: RFC 3550 §8.2 (sources), §A.1, §A.3, §A.8.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::sampled::Sampled;
use super::{Playout, RtpVerdict, StreamConfig};
use crate::quality::drift::Drift;
use crate::quality::jitter::Jitter;
use crate::quality::playout::{PlayoutBuffer, Verdict};
use crate::quality::sequence::{Placed, Sequence};
use crate::quality::spacing::Spacing;
use crate::rtp::{self, Received};

/// The receiving side. Bounds: constant size, no allocation per packet (a packet with CSRCs or
/// header extensions costs one).
pub(super) struct Receiver {
    own_ssrc: u32,
    accept: SmallVec<[u8; 4]>,
    telephone_event: Option<u8>,
    ticks_per_ns: f64,
    ms_per_tick: f64,
    origin: Instant,
    pub(super) remote: Option<u32>,
    candidate: Option<Candidate>,
    pub(super) sequence: Sequence,
    pub(super) jitter: Jitter,
    pub(super) playout: PlayoutBuffer,
    pub(super) spacing: Spacing,
    pub(super) drift: Drift,
    pub(super) one_way: OneWay,
    media: MediaClock,
    fastest_ms: Option<f64>,
    pub(super) counts: Counts,
    /// Nanoseconds after `origin`.
    pub(super) first_packet: Option<i64>,
    pub(super) sampled: Option<Box<Sampled>>,
}

/// A source that would replace the present one (RFC 3550 §8.2), after one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    ssrc: u32,
    next: u16,
}

/// Packets by what they were; totals of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) packets: u64,
    pub(super) payload_octets: u64,
    pub(super) datagram_octets: u64,
    pub(super) invalid: u64,
    pub(super) strangers: u64,
    pub(super) wrong_pt: u64,
    /// In the sequence, but nothing that our codec could play.
    pub(super) unplayable: u64,
    pub(super) events: u64,
    pub(super) echoed: u64,
    pub(super) ssrc_changes: u64,
    pub(super) late: u64,
    pub(super) early: u64,
}

/// The sender's timestamps without wrap.
#[derive(Clone, Copy, Debug, Default)]
struct MediaClock {
    last: Option<u32>,
    extended: i64,
}

/// One-way delay: transit times, and what to add to them once a sender report fixed it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OneWay {
    offset_ms: Option<f64>,
    transit_sum: f64,
    transits: u32,
    sum: f64,
    samples: u64,
}

/// What a packet's payload type makes of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Audio,
    Event,
    ComfortNoise,
    Other,
}

impl Receiver {
    pub(super) fn new(now: Instant, config: &StreamConfig) -> Self {
        let playout = match config.playout {
            Playout::Fixed { delay_ms } => PlayoutBuffer::fixed(delay_ms),
            Playout::Adaptive { min_ms, max_ms } => PlayoutBuffer::adaptive(min_ms, max_ms),
        };
        Self {
            own_ssrc: config.ssrc,
            accept: config.accept_payload_types.clone(),
            telephone_event: config.telephone_event,
            ticks_per_ns: f64::from(config.codec.clock_rate()) / 1e9,
            ms_per_tick: 1e3 / f64::from(config.codec.clock_rate()),
            origin: now,
            remote: None,
            candidate: None,
            sequence: Sequence::new(),
            jitter: Jitter::default(),
            playout,
            spacing: Spacing::default(),
            drift: Drift::default(),
            one_way: OneWay::default(),
            media: MediaClock::default(),
            fastest_ms: None,
            counts: Counts::default(),
            first_packet: None,
            sampled: config.sampled.then(|| Box::new(Sampled::new(config.codec))),
        }
    }

    pub(super) fn on_rtp(&mut self, arrival: Instant, datagram: &[u8]) -> RtpVerdict {
        let Ok(packet) = rtp::read(datagram) else {
            self.counts.invalid += 1;
            return RtpVerdict::Invalid;
        };
        let kind = self.kind(packet.header.payload_type);
        let ssrc = packet.header.ssrc;
        if kind == Kind::Other || kind == Kind::ComfortNoise {
            self.counts.wrong_pt += 1;
            if self.remote != Some(ssrc) {
                return RtpVerdict::WrongPayloadType;
            }
        }
        let arrival_ns = self.nanoseconds(arrival);
        self.counts.packets += 1;
        self.counts.payload_octets += packet.payload_len as u64;
        self.counts.datagram_octets += datagram.len() as u64;
        self.counts.echoed += u64::from(ssrc == self.own_ssrc);
        self.first_packet.get_or_insert(arrival_ns);
        self.spacing.update(arrival_ns);
        let placed = match self.place(ssrc, packet.header.sequence_number) {
            Placed::Suspect => return RtpVerdict::Probation,
            Placed::Duplicate => return RtpVerdict::Duplicate,
            placed => placed,
        };
        if placed == Placed::Restarted {
            self.forget_timing();
        }
        match kind {
            Kind::Audio => self.time(arrival_ns, &packet),
            Kind::Event => self.counts.events += 1,
            Kind::ComfortNoise => return RtpVerdict::WrongPayloadType,
            Kind::Other => {
                self.counts.unplayable += 1;
                self.sequence.mark_unusable(packet.header.sequence_number);
                return RtpVerdict::WrongPayloadType;
            }
        }
        if let (Kind::Audio, Some(sampled)) = (kind, &mut self.sampled) {
            let end = packet.payload_offset + packet.payload_len;
            sampled.take(datagram.get(packet.payload_offset..end).unwrap_or_default());
        }
        RtpVerdict::Measured
    }

    /// The sender's clock was `ntp` when its media clock was `timestamp`; we share its clock, which
    /// shows `wall` at `now`.
    pub(super) fn on_shared_clock(&mut self, now: Instant, wall: u64, ntp: u64, timestamp: u32) {
        let Some(last) = self.media.last else { return };
        let extended = self.media.extended + i64::from(timestamp.wrapping_sub(last).cast_signed());
        let clocks_ms = wall.wrapping_sub(ntp).cast_signed() as f64 * (1_000.0 / 4_294_967_296.0);
        let now_ms = self.nanoseconds(now) as f64 / 1e6;
        let media_ms = extended as f64 * self.ms_per_tick;
        self.one_way.offset_ms = Some(clocks_ms - now_ms + media_ms);
    }

    /// After hold, the far end's clock may have stood still: compare nothing across the pause.
    pub(super) fn forget_timing(&mut self) {
        self.jitter.forget_last();
        self.playout.forget_reference();
        self.drift = Drift::default();
        self.media = MediaClock::default();
        self.fastest_ms = None;
        self.one_way.forget();
    }

    /// Gives the second's quickest transit to the drift estimate.
    pub(super) fn close_drift(&mut self, now: Instant) {
        if let Some(fastest) = self.fastest_ms.take() {
            self.drift
                .update(self.nanoseconds(now) as f64 / 1e9, fastest);
        }
    }

    fn place(&mut self, ssrc: u32, number: u16) -> Placed {
        if self.remote == Some(ssrc) {
            return self.sequence.place(number);
        }
        if self.remote.is_none() {
            self.remote = Some(ssrc);
            return self.sequence.place(number);
        }
        if self.candidate != Some(Candidate { ssrc, next: number }) {
            self.candidate = Some(Candidate {
                ssrc,
                next: number.wrapping_add(1),
            });
            return Placed::Suspect;
        }
        self.candidate = None;
        self.remote = Some(ssrc);
        self.counts.ssrc_changes += 1;
        self.sequence.change_source(number);
        Placed::Restarted
    }

    fn time(&mut self, arrival_ns: i64, packet: &Received) {
        let timestamp = packet.header.timestamp;
        let arrival_ticks = arrival_ns as f64 * self.ticks_per_ns;
        let repeated = self.media.last == Some(timestamp);
        if packet.header.marker && self.jumped(arrival_ticks, timestamp) {
            // Deviates from RFC 3550 §A.8: a talkspurt whose timestamp jumped by a second against
            // our clock comes from another media source behind the same SSRC, not from jitter.
            self.forget_timing();
        }
        let transit = arrival_ticks - self.media.extend(timestamp) as f64;
        if !repeated {
            self.jitter.update(transit);
        }
        let transit_ms = transit * self.ms_per_tick;
        self.fastest_ms = Some(self.fastest_ms.map_or(transit_ms, |ms| ms.min(transit_ms)));
        self.one_way.take(transit_ms);
        match self.playout.offer(transit_ms) {
            Verdict::Play => return,
            Verdict::Late => self.counts.late += 1,
            Verdict::Early => self.counts.early += 1,
        }
        self.sequence.mark_unusable(packet.header.sequence_number);
    }

    fn jumped(&self, arrival_ticks: f64, timestamp: u32) -> bool {
        let mut clock = self.media;
        let transit = arrival_ticks - clock.extend(timestamp) as f64;
        self.jitter
            .last()
            .is_some_and(|last| (transit - last).abs() >= self.ticks_per_ns * JUMP_NS)
    }

    fn kind(&self, payload_type: u8) -> Kind {
        if self.accept.contains(&payload_type) {
            Kind::Audio
        } else if self.telephone_event == Some(payload_type) {
            Kind::Event
        } else if payload_type == COMFORT_NOISE {
            Kind::ComfortNoise
        } else {
            Kind::Other
        }
    }

    /// After the stream's start; kernel times may lie a little before it.
    fn nanoseconds(&self, at: Instant) -> i64 {
        // In 64 bits: 292 years of call; `as_nanos` would take 128.
        let whole = |duration: Duration| {
            (duration.as_secs() as i64)
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::from(duration.subsec_nanos()))
        };
        match at.checked_duration_since(self.origin) {
            Some(after) => whole(after),
            None => -whole(self.origin.duration_since(at)),
        }
    }
}

impl MediaClock {
    fn extend(&mut self, timestamp: u32) -> i64 {
        let last = self.last.unwrap_or(timestamp);
        self.extended += i64::from(timestamp.wrapping_sub(last).cast_signed());
        self.last = Some(timestamp);
        self.extended
    }
}

impl OneWay {
    fn take(&mut self, transit_ms: f64) {
        self.transit_sum += transit_ms;
        self.transits += 1;
    }

    fn forget(&mut self) {
        *self = Self {
            sum: self.sum,
            samples: self.samples,
            ..Self::default()
        };
    }

    /// Mean of this second, where a sender report of a shared clock has come.
    pub(super) fn close_second(&mut self) -> Option<f64> {
        let (sum, count) = (self.transit_sum, self.transits);
        self.transit_sum = 0.0;
        self.transits = 0;
        let offset = self.offset_ms.filter(|_| count > 0)?;
        let mean = sum / f64::from(count) + offset;
        self.sum += mean * f64::from(count);
        self.samples += u64::from(count);
        Some(mean)
    }

    /// Mean of the call's closed seconds.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.sum / self.samples as f64)
    }
}

/// RFC 3551 §6: comfort noise, sent by many without being agreed; it is not speech lost.
const COMFORT_NOISE: u8 = 13;
const JUMP_NS: f64 = 1e9;
