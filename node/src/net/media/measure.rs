//! How many endpoints this machine's media engine carries, measured by a short run of its own path.
//!
//! A worker without a thread of its own carries `CALLS` G.711 calls between its own sockets on
//! loopback, tick after tick without waiting: wheel, kernel, demultiplexing, jitter and loss figures,
//! RTCP, all as in a run. What counts is the processor time that one packet out and one in take, not
//! how fast the clock went, so a busy machine does not look smaller than it is.
//!
//! What it does not see: signalling, the caches that ten thousand streams fill and a hundred do not,
//! and the rest of the machine. So only `SHARE` of a core is counted as the engine's.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::bounded;
use media::codec::{CodecId, EncodedClip};
use media::stream::{Playout, StreamConfig};
use shared::definition::SocketMode;

use crate::core::lease::Permit;
use crate::net::egress::Egress;
use crate::net::media::clock::Epoch;
use crate::net::media::report::StreamId;
use crate::net::media::reserve::Binder;
use crate::net::media::shard::{COMMANDS_MAX, ShardMedia, StartSpec};
use crate::net::media::time;
use crate::net::media::worker::Worker;

/// Calls of the measurement; both ends are here, each with a socket.
const CALLS: u32 = 32;
/// Longest time of the measurement, all in all.
const SPAN: Duration = Duration::from_millis(200);
/// Rounds that are not counted: first packets cost more.
const WARM_UP_ROUNDS: u32 = 5;
/// Rounds that make a figure: fewer are none.
const ROUNDS_MIN: u32 = 10;
const PTIME_MS: u32 = 20;
/// Packets that an endpoint sends, and receives, in a second.
const PACKETS_PER_SECOND: u64 = 1_000 / PTIME_MS as u64;
/// The share of a core that is counted as the engine's, in percent.
const SHARE: u64 = 50;
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Endpoints with G.711 both ways that one core carries.
///
/// Shape: blocks for `SPAN` at the most, on one core, and takes some 64 ports of `ports` on
/// loopback meanwhile. None where `stop` was set, no port could be had or the machine was too busy.
#[must_use]
pub fn endpoints_per_core(ports: &RangeInclusive<u16>, stop: &AtomicBool) -> Option<u32> {
    let until_ns = time::monotonic_ns() + u64::try_from(SPAN.as_nanos()).ok()?;
    let (commands, inbox) = bounded(COMMANDS_MAX);
    // Nobody reads the reports: a full channel refuses them, which costs the same.
    let (reports, _unread) = bounded(1);
    let binder = Binder::new(ports.clone(), u64::from(std::process::id()));
    let shard = ShardMedia::new(0, commands, binder, 0);
    let mut worker = Worker::new(0, Epoch::now(), inbox, reports);
    start_calls(&shard)?;
    for _ in 0..WARM_UP_ROUNDS {
        round(&mut worker);
    }
    let before_ns = time::thread_cpu_ns();
    let mut rounds = 0;
    while time::monotonic_ns() < until_ns && !stop.load(Ordering::Relaxed) {
        round(&mut worker);
        rounds += 1;
    }
    let cpu_ns = time::thread_cpu_ns().saturating_sub(before_ns);
    let packets = u64::from(rounds) * u64::from(CALLS) * 2;
    if rounds < ROUNDS_MIN || stop.load(Ordering::Relaxed) {
        return None;
    }
    let packet_ns = (cpu_ns / packets.max(1)).max(1);
    let second_ns = packet_ns * PACKETS_PER_SECOND;
    u32::try_from(1_000_000_000 * SHARE / 100 / second_ns).ok()
}

/// Every stream's slot once.
fn round(worker: &mut Worker) {
    for _ in 0..PTIME_MS {
        worker.tick_now();
    }
}

fn start_calls(shard: &ShardMedia) -> Option<()> {
    let egress = Arc::new(Egress::new(&[]));
    let clip = Arc::new(EncodedClip {
        frames: vec![Bytes::from(vec![0xd5; PTIME_MS as usize * 8])],
        ptime_ms: PTIME_MS,
        ticks_per_frame: PTIME_MS * 8,
    });
    for call in 0..CALLS {
        let reserve = || shard.reserve(SocketMode::Own, LOOPBACK, true, 0).ok();
        let (near, far) = (reserve()?, reserve()?);
        let addresses = [(far.rtp, far.rtcp), (near.rtp, near.rtcp)];
        for (end, (reservation, remote)) in [near, far].into_iter().zip(addresses).enumerate() {
            let id = call * 2 + u32::try_from(end).ok()?;
            let spec = StartSpec {
                remote_rtp: remote.0,
                remote_rtcp: remote.1,
                remote_ssrc: Some((id ^ 1) + 1),
                egress: Arc::clone(&egress),
                permit: Permit::always(),
                stream: stream(id, &clip),
            };
            shard.start(StreamId(id.into()), reservation, spec).ok()?;
        }
    }
    Some(())
}

fn stream(id: u32, clip: &Arc<EncodedClip>) -> StreamConfig {
    StreamConfig {
        ssrc: id + 1,
        cname: format!("{id}@measure"),
        payload_type: 0,
        accept_payload_types: [0].into_iter().collect(),
        telephone_event: None,
        codec: CodecId::Pcmu,
        ptime_ms: PTIME_MS,
        plc: true,
        clip: Some(Arc::clone(clip)),
        send: true,
        receive: true,
        first_sequence: 0,
        first_timestamp: 0,
        rtcp_interval: Duration::from_secs(5),
        rtcp_xr: true,
        playout: Playout::Fixed { delay_ms: 60 },
        sampled: false,
        ipv6: false,
        seed: id.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_carries_some_endpoints_and_a_stop_is_heard() {
        let ports = 42_000..=42_399;
        let never = AtomicBool::new(false);
        let carried = endpoints_per_core(&ports, &never);
        assert!(
            carried.is_some_and(|endpoints| endpoints > 100),
            "{carried:?}"
        );
        assert_eq!(endpoints_per_core(&ports, &AtomicBool::new(true)), None);
        assert_eq!(
            endpoints_per_core(&(42_400..=42_401), &never),
            None,
            "no ports"
        );
    }
}
