//! What a stream tells about one second and about the whole call.
//!
//! Owns: plain figures. Never: an average of averages, or 0 where there was no data (`None`).

pub use crate::quality::emodel::Scale;

/// One second of one stream. Counters count this second only; a gauge without data is `None`.
///
/// The fields stand in the order of the metric catalogue and map to it one to one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamSecond {
    /// How long this "second" was, in milliseconds: the last one of a call is shorter.
    pub length_ms: f32,
    /// The scale of `mos`, `mos_lq` and `r`: never mix them.
    pub scale: Scale,
    /// False where a published Ie and Bpl is missing for what this MOS needed.
    pub grounded: bool,
    /// MOS-CQ on `scale`; none where no packet was expected or received.
    pub mos: Option<f32>,
    /// The same without the delay impairment.
    pub mos_lq: Option<f32>,
    /// Transmission rating on `scale`.
    pub r: Option<f32>,
    /// Delay impairment Id.
    pub id: Option<f32>,
    /// Effective equipment impairment.
    pub ie_eff: Option<f32>,
    /// Lost, discarded and unplayable of expected, in per cent.
    pub ppl_pct: Option<f32>,
    /// Burst ratio that the E-model used (call so far, at least 1).
    pub burst_r: Option<f32>,
    /// One-way mouth-to-ear delay that the E-model used.
    pub delay_ms: Option<f32>,
    /// False where neither a one-way delay nor an RTT was known yet: `delay_ms` lacks the network.
    pub delay_has_network: bool,
    /// RFC 3550 jitter at the end of the second.
    pub jitter_ms: Option<f32>,
    /// Largest RFC 3550 jitter within the second.
    pub jitter_max_ms: Option<f32>,
    /// Sequence numbers that did not come, of expected; 0 to 100.
    pub loss_pct: Option<f32>,
    /// Mean of the RTT samples that came in this second.
    pub rtt_ms: Option<f32>,
    /// Mean one-way network delay, where both ends share a clock.
    pub one_way_delay_ms: Option<f32>,
    /// The sender's clock against ours: positive is a sender that runs fast. Parts per million.
    pub drift_ppm: Option<f32>,
    /// Lost or discarded inside bursts since the start, in per cent; none before a burst.
    pub burst_density_pct: Option<f32>,
    /// Mean length of a burst since the start.
    pub burst_duration_ms: Option<f32>,
    /// Bursts since the start; none before the first packet.
    pub burst_count: Option<u32>,
    /// Lost or discarded inside gaps since the start, in per cent.
    pub gap_density_pct: Option<f32>,
    /// Mean length of a gap since the start.
    pub gap_duration_ms: Option<f32>,
    /// Longest run of lost packets since the start; none before the first packet.
    pub loss_run_max: Option<u32>,
    /// Loss fraction of what we sent, from a report that came in this second.
    pub tx_loss_pct: Option<f32>,
    /// Jitter of what we sent, from a report that came in this second.
    pub tx_jitter_ms: Option<f32>,
    /// MOS-CQ that the far end's XR told in this second.
    pub tx_mos: Option<f32>,
    /// R that the far end's XR told in this second.
    pub tx_r: Option<f32>,
    /// RTP packets received, duplicates counted.
    pub rx_packets: u32,
    /// Payload octets received.
    pub rx_bytes: u32,
    /// Received bits per second with RTP, UDP and IP headers.
    pub rx_bitrate_bps: f32,
    /// Packets expected by sequence number.
    pub rx_expected: u32,
    /// Expected minus received; negative with duplicates or packets of an earlier second.
    pub rx_lost: i32,
    /// Duplicates.
    pub rx_duplicates: u32,
    /// Packets behind a higher sequence number.
    pub rx_reordered: u32,
    /// Sequence restarts.
    pub rx_resets: u32,
    /// New sources at the agreed address.
    pub rx_ssrc_changes: u32,
    /// Packets from a source that was not agreed.
    pub rx_strangers: u32,
    /// Datagrams that are neither RTP nor RTCP.
    pub rx_invalid: u32,
    /// Packets with a payload type that was not agreed.
    pub rx_wrong_pt: u32,
    /// Longest time between two packets, the one that began in an earlier second counted.
    pub rx_spacing_max_ms: Option<f32>,
    /// Shortest time between two packets.
    pub rx_spacing_min_ms: Option<f32>,
    /// Mean time between packets.
    pub rx_spacing_mean_ms: Option<f32>,
    /// From the stream's start to its first packet; only in the second in which that came.
    pub rx_first_packet_ms: Option<f32>,
    /// RTP packets sent.
    pub tx_packets: u32,
    /// Payload octets sent.
    pub tx_bytes: u32,
    /// Sent bits per second with RTP, UDP and IP headers.
    pub tx_bitrate_bps: f32,
    /// Packets that the kernel refused.
    pub tx_errors: u32,
    /// Slots that were skipped because the engine came too late.
    pub tx_skipped: u32,
    /// Largest lateness of a packet sent; none where none was sent.
    pub tx_late_max_ms: Option<f32>,
    /// Mean delay of the playout buffer model.
    pub jb_delay_ms: Option<f32>,
    /// Packets that came too late or too early to be played.
    pub jb_discarded: u32,
    /// Discarded of expected, in per cent.
    pub jb_discard_pct: Option<f32>,
    /// Discarded because late.
    pub jb_late: u32,
    /// Discarded because the buffer was full.
    pub jb_early: u32,
    /// Mean audio in the buffer model.
    pub jb_fill_ms: Option<f32>,
    /// RTCP compound packets sent.
    pub rtcp_sent: u32,
    /// RTCP compound packets received.
    pub rtcp_received: u32,
    /// RTCP datagrams that the bounds check refused.
    pub rtcp_invalid: u32,
    /// XR packets sent.
    pub rtcp_xr_sent: u32,
    /// XR packets received.
    pub rtcp_xr_received: u32,
    /// BYE packets received.
    pub rtcp_bye_received: u32,
    /// Mean level received in dBov (sampled streams).
    pub audio_level_dbov: Option<f32>,
    /// Frames below -60 dBov in per cent (sampled streams).
    pub audio_silence_pct: Option<f32>,
    /// Samples at full scale in per cent (sampled streams).
    pub audio_clipping_pct: Option<f32>,
    /// 1 where we sent all second long and nothing came, 0 where something came; none where we
    /// did not send or did not expect anything all second long.
    pub audio_one_way: Option<f32>,
}

/// The whole call at one end. Cumulative figures, never averages of seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamSummary {
    /// Our SSRC.
    pub ssrc: u32,
    /// The source that was received last, once a packet came.
    pub remote_ssrc: Option<u32>,
    /// RTP packets sent.
    pub tx_packets: u64,
    /// Payload octets sent.
    pub tx_bytes: u64,
    /// Packets that the kernel refused.
    pub tx_errors: u64,
    /// Slots skipped because the engine came too late.
    pub tx_skipped: u64,
    /// Largest lateness of a packet sent.
    pub tx_late_max_ms: Option<f32>,
    /// RTP packets received, duplicates counted.
    pub rx_packets: u64,
    /// Payload octets received.
    pub rx_bytes: u64,
    /// Expected by sequence number, from the first packet that came to the highest: what was lost
    /// before the first or after the last packet is not known to a receiver.
    pub rx_expected: u64,
    /// Expected minus received, negative with duplicates (RFC 3550 §A.3).
    pub rx_lost: i64,
    /// Sequence numbers that never came: what `loss_pct` and the E-model count.
    pub rx_missing: u64,
    /// Duplicates.
    pub rx_duplicates: u64,
    /// Reordered.
    pub rx_reordered: u64,
    /// Sequence restarts.
    pub rx_resets: u64,
    /// New sources at the agreed address.
    pub rx_ssrc_changes: u64,
    /// Packets that no rule could place in the sequence.
    pub rx_unplaced: u64,
    /// Packets of an agreed payload type but of our own SSRC: the far end echoes.
    pub rx_echoed: u64,
    /// Datagrams that are not RTP.
    pub rx_invalid: u64,
    /// Packets with a payload type that was not agreed.
    pub rx_wrong_pt: u64,
    /// Telephone-event packets.
    pub rx_events: u64,
    /// Packets of strangers.
    pub strangers: u64,
    /// Discarded by the playout buffer model.
    pub discarded: u64,
    /// Of these, because late.
    pub discarded_late: u64,
    /// Of these, because the buffer was full.
    pub discarded_early: u64,
    /// From the stream's start to its first packet.
    pub first_packet_ms: Option<f32>,
    /// `rx_missing` of `rx_expected`.
    pub loss_pct: Option<f32>,
    /// Missing, discarded and unplayable of expected: the E-model's Ppl.
    pub ppl_pct: Option<f32>,
    /// Burst ratio that the E-model used.
    pub burst_r: Option<f32>,
    /// False where `burst_r` is above 2 at a loss of 2 % or more: outside what G.107 validated.
    pub burst_r_valid: bool,
    /// Burst ratio as measured, before it is raised to at least 1; none without loss.
    pub burst_r_measured: Option<f32>,
    /// Mean of the RFC 3550 jitter over all packets.
    pub jitter_mean_ms: Option<f32>,
    /// Largest RFC 3550 jitter.
    pub jitter_max_ms: Option<f32>,
    /// Mean of all RTT samples.
    pub rtt_mean_ms: Option<f32>,
    /// Smallest RTT sample.
    pub rtt_min_ms: Option<f32>,
    /// Largest RTT sample.
    pub rtt_max_ms: Option<f32>,
    /// RTT samples.
    pub rtt_samples: u32,
    /// RTT values that were negative or above a minute, and dropped.
    pub rtt_rejected: u32,
    /// Mean one-way network delay, where both ends share a clock.
    pub one_way_delay_ms: Option<f32>,
    /// The sender's clock against ours, parts per million.
    pub drift_ppm: Option<f32>,
    /// Mean delay of the playout buffer model.
    pub jb_delay_ms: Option<f32>,
    /// Whole-call MOS-CQ on `scale`.
    pub mos: Option<f32>,
    /// The same without the delay impairment.
    pub mos_lq: Option<f32>,
    /// Whole-call R on `scale`.
    pub r: Option<f32>,
    /// Delay impairment.
    pub id: Option<f32>,
    /// Effective equipment impairment.
    pub ie_eff: Option<f32>,
    /// One-way mouth-to-ear delay that the E-model used.
    pub delay_ms: Option<f32>,
    /// False where the network's part of `delay_ms` was never known and is left out.
    pub delay_has_network: bool,
    /// The scale of `mos`, `mos_lq` and `r`.
    pub scale: Scale,
    /// False where the codec has no published Ie and Bpl for what this MOS needed.
    pub grounded: bool,
    /// Where Ie and Bpl come from, for people.
    pub profile: &'static str,
    /// Bursts over the call, RFC 3611 by definition.
    pub bursts: u32,
    /// Burst density in per cent; none without a burst.
    pub burst_density_pct: Option<f32>,
    /// Mean length of a burst.
    pub burst_duration_ms: Option<f32>,
    /// Gap density in per cent.
    pub gap_density_pct: Option<f32>,
    /// Mean length of a gap.
    pub gap_duration_ms: Option<f32>,
    /// Longest run of lost packets.
    pub loss_run_max: Option<u32>,
    /// RTCP compound packets sent.
    pub rtcp_sent: u64,
    /// RTCP compound packets received.
    pub rtcp_received: u64,
    /// RTCP datagrams refused.
    pub rtcp_invalid: u64,
    /// The far end said BYE.
    pub remote_bye: bool,
    /// Packets that the far end says it sent, as its last SR says.
    pub remote_sent_packets: Option<u32>,
    /// Loss of what we sent, as the far end reported last (cumulative).
    pub tx_lost_reported: Option<i64>,
    /// Jitter of what we sent, as the far end reported last.
    pub tx_jitter_reported_ms: Option<f32>,
    /// MOS-CQ as the far end's XR reported last.
    pub tx_mos_reported: Option<f32>,
}
