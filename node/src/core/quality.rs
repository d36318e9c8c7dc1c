//! From the media engine's figures to the catalogue and to the report that travels: names meet here
//! and nowhere else.

use media::sdp::Agreed;
use media::stream::{Scale, StreamSecond, StreamSummary};
use shared::metric::{self as m, MetricId};
use shared::wire::MediaReport;

use crate::core::endpoint::LocalPorts;

/// Gives every value of a stream's second under its catalogue key; absent ones are left out.
pub fn samples(second: &StreamSecond, mut sample: impl FnMut(MetricId, f32)) {
    let (mos, r) = match second.scale {
        Scale::Narrowband => (m::MOS, m::R),
        Scale::Wideband => (m::MOS_WB, m::R_WB),
        Scale::Fullband => (m::MOS_FB, m::R_FB),
    };
    let shares = [
        (mos, second.mos),
        (r, second.r),
        (m::MOS_LQ, second.mos_lq),
        (m::EMODEL_ID, second.id),
        (m::EMODEL_IE_EFF, second.ie_eff),
        (m::EMODEL_PPL, second.ppl_pct),
        (m::EMODEL_BURST_R, second.burst_r),
        (m::EMODEL_DELAY, second.delay_ms),
        (m::LOSS, second.loss_pct),
        (m::JB_DISCARD_PCT, second.jb_discard_pct),
    ];
    // The first and last second of a call are cut short: one packet lost of the two that a stump
    // expected is no second with 50 % loss. The whole call's figures count every packet.
    if second.length_ms >= SHARE_LENGTH_MIN_MS {
        give(&shares, &mut sample);
    }
    let gauges = [
        (m::JITTER, second.jitter_ms),
        (m::JITTER_MAX, second.jitter_max_ms),
        (m::RTT, second.rtt_ms),
        (m::ONE_WAY_DELAY, second.one_way_delay_ms),
        (m::DRIFT, second.drift_ppm),
        (m::BURST_DENSITY, second.burst_density_pct),
        (m::BURST_DURATION, second.burst_duration_ms),
        (m::BURST_COUNT, second.burst_count.map(|count| count as f32)),
        (m::GAP_DENSITY, second.gap_density_pct),
        (m::GAP_DURATION, second.gap_duration_ms),
        (
            m::LOSS_RUN_MAX,
            second.loss_run_max.map(|count| count as f32),
        ),
        (m::TX_LOSS, second.tx_loss_pct),
        (m::TX_JITTER, second.tx_jitter_ms),
        (m::TX_MOS, second.tx_mos),
        (m::TX_R, second.tx_r),
        (m::RX_SPACING_MAX, second.rx_spacing_max_ms),
        (m::RX_SPACING_MIN, second.rx_spacing_min_ms),
        (m::RX_SPACING_MEAN, second.rx_spacing_mean_ms),
        (m::RX_FIRST_PACKET, second.rx_first_packet_ms),
        (m::TX_LATE_MAX, second.tx_late_max_ms),
        (m::JB_DELAY, second.jb_delay_ms),
        (m::JB_FILL, second.jb_fill_ms),
        (m::AUDIO_LEVEL, second.audio_level_dbov),
        (m::AUDIO_SILENCE, second.audio_silence_pct),
        (m::AUDIO_CLIPPING, second.audio_clipping_pct),
        (m::AUDIO_ONE_WAY, second.audio_one_way),
        (m::RX_BITRATE, Some(second.rx_bitrate_bps)),
        (m::TX_BITRATE, Some(second.tx_bitrate_bps)),
    ];
    give(&gauges, &mut sample);
    counters(second, sample);
}

/// A stump of a second shorter than this has no loss share and no MOS of its own.
const SHARE_LENGTH_MIN_MS: f32 = 500.0;

fn give(values: &[(MetricId, Option<f32>)], sample: &mut impl FnMut(MetricId, f32)) {
    for (id, value) in values {
        if let Some(value) = value {
            sample(*id, *value);
        }
    }
}

fn counters(second: &StreamSecond, mut sample: impl FnMut(MetricId, f32)) {
    // A stream that ran counted these, also where the count is 0.
    for (id, count) in [
        (m::RX_PACKETS, second.rx_packets),
        (m::RX_BYTES, second.rx_bytes),
        (m::RX_EXPECTED, second.rx_expected),
        (m::TX_PACKETS, second.tx_packets),
        (m::TX_BYTES, second.tx_bytes),
        (m::JB_DISCARDED, second.jb_discarded),
        (m::RTCP_SENT, second.rtcp_sent),
        (m::RTCP_RECEIVED, second.rtcp_received),
    ] {
        sample(id, count as f32);
    }
    sample(m::RX_LOST, second.rx_lost as f32);
    // These are rare: a second without one has no row, and a sum over rows stays the same.
    for (id, count) in [
        (m::RX_DUPLICATES, second.rx_duplicates),
        (m::RX_REORDERED, second.rx_reordered),
        (m::RX_RESETS, second.rx_resets),
        (m::RX_SSRC_CHANGES, second.rx_ssrc_changes),
        (m::RX_STRANGERS, second.rx_strangers),
        (m::RX_INVALID, second.rx_invalid),
        (m::RX_WRONG_PT, second.rx_wrong_pt),
        (m::TX_ERRORS, second.tx_errors),
        (m::JB_LATE, second.jb_late),
        (m::JB_EARLY, second.jb_early),
        (m::RTCP_INVALID, second.rtcp_invalid),
        (m::RTCP_XR_SENT, second.rtcp_xr_sent),
        (m::RTCP_XR_RECEIVED, second.rtcp_xr_received),
        (m::RTCP_BYE_RECEIVED, second.rtcp_bye_received),
    ] {
        if count > 0 {
            sample(id, count as f32);
        }
    }
}

/// Whole-call media figures as they travel.
#[must_use]
pub fn media_report(
    summary: &StreamSummary,
    agreed: Option<&Agreed>,
    ports: Option<LocalPorts>,
) -> MediaReport {
    MediaReport {
        codec: agreed
            .map(|agreed| agreed.codec.name().to_owned())
            .unwrap_or_default(),
        local: ports.map(|ports| ports.rtp.to_string()).unwrap_or_default(),
        remote: agreed
            .map(|agreed| agreed.remote_rtp.to_string())
            .unwrap_or_default(),
        ssrc: summary.ssrc,
        remote_ssrc: summary.remote_ssrc,
        tx_packets: summary.tx_packets,
        rx_packets: summary.rx_packets,
        rx_expected: summary.rx_expected,
        rx_lost: summary.rx_lost,
        rx_duplicates: summary.rx_duplicates,
        rx_reordered: summary.rx_reordered,
        discarded: summary.discarded,
        strangers: summary.strangers,
        loss_pct: summary.loss_pct,
        ppl_pct: summary.ppl_pct,
        burst_r: summary.burst_r,
        jitter_mean_ms: summary.jitter_mean_ms,
        jitter_max_ms: summary.jitter_max_ms,
        rtt_mean_ms: summary.rtt_mean_ms,
        rtt_max_ms: summary.rtt_max_ms,
        rtt_samples: summary.rtt_samples,
        mos: summary.mos,
        r: summary.r,
        scale: match summary.scale {
            Scale::Narrowband => "NB",
            Scale::Wideband => "WB",
            Scale::Fullband => "FB",
        }
        .to_owned(),
        grounded: summary.grounded,
        bursts: summary.bursts,
        burst_density_pct: summary.burst_density_pct,
        tx_lost_reported: summary.tx_lost_reported,
        tx_jitter_reported_ms: summary.tx_jitter_reported_ms,
        tx_mos_reported: summary.tx_mos_reported,
        remote_sent_packets: summary.remote_sent_packets,
        tx_errors: summary.tx_errors,
        tx_skipped: summary.tx_skipped,
        rx_missing: summary.rx_missing,
        mos_lq: summary.mos_lq,
        id: summary.id,
        ie_eff: summary.ie_eff,
        delay_ms: summary.delay_ms,
        delay_has_network: summary.delay_has_network,
        one_way_delay_ms: summary.one_way_delay_ms,
        jb_delay_ms: summary.jb_delay_ms,
        mos_profile: summary.profile.to_owned(),
        rtcp_sent: summary.rtcp_sent,
        rtcp_received: summary.rtcp_received,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of(second: &StreamSecond) -> Vec<&'static str> {
        let mut keys = Vec::new();
        samples(second, |id, _| keys.push(id.metric().key));
        keys
    }

    #[test]
    fn a_stump_of_a_second_counts_its_packets_but_has_no_loss_share() {
        let whole = StreamSecond {
            length_ms: 1_000.0,
            mos: Some(4.3),
            loss_pct: Some(2.0),
            jitter_ms: Some(1.0),
            rx_packets: 49,
            ..StreamSecond::default()
        };
        let stump = StreamSecond {
            length_ms: 40.0,
            loss_pct: Some(50.0),
            ..whole
        };
        let (whole, stump) = (keys_of(&whole), keys_of(&stump));
        assert!(whole.contains(&"loss_pct") && whole.contains(&"mos"));
        assert!(!stump.contains(&"loss_pct") && !stump.contains(&"mos"));
        for key in ["jitter_ms", "rx.packets", "rx.expected"] {
            assert!(whole.contains(&key) && stump.contains(&key), "{key}");
        }
        assert!(!whole.contains(&"rtt_ms"), "no data is absent");
    }
}
