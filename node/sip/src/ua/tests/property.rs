//! Laws that hold for every seed: a call ends for both sides, inside the RFC's timers, and leaves
//! nothing behind.

use std::time::Duration;

use bytes::Bytes;

use super::link::{Pair, Weather, target};
use crate::ua::*;

const CALL: CallRef = CallRef(1);
const SECOND: Duration = Duration::from_secs(1);

/// Bob rings, answers after a second, and hangs up `bob_talks` after the ACK, if ever.
fn bob(event: &Event, bob_talks: Option<Duration>) -> Option<(Duration, Command)> {
    match event {
        Event::Incoming { call, .. } => Some((
            SECOND,
            Command::Answer {
                call: *call,
                body: Bytes::from_static(b"answer"),
            },
        )),
        Event::Confirmed { call, .. } => {
            bob_talks.map(|talks| (talks, Command::Bye { call: *call }))
        }
        Event::Offer { call, .. } => Some((
            Duration::ZERO,
            Command::AnswerOffer {
                call: *call,
                body: Bytes::from_static(b"answer"),
            },
        )),
        _ => None,
    }
}

fn is_end(event: &Event) -> bool {
    matches!(
        event,
        Event::CallFailed { .. }
            | Event::RemoteBye { .. }
            | Event::ByeCompleted { .. }
            | Event::ByeFailed { .. }
            | Event::IncomingCancelled { .. }
    )
}

fn dial(pair: &mut Pair) {
    let offer = Some(Bytes::from_static(b"offer"));
    pair.plan(
        Duration::ZERO,
        0,
        Command::Invite {
            call: CALL,
            target: target(),
            offer,
        },
    );
}

/// Every started call ended exactly once on both sides, and nobody holds anything any more.
fn check(pair: &Pair, what: &str) {
    for side in [0, 1] {
        let diary = &pair.diaries[side];
        let started =
            diary.count(|event| matches!(event, Event::CallSent { .. } | Event::Incoming { .. }));
        let ended = diary.count(is_end);
        assert_eq!(started, ended, "{what}: side {side}: {:#?}", pair.diaries);
        assert!(
            pair.agents[side].is_idle(),
            "{what}: side {side} is not idle: {:#?}",
            pair.diaries
        );
    }
}

#[test]
fn a_call_over_a_good_link_takes_six_messages() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let weather = Weather {
            lost: 0,
            doubled: 0,
            longest_delay_ms: 10,
            cut: None,
        };
        let mut pair = Pair::new(1, transport, weather);
        dial(&mut pair);
        pair.run(Duration::from_secs(300), |side, event| {
            match (side, event) {
                (1, Event::Incoming { call, .. }) => Some((
                    SECOND,
                    Command::Answer {
                        call: *call,
                        body: Bytes::from_static(b"answer"),
                    },
                )),
                (0, Event::Answered { call, .. }) => Some((SECOND, Command::Bye { call: *call })),
                _ => None,
            }
        });
        check(&pair, "good link");
        // INVITE, 100 (Bob rings nobody), 200, ACK, BYE, 200.
        assert_eq!(pair.transmits, 6);
        assert_eq!(
            pair.diaries[0].count(|event| matches!(event, Event::ByeCompleted { .. })),
            1
        );
        assert_eq!(
            pair.diaries[1].count(|event| matches!(event, Event::RemoteBye { .. })),
            1
        );
    }
}

#[test]
fn every_call_ends_on_both_sides_over_a_bad_link() {
    for seed in 0..400 {
        let weather = Weather {
            lost: seed % 45,
            doubled: (seed * 7) % 30,
            longest_delay_ms: 1 + (seed * 13) % 900,
            cut: None,
        };
        let mut pair = Pair::new(seed, Transport::Udp, weather);
        dial(&mut pair);
        let alice_talks = Duration::from_millis(seed * 37 % 4000);
        let bob_talks = (seed % 3 == 0).then(|| Duration::from_millis(seed * 91 % 4000));
        let mut reinvited = seed % 4 != 1;
        pair.run(Duration::from_secs(600), |side, event| {
            match (side, event) {
                (0, Event::Answered { call, .. }) if !reinvited => {
                    reinvited = true;
                    Some((
                        SECOND,
                        Command::Reinvite {
                            call: *call,
                            offer: Bytes::from_static(b"hold"),
                        },
                    ))
                }
                (0, Event::Answered { call, .. }) => {
                    Some((alice_talks, Command::Bye { call: *call }))
                }
                (0, Event::OfferAnswered { call, .. } | Event::OfferRefused { call, .. }) => {
                    Some((alice_talks, Command::Bye { call: *call }))
                }
                (1, event) => bob(event, bob_talks),
                _ => None,
            }
        });
        check(&pair, &format!("seed {seed}"));
    }
}

#[test]
fn a_cancelled_call_ends_on_both_sides_whenever_the_cancel_comes() {
    for seed in 0..300 {
        let weather = Weather {
            lost: seed % 30,
            doubled: seed % 20,
            longest_delay_ms: 1 + seed % 200,
            cut: None,
        };
        let mut pair = Pair::new(seed, Transport::Udp, weather);
        dial(&mut pair);
        // Around the answer, which comes after a second.
        pair.plan(
            Duration::from_millis(seed * 8),
            0,
            Command::Cancel { call: CALL },
        );
        pair.run(Duration::from_secs(600), |side, event| match side {
            1 => bob(event, None),
            _ => None,
        });
        check(&pair, &format!("seed {seed}"));
    }
}

#[test]
fn a_cut_link_ends_a_call_inside_the_timers() {
    for seed in 0..200 {
        let since = Duration::from_millis(seed * 23);
        let weather = Weather {
            lost: 0,
            doubled: 0,
            longest_delay_ms: 40,
            cut: Some(((seed % 2) as usize, since)),
        };
        let mut pair = Pair::new(seed, Transport::Udp, weather);
        dial(&mut pair);
        pair.run(Duration::from_secs(600), |side, event| {
            match (side, event) {
                (0, Event::Answered { call, .. }) => Some((SECOND, Command::Bye { call: *call })),
                (1, Event::Confirmed { call, .. }) => {
                    Some((3 * SECOND, Command::Bye { call: *call }))
                }
                (1, event) => bob(event, None),
                _ => None,
            }
        });
        check(&pair, &format!("seed {seed}"));
        // Ringing bound (185 s) and Timer B after the CANCEL, the worst case.
        let end = pair.diaries[0].first(is_end).unwrap();
        assert!(end <= Duration::from_secs(185 + 33), "seed {seed}: {end:?}");
    }
}

#[test]
fn both_sides_offering_at_once_both_get_their_turn() {
    for seed in 0..50 {
        let weather = Weather {
            lost: 0,
            doubled: 0,
            longest_delay_ms: 30,
            cut: None,
        };
        let mut pair = Pair::new(seed, Transport::Udp, weather);
        dial(&mut pair);
        pair.run(Duration::from_secs(600), |side, event| {
            match (side, event) {
                (0, Event::Answered { call, .. }) => Some((
                    SECOND,
                    Command::Reinvite {
                        call: *call,
                        offer: Bytes::from_static(b"hold"),
                    },
                )),
                (1, Event::Confirmed { call, .. }) => Some((
                    SECOND,
                    Command::Reinvite {
                        call: *call,
                        offer: Bytes::from_static(b"hold"),
                    },
                )),
                (0, Event::OfferAnswered { call, .. }) => {
                    Some((60 * SECOND, Command::Bye { call: *call }))
                }
                (_, event) => bob(event, None),
            }
        });
        for side in [0, 1] {
            let answered = pair.diaries[side].count(|it| matches!(it, Event::OfferAnswered { .. }));
            assert_eq!(answered, 1, "seed {seed}: {:#?}", pair.diaries);
        }
        check(&pair, &format!("seed {seed}"));
    }
}

#[test]
fn short_calls_may_follow_each_other_at_once() {
    let weather = Weather {
        lost: 0,
        doubled: 0,
        longest_delay_ms: 10,
        cut: None,
    };
    let mut pair = Pair::new(1, Transport::Udp, weather);
    for number in 0..100 {
        let offer = Some(Bytes::from_static(b"offer"));
        let call = CallRef(number);
        let at = Duration::from_millis(u64::from(number) * 250);
        pair.plan(
            at,
            0,
            Command::Invite {
                call,
                target: target(),
                offer,
            },
        );
    }
    pair.run(Duration::from_secs(300), |side, event| {
        match (side, event) {
            (1, Event::Incoming { call, .. }) => {
                let body = Bytes::from_static(b"answer");
                Some((Duration::ZERO, Command::Answer { call: *call, body }))
            }
            (0, Event::Answered { call, .. }) => Some((SECOND / 10, Command::Bye { call: *call })),
            _ => None,
        }
    });
    check(&pair, "short calls");
    let completed = pair.diaries[0].count(|event| matches!(event, Event::ByeCompleted { .. }));
    assert_eq!(completed, 100);
}

#[test]
fn an_agent_in_a_call_is_small() {
    let agent = size_of::<UserAgent>();
    assert!(agent <= 2048, "{agent} octets before anything is allocated");
}
