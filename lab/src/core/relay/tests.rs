use super::*;
use crate::config::{Impairment, Loss};

const ID: SessionId = SessionId(1);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn port(side: Side, rtcp: bool) -> Port {
    Port {
        session: ID,
        line: 0,
        side,
        rtcp,
    }
}

fn rtp(sequence: u16) -> Vec<u8> {
    let mut data = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    data[2..4].copy_from_slice(&sequence.to_be_bytes());
    data
}

const RTCP: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 7];

fn relay(now: Instant, config: RelayConfig, mux: bool) -> Relay {
    let mut relay = Relay::new(config, 4);
    relay.open(now, ID, "call");
    for (side, at) in [(Side::Caller, 6000), (Side::Callee, 7000)] {
        let target = Target {
            rtp: Some(address(at)),
            rtcp: Some(address(at + 1)),
            mux,
        };
        relay.target(now, port(side, false), target);
    }
    relay
}

fn impaired(impair: Impairment) -> RelayConfig {
    RelayConfig {
        impair,
        ..RelayConfig::default()
    }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn counts(relay: &Relay) -> Direction {
    relay.stats().0[0].1.to_callee
}

#[test]
fn an_unimpaired_packet_goes_straight_through() {
    let now = Instant::now();
    let mut relay = relay(now, RelayConfig::default(), false);
    let fate = relay.packet(now, port(Side::Caller, false), address(6000), &rtp(1));
    let from = port(Side::Callee, false);
    assert_eq!(
        fate,
        Fate::Forward {
            from,
            to: address(7000),
            twice: false
        }
    );
    let fate = relay.packet(now, port(Side::Callee, true), address(7001), &RTCP);
    let from = port(Side::Caller, true);
    assert_eq!(
        fate,
        Fate::Forward {
            from,
            to: address(6001),
            twice: false
        }
    );
    assert_eq!(relay.next_deadline(), None);
    assert_eq!((counts(&relay).received, counts(&relay).relayed), (1, 1));
    assert_eq!(relay.stats().0[0].1.to_caller.rtcp_relayed, 1);
}

#[test]
fn multiplexed_rtcp_stays_on_the_rtp_port() {
    let now = Instant::now();
    let mut relay = relay(now, RelayConfig::default(), true);
    let fate = relay.packet(now, port(Side::Caller, false), address(6000), &RTCP);
    let from = port(Side::Callee, false);
    assert_eq!(
        fate,
        Fate::Forward {
            from,
            to: address(7000),
            twice: false
        }
    );
    // The other end refuses multiplexing: RTCP gets its own port.
    let target = Target {
        rtp: Some(address(7000)),
        rtcp: Some(address(7001)),
        mux: false,
    };
    relay.target(now, port(Side::Callee, false), target);
    let fate = relay.packet(now, port(Side::Caller, true), address(6001), &RTCP);
    let from = port(Side::Callee, true);
    assert_eq!(
        fate,
        Fate::Forward {
            from,
            to: address(7001),
            twice: false
        }
    );
}

#[test]
fn delay_holds_rtp_and_rtcp_alike() {
    let now = Instant::now();
    let impair = Impairment {
        delay_ms: 80.0,
        loss: Loss::None,
        ..Default::default()
    };
    let mut relay = relay(now, impaired(impair), false);
    assert_eq!(
        relay.packet(now, port(Side::Caller, false), address(6000), &rtp(1)),
        Fate::Held
    );
    assert_eq!(
        relay.packet(now, port(Side::Caller, true), address(6001), &RTCP),
        Fate::Held
    );
    assert_eq!(relay.next_deadline(), Some(now + millis(80)));
    assert_eq!(relay.due(now + millis(79)), None);
    let due = relay.due(now + millis(80)).unwrap();
    assert_eq!(
        (due.to, due.received, &*due.data),
        (address(7000), now, &rtp(1)[..])
    );
    assert_eq!(relay.due(now + millis(80)).unwrap().to, address(7001));
    assert_eq!(counts(&relay).delayed, 1);
}

#[test]
fn lost_packets_are_counted_exactly() {
    let now = Instant::now();
    let impair = Impairment {
        loss: Loss::Random { percent: 5.0 },
        ..Default::default()
    };
    let mut relay = relay(now, impaired(impair), false);
    let mut lost = 0;
    for n in 0..10_000 {
        let fate = relay.packet(now, port(Side::Caller, false), address(6000), &rtp(n));
        lost += u64::from(fate == Fate::Lost);
    }
    let counts = counts(&relay);
    assert_eq!(
        (counts.dropped, counts.received, counts.relayed),
        (lost, 10_000, 10_000 - lost)
    );
    let share = counts.loss_pct().unwrap();
    assert!((share - 5.0).abs() < 1.0, "seed 4: {share}");
    // RTCP is spared unless asked.
    for _ in 0..1000 {
        relay.packet(now, port(Side::Caller, true), address(6001), &RTCP);
    }
    assert_eq!(relay.stats().0[0].1.to_callee.rtcp_dropped, 0);
}

#[test]
fn swapped_packets_leave_behind_their_successor() {
    let now = Instant::now();
    for delay_ms in [0.0, 30.0] {
        let impair = Impairment {
            reorder_pct: 20.0,
            delay_ms,
            ..Default::default()
        };
        let mut relay = relay(now, impaired(impair), false);
        let mut left = Vec::new();
        let note = |data: &[u8]| u16::from_be_bytes([data[2], data[3]]);
        for n in 0..1000_u16 {
            let at = now + millis(20) * u32::from(n);
            while let Some(due) = relay.due(at) {
                left.push(note(&due.data));
            }
            let fate = relay.packet(at, port(Side::Caller, false), address(6000), &rtp(n));
            if matches!(fate, Fate::Forward { .. }) {
                left.push(n);
            }
        }
        while let Some(due) = relay.due(now + millis(40_000)) {
            left.push(note(&due.data));
        }
        let swaps = left
            .windows(2)
            .filter(|pair| pair[0] == pair[1] + 1)
            .count();
        assert_eq!(left.len(), 1000, "seed 4");
        assert!((120..240).contains(&swaps), "seed 4: {swaps}");
        assert!(
            left.iter()
                .enumerate()
                .all(|(n, s)| n.abs_diff(usize::from(*s)) <= 1)
        );
        assert!(counts(&relay).reordered >= swaps as u64);
    }
}

#[test]
fn a_packet_without_successor_is_not_kept_forever() {
    let now = Instant::now();
    let impair = Impairment {
        reorder_pct: 100.0,
        ..Default::default()
    };
    let mut relay = relay(now, impaired(impair), false);
    assert_eq!(
        relay.packet(now, port(Side::Caller, false), address(6000), &rtp(1)),
        Fate::Held
    );
    assert_eq!(relay.due(now + millis(99)), None);
    assert!(relay.due(now + millis(100)).is_some());
    assert_eq!(relay.next_deadline(), None);
}

#[test]
fn duplicates_leave_twice() {
    let now = Instant::now();
    let impair = Impairment {
        duplicate_pct: 100.0,
        ..Default::default()
    };
    let mut relay = relay(now, impaired(impair), false);
    let fate = relay.packet(now, port(Side::Caller, false), address(6000), &rtp(1));
    assert!(matches!(fate, Fate::Forward { twice: true, .. }));
    assert_eq!((counts(&relay).relayed, counts(&relay).duplicated), (1, 1));
}

#[test]
fn strangers_are_refused_when_asked() {
    let now = Instant::now();
    let config = RelayConfig {
        strict_source: true,
        ..RelayConfig::default()
    };
    let mut relay = relay(now, config, false);
    let fate = relay.packet(now, port(Side::Caller, false), address(6666), &rtp(1));
    assert_eq!(fate, Fate::Stranger);
    assert_eq!((counts(&relay).strangers, counts(&relay).received), (1, 0));
}

#[test]
fn a_closed_session_keeps_its_counts_and_nothing_else() {
    let now = Instant::now();
    let impair = Impairment {
        delay_ms: 80.0,
        ..Default::default()
    };
    let mut relay = relay(now, impaired(impair), false);
    relay.packet(now, port(Side::Caller, false), address(6000), &rtp(1));
    relay.close(ID);
    assert_eq!(relay.due(now + millis(80)), None);
    assert_eq!(relay.next_deadline(), None);
    assert!(relay.stats().0[0].1.ended);
    assert_eq!(relay.stats().1.received, 1);
    let fate = relay.packet(now, port(Side::Caller, false), address(6000), &rtp(1));
    assert_eq!(fate, Fate::Unknown);
}

#[test]
fn silence_is_noticed_once() {
    let now = Instant::now();
    let mut relay = relay(now, RelayConfig::default(), false);
    assert!(relay.idle(now + millis(59_999)).is_empty());
    assert_eq!(relay.idle(now + millis(60_000)), vec![ID]);
    assert!(relay.idle(now + millis(60_001)).is_empty());
}
