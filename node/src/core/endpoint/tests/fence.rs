//! Endpoints whose lease is gone: they end their calls and make no other request.

use super::*;
use crate::core::endpoint::STOP_PATIENCE;

/// First words of what is under way.
fn methods(wire: &VecDeque<Datagram>) -> Vec<String> {
    let first = |bytes: &Bytes| {
        let end = bytes.iter().position(|octet| *octet == b' ').unwrap_or(0);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    wire.iter().map(|(.., bytes)| first(bytes)).collect()
}

#[test]
fn a_live_call_is_ended_with_bye() {
    let mut world = pair(&[CodecId::Pcmu], &[CodecId::Pcmu]);
    dial(&mut world);
    world.run(Duration::from_millis(1_500));
    assert_eq!(world.parties[0].core.phase(), Phase::Incall);
    world.tell(0, Input::Fence);
    world.tell(1, Input::Fence);
    assert_eq!(methods(&world.wire), ["BYE"]);
    world.run(Duration::from_secs(10));
    for party in 0..2 {
        let report = world.report(party);
        assert_eq!(report.outcome, Outcome::CompletedWithWarnings);
        assert!(
            report.reason.contains("lost its lease"),
            "{}",
            report.reason
        );
        assert!(report.calls[0].established);
    }
}

#[test]
fn a_call_that_nobody_answers_is_given_up_in_time() {
    let mut world = pair(&[CodecId::Pcmu], &[CodecId::Pcmu]);
    let target = "sip:nobody@127.0.0.1:9".to_owned();
    let due = world.start;
    world.tell(0, Input::Dial { target, due });
    world.run(Duration::from_millis(1_500));
    let fenced = world.now;
    world.tell(0, Input::Fence);
    world.tell(1, Input::Fence);
    world.run(Duration::from_secs(60));
    assert!(world.parties.iter().all(|party| party.report.is_some()));
    assert!(world.now <= fenced + STOP_PATIENCE + Duration::from_secs(2));
}

#[test]
fn a_registration_is_left_as_it_is() {
    let registrar = SocketAddr::from(([127, 0, 0, 1], 9));
    for stopped_before in [false, true] {
        let mut world = World::new(vec![(
            profile(0, &[CodecId::Pcmu]),
            spec(0, Role::Idle, 5101, Some(registrar)),
        )]);
        let due = world.start;
        world.tell(0, Input::Begin { due });
        assert_eq!(methods(&world.wire), ["REGISTER"]);
        if stopped_before {
            world.tell(0, Input::Stop);
        }
        world.wire.clear();
        world.tell(0, Input::Fence);
        assert_eq!(methods(&world.wire), Vec::<String>::new());
        assert!(!world.report(0).unregistered);
        assert_eq!(world.parties[0].core.next_deadline(), None);
    }
}
