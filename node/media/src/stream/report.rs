//! Fills the figures of a second and of the call.
//!
//! Owns: the differences between two moments. Never: measures.

use std::time::Instant;

use super::control::RtcpCounts;
use super::rating::{Rated, ppl_pct};
use super::receive::Counts;
use super::{Stream, StreamSecond, StreamSummary};
use crate::quality::burst::BurstFigures;
use crate::quality::playout::PlayoutFigures;
use crate::quality::sequence::Totals;
use crate::rtp::{HEADER_LENGTH, Sent};

/// Totals at the end of the second before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Closed {
    totals: Totals,
    counts: Counts,
    rtcp: RtcpCounts,
    first_packet_told: bool,
}

impl Stream {
    /// Figures since the last call of this; their second is over.
    pub fn close_second(&mut self, now: Instant) -> StreamSecond {
        let length = now
            .saturating_duration_since(self.second_began)
            .as_secs_f64();
        self.second_began = now;
        let one_way = self.receiver.one_way.close_second();
        self.receiver.close_drift(now);
        let playout = self.receiver.playout.close_second();
        let bursts = self.receiver.sequence.bursts().figures();
        let mut second = StreamSecond {
            length_ms: (length * 1_000.0) as f32,
            scale: self.rater.profile.scale,
            one_way_delay_ms: narrow(one_way),
            drift_ppm: narrow(self.receiver.drift.ppm()),
            rtt_ms: narrow(self.control.round_trips.close_second()),
            ..StreamSecond::default()
        };
        self.fill_received(&mut second, length);
        self.fill_quality(&mut second, &playout, &bursts, one_way);
        self.fill_bursts(&mut second, &bursts);
        self.fill_sent(&mut second, length);
        self.fill_rtcp(&mut second);
        self.fill_sound(&mut second);
        second.audio_one_way = self.one_way_audio(&second);
        self.direction_changed = false;
        self.closed = Closed {
            totals: self.receiver.sequence.totals(),
            counts: self.receiver.counts,
            rtcp: self.control.counts,
            first_packet_told: self.receiver.first_packet.is_some(),
        };
        second
    }

    fn fill_received(&mut self, second: &mut StreamSecond, length: f64) {
        let (now, before) = (self.receiver.counts, self.closed.counts);
        let (totals, closed) = (self.receiver.sequence.totals(), self.closed.totals);
        second.rx_packets = since(now.packets, before.packets);
        second.rx_bytes = since(now.payload_octets, before.payload_octets);
        let octets = f64::from(since(now.datagram_octets, before.datagram_octets));
        second.rx_bitrate_bps = self.bit_rate(octets, second.rx_packets, length);
        second.rx_expected = since(totals.expected, closed.expected);
        second.rx_lost = clamp_i32(totals.lost() - closed.lost());
        second.rx_duplicates = since(totals.duplicates, closed.duplicates);
        second.rx_reordered = since(totals.reordered, closed.reordered);
        second.rx_resets = since(totals.resets, closed.resets);
        second.rx_ssrc_changes = since(now.ssrc_changes, before.ssrc_changes);
        second.rx_strangers = since(now.strangers, before.strangers);
        second.rx_invalid = since(now.invalid, before.invalid);
        second.rx_wrong_pt = since(now.wrong_pt, before.wrong_pt);
        if let Some(spacing) = self.receiver.spacing.close_second() {
            second.rx_spacing_min_ms = Some(spacing.min_ms as f32);
            second.rx_spacing_mean_ms = Some(spacing.mean_ms as f32);
            second.rx_spacing_max_ms = Some(spacing.max_ms as f32);
        }
        if !self.closed.first_packet_told {
            second.rx_first_packet_ms = self.first_packet_ms();
        }
        if let Some((end, max)) = self.receiver.jitter.close_second() {
            second.jitter_ms = Some(self.ticks_ms(end));
            second.jitter_max_ms = Some(self.ticks_ms(max));
        }
    }

    fn fill_quality(
        &mut self,
        second: &mut StreamSecond,
        playout: &PlayoutFigures,
        bursts: &BurstFigures,
        one_way: Option<f64>,
    ) {
        second.jb_late = clamp_u32(playout.late);
        second.jb_early = clamp_u32(playout.early);
        second.jb_discarded = second.jb_late.saturating_add(second.jb_early);
        second.jb_delay_ms = narrow(playout.delay_ms);
        second.jb_fill_ms = narrow(playout.fill_ms);
        if second.rx_expected == 0 {
            return;
        }
        let expected = f64::from(second.rx_expected);
        let totals = self.receiver.sequence.totals();
        // Below zero where packets of an earlier second came late: nothing is missing in this one.
        let missing = totals.missing() as f64 - self.closed.totals.missing() as f64;
        let unplayable = since(
            self.receiver.counts.unplayable,
            self.closed.counts.unplayable,
        );
        let bad = missing + f64::from(second.jb_discarded) + f64::from(unplayable);
        let percent = |part: f64| (100.0 * part / expected).clamp(0.0, 100.0);
        second.loss_pct = Some(percent(missing) as f32);
        second.jb_discard_pct = Some(percent(f64::from(second.jb_discarded)) as f32);
        let half_trip = self.control.round_trips.newest().map(|rtt| rtt / 2.0);
        let playout_ms = playout
            .delay_ms
            .unwrap_or(self.receiver.playout.limits_ms().0);
        let network = one_way.map(|ms| ms.max(0.0)).or(half_trip);
        let rated = self
            .rater
            .rate(percent(bad), bursts.burst_ratio, network, playout_ms);
        second.ppl_pct = Some(percent(bad) as f32);
        second.grounded = rated.rating.grounded;
        second.mos = Some(rated.rating.mos as f32);
        second.mos_lq = Some(rated.rating.mos_lq as f32);
        second.r = Some(rated.rating.r as f32);
        second.id = Some(rated.rating.id as f32);
        second.ie_eff = Some(rated.rating.ie_eff as f32);
        second.burst_r = Some(rated.rating.burst_r as f32);
        second.delay_ms = Some(rated.delay_ms as f32);
        second.delay_has_network = rated.has_network;
    }

    fn fill_bursts(&self, second: &mut StreamSecond, bursts: &BurstFigures) {
        if self.receiver.remote.is_none() {
            return;
        }
        let ptime = f64::from(self.config.ptime_ms);
        second.burst_count = Some(bursts.bursts);
        second.loss_run_max = Some(bursts.lost_run_max);
        second.burst_density_pct = narrow(bursts.burst_density.map(|part| part * 100.0));
        second.burst_duration_ms = narrow(bursts.burst_packets.map(|count| count * ptime));
        second.gap_density_pct = narrow(bursts.gap_density.map(|part| part * 100.0));
        second.gap_duration_ms = narrow(bursts.gap_packets.map(|count| count * ptime));
    }

    fn fill_sent(&mut self, second: &mut StreamSecond, length: f64) {
        let sent = self.sender.close_second();
        second.tx_packets = clamp_u32(sent.packets);
        second.tx_bytes = clamp_u32(sent.bytes);
        let octets = sent.bytes as f64 + (HEADER_LENGTH as u64 * sent.packets) as f64;
        second.tx_bitrate_bps = self.bit_rate(octets, second.tx_packets, length);
        second.tx_errors = clamp_u32(sent.errors);
        second.tx_skipped = clamp_u32(sent.skipped);
        second.tx_late_max_ms = late_ms(&sent);
    }

    fn fill_rtcp(&mut self, second: &mut StreamSecond) {
        let (now, before) = (self.control.counts, self.closed.rtcp);
        second.rtcp_sent = since(now.sent, before.sent);
        second.rtcp_received = since(now.received, before.received);
        second.rtcp_invalid = since(now.invalid, before.invalid);
        second.rtcp_xr_sent = since(now.xr_sent, before.xr_sent);
        second.rtcp_xr_received = since(now.xr_received, before.xr_received);
        second.rtcp_bye_received = since(now.bye_received, before.bye_received);
        let far = self.control.far.close_second();
        second.tx_loss_pct = narrow(far.fresh_loss_pct);
        second.tx_jitter_ms = narrow(far.fresh_jitter_ms);
        second.tx_mos = narrow(far.fresh_mos);
        second.tx_r = narrow(far.fresh_r);
    }

    fn fill_sound(&mut self, second: &mut StreamSecond) {
        let sampled = self.receiver.sampled.as_mut();
        if let Some(sound) = sampled.and_then(|sampled| sampled.close_second()) {
            second.audio_level_dbov = Some(sound.level_dbov as f32);
            second.audio_silence_pct = Some(sound.silence_pct as f32);
            second.audio_clipping_pct = Some(sound.clipping_pct as f32);
        }
    }

    /// Only a whole second in which both directions were open says anything.
    fn one_way_audio(&self, second: &StreamSecond) -> Option<f32> {
        let open = self.config.receive && self.sender.is_active() && !self.direction_changed;
        let whole = second.length_ms >= WHOLE_SECOND_MS;
        let told = open && whole && second.tx_packets > 0;
        told.then_some(if second.rx_packets == 0 { 1.0 } else { 0.0 })
    }

    /// Figures of the call so far.
    #[must_use]
    pub fn summary(&self) -> StreamSummary {
        let totals = self.receiver.sequence.totals();
        let counts = self.receiver.counts;
        let sent = self.sender.total();
        let playout = self.receiver.playout.total();
        let mut summary = StreamSummary {
            ssrc: self.config.ssrc,
            remote_ssrc: self.receiver.remote,
            tx_packets: sent.packets,
            tx_bytes: sent.bytes,
            tx_errors: sent.errors,
            tx_skipped: sent.skipped,
            tx_late_max_ms: late_ms(&sent),
            rx_packets: counts.packets,
            rx_bytes: counts.payload_octets,
            rx_expected: totals.expected,
            rx_lost: totals.lost(),
            rx_missing: totals.missing(),
            rx_duplicates: totals.duplicates,
            rx_reordered: totals.reordered,
            rx_resets: totals.resets,
            rx_ssrc_changes: counts.ssrc_changes,
            rx_unplaced: counts.packets.saturating_sub(totals.placed),
            rx_echoed: counts.echoed,
            rx_invalid: counts.invalid,
            rx_wrong_pt: counts.wrong_pt,
            rx_events: counts.events,
            strangers: counts.strangers,
            discarded: playout.late + playout.early,
            discarded_late: playout.late,
            discarded_early: playout.early,
            first_packet_ms: self.first_packet_ms(),
            loss_pct: narrow(ppl_pct(&totals, 0)),
            jitter_mean_ms: self
                .receiver
                .jitter
                .mean()
                .map(|ticks| self.ticks_ms(ticks)),
            jitter_max_ms: self.receiver.jitter.max().map(|ticks| self.ticks_ms(ticks)),
            one_way_delay_ms: narrow(self.receiver.one_way.mean()),
            drift_ppm: narrow(self.receiver.drift.ppm()),
            jb_delay_ms: narrow(playout.delay_ms),
            scale: self.rater.profile.scale,
            profile: self.rater.profile.name,
            grounded: self.rater.profile.ie_published,
            ..StreamSummary::default()
        };
        self.summarise_quality(&mut summary, &totals);
        self.summarise_control(&mut summary);
        summary
    }

    fn summarise_quality(&self, summary: &mut StreamSummary, totals: &Totals) {
        let bursts = self.receiver.sequence.bursts().figures();
        summary.burst_r_measured = narrow(bursts.burst_ratio);
        let mut shape = StreamSecond::default();
        self.fill_bursts(&mut shape, &bursts);
        summary.bursts = bursts.bursts;
        summary.burst_density_pct = shape.burst_density_pct;
        summary.burst_duration_ms = shape.burst_duration_ms;
        summary.gap_density_pct = shape.gap_density_pct;
        summary.gap_duration_ms = shape.gap_duration_ms;
        summary.loss_run_max = shape.loss_run_max;
        let Some(Rated {
            rating,
            delay_ms,
            has_network,
        }) = self.whole_call()
        else {
            return;
        };
        let unusable = summary.discarded + self.receiver.counts.unplayable;
        summary.ppl_pct = narrow(ppl_pct(totals, unusable));
        summary.burst_r = Some(rating.burst_r as f32);
        summary.burst_r_valid = rating.burst_r_valid;
        summary.mos = Some(rating.mos as f32);
        summary.mos_lq = Some(rating.mos_lq as f32);
        summary.r = Some(rating.r as f32);
        summary.id = Some(rating.id as f32);
        summary.ie_eff = Some(rating.ie_eff as f32);
        summary.delay_ms = Some(delay_ms as f32);
        summary.delay_has_network = has_network;
        summary.grounded = rating.grounded;
    }

    fn summarise_control(&self, summary: &mut StreamSummary) {
        let trips = &self.control.round_trips;
        summary.rtt_mean_ms = narrow(trips.mean());
        summary.rtt_min_ms = narrow(trips.range().map(|(min, _)| min));
        summary.rtt_max_ms = narrow(trips.range().map(|(_, max)| max));
        (summary.rtt_samples, summary.rtt_rejected) = trips.counts();
        let counts = self.control.counts;
        summary.rtcp_sent = counts.sent;
        summary.rtcp_received = counts.received;
        summary.rtcp_invalid = counts.invalid;
        let far = self.control.far;
        summary.remote_bye = far.bye;
        summary.remote_sent_packets = far.sent_packets;
        summary.tx_lost_reported = far.lost;
        summary.tx_jitter_reported_ms = narrow(far.jitter_ms);
        summary.tx_mos_reported = narrow(far.mos);
    }

    /// The call so far, by its own loss and its mean delays; none before a packet came.
    pub(super) fn whole_call(&self) -> Option<Rated> {
        let playout = self.receiver.playout.total();
        let unusable = playout.late + playout.early + self.receiver.counts.unplayable;
        let ppl = ppl_pct(&self.receiver.sequence.totals(), unusable)?;
        let half_trip = self.control.round_trips.mean().map(|rtt| rtt / 2.0);
        let network = self
            .receiver
            .one_way
            .mean()
            .map(|ms| ms.max(0.0))
            .or(half_trip);
        let bursts = self.receiver.sequence.bursts().figures();
        let playout_ms = playout
            .delay_ms
            .unwrap_or(self.receiver.playout.limits_ms().0);
        Some(
            self.rater
                .rate(ppl, bursts.burst_ratio, network, playout_ms),
        )
    }

    fn first_packet_ms(&self) -> Option<f32> {
        self.receiver
            .first_packet
            .map(|ns| (ns as f64 / 1e6).max(0.0) as f32)
    }

    fn ticks_ms(&self, ticks: f64) -> f32 {
        (ticks * 1_000.0 / f64::from(self.config.codec.clock_rate())) as f32
    }

    /// `octets` of RTP datagrams plus their UDP and IP headers, per second.
    fn bit_rate(&self, octets: f64, packets: u32, seconds: f64) -> f32 {
        let headers = if self.config.ipv6 { 48.0 } else { 28.0 };
        if seconds > 0.0 {
            ((octets + headers * f64::from(packets)) * 8.0 / seconds) as f32
        } else {
            0.0
        }
    }
}

fn late_ms(sent: &Sent) -> Option<f32> {
    sent.late_max.map(|late| late.as_secs_f32() * 1_000.0)
}

fn narrow(figure: Option<f64>) -> Option<f32> {
    figure.map(|figure| figure as f32)
}

fn since(now: u64, before: u64) -> u32 {
    clamp_u32(now.saturating_sub(before))
}

fn clamp_u32(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn clamp_i32(count: i64) -> i32 {
    count.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// A second that the engine closed a little early still counts as whole.
const WHOLE_SECOND_MS: f32 = 900.0;
