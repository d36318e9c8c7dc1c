//! RTCP of one stream: what the far end says, and what we tell it.
//!
//! Owns: reports in both directions, round trips, the interval. Never: RTP statistics themselves.
//! Source: RFC 3550 §6; RFC 3611 §4.4, §4.5, §4.7.

use std::time::{Duration, Instant};

use ::rtcp::extended_report::VoIPMetricsReportBlock;
use ::rtcp::reception_report::ReceptionReport;
use ::rtcp::sender_report::SenderReport;

use super::receive::Receiver;
use super::{NtpTime, StreamConfig};
use crate::quality::round_trip::{RoundTrips, round_trip_ms};
use crate::rtcp::{self, Bye, Interval, Item, OwnReport, Reference};
use crate::rtp::{Anchor, Sent};

/// RTCP state of one stream.
pub(super) struct Control {
    ssrc: u32,
    cname: String,
    clock_rate: f64,
    xr: bool,
    interval: Interval,
    pub(super) deadline: Option<Instant>,
    pub(super) round_trips: RoundTrips,
    pub(super) counts: RtcpCounts,
    pub(super) far: FarReports,
    shares_clock: Option<u32>,
    last_sender_report: Option<Heard>,
    last_reference: Option<Heard>,
    /// Packets sent when the two reports before were written: none since then, and we are a mere
    /// receiver (RFC 3550 §6.4).
    sent_before: [u64; 2],
    reported: Reported,
}

/// RTCP counters; totals of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RtcpCounts {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) invalid: u64,
    pub(super) xr_sent: u64,
    pub(super) xr_received: u64,
    pub(super) bye_received: u64,
}

/// What the far end says of our stream. `fresh` fields came in this second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FarReports {
    pub(super) lost: Option<i64>,
    pub(super) jitter_ms: Option<f64>,
    pub(super) mos: Option<f64>,
    pub(super) sent_packets: Option<u32>,
    pub(super) fresh_loss_pct: Option<f64>,
    pub(super) fresh_jitter_ms: Option<f64>,
    pub(super) fresh_mos: Option<f64>,
    pub(super) fresh_r: Option<f64>,
    pub(super) bye: bool,
}

/// A report of the far end that ours must refer to.
#[derive(Clone, Copy, Debug)]
struct Heard {
    ssrc: u32,
    middle: u32,
    at: Instant,
}

/// What our last reception report was computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reported {
    ssrc: Option<u32>,
    resets: u64,
    expected: u64,
    received: u64,
}

/// What a report of ours needs of the rest of the stream.
pub(super) struct Own<'a> {
    pub(super) sent: Sent,
    pub(super) anchor: Option<Anchor>,
    pub(super) receiver: &'a Receiver,
    pub(super) voip: Option<VoIPMetricsReportBlock>,
}

impl Control {
    pub(super) fn new(now: Instant, config: &StreamConfig) -> Self {
        let mut interval = Interval::new(config.rtcp_interval, config.seed);
        let deadline = interval.first().map(|delay| now + delay);
        Self {
            ssrc: config.ssrc,
            cname: config.cname.clone(),
            clock_rate: f64::from(config.codec.clock_rate()),
            xr: config.rtcp_xr,
            interval,
            deadline,
            round_trips: RoundTrips::default(),
            counts: RtcpCounts::default(),
            far: FarReports::default(),
            shares_clock: None,
            last_sender_report: None,
            last_reference: None,
            sent_before: [0, 0],
            reported: Reported::default(),
        }
    }

    pub(super) fn on_rtcp(
        &mut self,
        now: Instant,
        wall: NtpTime,
        datagram: &[u8],
        receiver: &mut Receiver,
    ) {
        let mut clock = None;
        match rtcp::read(datagram, |item| {
            self.take(now, wall, &item, receiver, &mut clock)
        }) {
            Ok(()) => self.counts.received += 1,
            Err(_) => self.counts.invalid += 1,
        }
        // The CNAME stands behind the SR in a compound, so the SR is used after the whole is read.
        if let Some((ssrc, ntp, timestamp)) = clock
            && self.shares_clock == Some(ssrc)
        {
            receiver.on_shared_clock(now, wall.0, ntp, timestamp);
        }
    }

    fn take(
        &mut self,
        now: Instant,
        wall: NtpTime,
        item: &Item<'_>,
        receiver: &Receiver,
        clock: &mut Option<(u32, u64, u32)>,
    ) {
        let from_remote = |ssrc: u32| receiver.remote.is_none_or(|remote| remote == ssrc);
        match *item {
            Item::Sender(report) if from_remote(report.ssrc) => {
                let middle = NtpTime(report.ntp_time).middle();
                self.last_sender_report = Some(Heard {
                    ssrc: report.ssrc,
                    middle,
                    at: now,
                });
                self.far.sent_packets = Some(report.packet_count);
                *clock = Some((report.ssrc, report.ntp_time, report.rtp_time));
            }
            Item::Block(block) if block.ssrc == self.ssrc => self.take_block(wall, block),
            Item::Cname { ssrc, name } if from_remote(ssrc) => {
                let ours = clock_domain(self.cname.as_bytes());
                let shared = ours.is_some() && ours == clock_domain(name);
                self.shares_clock = shared.then_some(ssrc);
            }
            Item::Bye { ssrc } => {
                self.counts.bye_received += 1;
                self.far.bye |= from_remote(ssrc);
            }
            Item::Extended => self.counts.xr_received += 1,
            Item::ReferenceTime { ssrc, ntp } if from_remote(ssrc) => {
                let middle = NtpTime(ntp).middle();
                self.last_reference = Some(Heard {
                    ssrc,
                    middle,
                    at: now,
                });
            }
            // Zero: they have not heard a reference time of ours (RFC 3611 §4.5).
            Item::LastReference { ssrc, last, delay } if ssrc == self.ssrc && last != 0 => {
                self.round_trips
                    .take(round_trip_ms(wall.middle(), last, delay));
            }
            Item::Voip(metrics) if metrics.ssrc == self.ssrc => self.take_voip(metrics),
            // Of other sources, or about them.
            Item::Sender(_)
            | Item::Block(_)
            | Item::Cname { .. }
            | Item::ReferenceTime { .. }
            | Item::LastReference { .. }
            | Item::Voip(_) => {}
        }
    }

    fn take_block(&mut self, wall: NtpTime, block: &ReceptionReport) {
        // 24 bits, signed (RFC 3550 §6.4.1); the crate has them unsigned.
        let lost = i64::from((block.total_lost << 8).cast_signed() >> 8);
        let jitter_ms = f64::from(block.jitter) * 1_000.0 / self.clock_rate;
        self.far.lost = Some(lost);
        self.far.jitter_ms = Some(jitter_ms);
        self.far.fresh_jitter_ms = Some(jitter_ms);
        self.far.fresh_loss_pct = Some(f64::from(block.fraction_lost) * 100.0 / 256.0);
        // Zero: they have not heard a sender report of ours.
        if block.last_sender_report != 0 {
            let sample = round_trip_ms(wall.middle(), block.last_sender_report, block.delay);
            self.round_trips.take(sample);
        }
    }

    fn take_voip(&mut self, metrics: &VoIPMetricsReportBlock) {
        // 127 says that it is not available (RFC 3611 §4.7.5).
        if (10..=50).contains(&metrics.mos_cq) {
            let mos = f64::from(metrics.mos_cq) / 10.0;
            self.far.mos = Some(mos);
            self.far.fresh_mos = Some(mos);
        }
        if metrics.rfactor <= 100 {
            self.far.fresh_r = Some(f64::from(metrics.rfactor));
        }
    }

    /// Writes a compound and plans the next; after BYE nothing is planned.
    pub(super) fn write(
        &mut self,
        now: Instant,
        wall: NtpTime,
        own: Own<'_>,
        bye: Bye,
        buf: &mut [u8],
    ) -> Option<usize> {
        let sends = own.sent.packets > self.sent_before[0];
        let sender = own
            .anchor
            .filter(|_| sends)
            .map(|anchor| self.sender(now, wall, anchor, &own));
        let last_reference = self
            .last_reference
            .filter(|_| self.xr)
            .map(|heard| Reference {
                ssrc: heard.ssrc,
                last: heard.middle,
                delay: units_since(now, heard.at),
            });
        let block = self.block(now, own.receiver);
        let report = OwnReport {
            ssrc: self.ssrc,
            cname: &self.cname,
            // A sender learns the round trip from reception reports (RFC 3611 §4.4).
            reference_ntp: (self.xr && sender.is_none()).then_some(wall.0),
            sender,
            block,
            last_reference,
            voip: own.voip.filter(|_| self.xr),
            bye,
        };
        let has_xr = report.reference_ntp.is_some()
            || report.last_reference.is_some()
            || report.voip.is_some();
        let length = rtcp::write(report, buf);
        self.deadline = match bye {
            Bye::Leave => None,
            Bye::Stay => self.interval.following().map(|delay| now + delay),
        };
        if length.is_some() {
            self.counts.sent += 1;
            self.counts.xr_sent += u64::from(has_xr);
            self.sent_before = [self.sent_before[1], own.sent.packets];
        }
        length
    }

    fn sender(&self, now: Instant, wall: NtpTime, anchor: Anchor, own: &Own<'_>) -> SenderReport {
        let since = now.saturating_duration_since(anchor.due).as_secs_f64();
        let ticks = (since * self.clock_rate).round() as u64 as u32;
        SenderReport {
            ntp_time: wall.0,
            rtp_time: anchor.timestamp.wrapping_add(ticks),
            packet_count: own.sent.packets as u32,
            octet_count: own.sent.bytes as u32,
            ..SenderReport::default()
        }
    }

    /// RFC 3550 §A.3; none before a packet came.
    fn block(&mut self, now: Instant, receiver: &Receiver) -> Option<ReceptionReport> {
        let ssrc = receiver.remote?;
        let segment = receiver.sequence.segment();
        let resets = receiver.sequence.totals().resets;
        let before = if self.reported.ssrc == Some(ssrc) && self.reported.resets == resets {
            self.reported
        } else {
            Reported::default()
        };
        let (expected, received) = (segment.expected, segment.received);
        self.reported = Reported {
            ssrc: Some(ssrc),
            resets,
            expected,
            received,
        };
        let expected_interval = expected as i64 - before.expected as i64;
        let lost_interval = expected_interval - (received as i64 - before.received as i64);
        let fraction_lost = if expected_interval <= 0 || lost_interval <= 0 {
            0
        } else {
            ((lost_interval << 8) / expected_interval).min(255) as u8
        };
        let lost = (expected as i64 - received as i64).clamp(-0x80_0000, 0x7F_FFFF) as i32;
        let heard = self.last_sender_report.filter(|heard| heard.ssrc == ssrc);
        Some(ReceptionReport {
            ssrc,
            fraction_lost,
            total_lost: lost.cast_unsigned() & 0xFF_FFFF,
            last_sequence_number: segment.highest,
            jitter: receiver.jitter.reported(),
            last_sender_report: heard.map_or(0, |heard| heard.middle),
            delay: heard.map_or(0, |heard| units_since(now, heard.at)),
        })
    }
}

impl FarReports {
    /// Forgets what belonged to this second only.
    pub(super) fn close_second(&mut self) -> Self {
        let second = *self;
        self.fresh_loss_pct = None;
        self.fresh_jitter_ms = None;
        self.fresh_mos = None;
        self.fresh_r = None;
        second
    }
}

/// The part behind the last `@`; none where it is missing or empty.
fn clock_domain(cname: &[u8]) -> Option<&[u8]> {
    let at = cname.iter().rposition(|octet| *octet == b'@')?;
    cname.get(at + 1..).filter(|domain| !domain.is_empty())
}

/// In 1/65536 s, at most what 32 bits hold.
fn units_since(now: Instant, at: Instant) -> u32 {
    let since: Duration = now.saturating_duration_since(at);
    u32::try_from((since.as_micros() << 16) / 1_000_000).unwrap_or(u32::MAX)
}
