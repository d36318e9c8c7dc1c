//! What one packet, one second and one report of a stream cost. Prints nanoseconds per call.
//!
//! Owns: a loop and a clock. Never: a socket (the engine's bench has those).

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and may fail"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::codec::{CodecId, EncodedClip};
use media::stream::{NtpTime, Playout, Stream, StreamConfig, StreamSecond};

fn main() {
    let start = Instant::now();
    let mut speaker = Stream::new(start, config(1));
    let mut listener = Stream::new(start, config(2));
    let mut buf = [0; 512];
    let sent = time(PACKETS, |_| {
        let length = speaker.next_packet(start, &mut buf).unwrap();
        speaker.sent(Duration::ZERO, true);
        black_box(length);
    });
    let length = speaker.next_packet(start, &mut buf).unwrap();
    let mut packet = buf[..length].to_vec();
    let received = time(PACKETS, |n| {
        // A header apart, the packet stays in the cache as one just read from a socket does.
        packet[2..4].copy_from_slice(&(n as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(n * 160).to_be_bytes());
        let jitter = Duration::from_micros(u64::from(n) * 7_919 % 5_000);
        let arrival = start + Duration::from_millis(20) * n + jitter;
        black_box(listener.on_rtp(arrival, &packet));
    });
    let second = time(SECONDS, |n| {
        let now = start + Duration::from_secs(u64::from(n) + 1);
        black_box(listener.close_second(now));
    });
    let report = time(SECONDS, |n| {
        let now = start + Duration::from_secs(100 * u64::from(n) + 100_000);
        black_box(listener.write_rtcp(now, NtpTime(u64::from(n) << 32), &mut buf));
    });
    println!("next_packet + sent  {sent:8.1} ns");
    println!("on_rtp              {received:8.1} ns");
    println!("close_second        {second:8.1} ns");
    println!("write_rtcp          {report:8.1} ns");
    println!("Stream              {:8} octets", size_of::<Stream>());
    println!("StreamSecond        {:8} octets", size_of::<StreamSecond>());
}

/// Median of batches: on a busy machine a batch is interrupted now and then.
fn time(count: u32, mut call: impl FnMut(u32)) -> f64 {
    let mut batches: Vec<f64> = (0..count / BATCH)
        .map(|batch| {
            let began = Instant::now();
            (batch * BATCH..(batch + 1) * BATCH).for_each(&mut call);
            began.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}

fn config(ssrc: u32) -> StreamConfig {
    let frames = (0..50_u8).map(|n| Bytes::from(vec![n; 160])).collect();
    StreamConfig {
        ssrc,
        cname: format!("{ssrc}@clock"),
        payload_type: 0,
        accept_payload_types: [0].into_iter().collect(),
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
        first_sequence: 0,
        first_timestamp: 0,
        rtcp_interval: Duration::from_secs(5),
        rtcp_xr: true,
        playout: Playout::Adaptive {
            min_ms: 20,
            max_ms: 120,
        },
        sampled: false,
        ipv6: false,
        seed: 1,
    }
}

const BATCH: u32 = 500;
const PACKETS: u32 = 500_000;
const SECONDS: u32 = 100_000;
