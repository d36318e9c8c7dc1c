use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::smallvec;

use super::*;
use crate::codec::{CodecId, EncodedClip};
use crate::seeded::Random;

/// One end: payload type 0, 20 ms, RTCP about once a second.
fn config(ssrc: u32) -> StreamConfig {
    let frames = (0..50_u8).map(|n| Bytes::from(vec![n; 160])).collect();
    StreamConfig {
        ssrc,
        cname: format!("{ssrc}@clock"),
        payload_type: 0,
        accept_payload_types: smallvec![0],
        telephone_event: Some(101),
        codec: CodecId::Pcmu,
        ptime_ms: 20,
        plc: true,
        clip: Some(Arc::new(EncodedClip {
            frames,
            ptime_ms: 20,
            ticks_per_frame: 160,
        })),
        send: true,
        receive: true,
        first_sequence: 65_500,
        first_timestamp: u32::MAX - 1_000,
        rtcp_interval: Duration::from_secs(1),
        rtcp_xr: true,
        playout: Playout::Fixed { delay_ms: 60 },
        sampled: false,
        ipv6: false,
        seed: u64::from(ssrc),
    }
}

/// What the road does to packet `n` of one direction: when it arrives, or that it does not.
type Road = Box<dyn FnMut(u64) -> Option<Duration>>;

fn constant(delay_ms: u64) -> Road {
    Box::new(move |_| Some(Duration::from_millis(delay_ms)))
}

/// Two ends and a road in virtual time, in steps of a millisecond.
struct Pair {
    start: Instant,
    now_ms: u64,
    ends: [Stream; 2],
    roads: [Road; 2],
    packets: [u64; 2],
    dropped: [u64; 2],
    flying: Vec<(Duration, usize, Vec<u8>)>,
    seconds: [Vec<StreamSecond>; 2],
}

impl Pair {
    fn new(a: StreamConfig, b: StreamConfig, there: Road, back: Road) -> Self {
        let start = Instant::now();
        Self {
            start,
            now_ms: 0,
            ends: [Stream::new(start, a), Stream::new(start, b)],
            roads: [there, back],
            packets: [0, 0],
            dropped: [0, 0],
            flying: Vec::new(),
            seconds: [Vec::new(), Vec::new()],
        }
    }

    fn wall(at: Duration) -> NtpTime {
        NtpTime::from_unix(Duration::from_secs(1_800_000_000) + at)
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step();
        }
    }

    fn step(&mut self) {
        let since = Duration::from_millis(self.now_ms);
        let now = self.start + since;
        let mut landed: Vec<_> = Vec::new();
        self.flying.retain(|packet| {
            let lands = packet.0 <= since;
            if lands {
                landed.push(packet.clone());
            }
            !lands
        });
        landed.sort_by_key(|packet| packet.0);
        for (at, to, octets) in landed {
            match crate::rtp::classify(&octets) {
                crate::rtp::Class::Rtp => {
                    self.ends[to].on_rtp(self.start + at, &octets);
                }
                crate::rtp::Class::Rtcp => {
                    self.ends[to].on_rtcp(self.start + at, Self::wall(at), &octets);
                }
                crate::rtp::Class::Invalid => self.ends[to].on_invalid(),
            }
        }
        for from in 0..2 {
            let mut buf = [0; 512];
            if self.now_ms % 20 == 7
                && let Some(length) = self.ends[from].next_packet(now, &mut buf)
            {
                self.ends[from].sent(Duration::ZERO, true);
                self.packets[from] += 1;
                match (self.roads[from])(self.packets[from] - 1) {
                    Some(delay) => self.fly(since + delay, 1 - from, &buf[..length]),
                    None => self.dropped[from] += 1,
                }
            }
            if let Some(length) = self.ends[from].write_rtcp(now, Self::wall(since), &mut buf) {
                let delay = (self.roads[from])(u64::MAX).expect("RTCP is not lost here");
                self.fly(since + delay, 1 - from, &buf[..length]);
            }
        }
        self.now_ms += 1;
        if self.now_ms.is_multiple_of(1_000) {
            let now = self.start + Duration::from_millis(self.now_ms);
            for end in 0..2 {
                let second = self.ends[end].close_second(now);
                self.seconds[end].push(second);
            }
        }
    }

    fn fly(&mut self, at: Duration, to: usize, octets: &[u8]) {
        self.flying.push((at, to, octets.to_vec()));
    }
}

fn close(got: Option<f32>, want: f64, within: f64) {
    let got = f64::from(got.expect("a figure"));
    assert!(
        (got - want).abs() <= within,
        "{got} is not {want} within {within}"
    );
}

#[test]
fn a_clean_call_has_no_loss_no_jitter_and_the_delay_of_its_road() {
    let mut pair = Pair::new(config(1), config(2), constant(80), constant(80));
    pair.run(20_000);
    let summary = pair.ends[1].summary();
    assert_eq!(summary.tx_packets, 1_000);
    assert_eq!(summary.remote_ssrc, Some(1));
    assert_eq!(
        (summary.rx_lost, summary.rx_missing, summary.discarded),
        (0, 0, 0)
    );
    assert_eq!(summary.rx_expected, 996, "four are on the road");
    close(summary.jitter_max_ms, 0.0, 1e-6);
    close(summary.rtt_mean_ms, 160.0, 0.1);
    close(summary.one_way_delay_ms, 80.0, 0.1);
    close(summary.delay_ms, 80.0 + 60.0 + 20.0, 0.1);
    close(summary.first_packet_ms, 87.0, 1e-3);
    close(summary.drift_ppm, 0.0, 0.1);
    assert_eq!((summary.scale, summary.grounded), (Scale::Narrowband, true));
    // 93.2 - 0.024 * 160.
    close(summary.r, 89.36, 0.01);
    assert!(summary.tx_mos_reported.is_some() && summary.tx_lost_reported == Some(0));
    let second = pair.seconds[1][5];
    assert_eq!(
        (second.rx_packets, second.rx_expected, second.tx_packets),
        (50, 50, 50)
    );
    close(Some(second.rx_bitrate_bps), 80_000.0, 1.0);
    close(Some(second.tx_bitrate_bps), 80_000.0, 1.0);
    assert_eq!(second.audio_one_way, Some(0.0));
    close(second.rx_spacing_mean_ms, 20.0, 1e-3);
    close(second.jb_fill_ms, 60.0, 1e-3);
}

/// Loses, delays by up to `jitter_ms` and duplicates nothing; RTCP (`u64::MAX`) passes untouched.
fn lossy(seed: u64, loss: f64, jitter_ms: f64, delay_ms: f64) -> Road {
    let mut random = Random::new(seed);
    Box::new(move |n| {
        if n == u64::MAX {
            return Some(Duration::from_secs_f64(delay_ms / 1e3));
        }
        let lost = random.unit() < loss && n > 0;
        let delay = delay_ms + random.unit() * jitter_ms;
        (!lost).then(|| Duration::from_secs_f64(delay / 1e3))
    })
}

#[test]
fn loss_is_what_the_road_dropped_and_mos_is_the_formula_s() {
    for seed in 0..8 {
        for loss in [0.01, 0.02, 0.05] {
            let there = lossy(seed, loss, 0.0, 5.0);
            let mut pair = Pair::new(config(1), config(2), there, constant(5));
            pair.run(60_000);
            let summary = pair.ends[1].summary();
            // A tail that was lost is not known; at most a packet or two here.
            let dropped = pair.dropped[0];
            assert!(dropped - summary.rx_missing <= 2, "seed {seed}: {dropped}");
            assert_eq!(summary.rx_lost, summary.rx_missing as i64);
            let ppl = f64::from(summary.ppl_pct.expect("packets"));
            let burst_r = f64::from(summary.burst_r.expect("a rating"));
            let ie_eff = 95.0 * ppl / (ppl / burst_r + 25.1);
            close(summary.ie_eff, ie_eff, 1e-3);
            close(summary.r, 93.2 - ie_eff - 0.024 * 85.0, 0.01);
            assert!((0.9..1.3).contains(&burst_r), "seed {seed}: {burst_r}");
            let lost: i64 = pair.seconds[1]
                .iter()
                .map(|second| i64::from(second.rx_lost))
                .sum();
            assert_eq!(lost, summary.rx_lost, "seed {seed}: seconds add up");
            let last = pair.ends[0].summary();
            assert!(last.tx_lost_reported.is_some_and(|lost| lost > 0));
        }
    }
}

#[test]
fn jitter_reordering_and_discards_of_a_rough_road() {
    for seed in 0..8 {
        let there = lossy(seed, 0.0, 40.0, 5.0);
        let mut pair = Pair::new(config(1), config(2), there, constant(5));
        pair.run(30_000);
        pair.ends[0].set_direction(false, true);
        pair.run(100);
        let summary = pair.ends[1].summary();
        assert_eq!(summary.rx_missing, 0, "seed {seed}");
        assert!(
            summary.rx_reordered > 100,
            "seed {seed}: {}",
            summary.rx_reordered
        );
        // |D| of two uniform delays of up to 40 ms is 13.3 ms in the mean.
        close(summary.jitter_mean_ms, 13.33, 1.0);
        assert_eq!(
            (summary.discarded_late, summary.discarded_early),
            (0, 0),
            "seed {seed}: 60 ms hold 40 ms"
        );

        let narrow = StreamConfig {
            playout: Playout::Fixed { delay_ms: 20 },
            ..config(2)
        };
        let mut pair = Pair::new(config(1), narrow, lossy(seed, 0.0, 40.0, 5.0), constant(5));
        pair.run(30_000);
        pair.ends[0].set_direction(false, true);
        pair.run(100);
        let summary = pair.ends[1].summary();
        close(summary.ppl_pct, 50.0, 6.0);
        close(summary.loss_pct, 0.0, 0.0);
        assert_eq!(
            summary.discarded,
            summary.discarded_late + summary.discarded_early
        );
    }
}

/// A packet of ours, sequence and timestamp from `n`.
fn packet(ssrc: u32, payload_type: u8, n: u32) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend((n as u16).to_be_bytes());
    packet.extend((n * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xFF; 160]);
    packet
}

struct Ear {
    start: Instant,
    stream: Stream,
}

impl Ear {
    fn new(config: StreamConfig) -> Self {
        let start = Instant::now();
        Self {
            start,
            stream: Stream::new(start, config),
        }
    }

    /// Hears `packet` in slot `n`.
    fn hear(&mut self, n: u32, packet: &[u8]) -> RtpVerdict {
        self.stream
            .on_rtp(self.start + Duration::from_millis(20) * n, packet)
    }

    fn close(&mut self, second: u64) -> StreamSecond {
        self.stream
            .close_second(self.start + Duration::from_secs(second))
    }
}

#[test]
fn nothing_received_is_absent_not_zero() {
    let mut ear = Ear::new(config(2));
    let second = ear.close(1);
    assert_eq!(second.rx_packets, 0);
    for figure in [
        second.mos,
        second.r,
        second.loss_pct,
        second.jitter_ms,
        second.rtt_ms,
        second.burst_density_pct,
        second.jb_delay_ms,
        second.rx_spacing_max_ms,
        second.tx_late_max_ms,
        second.audio_one_way,
    ] {
        assert_eq!(figure, None);
    }
    let summary = ear.stream.summary();
    assert_eq!(
        (summary.mos, summary.loss_pct, summary.remote_ssrc),
        (None, None, None)
    );
    assert_eq!(
        (summary.rx_lost, summary.burst_r, summary.jitter_max_ms),
        (0, None, None)
    );
}

#[test]
fn a_new_source_takes_over_at_its_second_packet_in_sequence() {
    let mut ear = Ear::new(config(2));
    for n in 0..50 {
        assert_eq!(ear.hear(n, &packet(7, 0, n)), RtpVerdict::Measured);
    }
    assert!(ear.stream.expects(7));
    assert_eq!(ear.hear(50, &packet(8, 0, 5_000)), RtpVerdict::Probation);
    assert!(ear.stream.expects(7) && !ear.stream.expects(8));
    assert_eq!(ear.hear(51, &packet(8, 0, 5_001)), RtpVerdict::Measured);
    assert!(ear.stream.expects(8));
    assert_eq!(ear.hear(53, &packet(8, 0, 5_003)), RtpVerdict::Measured);
    let summary = ear.stream.summary();
    assert_eq!((summary.rx_ssrc_changes, summary.rx_resets), (1, 0));
    assert_eq!(
        (summary.rx_packets, summary.rx_expected, summary.rx_lost),
        (53, 54, 1)
    );
    assert_eq!(summary.rx_unplaced, 0);
    close(summary.jitter_max_ms, 0.0, 1e-6);
    let second = ear.close(1);
    assert_eq!(
        (second.rx_expected, second.rx_lost, second.rx_ssrc_changes),
        (54, 1, 1)
    );
}

#[test]
fn a_restart_of_the_sequence_is_no_loss() {
    let mut ear = Ear::new(config(2));
    for n in 0..50 {
        ear.hear(n, &packet(7, 0, n));
    }
    assert_eq!(ear.hear(50, &packet(7, 0, 20_000)), RtpVerdict::Probation);
    assert_eq!(ear.hear(51, &packet(7, 0, 20_001)), RtpVerdict::Measured);
    let summary = ear.stream.summary();
    assert_eq!(
        (summary.rx_resets, summary.rx_expected, summary.rx_lost),
        (1, 52, 0)
    );
    close(summary.jitter_max_ms, 0.0, 1e-6);
    assert_eq!(ear.close(1).rx_resets, 1);
}

#[test]
fn payload_types_that_were_not_agreed() {
    let mut ear = Ear::new(config(2));
    assert_eq!(ear.hear(0, &packet(9, 34, 0)), RtpVerdict::WrongPayloadType);
    assert_eq!(
        ear.stream.summary().remote_ssrc,
        None,
        "it does not fix the source"
    );
    for n in 0..40 {
        ear.hear(n, &packet(7, 0, n));
    }
    // In the sequence, so not lost; nothing to play, so it counts against the quality.
    assert_eq!(
        ear.hear(40, &packet(7, 34, 40)),
        RtpVerdict::WrongPayloadType
    );
    // Comfort noise replaces silence, not speech.
    assert_eq!(
        ear.hear(41, &packet(7, 13, 41)),
        RtpVerdict::WrongPayloadType
    );
    for n in 42..50 {
        ear.hear(n, &packet(7, 0, n));
    }
    let second = ear.close(1);
    assert_eq!(
        (second.rx_wrong_pt, second.rx_expected, second.rx_lost),
        (3, 50, 0)
    );
    assert_eq!((second.loss_pct, second.ppl_pct), (Some(0.0), Some(2.0)));
}

#[test]
fn telephone_events_are_counted_but_not_timed() {
    let mut ear = Ear::new(config(2));
    for n in 0..20 {
        ear.hear(n, &packet(7, 0, n));
    }
    for n in 20..30 {
        // RFC 4733: all packets of an event carry the timestamp of its beginning.
        let mut event = packet(7, 101, 20);
        event[2..4].copy_from_slice(&(n as u16).to_be_bytes());
        assert_eq!(ear.hear(n, &event), RtpVerdict::Measured);
    }
    for n in 30..50 {
        ear.hear(n, &packet(7, 0, n));
    }
    let summary = ear.stream.summary();
    assert_eq!(
        (summary.rx_events, summary.rx_missing, summary.discarded),
        (10, 0, 0)
    );
    close(summary.jitter_max_ms, 0.0, 1e-6);
}

#[test]
fn an_echo_of_our_own_packets_is_measured_and_named() {
    let mut ear = Ear::new(config(7));
    for n in 0..50 {
        assert_eq!(ear.hear(n, &packet(7, 0, n)), RtpVerdict::Measured);
    }
    assert_eq!(ear.stream.summary().rx_echoed, 50);
}

#[test]
fn one_way_audio_needs_a_whole_second_of_both_directions() {
    let mut ear = Ear::new(config(2));
    let mut buf = [0; 200];
    let mut talk = |ear: &mut Ear| {
        ear.stream.next_packet(ear.start, &mut buf);
        ear.stream.sent(Duration::ZERO, true);
    };
    talk(&mut ear);
    assert_eq!(
        ear.close(1).audio_one_way,
        None,
        "the second in which it began"
    );
    talk(&mut ear);
    assert_eq!(ear.close(2).audio_one_way, Some(1.0));
    talk(&mut ear);
    ear.hear(0, &packet(7, 0, 0));
    assert_eq!(ear.close(3).audio_one_way, Some(0.0));
    talk(&mut ear);
    ear.stream.set_direction(true, false);
    assert_eq!(ear.close(4).audio_one_way, None, "put on hold within it");
    assert_eq!(ear.close(5).audio_one_way, None, "on hold");
    ear.stream.set_direction(true, true);
    talk(&mut ear);
    let late = ear.start + Duration::from_millis(5_500);
    assert_eq!(
        ear.stream.close_second(late).audio_one_way,
        None,
        "half a second"
    );
}

#[test]
fn hold_is_neither_jitter_nor_a_gap_between_packets() {
    let mut ear = Ear::new(config(2));
    for n in 0..50 {
        ear.hear(n, &packet(7, 0, n));
    }
    ear.stream.set_direction(false, false);
    ear.close(1);
    ear.stream.set_direction(true, true);
    // Thirty seconds later the far end goes on where its clock had stopped.
    for n in 50..100 {
        assert_eq!(ear.hear(n + 1_500, &packet(7, 0, n)), RtpVerdict::Measured);
    }
    let second = ear.close(32);
    close(second.jitter_max_ms, 0.0, 1e-6);
    close(second.rx_spacing_max_ms, 20.0, 1e-3);
    assert_eq!((second.jb_discarded, second.rx_lost), (0, 0));
}

#[test]
fn without_a_shared_clock_there_is_no_one_way_delay() {
    let other = StreamConfig {
        cname: "2@elsewhere".into(),
        ..config(2)
    };
    let mut pair = Pair::new(config(1), other, constant(80), constant(80));
    pair.run(10_000);
    let summary = pair.ends[1].summary();
    assert_eq!(summary.one_way_delay_ms, None);
    close(summary.rtt_mean_ms, 160.0, 0.1);
    close(summary.delay_ms, 80.0 + 80.0, 0.1);
    assert!(summary.delay_has_network);
}

#[test]
fn a_listener_learns_the_round_trip_by_xr() {
    let deaf = StreamConfig {
        send: false,
        cname: "2@elsewhere".into(),
        ..config(2)
    };
    let mut pair = Pair::new(config(1), deaf, constant(30), constant(30));
    pair.run(20_000);
    let summary = pair.ends[1].summary();
    close(summary.rtt_mean_ms, 60.0, 0.1);
    assert!(summary.rtt_samples >= 3 && summary.tx_packets == 0);
    let speaker = pair.ends[0].summary();
    assert_eq!(
        (speaker.rx_packets, speaker.mos, speaker.rtt_rejected),
        (0, None, 0)
    );
    close(speaker.rtt_mean_ms, 60.0, 0.1);
}

#[test]
fn a_bye_ends_the_reports() {
    let mut pair = Pair::new(config(1), config(2), constant(5), constant(5));
    pair.run(5_000);
    let now = pair.start + Duration::from_secs(5);
    let wall = Pair::wall(Duration::from_secs(5));
    let mut buf = [0; RTCP_MAX];
    let length = pair.ends[0].write_bye(now, wall, &mut buf).expect("a BYE");
    assert_eq!(pair.ends[0].rtcp_deadline(), None);
    assert_eq!(pair.ends[0].write_bye(now, wall, &mut buf), None);
    pair.ends[1].on_rtcp(now, wall, &buf[..length]);
    pair.ends[1].on_rtcp(now, wall, &[0x80; 3]);
    let summary = pair.ends[1].summary();
    assert!(summary.remote_bye);
    assert_eq!(summary.rtcp_invalid, 1);
    assert_eq!(summary.remote_sent_packets, Some(250));
    let silent = StreamConfig {
        rtcp_interval: Duration::ZERO,
        ..config(3)
    };
    let mut silent = Stream::new(now, silent);
    assert_eq!(
        (
            silent.rtcp_deadline(),
            silent.write_bye(now, wall, &mut buf)
        ),
        (None, None)
    );
}

#[test]
fn the_largest_compound_fits_its_buffer() {
    let long = StreamConfig {
        cname: "x".repeat(300),
        ..config(1)
    };
    let mut pair = Pair::new(long, config(2), constant(5), constant(5));
    pair.run(5_000);
    let mut buf = [0; RTCP_MAX];
    let now = pair.start + Duration::from_secs(5);
    assert!(
        pair.ends[0]
            .write_bye(now, NtpTime(1 << 40), &mut buf)
            .is_some()
    );
}

#[test]
fn a_sampled_stream_tells_its_level() {
    let mut ear = Ear::new(StreamConfig {
        sampled: true,
        ..config(2)
    });
    for n in 0..50 {
        ear.hear(n, &packet(7, 0, n));
    }
    let second = ear.close(1);
    close(second.audio_silence_pct, 100.0, 0.0);
    close(second.audio_level_dbov, -127.0, 1e-3);
    close(second.audio_clipping_pct, 0.0, 0.0);
    assert_eq!(ear.close(2).audio_level_dbov, None);
}

#[test]
fn hostile_datagrams_never_panic_and_are_counted() {
    let mut ear = Ear::new(config(2));
    let mut seeds = vec![packet(7, 0, 0), packet(7, 101, 9), packet(8, 0, 40_000)];
    seeds.extend(
        crate::torture::files("rtp")
            .into_iter()
            .map(|(_, octets)| octets),
    );
    let start = ear.start;
    crate::torture::mutate(&seeds, 50_000, |round, datagram| {
        ear.stream
            .on_rtp(start + Duration::from_millis(round), datagram);
        if round % 1_000 == 999 {
            let second = ear
                .stream
                .close_second(start + Duration::from_millis(round));
            let mos = second.mos.unwrap_or(1.0);
            assert!((1.0..=4.5).contains(&mos), "round {round}: {mos}");
        }
    });
    let mut pair = Pair::new(config(1), config(2), constant(5), constant(5));
    pair.run(3_000);
    let mut buf = [0; RTCP_MAX];
    let now = pair.start + Duration::from_secs(4);
    let length = pair.ends[0]
        .write_bye(now, NtpTime(7 << 32), &mut buf)
        .expect("a BYE");
    crate::torture::mutate(&[buf[..length].to_vec()], 50_000, |_, datagram| {
        pair.ends[1].on_rtcp(now, NtpTime(8 << 32), datagram);
    });
    let summary = pair.ends[1].summary();
    assert!(summary.rtcp_invalid > 1_000 && summary.rtcp_received > 1_000);
    assert!(summary.rtt_max_ms.is_none_or(|ms| ms <= 60_000.0));
}

#[test]
fn a_stream_is_small_and_may_change_threads() {
    fn sendable<T: Send>() {}
    sendable::<Stream>();
    assert!(size_of::<Stream>() <= 2_048, "{}", size_of::<Stream>());
    assert!(
        size_of::<StreamSecond>() <= 448,
        "{}",
        size_of::<StreamSecond>()
    );
}
