//! Streams whose lease is gone: not one packet, RTP or RTCP, not even the BYE of RTCP.

use super::*;
use crate::core::lease::{LeaseGuard, Permit};

/// Two streams to one far end that only listens, one under a lease, one that needs none.
fn a_lost_lease(mode: SocketMode, ports: std::ops::RangeInclusive<u16>) {
    let rig = rig(ports);
    let guard = Arc::new(LeaseGuard::default());
    guard.renew(time::boottime_us(), time::boottime_us());
    let permit = Permit::of(Arc::clone(&guard), guard.generation());
    let far = peer();
    let remote = far.local_addr().unwrap();
    let mut leased = rig.spec(1, (remote, remote), None);
    leased.permit = permit;
    leased.stream.rtcp_interval = Duration::from_millis(200);
    let free = rig.spec(2, (remote, remote), None);
    rig.shard
        .start(StreamId(1), rig.reserve(mode, true), leased)
        .unwrap();
    rig.shard
        .start(StreamId(2), rig.reserve(mode, true), free)
        .unwrap();
    let mut octets = [0; 2_048];
    let mut next = || {
        let length = far.recv(&mut octets).expect("a packet in time");
        sender(&octets[..length])
    };
    while next() != 1 {}
    guard.revoke();
    // What left before the thread heard of it is here before this packet of the other stream: two
    // full turns of the wheel later nothing of the first one is under way.
    let mut turns = 0;
    while turns < 3 {
        turns += u32::from(next() == 2);
    }
    for _ in 0..50 {
        assert_eq!(next(), 2, "{mode:?}: a stream without a lease spoke");
    }
    // A new lease is for new runs.
    guard.renew(time::boottime_us(), time::boottime_us());
    rig.stop(1);
    let mut heard = Heard::default();
    rig.hear(&mut heard, |heard| heard.ended.contains_key(&1));
    for _ in 0..5 {
        assert_eq!(next(), 2, "{mode:?}: not even a goodbye");
    }
    let sent = heard.summary(1).tx_packets;
    assert!(
        (1..50).contains(&sent),
        "{sent} packets are said to be sent"
    );
    rig.engine.stop();
}

/// The SSRC of the sender: after the header of RTP, or first in RTCP (RFC 3550 §5.1, §6.4.1).
fn sender(packet: &[u8]) -> u32 {
    let at = if (200..=207).contains(&packet[1]) {
        4
    } else {
        8
    };
    u32::from_be_bytes(packet[at..at + 4].try_into().unwrap())
}

#[test]
fn a_stream_with_its_own_socket_is_mute_without_its_lease() {
    a_lost_lease(SocketMode::Own, 41_000..=41_199);
}

#[test]
fn a_stream_at_a_shared_socket_is_mute_without_its_lease() {
    a_lost_lease(SocketMode::Shared, 41_200..=41_399);
}
