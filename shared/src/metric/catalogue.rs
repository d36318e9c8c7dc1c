//! The table itself. Order is the order in storage; append, never insert.

use super::{Better, Direction, Family, Kind, Metric, MetricId, Unit};

/// MOS-CQ on the narrowband scale, of the stream received, this second.
pub const MOS: MetricId = MetricId(0);
/// MOS-CQ on the wideband scale.
pub const MOS_WB: MetricId = MetricId(1);
/// MOS-CQ on the fullband scale.
pub const MOS_FB: MetricId = MetricId(2);
/// MOS without the delay impairment, same scale as the MOS beside it.
pub const MOS_LQ: MetricId = MetricId(3);
/// Transmission rating, narrowband scale.
pub const R: MetricId = MetricId(4);
/// Transmission rating, wideband scale (0 to 129).
pub const R_WB: MetricId = MetricId(5);
/// Transmission rating, fullband scale (0 to 148).
pub const R_FB: MetricId = MetricId(6);
/// Delay impairment Id.
pub const EMODEL_ID: MetricId = MetricId(7);
/// Effective equipment impairment Ie,eff.
pub const EMODEL_IE_EFF: MetricId = MetricId(8);
/// Loss after the playout buffer: lost and discarded of expected.
pub const EMODEL_PPL: MetricId = MetricId(9);
/// Burst ratio: mean loss run against the mean run of random loss.
pub const EMODEL_BURST_R: MetricId = MetricId(10);
/// One-way mouth-to-ear delay used: network, playout buffer, packetisation.
pub const EMODEL_DELAY: MetricId = MetricId(11);
/// Interarrival jitter at the end of the second.
pub const JITTER: MetricId = MetricId(12);
/// Largest interarrival jitter within the second.
pub const JITTER_MAX: MetricId = MetricId(13);
/// Network loss: expected minus received, of expected.
pub const LOSS: MetricId = MetricId(14);
/// Round-trip time from the newest RTCP report.
pub const RTT: MetricId = MetricId(15);
/// Measured one-way delay, where both ends share this machine's clock.
pub const ONE_WAY_DELAY: MetricId = MetricId(16);
/// Sender's clock against ours.
pub const DRIFT: MetricId = MetricId(17);
/// Lost or discarded inside bursts, since the call's start.
pub const BURST_DENSITY: MetricId = MetricId(18);
/// Mean length of a burst, since the call's start.
pub const BURST_DURATION: MetricId = MetricId(19);
/// Bursts since the call's start.
pub const BURST_COUNT: MetricId = MetricId(20);
/// Lost or discarded inside gaps, since the call's start.
pub const GAP_DENSITY: MetricId = MetricId(21);
/// Mean length of a gap, since the call's start.
pub const GAP_DURATION: MetricId = MetricId(22);
/// Longest run of consecutive lost packets since the call's start.
pub const LOSS_RUN_MAX: MetricId = MetricId(23);
/// Loss of what we sent, as the far end's newest report says.
pub const TX_LOSS: MetricId = MetricId(24);
/// Jitter of what we sent, as the far end's newest report says.
pub const TX_JITTER: MetricId = MetricId(25);
/// MOS-CQ that the far end reported by RTCP XR.
pub const TX_MOS: MetricId = MetricId(26);
/// R factor that the far end reported by RTCP XR.
pub const TX_R: MetricId = MetricId(27);
/// RTP packets received.
pub const RX_PACKETS: MetricId = MetricId(28);
/// RTP payload octets received.
pub const RX_BYTES: MetricId = MetricId(29);
/// RTP received, headers of RTP, UDP and IP counted.
pub const RX_BITRATE: MetricId = MetricId(30);
/// RTP packets expected by sequence number.
pub const RX_EXPECTED: MetricId = MetricId(31);
/// Expected minus received; negative where duplicates or late packets came.
pub const RX_LOST: MetricId = MetricId(32);
/// Packets whose sequence number had come before.
pub const RX_DUPLICATES: MetricId = MetricId(33);
/// Packets that came after a higher sequence number.
pub const RX_REORDERED: MetricId = MetricId(34);
/// Sequence restarts of the source.
pub const RX_RESETS: MetricId = MetricId(35);
/// New SSRC from the same remote address.
pub const RX_SSRC_CHANGES: MetricId = MetricId(36);
/// Packets from a source that was not agreed: counted, not measured.
pub const RX_STRANGERS: MetricId = MetricId(37);
/// Datagrams that are not RTP or RTCP.
pub const RX_INVALID: MetricId = MetricId(38);
/// Packets with a payload type that was not negotiated.
pub const RX_WRONG_PT: MetricId = MetricId(39);
/// Longest time between two packets received.
pub const RX_SPACING_MAX: MetricId = MetricId(40);
/// Shortest time between two packets received.
pub const RX_SPACING_MIN: MetricId = MetricId(41);
/// Mean time between packets received.
pub const RX_SPACING_MEAN: MetricId = MetricId(42);
/// From the media's start to the first packet received.
pub const RX_FIRST_PACKET: MetricId = MetricId(43);
/// RTP packets sent.
pub const TX_PACKETS: MetricId = MetricId(44);
/// RTP payload octets sent.
pub const TX_BYTES: MetricId = MetricId(45);
/// RTP sent, headers of RTP, UDP and IP counted.
pub const TX_BITRATE: MetricId = MetricId(46);
/// Packets that the kernel refused to send.
pub const TX_ERRORS: MetricId = MetricId(47);
/// Largest lateness of a packet sent against its schedule.
pub const TX_LATE_MAX: MetricId = MetricId(48);
/// Playout delay of the buffer model.
pub const JB_DELAY: MetricId = MetricId(49);
/// Packets that came too late or too early to be played.
pub const JB_DISCARDED: MetricId = MetricId(50);
/// Discarded of expected.
pub const JB_DISCARD_PCT: MetricId = MetricId(51);
/// Packets discarded because they came late.
pub const JB_LATE: MetricId = MetricId(52);
/// Packets discarded because the buffer was full.
pub const JB_EARLY: MetricId = MetricId(53);
/// Mean audio held by the buffer model.
pub const JB_FILL: MetricId = MetricId(54);
/// RTCP compound packets sent.
pub const RTCP_SENT: MetricId = MetricId(55);
/// RTCP compound packets received.
pub const RTCP_RECEIVED: MetricId = MetricId(56);
/// RTCP datagrams refused by the bounds check.
pub const RTCP_INVALID: MetricId = MetricId(57);
/// RTCP XR packets sent.
pub const RTCP_XR_SENT: MetricId = MetricId(58);
/// RTCP XR packets received.
pub const RTCP_XR_RECEIVED: MetricId = MetricId(59);
/// RTCP BYE packets received.
pub const RTCP_BYE_RECEIVED: MetricId = MetricId(60);
/// Mean level of the audio received (sampled streams).
pub const AUDIO_LEVEL: MetricId = MetricId(61);
/// Frames received below -60 dBov (sampled streams).
pub const AUDIO_SILENCE: MetricId = MetricId(62);
/// Samples received at full scale (sampled streams).
pub const AUDIO_CLIPPING: MetricId = MetricId(63);
/// 1 where we sent all second long and nothing came.
pub const AUDIO_ONE_WAY: MetricId = MetricId(64);
/// Registration Request Delay, challenge included.
pub const REG_RRD: MetricId = MetricId(65);
/// Registrations begun (refreshes not counted).
pub const REG_ATTEMPTS: MetricId = MetricId(66);
/// Registrations that succeeded.
pub const REG_SUCCESS: MetricId = MetricId(67);
/// Registrations that failed.
pub const REG_FAILED: MetricId = MetricId(68);
/// Registrations refreshed.
pub const REG_REFRESHES: MetricId = MetricId(69);
/// Start of the registration against its intended start.
pub const REG_LATE: MetricId = MetricId(70);
/// INVITE dialog attempts; a challenge is not a second one.
pub const CALL_ATTEMPTS: MetricId = MetricId(71);
/// Calls answered with 200 and confirmed with ACK.
pub const CALL_ESTABLISHED: MetricId = MetricId(72);
/// Calls that did not come about.
pub const CALL_FAILED: MetricId = MetricId(73);
/// INVITEs received that began a dialog.
pub const CALL_INCOMING: MetricId = MetricId(74);
/// Established calls that ended with BYE and its answer.
pub const CALL_ENDED: MetricId = MetricId(75);
/// INVITE sent to the first response, 100 counted.
pub const CALL_TTFR: MetricId = MetricId(76);
/// Post-dial delay: INVITE to the first 18x or final answer, success (SRD).
pub const CALL_PDD: MetricId = MetricId(77);
/// Session Request Delay of attempts that failed.
pub const CALL_SRD_FAILED: MetricId = MetricId(78);
/// First 180 to the 200.
pub const CALL_RING: MetricId = MetricId(79);
/// INVITE to 200 OK.
pub const CALL_SETUP: MetricId = MetricId(80);
/// 200 OK sent to ACK received.
pub const CALL_ACK: MetricId = MetricId(81);
/// Caller's INVITE sent to callee's INVITE received, both ours.
pub const CALL_ROUTING: MetricId = MetricId(82);
/// Session Disconnect Delay: BYE to its 2xx.
pub const CALL_SDD: MetricId = MetricId(83);
/// Session Duration Time: 200 OK to BYE.
pub const CALL_DURATION: MetricId = MetricId(84);
/// INVITE sent against its intended time.
pub const CALL_LATE: MetricId = MetricId(85);
/// SIP messages sent, retransmissions counted.
pub const SIP_SENT: MetricId = MetricId(86);
/// SIP messages received.
pub const SIP_RECEIVED: MetricId = MetricId(87);
/// SIP messages sent again by a timer.
pub const SIP_RETRANSMITS_SENT: MetricId = MetricId(88);
/// SIP messages that a transaction had seen before.
pub const SIP_RETRANSMITS_RECEIVED: MetricId = MetricId(89);
/// SIP messages that no state waited for.
pub const SIP_UNEXPECTED: MetricId = MetricId(90);

/// Every metric of an endpoint's second, by [`MetricId`].
pub const CATALOGUE: &[Metric] = &[
    Metric {
        key: "mos",
        unit: Unit::Mos,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Higher,
        family: Family::Quality,
        help: "MOS-CQ on the narrowband scale, of the stream received, this second",
        source: "ITU-T G.107 Annex B",
    },
    Metric {
        key: "mos_wb",
        unit: Unit::Mos,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Higher,
        family: Family::Quality,
        help: "MOS-CQ on the wideband scale",
        source: "ITU-T G.107.1",
    },
    Metric {
        key: "mos_fb",
        unit: Unit::Mos,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Higher,
        family: Family::Quality,
        help: "MOS-CQ on the fullband scale",
        source: "ITU-T G.107.2",
    },
    Metric {
        key: "mos_lq",
        unit: Unit::Mos,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Higher,
        family: Family::Quality,
        help: "MOS without the delay impairment, same scale as the MOS beside it",
        source: "RFC 3611 §4.7.5",
    },
    Metric {
        key: "r",
        unit: Unit::RFactor,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Higher,
        family: Family::Quality,
        help: "Transmission rating, narrowband scale",
        source: "ITU-T G.107",
    },
    Metric {
        key: "r_wb",
        unit: Unit::RFactor,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Higher,
        family: Family::Quality,
        help: "Transmission rating, wideband scale (0 to 129)",
        source: "ITU-T G.107.1",
    },
    Metric {
        key: "r_fb",
        unit: Unit::RFactor,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Higher,
        family: Family::Quality,
        help: "Transmission rating, fullband scale (0 to 148)",
        source: "ITU-T G.107.2",
    },
    Metric {
        key: "emodel.id",
        unit: Unit::RFactor,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Delay impairment Id",
        source: "ITU-T G.107 §7.4",
    },
    Metric {
        key: "emodel.ie_eff",
        unit: Unit::RFactor,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Effective equipment impairment Ie,eff",
        source: "ITU-T G.107 §7.5",
    },
    Metric {
        key: "emodel.ppl_pct",
        unit: Unit::Percent,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Loss after the playout buffer: lost and discarded of expected",
        source: "ITU-T G.107 §7.5",
    },
    Metric {
        key: "emodel.burst_r",
        unit: Unit::Ratio,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Burst ratio: mean loss run against the mean run of random loss",
        source: "ITU-T G.107 §7.5",
    },
    Metric {
        key: "emodel.delay_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "One-way mouth-to-ear delay used: network, playout buffer, packetisation",
        source: "ITU-T G.107 §7.4",
    },
    Metric {
        key: "jitter_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Interarrival jitter at the end of the second",
        source: "RFC 3550 §6.4.1",
    },
    Metric {
        key: "jitter_max_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Largest interarrival jitter within the second",
        source: "RFC 3550 §6.4.1",
    },
    Metric {
        key: "loss_pct",
        unit: Unit::Percent,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Network loss: expected minus received, of expected",
        source: "RFC 3550 §A.3",
    },
    Metric {
        key: "rtt_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Both,
        better: Better::Lower,
        family: Family::Quality,
        help: "Round-trip time from the newest RTCP report",
        source: "RFC 3550 §6.4.1",
    },
    Metric {
        key: "one_way_delay_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Measured one-way delay, where both ends share this machine's clock",
        source: "",
    },
    Metric {
        key: "drift_ppm",
        unit: Unit::Ppm,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Quality,
        help: "Sender's clock against ours",
        source: "",
    },
    Metric {
        key: "burst.density_pct",
        unit: Unit::Percent,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Lost or discarded inside bursts, since the call's start",
        source: "RFC 3611 §4.7.2",
    },
    Metric {
        key: "burst.duration_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Mean length of a burst, since the call's start",
        source: "RFC 3611 §4.7.2",
    },
    Metric {
        key: "burst.count",
        unit: Unit::Count,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Bursts since the call's start",
        source: "RFC 3611 §4.7.2",
    },
    Metric {
        key: "gap.density_pct",
        unit: Unit::Percent,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Lost or discarded inside gaps, since the call's start",
        source: "RFC 3611 §4.7.2",
    },
    Metric {
        key: "gap.duration_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Higher,
        family: Family::Quality,
        help: "Mean length of a gap, since the call's start",
        source: "RFC 3611 §4.7.2",
    },
    Metric {
        key: "loss_run_max",
        unit: Unit::Count,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Longest run of consecutive lost packets since the call's start",
        source: "",
    },
    Metric {
        key: "tx.loss_pct",
        unit: Unit::Percent,
        kind: Kind::Gauge,
        direction: Direction::Tx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Loss of what we sent, as the far end's newest report says",
        source: "RFC 3550 §6.4.1",
    },
    Metric {
        key: "tx.jitter_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Tx,
        better: Better::Lower,
        family: Family::Quality,
        help: "Jitter of what we sent, as the far end's newest report says",
        source: "RFC 3550 §6.4.1",
    },
    Metric {
        key: "tx.mos",
        unit: Unit::Mos,
        kind: Kind::Gauge,
        direction: Direction::Tx,
        better: Better::Higher,
        family: Family::Quality,
        help: "MOS-CQ that the far end reported by RTCP XR",
        source: "RFC 3611 §4.7.5",
    },
    Metric {
        key: "tx.r",
        unit: Unit::RFactor,
        kind: Kind::Gauge,
        direction: Direction::Tx,
        better: Better::Higher,
        family: Family::Quality,
        help: "R factor that the far end reported by RTCP XR",
        source: "RFC 3611 §4.7.5",
    },
    Metric {
        key: "rx.packets",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Network,
        help: "RTP packets received",
        source: "RFC 3550 §A.1",
    },
    Metric {
        key: "rx.bytes",
        unit: Unit::Bytes,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Network,
        help: "RTP payload octets received",
        source: "",
    },
    Metric {
        key: "rx.bitrate_bps",
        unit: Unit::BitsPerSecond,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Network,
        help: "RTP received, headers of RTP, UDP and IP counted",
        source: "",
    },
    Metric {
        key: "rx.expected",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Network,
        help: "RTP packets expected by sequence number",
        source: "RFC 3550 §A.3",
    },
    Metric {
        key: "rx.lost",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Network,
        help: "Expected minus received; negative where duplicates or late packets came",
        source: "RFC 3550 §A.3",
    },
    Metric {
        key: "rx.duplicates",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Network,
        help: "Packets whose sequence number had come before",
        source: "",
    },
    Metric {
        key: "rx.reordered",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Network,
        help: "Packets that came after a higher sequence number",
        source: "",
    },
    Metric {
        key: "rx.resets",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Network,
        help: "Sequence restarts of the source",
        source: "RFC 3550 §A.1",
    },
    Metric {
        key: "rx.ssrc_changes",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Network,
        help: "New SSRC from the same remote address",
        source: "RFC 3550 §8.2",
    },
    Metric {
        key: "rx.strangers",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Network,
        help: "Packets from a source that was not agreed: counted, not measured",
        source: "",
    },
    Metric {
        key: "rx.invalid",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Network,
        help: "Datagrams that are not RTP or RTCP",
        source: "RFC 3550 §A.1",
    },
    Metric {
        key: "rx.wrong_payload_type",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Network,
        help: "Packets with a payload type that was not negotiated",
        source: "RFC 3264 §6.1",
    },
    Metric {
        key: "rx.spacing_max_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Network,
        help: "Longest time between two packets received",
        source: "",
    },
    Metric {
        key: "rx.spacing_min_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Network,
        help: "Shortest time between two packets received",
        source: "",
    },
    Metric {
        key: "rx.spacing_mean_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Network,
        help: "Mean time between packets received",
        source: "",
    },
    Metric {
        key: "rx.first_packet_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Network,
        help: "From the media's start to the first packet received",
        source: "",
    },
    Metric {
        key: "tx.packets",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Tx,
        better: Better::Neither,
        family: Family::Network,
        help: "RTP packets sent",
        source: "",
    },
    Metric {
        key: "tx.bytes",
        unit: Unit::Bytes,
        kind: Kind::Counter,
        direction: Direction::Tx,
        better: Better::Neither,
        family: Family::Network,
        help: "RTP payload octets sent",
        source: "",
    },
    Metric {
        key: "tx.bitrate_bps",
        unit: Unit::BitsPerSecond,
        kind: Kind::Gauge,
        direction: Direction::Tx,
        better: Better::Neither,
        family: Family::Network,
        help: "RTP sent, headers of RTP, UDP and IP counted",
        source: "",
    },
    Metric {
        key: "tx.errors",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Tx,
        better: Better::Lower,
        family: Family::Network,
        help: "Packets that the kernel refused to send",
        source: "",
    },
    Metric {
        key: "tx.late_max_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Tx,
        better: Better::Lower,
        family: Family::Network,
        help: "Largest lateness of a packet sent against its schedule",
        source: "",
    },
    Metric {
        key: "jb.delay_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::JitterBuffer,
        help: "Playout delay of the buffer model",
        source: "RFC 3611 §4.7.7",
    },
    Metric {
        key: "jb.discarded",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::JitterBuffer,
        help: "Packets that came too late or too early to be played",
        source: "RFC 3611 §4.7.1",
    },
    Metric {
        key: "jb.discard_pct",
        unit: Unit::Percent,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::JitterBuffer,
        help: "Discarded of expected",
        source: "RFC 3611 §4.7.1",
    },
    Metric {
        key: "jb.late",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::JitterBuffer,
        help: "Packets discarded because they came late",
        source: "RFC 3611 §4.7.1",
    },
    Metric {
        key: "jb.early",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::JitterBuffer,
        help: "Packets discarded because the buffer was full",
        source: "RFC 3611 §4.7.1",
    },
    Metric {
        key: "jb.fill_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::JitterBuffer,
        help: "Mean audio held by the buffer model",
        source: "",
    },
    Metric {
        key: "rtcp.sent",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Tx,
        better: Better::Neither,
        family: Family::Rtcp,
        help: "RTCP compound packets sent",
        source: "RFC 3550 §6",
    },
    Metric {
        key: "rtcp.received",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Rtcp,
        help: "RTCP compound packets received",
        source: "RFC 3550 §6",
    },
    Metric {
        key: "rtcp.invalid",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Rtcp,
        help: "RTCP datagrams refused by the bounds check",
        source: "RFC 3550 §A.2",
    },
    Metric {
        key: "rtcp.xr_sent",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Tx,
        better: Better::Neither,
        family: Family::Rtcp,
        help: "RTCP XR packets sent",
        source: "RFC 3611",
    },
    Metric {
        key: "rtcp.xr_received",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Rtcp,
        help: "RTCP XR packets received",
        source: "RFC 3611",
    },
    Metric {
        key: "rtcp.bye_received",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Rtcp,
        help: "RTCP BYE packets received",
        source: "RFC 3550 §6.6",
    },
    Metric {
        key: "audio.level_dbov",
        unit: Unit::Dbov,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Audio,
        help: "Mean level of the audio received (sampled streams)",
        source: "ITU-T P.56",
    },
    Metric {
        key: "audio.silence_pct",
        unit: Unit::Percent,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Audio,
        help: "Frames received below -60 dBov (sampled streams)",
        source: "",
    },
    Metric {
        key: "audio.clipping_pct",
        unit: Unit::Percent,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Audio,
        help: "Samples received at full scale (sampled streams)",
        source: "",
    },
    Metric {
        key: "audio.one_way",
        unit: Unit::Count,
        kind: Kind::Gauge,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Audio,
        help: "1 where we sent all second long and nothing came",
        source: "",
    },
    Metric {
        key: "reg.rrd_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Both,
        better: Better::Lower,
        family: Family::Call,
        help: "Registration Request Delay, challenge included",
        source: "RFC 6076 §4.1",
    },
    Metric {
        key: "reg.attempts",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Both,
        better: Better::Neither,
        family: Family::Call,
        help: "Registrations begun (refreshes not counted)",
        source: "RFC 6076 §4.2",
    },
    Metric {
        key: "reg.success",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Both,
        better: Better::Higher,
        family: Family::Call,
        help: "Registrations that succeeded",
        source: "",
    },
    Metric {
        key: "reg.failed",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Both,
        better: Better::Lower,
        family: Family::Call,
        help: "Registrations that failed",
        source: "RFC 6076 §4.2",
    },
    Metric {
        key: "reg.refreshes",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Both,
        better: Better::Neither,
        family: Family::Call,
        help: "Registrations refreshed",
        source: "RFC 3261 §10.2.4",
    },
    Metric {
        key: "reg.late_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Both,
        better: Better::Lower,
        family: Family::Call,
        help: "Start of the registration against its intended start",
        source: "",
    },
    Metric {
        key: "call.attempts",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Tx,
        better: Better::Neither,
        family: Family::Call,
        help: "INVITE dialog attempts; a challenge is not a second one",
        source: "RFC 6076 §4.6",
    },
    Metric {
        key: "call.established",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Both,
        better: Better::Higher,
        family: Family::Call,
        help: "Calls answered with 200 and confirmed with ACK",
        source: "RFC 6076 §4.6",
    },
    Metric {
        key: "call.failed",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Both,
        better: Better::Lower,
        family: Family::Call,
        help: "Calls that did not come about",
        source: "RFC 6076 §4.8",
    },
    Metric {
        key: "call.incoming",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Call,
        help: "INVITEs received that began a dialog",
        source: "",
    },
    Metric {
        key: "call.ended",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Both,
        better: Better::Neither,
        family: Family::Call,
        help: "Established calls that ended with BYE and its answer",
        source: "RFC 6076 §4.9",
    },
    Metric {
        key: "call.first_response_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Tx,
        better: Better::Lower,
        family: Family::Call,
        help: "INVITE sent to the first response, 100 counted",
        source: "",
    },
    Metric {
        key: "call.pdd_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Tx,
        better: Better::Lower,
        family: Family::Call,
        help: "Post-dial delay: INVITE to the first 18x or final answer, success (SRD)",
        source: "RFC 6076 §4.3.1",
    },
    Metric {
        key: "call.srd_failed_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Tx,
        better: Better::Lower,
        family: Family::Call,
        help: "Session Request Delay of attempts that failed",
        source: "RFC 6076 §4.3.2",
    },
    Metric {
        key: "call.ring_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Tx,
        better: Better::Neither,
        family: Family::Call,
        help: "First 180 to the 200",
        source: "",
    },
    Metric {
        key: "call.setup_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Tx,
        better: Better::Lower,
        family: Family::Call,
        help: "INVITE to 200 OK",
        source: "",
    },
    Metric {
        key: "call.ack_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Call,
        help: "200 OK sent to ACK received",
        source: "",
    },
    Metric {
        key: "call.routing_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Call,
        help: "Caller's INVITE sent to callee's INVITE received, both ours",
        source: "",
    },
    Metric {
        key: "call.sdd_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Both,
        better: Better::Lower,
        family: Family::Call,
        help: "Session Disconnect Delay: BYE to its 2xx",
        source: "RFC 6076 §4.4",
    },
    Metric {
        key: "call.duration_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Both,
        better: Better::Neither,
        family: Family::Call,
        help: "Session Duration Time: 200 OK to BYE",
        source: "RFC 6076 §4.5",
    },
    Metric {
        key: "call.late_ms",
        unit: Unit::Milliseconds,
        kind: Kind::Event,
        direction: Direction::Tx,
        better: Better::Lower,
        family: Family::Call,
        help: "INVITE sent against its intended time",
        source: "",
    },
    Metric {
        key: "sip.sent",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Tx,
        better: Better::Neither,
        family: Family::Call,
        help: "SIP messages sent, retransmissions counted",
        source: "",
    },
    Metric {
        key: "sip.received",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Neither,
        family: Family::Call,
        help: "SIP messages received",
        source: "",
    },
    Metric {
        key: "sip.retransmits_sent",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Tx,
        better: Better::Lower,
        family: Family::Call,
        help: "SIP messages sent again by a timer",
        source: "RFC 3261 §17",
    },
    Metric {
        key: "sip.retransmits_received",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Call,
        help: "SIP messages that a transaction had seen before",
        source: "RFC 3261 §17",
    },
    Metric {
        key: "sip.unexpected",
        unit: Unit::Count,
        kind: Kind::Counter,
        direction: Direction::Rx,
        better: Better::Lower,
        family: Family::Call,
        help: "SIP messages that no state waited for",
        source: "",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_are_unique_and_constants_point_at_their_rows() {
        let keys: HashSet<_> = CATALOGUE.iter().map(|metric| metric.key).collect();
        assert_eq!(keys.len(), CATALOGUE.len());
        assert_eq!(MOS.metric().key, "mos");
        assert_eq!(RTT.metric().key, "rtt_ms");
        assert_eq!(REG_RRD.metric().key, "reg.rrd_ms");
        assert_eq!(SIP_UNEXPECTED.metric().key, "sip.unexpected");
        assert!(
            CATALOGUE.len() >= 66,
            "PRODUCT §5 promises MOS, R, jitter, loss, RTT, bitrate and 60 more"
        );
    }
}
