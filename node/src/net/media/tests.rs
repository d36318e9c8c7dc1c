//! The engine on real sockets of 127.0.0.1, with few streams and for about a second.

mod mute;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Receiver;
use media::codec::{CodecId, EncodedClip};
use media::stream::{Playout, StreamConfig, StreamSecond, StreamSummary};
use nix::errno::Errno;
use rustc_hash::FxHashMap;
use shared::definition::SocketMode;

use super::*;
use crate::net::egress::Egress;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(10);

struct Rig {
    engine: Engine,
    shard: ShardMedia,
    reports: Receiver<MediaReport>,
    egress: Arc<Egress>,
}

/// What came of some streams.
#[derive(Default)]
struct Heard {
    ended: FxHashMap<u64, (StreamSummary, StreamSecond)>,
    seconds: Vec<MediaSecond>,
    troubles: Vec<(Option<StreamId>, TroubleWhat)>,
}

impl Heard {
    fn summary(&self, id: u64) -> &StreamSummary {
        &self.ended[&id].0
    }

    fn strangers(&self) -> u64 {
        self.seconds.iter().map(|second| second.strangers).sum()
    }
}

fn rig(ports: std::ops::RangeInclusive<u16>) -> Rig {
    let config = EngineConfig {
        threads: 1,
        ports,
        ..EngineConfig::default()
    };
    let (engine, reports) = Engine::start(config).unwrap();
    let shard = engine.shard(0).unwrap();
    Rig {
        engine,
        shard,
        reports,
        egress: Arc::new(Egress::new(&[])),
    }
}

impl Rig {
    fn reserve(&self, mode: SocketMode, mux: bool) -> Reservation {
        self.shard.reserve(mode, LOCAL, mux, 46).unwrap()
    }

    fn spec(
        &self,
        ssrc: u32,
        remote: (SocketAddr, SocketAddr),
        signalled: Option<u32>,
    ) -> StartSpec {
        StartSpec {
            permit: crate::core::lease::Permit::always(),
            remote_rtp: remote.0,
            remote_rtcp: remote.1,
            remote_ssrc: signalled,
            egress: Arc::clone(&self.egress),
            stream: stream(ssrc, 20),
        }
    }

    /// Starts both ends of a call; ids and SSRCs are `id` and `id + 1`.
    fn call(&self, id: u32, mode: SocketMode, mux: bool, ptime_ms: u32) {
        let (a, b) = (self.reserve(mode, mux), self.reserve(mode, mux));
        let mut to_b = self.spec(id, (b.rtp, b.rtcp), Some(id + 1));
        let mut to_a = self.spec(id + 1, (a.rtp, a.rtcp), Some(id));
        to_b.stream = stream(id, ptime_ms);
        to_a.stream = stream(id + 1, ptime_ms);
        self.shard.start(StreamId(id.into()), a, to_b).unwrap();
        self.shard
            .start(StreamId((id + 1).into()), b, to_a)
            .unwrap();
    }

    fn stop(&self, id: u32) {
        self.shard.stop(StreamId(id.into())).unwrap();
    }

    /// Hears reports until `enough` is content.
    fn hear(&self, heard: &mut Heard, enough: impl Fn(&Heard) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !enough(heard) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.reports.recv_timeout(left).expect("a report in time") {
                MediaReport::Second(second) => heard.seconds.push(*second),
                MediaReport::Ended {
                    id, summary, last, ..
                } => {
                    heard.ended.insert(id.0, (*summary, *last));
                }
                MediaReport::Trouble { id, what } => heard.troubles.push((id, what)),
            }
        }
    }
}

fn stream(ssrc: u32, ptime_ms: u32) -> StreamConfig {
    let frame = Bytes::from(vec![0xd5; ptime_ms as usize * 8]);
    StreamConfig {
        ssrc,
        cname: format!("{ssrc}@test"),
        payload_type: 0,
        accept_payload_types: [0].into_iter().collect(),
        telephone_event: None,
        codec: CodecId::Pcmu,
        ptime_ms,
        plc: true,
        clip: Some(Arc::new(EncodedClip {
            frames: vec![frame],
            ptime_ms,
            ticks_per_frame: ptime_ms * 8,
        })),
        send: true,
        receive: true,
        first_sequence: 65_530,
        first_timestamp: u32::MAX - 1_000,
        rtcp_interval: Duration::from_millis(200),
        rtcp_xr: false,
        playout: Playout::Fixed { delay_ms: 60 },
        sampled: false,
        ipv6: false,
        seed: ssrc.into(),
    }
}

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind((LOCAL, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn whole_call(mode: SocketMode, mux: bool, ports: std::ops::RangeInclusive<u16>) {
    let rig = rig(ports);
    for call in 0..3 {
        rig.call(100 + call * 2, mode, mux, 20);
    }
    rig.call(200, mode, mux, 10);
    rig.call(300, mode, mux, 60);
    let ids: Vec<u32> = (100..106).chain([200, 201, 300, 301]).collect();
    let mut heard = Heard::default();
    rig.hear(&mut heard, |heard| !heard.seconds.is_empty());
    ids.iter().for_each(|id| rig.stop(*id));
    rig.hear(&mut heard, |heard| heard.ended.len() == ids.len());
    assert!(heard.troubles.is_empty(), "{:?}", heard.troubles);
    for callee in ids.iter().filter(|id| *id % 2 == 1) {
        let (callee, caller) = (
            heard.summary((*callee).into()),
            heard.summary((callee - 1).into()),
        );
        // The caller stopped first, so the callee took every packet it sent and its BYE.
        assert_eq!(callee.rx_packets, caller.tx_packets);
        assert!(callee.remote_bye, "{mode:?} {mux}");
        for end in [callee, caller] {
            assert!(end.rx_packets > 10, "{} packets", end.rx_packets);
            assert_eq!((end.rx_missing, end.strangers, end.tx_errors), (0, 0, 0));
            assert!(end.rtt_samples > 0 && end.rtt_min_ms.unwrap() < 100.0);
        }
    }
    let last = heard.seconds.last().unwrap();
    assert_eq!(last.rows.len(), ids.len());
    assert_eq!((last.socket_drops, last.ambiguous), (0, 0));
    // A busy machine may make the thread skip a slot, but never uncounted.
    let skipped: u64 = heard
        .ended
        .values()
        .map(|(whole, _)| whole.tx_skipped)
        .sum();
    assert!(last.skipped <= skipped);
    assert!(last.send_late_us.count() >= 200 && last.cpu_us > 0);
    assert_eq!(heard.strangers(), 0);
}

#[test]
fn calls_between_own_sockets_lose_nothing() {
    whole_call(SocketMode::Own, false, 20_000..=20_999);
}

#[test]
fn calls_between_own_sockets_with_rtcp_mux_lose_nothing() {
    whole_call(SocketMode::Own, true, 21_000..=21_999);
}

#[test]
fn calls_within_one_shared_socket_lose_nothing() {
    whole_call(SocketMode::Shared, false, 22_000..=22_999);
}

#[test]
fn calls_within_one_shared_socket_with_rtcp_mux_lose_nothing() {
    whole_call(SocketMode::Shared, true, 23_000..=23_999);
}

#[test]
fn calls_from_an_own_to_a_shared_socket_lose_nothing() {
    let rig = rig(24_000..=24_999);
    let (a, b) = (
        rig.reserve(SocketMode::Own, false),
        rig.reserve(SocketMode::Shared, false),
    );
    let to_b = rig.spec(1, (b.rtp, b.rtcp), None);
    let to_a = rig.spec(2, (a.rtp, a.rtcp), None);
    rig.shard.start(StreamId(2), b, to_a).unwrap();
    rig.shard.start(StreamId(1), a, to_b).unwrap();
    let mut heard = Heard::default();
    rig.hear(&mut heard, |heard| !heard.seconds.is_empty());
    rig.stop(1);
    rig.stop(2);
    rig.hear(&mut heard, |heard| heard.ended.len() == 2);
    assert_eq!(heard.summary(2).rx_packets, heard.summary(1).tx_packets);
    assert_eq!(heard.summary(2).remote_ssrc, Some(1));
    assert_eq!(heard.summary(1).rx_missing, 0);
}

#[test]
fn a_strangers_packets_are_counted_and_not_measured() {
    let rig = rig(25_000..=25_999);
    let (right, wrong) = (peer(), peer());
    let remote = (right.local_addr().unwrap(), right.local_addr().unwrap());
    let own = rig.reserve(SocketMode::Own, true);
    let shared = rig.reserve(SocketMode::Shared, true);
    let (own_address, shared_address) = (own.rtp, shared.rtp);
    rig.shard
        .start(StreamId(1), own, rig.spec(1, remote, None))
        .unwrap();
    rig.shard
        .start(StreamId(2), shared, rig.spec(2, remote, None))
        .unwrap();
    let mut rtp = vec![0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 77];
    rtp.extend([0xd5; 160]);
    for _ in 0..5 {
        wrong.send_to(&rtp, own_address).unwrap();
        wrong.send_to(&rtp, shared_address).unwrap();
    }
    let mut heard = Heard::default();
    rig.hear(&mut heard, |heard| heard.strangers() == 5);
    rig.stop(1);
    rig.stop(2);
    rig.hear(&mut heard, |heard| heard.ended.len() == 2);
    assert_eq!(heard.summary(1).strangers, 5);
    assert_eq!(heard.summary(1).rx_packets + heard.summary(2).rx_packets, 0);
}

#[test]
fn hold_and_redirect_are_obeyed() {
    let rig = rig(26_000..=26_999);
    for mode in [SocketMode::Own, SocketMode::Shared] {
        let (first, second) = (peer(), peer());
        let address = |socket: &UdpSocket| socket.local_addr().unwrap();
        let reservation = rig.reserve(mode, true);
        let remote = (address(&first), address(&first));
        let id = StreamId(mode as u64);
        rig.shard
            .start(id, reservation, rig.spec(7, remote, None))
            .unwrap();
        let mut buffer = [0; 2_000];
        assert_eq!(first.recv(&mut buffer).unwrap(), 172);
        let moved = RedirectSpec {
            remote_rtp: address(&second),
            remote_rtcp: address(&second),
            remote_ssrc: None,
            send: true,
            receive: true,
        };
        rig.shard.redirect(id, moved).unwrap();
        assert_eq!(second.recv(&mut buffer).unwrap(), 172);
        let hold = RedirectSpec {
            send: false,
            ..moved
        };
        rig.shard.redirect(id, hold).unwrap();
        rig.shard.redirect(id, moved).unwrap();
        rig.shard.redirect(id, hold).unwrap();
        rig.shard.stop(id).unwrap();
        let mut heard = Heard::default();
        rig.hear(&mut heard, |heard| heard.ended.len() == 1);
        // All RTP that was sent is at one of the peers; nothing went out during the last hold.
        let mut counts = 0;
        for socket in [&first, &second] {
            socket.set_nonblocking(true).unwrap();
            while let Ok(length) = socket.recv(&mut buffer) {
                counts += u64::from(length == 172);
            }
        }
        assert_eq!(heard.summary(id.0).tx_packets, counts + 2);
    }
}

#[test]
fn ports_run_out_with_a_sentence_and_come_back() {
    let rig = rig(27_000..=27_003);
    let first = rig.reserve(SocketMode::Own, false);
    let second = rig.reserve(SocketMode::Own, true);
    // Which pair comes first differs from process to process, so that two nodes seldom collide.
    let mut ports = [first.rtp.port(), second.rtp.port()];
    let freed = first.rtp.port();
    ports.sort_unstable();
    assert_eq!(ports, [27_000, 27_002]);
    assert_eq!(first.rtcp.port(), first.rtp.port() + 1);
    assert_eq!(second.rtcp.port(), second.rtp.port());
    let error = rig
        .shard
        .reserve(SocketMode::Own, LOCAL, true, 0)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "all 2 RTP port pairs of 27000-27003 at 127.0.0.1 are in use: \
         widen the range or add a local address"
    );
    assert_eq!(rig.shard.free_ports(LOCAL), 0);
    drop(first);
    assert_eq!(rig.reserve(SocketMode::Own, false).rtp.port(), freed);
}

#[test]
fn ports_of_other_programs_are_stepped_over() {
    let rig = rig(28_000..=28_003);
    let taken = UdpSocket::bind((LOCAL, 28_001)).unwrap();
    assert_eq!(rig.reserve(SocketMode::Own, false).rtp.port(), 28_002);
    let _second = UdpSocket::bind((LOCAL, 28_002)).unwrap();
    let error = rig
        .shard
        .reserve(SocketMode::Own, LOCAL, false, 0)
        .unwrap_err();
    assert!(matches!(error, ReserveError::Taken { .. }), "{error}");
    drop(taken);
    assert_eq!(rig.reserve(SocketMode::Own, false).rtp.port(), 28_000);
    let foreign = IpAddr::from([192, 0, 2, 1]);
    assert_eq!(
        rig.shard
            .reserve(SocketMode::Own, foreign, true, 0)
            .unwrap_err(),
        ReserveError::NotLocal { local: foreign }
    );
}

#[test]
fn a_destination_outside_the_allow_list_gets_nothing() {
    let rig = rig(29_000..=29_999);
    let outside: SocketAddr = "10.9.8.7:4000".parse().unwrap();
    let reservation = rig.reserve(SocketMode::Own, true);
    let refused = rig
        .shard
        .start(
            StreamId(1),
            reservation,
            rig.spec(1, (outside, outside), None),
        )
        .unwrap_err();
    assert!(matches!(refused, StartError::Refused(_)), "{refused}");
    let inside = peer();
    let address = inside.local_addr().unwrap();
    let reservation = rig.reserve(SocketMode::Own, true);
    rig.shard
        .start(
            StreamId(2),
            reservation,
            rig.spec(2, (address, address), None),
        )
        .unwrap();
    rig.shard
        .redirect(
            StreamId(2),
            RedirectSpec {
                remote_rtp: outside,
                remote_rtcp: outside,
                remote_ssrc: None,
                send: true,
                receive: true,
            },
        )
        .unwrap();
    let mut heard = Heard::default();
    rig.hear(&mut heard, |heard| !heard.troubles.is_empty());
    assert!(matches!(
        heard.troubles[0],
        (Some(StreamId(2)), TroubleWhat::Egress(_))
    ));
    rig.hear(&mut heard, |heard| heard.seconds.len() == 2);
    let row = heard.seconds[1].rows[0].1;
    assert_eq!((row.tx_packets, row.tx_skipped), (0, 0));
}

#[test]
fn an_echo_is_told_apart_by_our_own_ssrc() {
    let rig = rig(30_000..=30_999);
    let echo = peer();
    let address = echo.local_addr().unwrap();
    for id in 1..=4u32 {
        let reservation = rig.reserve(SocketMode::Shared, true);
        rig.shard
            .start(
                StreamId(id.into()),
                reservation,
                rig.spec(id, (address, address), None),
            )
            .unwrap();
    }
    let mut buffer = [0; 2_000];
    for _ in 0..40 {
        let (length, from) = echo.recv_from(&mut buffer).unwrap();
        echo.send_to(&buffer[..length], from).unwrap();
    }
    (1..=4).for_each(|id| rig.stop(id));
    let mut heard = Heard::default();
    rig.hear(&mut heard, |heard| heard.ended.len() == 4);
    let received: u64 = (1..=4).map(|id| heard.summary(id).rx_packets).sum();
    assert!(received >= 36, "{received} of 40");
    assert!((1..=4).all(|id| heard.summary(id).rx_packets >= 8));
}

#[test]
fn a_closed_port_is_reported_with_its_address() {
    let rig = rig(31_000..=31_999);
    for (id, mode) in [(1, SocketMode::Own), (2, SocketMode::Shared)] {
        let closed = peer().local_addr().unwrap();
        let reservation = rig.reserve(mode, true);
        rig.shard
            .start(
                StreamId(id),
                reservation,
                rig.spec(id as u32, (closed, closed), None),
            )
            .unwrap();
        let mut heard = Heard::default();
        rig.hear(&mut heard, |heard| !heard.troubles.is_empty());
        let (of, what) = heard.troubles[0];
        assert_eq!(of, Some(StreamId(id)));
        assert!(
            matches!(what, TroubleWhat::Network { address, errno: Errno::ECONNREFUSED, .. } if address == closed),
            "{what}"
        );
    }
}

#[test]
fn ipv6_carries_calls_too() {
    let rig = rig(32_000..=32_999);
    let local = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if UdpSocket::bind((local, 0)).is_err() {
        println!("skipped: this machine has no ::1");
        return;
    }
    for (id, mode) in [(10, SocketMode::Own), (20, SocketMode::Shared)] {
        let reserve = || rig.shard.reserve(mode, local, true, 46).unwrap();
        let (a, b) = (reserve(), reserve());
        let to_b = rig.spec(id, (b.rtp, b.rtcp), Some(id + 1));
        let to_a = rig.spec(id + 1, (a.rtp, a.rtcp), Some(id));
        rig.shard.start(StreamId(id.into()), a, to_b).unwrap();
        rig.shard.start(StreamId((id + 1).into()), b, to_a).unwrap();
    }
    let mut heard = Heard::default();
    rig.hear(&mut heard, |heard| !heard.seconds.is_empty());
    [10, 11, 20, 21].into_iter().for_each(|id| rig.stop(id));
    rig.hear(&mut heard, |heard| heard.ended.len() == 4);
    for id in [10, 20] {
        assert_eq!(
            heard.summary(id + 1).rx_packets,
            heard.summary(id).tx_packets
        );
        assert!(heard.summary(id).rx_packets > 10);
    }
}

#[test]
fn mistakes_of_the_caller_are_told() {
    let rig = rig(33_000..=33_999);
    let address = peer().local_addr().unwrap();
    let spec = || rig.spec(1, (address, address), None);
    let mut odd = spec();
    odd.stream.ptime_ms = 25;
    let reserve = || rig.reserve(SocketMode::Own, true);
    assert_eq!(
        rig.shard.start(StreamId(1), reserve(), odd),
        Err(StartError::Ptime(25))
    );
    rig.shard.stop(StreamId(9)).unwrap();
    rig.shard.start(StreamId(1), reserve(), spec()).unwrap();
    rig.shard.start(StreamId(1), reserve(), spec()).unwrap();
    let mut heard = Heard::default();
    let told = |heard: &Heard, wanted| heard.troubles.iter().any(|(_, what)| *what == wanted);
    rig.hear(&mut heard, |heard| {
        told(heard, TroubleWhat::Unknown) && told(heard, TroubleWhat::Duplicate)
    });
}

#[test]
fn stopping_the_engine_ends_every_stream() {
    let Rig {
        engine,
        shard,
        reports,
        egress,
    } = rig(34_000..=34_999);
    let rig = Rig {
        engine,
        shard,
        reports: reports.clone(),
        egress,
    };
    rig.call(1, SocketMode::Own, false, 20);
    rig.call(3, SocketMode::Shared, false, 20);
    let mut heard = Heard::default();
    rig.hear(&mut heard, |heard| !heard.seconds.is_empty());
    rig.engine.stop();
    let ended = reports
        .try_iter()
        .filter(|report| matches!(report, MediaReport::Ended { .. }))
        .count();
    assert_eq!(ended, 4);
}
