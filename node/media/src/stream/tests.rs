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
        if self.now_ms % 1_000 == 0 {
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
