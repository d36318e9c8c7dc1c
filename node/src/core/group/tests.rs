//! Pacing and pairing in virtual time.

use super::*;

fn drain(group: &mut GroupCore) -> Vec<Output> {
    std::iter::from_fn(|| group.poll()).collect()
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn endpoints_begin_evenly_over_the_buildup() {
    let pace = Pace {
        group_count: 4,
        buildup: Duration::from_secs(2),
    };
    let mut group = GroupCore::new(Pairing::NoCalls, false, &pace, &[0, 1, 2, 3]);
    group.handle(at(0), Input::Tick);
    assert_eq!(
        drain(&mut group),
        [Output::Begin {
            place: 0,
            due: at(0)
        }]
    );
    assert_eq!(group.next_deadline(), Some(at(500)));
    group.handle(at(1_000), Input::Tick);
    let due: Vec<_> = drain(&mut group);
    assert_eq!(
        due,
        [
            Output::Begin {
                place: 1,
                due: at(500)
            },
            Output::Begin {
                place: 2,
                due: at(1_000)
            }
        ]
    );
}

#[test]
fn a_caller_waits_for_its_callee_whichever_comes_first() {
    let pace = Pace {
        group_count: 2,
        buildup: Duration::ZERO,
    };
    let mut group = GroupCore::new(Pairing::Callee, false, &pace, &[0, 1]);
    group.handle(at(0), Input::Tick);
    drain(&mut group);
    group.handle(
        at(5),
        Input::Ready {
            place: 0,
            uri: "sip:a".into(),
        },
    );
    assert_eq!(drain(&mut group), []);
    group.handle(
        at(9),
        Input::CalleeReady {
            place: 0,
            uri: "sip:b".into(),
        },
    );
    assert_eq!(
        drain(&mut group),
        [Output::Dial {
            place: 0,
            target: "sip:b".into(),
            due: at(9)
        }]
    );
    group.handle(
        at(9),
        Input::CalleeFailed {
            place: 1,
            reason: "403".into(),
        },
    );
    group.handle(
        at(10),
        Input::Ready {
            place: 1,
            uri: "sip:c".into(),
        },
    );
    assert_eq!(
        drain(&mut group),
        [Output::NoCallee {
            place: 1,
            reason: "403".into()
        }]
    );
}

#[test]
fn a_callee_that_ends_before_it_was_ready_is_a_known_failure() {
    let pace = Pace {
        group_count: 1,
        buildup: Duration::ZERO,
    };
    let mut group = GroupCore::new(Pairing::NoCalls, true, &pace, &[0]);
    group.handle(at(0), Input::Tick);
    drain(&mut group);
    group.handle(
        at(5),
        Input::Ended {
            place: 0,
            reason: "401".into(),
        },
    );
    assert_eq!(
        drain(&mut group),
        [Output::TellCaller {
            place: 0,
            readiness: Err("401".into())
        }]
    );
    assert!(group.is_over());
}

#[test]
fn whoever_is_due_begins_at_any_input() {
    let pace = Pace {
        group_count: 2,
        buildup: Duration::from_secs(1),
    };
    let mut group = GroupCore::new(Pairing::NoCalls, false, &pace, &[0, 1]);
    group.handle(at(0), Input::Tick);
    drain(&mut group);
    let uri = "sip:a".to_owned();
    group.handle(at(501), Input::Ready { place: 0, uri });
    let due = at(500);
    assert_eq!(drain(&mut group), [Output::Begin { place: 1, due }]);
}

#[test]
fn a_stop_ends_those_that_never_began_and_asks_the_others() {
    let pace = Pace {
        group_count: 2,
        buildup: Duration::from_secs(10),
    };
    let mut group = GroupCore::new(Pairing::NoCalls, false, &pace, &[0, 1]);
    group.handle(at(0), Input::Tick);
    drain(&mut group);
    group.handle(at(100), Input::Stop);
    assert_eq!(
        drain(&mut group),
        [Output::NeverBegan { place: 1 }, Output::Stop { place: 0 }]
    );
    assert_eq!(group.next_deadline(), None);
    group.handle(
        at(200),
        Input::Ended {
            place: 0,
            reason: String::new(),
        },
    );
    assert!(group.is_over());
}

#[test]
fn a_fenced_stop_is_spread_over_the_buildup_but_not_for_long() {
    for (buildup, second) in [(0, 0), (1_000, 500), (60_000, 1_000)] {
        let pace = Pace {
            group_count: 2,
            buildup: Duration::from_millis(buildup),
        };
        let mut group = GroupCore::new(Pairing::NoCalls, false, &pace, &[0, 1]);
        group.handle(at(buildup), Input::Tick);
        drain(&mut group);
        // A stop under way does not keep the fence away.
        group.handle(at(buildup), Input::Stop);
        drain(&mut group);
        let now = buildup + 10;
        group.handle(at(now), Input::Fence);
        let mut fenced = drain(&mut group);
        if second > 0 {
            assert_eq!(fenced, [Output::Fence { place: 0 }]);
            assert_eq!(group.next_deadline(), Some(at(now + second)));
            group.handle(at(now + second), Input::Tick);
            fenced.extend(drain(&mut group));
        }
        let wanted = [Output::Fence { place: 0 }, Output::Fence { place: 1 }];
        assert_eq!(fenced, wanted, "buildup {buildup} ms");
        assert_eq!(group.next_deadline(), None);
        group.handle(at(now + 5_000), Input::Fence);
        assert_eq!(drain(&mut group), []);
    }
}
