//! From a stream's measurements to MOS and R, for a second and for the call.
//!
//! Owns: which delay and which loss go into the E-model. Never: the formulas (`quality::emodel`).
//! Source: ITU-T G.107; RFC 3611 §4.7 for the VoIP metrics block.

use ::rtcp::extended_report::VoIPMetricsReportBlock;

use super::receive::Receiver;
use crate::codec::CodecId;
use crate::quality::burst::GMIN;
use crate::quality::emodel::{DelayModel, Inputs, Profile, Rating, Scale, rate};
use crate::quality::sequence::Totals;

/// What does not change during a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rater {
    pub(super) profile: Profile,
    ptime_ms: u32,
    lookahead_ms: f64,
    plc: bool,
}

/// A rating and what it was made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rated {
    pub(super) rating: Rating,
    pub(super) delay_ms: f64,
    pub(super) has_network: bool,
}

impl Rater {
    pub(super) fn new(codec: CodecId, plc: bool, ptime_ms: u32) -> Self {
        // What the encoder must hear beyond the frame: G.722's filter bank (ITU-T G.722 §1.3),
        // Opus' look-ahead (RFC 6716 §2: 26.5 ms in all for frames of 20 ms).
        let lookahead_ms = match codec {
            CodecId::Pcmu | CodecId::Pcma => 0.0,
            CodecId::G722 => 1.5,
            CodecId::Opus => 6.5,
        };
        Self {
            profile: Profile::of(codec, plc),
            ptime_ms,
            lookahead_ms,
            plc,
        }
    }

    /// `network_ms`: one way; None where nothing told it yet, and then it is left out.
    pub(super) fn rate(
        &self,
        ppl_pct: f64,
        burst_ratio: Option<f64>,
        network_ms: Option<f64>,
        playout_ms: f64,
    ) -> Rated {
        let delay_ms = network_ms.unwrap_or(0.0) + self.end_system_ms(playout_ms);
        let inputs = Inputs {
            ppl_pct,
            burst_r: burst_ratio.unwrap_or(1.0),
            delay_ms,
            delay_model: DelayModel::ColeRosenbluth,
            advantage: 0.0,
        };
        Rated {
            rating: rate(&self.profile, &inputs),
            delay_ms,
            has_network: network_ms.is_some(),
        }
    }

    /// The VoIP metrics block about the source we hear; None before a packet came.
    pub(super) fn voip(
        &self,
        receiver: &Receiver,
        rated: Option<&Rated>,
        round_trip_ms: Option<f64>,
    ) -> Option<VoIPMetricsReportBlock> {
        let ssrc = receiver.remote?;
        let totals = receiver.sequence.totals();
        let discarded = receiver.counts.late + receiver.counts.early;
        let wire = receiver.sequence.bursts().wire().figures(self.ptime_ms);
        let (nominal, maximum, limit) = receiver.playout.limits_ms();
        let narrow = self.profile.scale == Scale::Narrowband;
        let mos = |mos: f64| (mos * 10.0).round().clamp(10.0, 50.0) as u8;
        Some(VoIPMetricsReportBlock {
            ssrc,
            loss_rate: share(totals.missing(), totals.expected),
            discard_rate: share(discarded, totals.expected),
            burst_density: wire.burst_density.min(255.0) as u8,
            gap_density: wire.gap_density.min(255.0) as u8,
            burst_duration: wire.burst_ms.min(65_535.0) as u16,
            gap_duration: wire.gap_ms.min(65_535.0) as u16,
            round_trip_delay: round_trip_ms.map_or(0, |ms| ms.round().min(65_535.0) as u16),
            end_system_delay: self.end_system_ms(nominal).round().min(65_535.0) as u16,
            signal_level: UNAVAILABLE,
            noise_level: UNAVAILABLE,
            rerl: UNAVAILABLE,
            gmin: GMIN as u8,
            // The field holds 0 to 100, so R of the wider scales has no place in it.
            rfactor: rated.filter(|_| narrow).map_or(UNAVAILABLE, |rated| {
                rated.rating.r.round().clamp(0.0, 100.0) as u8
            }),
            ext_rfactor: UNAVAILABLE,
            mos_lq: rated.map_or(UNAVAILABLE, |rated| mos(rated.rating.mos_lq)),
            mos_cq: rated.map_or(UNAVAILABLE, |rated| mos(rated.rating.mos)),
            rx_config: self.rx_config(receiver.playout.is_adaptive()),
            reserved: 0,
            jb_nominal: nominal.min(65_535.0) as u16,
            jb_maximum: maximum.min(65_535.0) as u16,
            jb_abs_max: limit.min(65_535.0) as u16,
        })
    }

    fn end_system_ms(&self, playout_ms: f64) -> f64 {
        playout_ms + f64::from(self.ptime_ms) + self.lookahead_ms
    }

    /// RFC 3611 §4.7.6: PLC standard or disabled, buffer adaptive or fixed, rate not told.
    fn rx_config(&self, adaptive: bool) -> u8 {
        let plc = if self.plc { 0b11 } else { 0b01 };
        let buffer = if adaptive { 0b11 } else { 0b10 };
        plc << 6 | buffer << 4
    }
}

/// Missing, discarded and unplayable of expected in per cent; none where nothing was expected.
pub(super) fn ppl_pct(totals: &Totals, unusable: u64) -> Option<f64> {
    let bad = totals.missing() + unusable;
    (totals.expected > 0).then(|| (100.0 * bad as f64 / totals.expected as f64).min(100.0))
}

/// In 1/256, cut, as the wire has it.
fn share(part: u64, whole: u64) -> u8 {
    (part << 8).checked_div(whole).unwrap_or(0).min(255) as u8
}

/// RFC 3611 §4.7: the value is not available.
const UNAVAILABLE: u8 = 127;
