//! What the media engine costs, beside what the kernel alone costs, in one run.
//!
//! `cargo bench -p node --bench media_engine -- calls=1000,2000 seconds=5 threads=2`
//!
//! Each engine line is N full-duplex G.711 calls of 20 ms, both ends in this process on one media
//! thread, with RTCP and per-second figures. Each floor line is the least loop that moves the same
//! datagrams through the same kind of socket: absolute 1 ms ticks, every stream reads once and
//! sends 172 octets every 20 ms, nothing is looked at. CPU is that of the whole process.

#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot bind has nothing to report"
)]
#![allow(missing_docs, reason = "a binary")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Receiver;
use media::codec::{CodecId, EncodedClip};
use media::stream::{Playout, StreamConfig, StreamSummary};
use node::net::egress::Egress;
use node::net::limits;
use node::net::media::sys::{self, ReceiveBatch, SendBatch};
use node::net::media::time;
use node::net::media::{
    Engine, EngineConfig, MediaReport, MediaSecond, ShardMedia, StartSpec, StreamId,
};
use shared::definition::SocketMode;
use shared::stat::Histogram;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PTIME_MS: u64 = 20;
const PACKET: usize = 172;

/// Seconds that pass before anything is measured.
const WARM_UP: u64 = 2;

struct Plan {
    calls: Vec<u32>,
    seconds: u64,
    threads: usize,
    mux: bool,
}

#[derive(Default)]
struct Figures {
    cpu_per_1000: f64,
    late: Histogram,
    skipped: u64,
    drops: u64,
    lost: i64,
    received: u64,
    octets_per_stream: f64,
}

fn main() {
    let plan = plan();
    let limit = limits::raise_descriptor_limit().unwrap();
    println!(
        "media engine: {} threads, {} s each, rtcp-mux {}, {limit} descriptors",
        plan.threads, plan.seconds, plan.mux
    );
    println!(
        "{:<8} {:>6} {:>14} {:>8} {:>10} {:>10} {:>10} {:>8} {:>6} {:>9} {:>10}",
        "sockets",
        "calls",
        "cpu%/1000",
        "ratio",
        "late p50",
        "late p99",
        "late max",
        "skipped",
        "lost",
        "received",
        "B/stream"
    );
    for calls in &plan.calls {
        for mode in [SocketMode::Own, SocketMode::Shared] {
            let floor = match mode {
                SocketMode::Own => floor(&plan, *calls, own_floor),
                SocketMode::Shared => floor(&plan, *calls, shared_floor),
            };
            println!(
                "{:<8} {calls:>6} {floor:>14.2} {:>8}",
                format!("floor"),
                1.0
            );
            let figures = engine(&plan, *calls, mode);
            let late = |q| figures.late.quantile(q).unwrap_or_default();
            println!(
                "{:<8} {calls:>6} {:>14.2} {:>8.2} {:>7} µs {:>7} µs {:>7} µs {:>8} {:>6} {:>9} {:>10.0}",
                format!("{mode:?}").to_lowercase(),
                figures.cpu_per_1000,
                figures.cpu_per_1000 / floor,
                late(0.5),
                late(0.99),
                late(1.0),
                figures.skipped + figures.drops,
                figures.lost,
                figures.received,
                figures.octets_per_stream,
            );
        }
    }
}

fn plan() -> Plan {
    let mut plan = Plan {
        calls: vec![1_000, 2_000],
        seconds: 5,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        mux: false,
    };
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("calls", list)) => {
                plan.calls = list.split(',').filter_map(|n| n.parse().ok()).collect();
            }
            Some(("seconds", n)) => plan.seconds = n.parse().unwrap_or(plan.seconds),
            Some(("threads", n)) => plan.threads = n.parse().unwrap_or(plan.threads),
            Some(("mux", yes)) => plan.mux = yes == "true",
            _ => {}
        }
    }
    plan
}

// The engine.

fn engine(plan: &Plan, calls: u32, mode: SocketMode) -> Figures {
    let before = resident_octets();
    let (engine, reports) = Engine::start(EngineConfig {
        threads: plan.threads,
        pin: true,
        ..EngineConfig::default()
    })
    .unwrap();
    let egress = Arc::new(Egress::new(&[]));
    let clip = Arc::new(EncodedClip {
        frames: (0..50u8)
            .map(|n| Bytes::from(vec![n; PACKET - 12]))
            .collect(),
        ptime_ms: PTIME_MS as u32,
        ticks_per_frame: 160,
    });
    for call in 0..calls {
        let shard = engine.shard(call as usize).unwrap();
        start_call(&shard, call, mode, plan.mux, &egress, &clip);
    }
    let mut figures = Figures::default();
    hear(&reports, plan.threads, WARM_UP, |_| {});
    let cpu = time::process_cpu_ns();
    let begin = Instant::now();
    hear(&reports, plan.threads, plan.seconds, |second| {
        figures.late.merge(&second.send_late_us);
        figures.skipped += second.skipped;
        figures.drops += second.socket_drops + second.strangers + second.ambiguous;
    });
    figures.cpu_per_1000 = per_1000(cpu, begin, calls);
    figures.octets_per_stream =
        resident_octets().saturating_sub(before) as f64 / f64::from(calls * 2);
    for stream in 0..calls * 2 {
        let shard = engine.shard(stream as usize / 2).unwrap();
        shard.stop(StreamId(stream.into())).unwrap();
    }
    for summary in ends(&reports, calls * 2) {
        figures.lost += summary.rx_missing as i64;
        figures.received += summary.rx_packets;
    }
    engine.stop();
    figures
}

fn start_call(
    shard: &ShardMedia,
    call: u32,
    mode: SocketMode,
    mux: bool,
    egress: &Arc<Egress>,
    clip: &Arc<EncodedClip>,
) {
    let reserve = || shard.reserve(mode, LOCAL, mux, 0).unwrap();
    let ends = [reserve(), reserve()];
    let remotes = [(ends[1].rtp, ends[1].rtcp), (ends[0].rtp, ends[0].rtcp)];
    for (end, (reservation, remote)) in ends.into_iter().zip(remotes).enumerate() {
        let id = call * 2 + end as u32;
        let spec = StartSpec {
            permit: node::core::lease::Permit::always(),
            remote_rtp: remote.0,
            remote_rtcp: remote.1,
            remote_ssrc: Some(ssrc(id ^ 1)),
            egress: Arc::clone(egress),
            stream: stream(id, clip),
        };
        shard.start(StreamId(id.into()), reservation, spec).unwrap();
    }
}

/// SSRCs are random in real life: spread them, so that no table sees a neat row.
fn ssrc(id: u32) -> u32 {
    id.wrapping_add(1).wrapping_mul(0x9E37_79B1)
}

fn stream(id: u32, clip: &Arc<EncodedClip>) -> StreamConfig {
    StreamConfig {
        ssrc: ssrc(id),
        cname: format!("{id}@bench"),
        payload_type: 0,
        accept_payload_types: [0].into_iter().collect(),
        telephone_event: Some(101),
        codec: CodecId::Pcmu,
        ptime_ms: PTIME_MS as u32,
        plc: true,
        clip: Some(Arc::clone(clip)),
        send: true,
        receive: true,
        first_sequence: id as u16,
        first_timestamp: ssrc(id),
        rtcp_interval: Duration::from_secs(5),
        rtcp_xr: true,
        playout: Playout::Adaptive {
            min_ms: 20,
            max_ms: 200,
        },
        sampled: false,
        ipv6: false,
        seed: id.into(),
    }
}

fn hear(
    reports: &Receiver<MediaReport>,
    threads: usize,
    seconds: u64,
    mut each: impl FnMut(&MediaSecond),
) {
    let mut left = seconds * threads as u64;
    while left > 0 {
        match reports.recv_timeout(Duration::from_secs(10)).unwrap() {
            MediaReport::Second(second) => {
                each(&second);
                left -= 1;
            }
            MediaReport::Trouble { what, .. } => println!("trouble: {what}"),
            MediaReport::Ended { .. } => {}
        }
    }
}

fn ends(reports: &Receiver<MediaReport>, streams: u32) -> Vec<StreamSummary> {
    let mut ends = Vec::new();
    while ends.len() < streams as usize {
        if let MediaReport::Ended { summary, .. } =
            reports.recv_timeout(Duration::from_secs(10)).unwrap()
        {
            ends.push(*summary);
        }
    }
    ends
}

// The floors.

fn floor(plan: &Plan, calls: u32, run: fn(usize, u32, &AtomicBool)) -> f64 {
    let stop = AtomicBool::new(false);
    let mut result = 0.0;
    std::thread::scope(|scope| {
        for thread in 0..plan.threads {
            let share = share(calls, plan.threads, thread);
            let stop = &stop;
            scope.spawn(move || {
                sys::sharpen_timers().unwrap();
                run(thread, share, stop);
            });
        }
        std::thread::sleep(Duration::from_secs(WARM_UP));
        let cpu = time::process_cpu_ns();
        let begin = Instant::now();
        std::thread::sleep(Duration::from_secs(plan.seconds));
        result = per_1000(cpu, begin, calls);
        stop.store(true, Ordering::Release);
    });
    result
}

fn share(calls: u32, threads: usize, thread: usize) -> u32 {
    let threads = threads as u32;
    calls / threads + u32::from((thread as u32) < calls % threads)
}

fn ticks(stop: &AtomicBool, mut each: impl FnMut(u64)) {
    let begin = time::monotonic_ns();
    let mut tick = 0;
    while !stop.load(Ordering::Acquire) {
        tick += 1;
        time::sleep_until(begin + tick * 1_000_000);
        each(tick);
    }
}

fn own_floor(_thread: usize, calls: u32, stop: &AtomicBool) {
    let sockets: Vec<UdpSocket> = (0..calls)
        .flat_map(|_| {
            let bind = || UdpSocket::bind((LOCAL, 0)).unwrap();
            let (a, b) = (bind(), bind());
            a.connect(b.local_addr().unwrap()).unwrap();
            b.connect(a.local_addr().unwrap()).unwrap();
            [a, b]
        })
        .inspect(|socket| socket.set_nonblocking(true).unwrap())
        .collect();
    let packet = [0x80; PACKET];
    let mut buffer = [0; 2_048];
    ticks(stop, |tick| {
        let slot = (tick % PTIME_MS) as usize;
        for socket in sockets.iter().skip(slot).step_by(PTIME_MS as usize) {
            let _read = socket.recv(&mut buffer);
            let _sent = socket.send(&packet);
        }
    });
}

fn shared_floor(_thread: usize, calls: u32, stop: &AtomicBool) {
    let socket = UdpSocket::bind((LOCAL, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    let to = address.into();
    let (mut out, mut back) = (SendBatch::new(), ReceiveBatch::new());
    let streams = (calls * 2) as usize;
    ticks(stop, |tick| {
        let slot = (tick % PTIME_MS) as usize;
        while back
            .receive(socket.as_fd(), sys::BATCH_MAX)
            .is_ok_and(|received| received == sys::BATCH_MAX)
        {}
        for _ in (slot..streams).step_by(PTIME_MS as usize) {
            out.push(&to, |room| {
                room[..PACKET].fill(0x80);
                Some(PACKET)
            });
            if out.is_full() {
                let _sent = out.send(socket.as_fd(), 0);
                out.clear();
            }
        }
        let _sent = out.send(socket.as_fd(), 0);
        out.clear();
    });
}

// The machine.

/// Per cent of one core for 1,000 calls.
fn per_1000(cpu_ns: u64, begin: Instant, calls: u32) -> f64 {
    let cpu = (time::process_cpu_ns() - cpu_ns) as f64 / 1e9;
    cpu / begin.elapsed().as_secs_f64() * 100.0 * 1_000.0 / f64::from(calls)
}

fn resident_octets() -> u64 {
    const PAGE: u64 = 4_096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok());
    pages.unwrap_or(0u64) * PAGE
}
