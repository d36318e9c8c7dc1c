//! What one second of 10,000 endpoints × 60 metrics costs the coordinator: decode, aggregate, store.
//!
//! `cargo bench -p coordinator`. Prints milliseconds of CPU per second of data, bus and sled included.

// A bench has nobody to hand an error to, and prints its result.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/node/mod.rs"]
mod node;

use std::sync::Arc;
use std::time::Duration;

use coordinator::{CoordinatorConfig, start};
use node::ScriptedNode;
use shared::bus::LocalBus;
use shared::definition::{Codec, Group, Media, Playout, SocketMode, Target, Test, Transport};
use shared::id::{EndpointIndex, GroupIndex, NodeId};
use shared::metric::MetricId;
use shared::phase::{Outcome, Phase};
use shared::units::Millis;
use shared::wire::{
    Column, Desired, DesiredState, EndCause, EndpointReport, FRAME_ROWS_MAX, Frame, Report, encode,
};

const ENDPOINTS: u32 = 10_000;
const METRICS: u16 = 60;
const SECONDS: u32 = 60;

fn main() {
    actix_rt::System::new().block_on(run());
}

async fn run() {
    let directory = std::env::temp_dir().join(format!("carillon-bench-{}", std::process::id()));
    let bus = LocalBus::new();
    let mut node = ScriptedNode::new(&bus, "bench");
    node.status.free_descriptors = 1_000_000;
    node.status.free_ports = 1_000_000;
    let config = CoordinatorConfig::new(directory.clone(), "bench");
    let coordinator = start(config, Arc::new(bus.clone())).unwrap();
    node.renew();
    let run = coordinator.submit(test()).await.unwrap();
    node.wait_for(DesiredState::Prepared).await;
    node.prepared(run, Vec::new());
    let desired = node.wait_for(DesiredState::Running).await;
    let frames = frames(&desired, &node.id);
    let octets: usize = frames
        .iter()
        .map(|frame| encode(frame).map_or(0, |octets| octets.len()))
        .sum();
    let before = cpu();
    for frame in frames {
        node.say(run, Report::Frame(Box::new(frame)));
        // What is stored it lets go of.
        node.listen();
    }
    // Answered after everything before it was aggregated, and stored after that.
    coordinator.result(run, false).await.unwrap();
    for endpoint in 0..ENDPOINTS {
        let report = report(&desired, endpoint, &node.id);
        node.say(run, Report::Endpoint(Box::new(report)));
    }
    node.ended(run, EndCause::Finished);
    coordinator.finished(run).await.unwrap();
    let spent = cpu().saturating_sub(before);
    println!(
        "{:.1} ms of CPU per second of data ({ENDPOINTS} endpoints × {METRICS} metrics, {:.1} MB of frames), reports of their ends included",
        spent.as_secs_f64() * 1_000.0 / f64::from(SECONDS),
        octets as f64 / 1e6 / f64::from(SECONDS)
    );
    println!(
        "{:.2} MB on disk per second of data",
        size(&directory) as f64 / 1e6 / f64::from(SECONDS)
    );
    let _ = std::fs::remove_dir_all(&directory);
}

/// Noise as a real run has it: times with all their digits, MOS that hardly moves, counts of 50.
fn frames(desired: &Desired, node: &NodeId) -> Vec<Frame> {
    let mut state = 1u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / 16_777_216.0
    };
    let mut frames = Vec::new();
    for second in 0..SECONDS {
        let rows: Vec<u32> = (0..ENDPOINTS).collect();
        for rows in rows.chunks(FRAME_ROWS_MAX) {
            let columns = (0..METRICS).map(|metric| Column {
                metric: MetricId(metric),
                values: rows
                    .iter()
                    .map(|_| match metric % 3 {
                        0 => 50.0,
                        1 => 4.4 - (random() * 8.0).floor() / 100.0,
                        _ => random() * 20.0,
                    })
                    .map(|value| MetricId(metric).metric().unit.round(value))
                    .collect(),
            });
            frames.push(Frame {
                run: desired.run,
                node: node.clone(),
                epoch: desired.epoch,
                sequence: frames.len() as u64,
                second,
                last_of_second: rows.last() == Some(&(ENDPOINTS - 1)),
                endpoints: rows.iter().map(|row| EndpointIndex(*row)).collect(),
                phases: vec![Phase::Incall; rows.len()],
                columns: columns.collect(),
                generator: None,
            });
        }
    }
    frames
}

fn report(desired: &Desired, endpoint: u32, node: &NodeId) -> EndpointReport {
    EndpointReport {
        run: desired.run,
        endpoint: EndpointIndex(endpoint),
        group: GroupIndex(0),
        account: String::new(),
        node: node.clone(),
        phase: Phase::Closed,
        outcome: Outcome::Success,
        reason: String::new(),
        registration_code: None,
        call_code: Some(200),
        call_reason: None,
        unregistered: false,
        calls: Vec::new(),
    }
}

fn test() -> Test {
    Test {
        name: "bench".to_owned(),
        duration: Millis(60_000),
        buildup: Millis(0),
        registrars: Vec::new(),
        groups: vec![Group {
            name: "all".to_owned(),
            count: ENDPOINTS,
            registrar: None,
            accounts: Vec::new(),
            target: Target::Receives,
            codecs: vec![Codec::Pcmu],
            media: Media::Speech,
            ptime_ms: 20,
            call_duration: None,
            ring_time: Millis(0),
            sip_bind: None,
            sip_socket_per_endpoint: false,
            transport: Transport::Udp,
            sockets: SocketMode::Shared,
            rtcp_mux: true,
            rtcp_interval: Millis(5_000),
            rtcp_xr: false,
            playout: Playout::Fixed { delay_ms: 60 },
            plc: true,
            dscp_rtp: 46,
            dscp_sip: 24,
            region: None,
            nodes: Vec::new(),
        }],
        thresholds: Vec::new(),
        allow_targets: Vec::new(),
        trace_sample: 0,
        on_node_loss: shared::definition::OnNodeLoss::Fail,
        publish_endpoints: false,
    }
}

/// CPU time of this process, from Linux' own count in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn size(path: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
