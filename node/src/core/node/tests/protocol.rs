//! One rule of the contract in each test.

use super::*;
use crate::core::desired::StopKind;
use shared::wire::{NodeCondition, Problem, Tell};

use DesiredState::{Running, Stopped};

#[test]
fn it_renews_at_once_then_every_two_seconds_and_says_when_it_joined() {
    let mut bench = Bench::new();
    bench.input(Input::Tick);
    let first = bench.renewals();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].sent_boot_us, 100 * SECOND);
    assert_eq!(
        (first[0].clock, first[0].status.node.0.as_str()),
        (None, "n1")
    );
    bench.pass(10 * SECOND);
    assert_eq!(bench.renewals().len(), 5);
    bench.grant(&[]);
    let joined = Fence {
        cluster: CLUSTER,
        epoch: 3,
    };
    assert!(bench.out.contains(&Output::Fence(joined)));
    assert!(bench.out.contains(&Output::Notice(Notice::Joined(joined))));
    assert!(bench.core.has_lease());
    bench.pass(2 * SECOND);
    assert!(bench.renewals().last().unwrap().clock.is_some());
    bench.input(Input::Hello);
    bench.pass(SECOND / 10);
    assert_eq!(bench.renewals().len(), 1, "a hello is answered soon");
}

#[test]
fn a_run_goes_its_way_and_is_forgotten_once_it_is_stored() {
    let mut bench = Bench::joined();
    bench.prepare(1);
    let prepared = |output: &Output| match output {
        Output::Send(message) => {
            matches!(&message.body, Upward::Prepared { problems, .. } if problems.is_empty())
        }
        _ => false,
    };
    assert!(bench.out.iter().any(prepared));
    bench.say(Downward::Order(order(1, 2, Running, 0)));
    let generation = bench.guard.generation();
    let start = Output::Start {
        run: RunId(1),
        generation,
    };
    assert!(bench.acts().contains(&start));
    for second in 0..3 {
        bench.event(1, RunEvent::Item(frame(1, second)));
    }
    let numbers: Vec<u64> = bench.items().iter().map(|item| item.sequence).collect();
    assert_eq!(numbers, [0, 1, 2]);
    bench.say(Downward::Order(order(1, 3, Stopped, 2)));
    let stop = Output::Stop {
        run: RunId(1),
        kind: StopKind::Whole,
    };
    assert_eq!(bench.acts(), [stop]);
    bench.event(1, RunEvent::Over);
    let items = bench.items();
    assert_eq!(items.len(), 1);
    assert_eq!(
        (items[0].sequence, ended(&items[0])),
        (3, Some(EndCause::Ordered))
    );
    bench.grant(&[order(1, 3, Stopped, 4)]);
    assert_eq!(bench.state(1), Some(HeldState::Ended(EndCause::Ordered)));
    bench.grant(&[]);
    assert_eq!(bench.acts(), [Output::Forget(RunId(1))]);
    assert_eq!(bench.state(1), None);
}

#[test]
fn a_run_that_cannot_be_prepared_says_why_and_is_not_held() {
    let mut bench = Bench::joined();
    let problem = Problem::new("sip_socket", "taken".to_owned());
    for _ in 0..2 {
        bench.say(Downward::Prepare(Box::new(desired(1))));
        bench.event(1, RunEvent::Prepared(vec![problem.clone()]));
        let answers = |output: &Output| match output {
            Output::Send(message) => {
                matches!(&message.body, Upward::Prepared { problems, .. } if problems.len() == 1)
            }
            _ => false,
        };
        assert_eq!(bench.out.iter().filter(|out| answers(out)).count(), 1);
        assert!(bench.acts().contains(&Output::Forget(RunId(1))));
    }
    assert_eq!(bench.state(1), None);
}

#[test]
fn what_is_late_for_another_life_or_of_an_older_start_is_counted_and_not_obeyed() {
    let mut bench = Bench::joined();
    let good = bench.head();
    let late = Head {
        expires_boot_us: bench.now_us - 1,
        ..good
    };
    let other = Head {
        life: LifeId(1),
        ..good
    };
    let older = Head { epoch: 2, ..good };
    let foreign = Head {
        cluster: ClusterId(9),
        ..good
    };
    for head in [late, other, older, foreign] {
        bench.hear(head, Downward::Prepare(Box::new(desired(1))));
    }
    bench.input(Input::Unreadable);
    bench.input(Input::Overflow(4));
    assert_eq!(bench.acts(), []);
    let wanted = Refused {
        expired: 1,
        outdated: 2,
        other_life: 1,
        unreadable: 1,
        overflow: 4,
        ..Refused::default()
    };
    assert_eq!(bench.core.refused(), wanted);
}

#[test]
fn a_backup_of_the_coordinator_is_not_obeyed_by_a_later_life_either() {
    let fence = Fence {
        cluster: CLUSTER,
        epoch: 4,
    };
    let mut bench = Bench::with(fence);
    bench.input(Input::Tick);
    bench.grant(&[]);
    assert!(!bench.core.has_lease());
    let outdated = Notice::Outdated { epoch: 3, fence };
    assert!(bench.out.contains(&Output::Notice(outdated)));
    bench.epoch = 5;
    bench.grant(&[]);
    assert!(bench.core.has_lease());
}

#[test]
fn another_cluster_is_joined_only_by_a_lease_and_only_with_nothing_held() {
    let mut bench = Bench::joined();
    bench.prepare(1);
    bench.pass(11 * SECOND);
    bench.event(1, RunEvent::Over);
    let mut foreign = bench.head();
    foreign.cluster = ClusterId(9);
    foreign.epoch = 1;
    let grant = |bench: &Bench| {
        Downward::Lease(Box::new(Lease {
            renewal_boot_us: bench.core.lease_sent(),
            renewal_unix_us: 0,
            received_unix_us: 0,
            sent_unix_us: 0,
            verdict: LeaseVerdict::Granted,
            orders: vec![],
            drain: false,
        }))
    };
    bench.hear(foreign, grant(&bench));
    assert_eq!(bench.core.fence().cluster, CLUSTER, "it still owes a run");
    bench.grant(&[]);
    assert_eq!(bench.state(1), None);
    bench.hear(foreign, grant(&bench));
    assert_eq!(bench.core.fence().cluster, CLUSTER, "it has a lease");
    bench.pass(11 * SECOND);
    foreign.expires_boot_us = bench.now_us + SECOND;
    bench.hear(foreign, Downward::Prepare(Box::new(desired(2))));
    assert_eq!(bench.core.fence().cluster, CLUSTER, "no lease");
    bench.hear(foreign, grant(&bench));
    assert_eq!(bench.core.fence().cluster, ClusterId(9));
    assert!(bench.core.has_lease());
}

#[test]
fn without_a_lease_everything_is_fenced_and_its_items_are_kept() {
    let mut bench = Bench::joined();
    bench.running(1);
    let generation = bench.guard.generation();
    bench.pass(7 * SECOND);
    assert_eq!(bench.acts(), []);
    bench.pass(4 * SECOND);
    let fenced = Output::Stop {
        run: RunId(1),
        kind: StopKind::Fenced,
    };
    assert_eq!(bench.acts(), [fenced]);
    assert!(!bench.guard.permits(generation, bench.now_us));
    bench.event(1, RunEvent::Item(frame(1, 0)));
    bench.event(1, RunEvent::Over);
    bench.out.clear();
    // The coordinator is back: the run stays ended, and what it did not store comes again.
    bench.epoch = 4;
    bench.grant(&[order(1, 1, Running, 0)]);
    assert!(!bench.guard.permits(generation, bench.now_us));
    assert_eq!(bench.state(1), Some(HeldState::Ended(EndCause::LeaseLost)));
    let items = bench.items();
    assert_eq!(items.len(), 2);
    assert_eq!(ended(&items[1]), Some(EndCause::LeaseLost));
}

#[test]
fn a_process_that_stood_still_obeys_nothing_that_waited_for_it() {
    let mut bench = Bench::joined();
    bench.prepare(1);
    let (grant, run) = (bench.head(), bench.head());
    let lease = Lease {
        renewal_boot_us: bench.core.lease_sent(),
        renewal_unix_us: 0,
        received_unix_us: 0,
        sent_unix_us: 0,
        verdict: LeaseVerdict::Granted,
        orders: vec![order(1, 2, Running, 0)],
        drain: false,
    };
    bench.out.clear();
    bench.now_us += 60 * SECOND;
    bench.hear(grant, Downward::Lease(Box::new(lease)));
    bench.hear(run, Downward::Order(order(1, 2, Running, 0)));
    let fenced = Output::Stop {
        run: RunId(1),
        kind: StopKind::Fenced,
    };
    assert_eq!(bench.acts(), [fenced]);
    assert_eq!(bench.core.refused().expired, 2);
}

#[test]
fn orders_that_are_repeated_or_late_have_one_effect() {
    let mut bench = Bench::joined();
    bench.prepare(1);
    let begin = order(1, 2, Running, 0);
    for _ in 0..3 {
        bench.say(Downward::Order(begin));
    }
    let starts = |output: &&Output| matches!(output, Output::Start { .. });
    assert_eq!(bench.acts().iter().filter(starts).count(), 1);
    bench.say(Downward::Prepare(Box::new(desired(1))));
    assert_eq!(bench.core.refused().repeated, 3);
    bench.say(Downward::Order(order(1, 3, Stopped, 0)));
    bench.acts();
    bench.say(Downward::Order(begin));
    assert_eq!(bench.acts(), []);
    assert_eq!(bench.core.refused().outdated, 1);
    bench.event(1, RunEvent::Over);
    bench.grant(&[]);
    bench.acts();
    // Late copies of everything do not revive it.
    bench.say(Downward::Prepare(Box::new(desired(1))));
    bench.say(Downward::Order(begin));
    assert_eq!(bench.acts(), []);
    assert_eq!(bench.state(1), None);
}

#[test]
fn a_run_that_the_lease_leaves_out_is_ended_unless_it_is_newer_than_the_lease() {
    let mut bench = Bench::joined();
    bench.pass(2 * SECOND);
    let early = bench.head();
    let renewal = bench.core.lease_sent();
    bench.running(1);
    let lease = |renewal| {
        Downward::Lease(Box::new(Lease {
            renewal_boot_us: renewal,
            renewal_unix_us: 0,
            received_unix_us: 0,
            sent_unix_us: 0,
            verdict: LeaseVerdict::Granted,
            orders: vec![],
            drain: false,
        }))
    };
    bench.hear(early, lease(renewal));
    assert_eq!(bench.acts(), [], "the prepare overtook that lease");
    bench.grant(&[]);
    let stop = Output::Stop {
        run: RunId(1),
        kind: StopKind::Whole,
    };
    assert_eq!(bench.acts(), [stop]);
    bench.event(1, RunEvent::Item(frame(1, 0)));
    bench.event(1, RunEvent::Over);
    assert_eq!(bench.acts(), [Output::Forget(RunId(1))]);
    assert_eq!(bench.items(), []);
}

#[test]
fn a_displaced_node_fences_everything_and_leaves() {
    let mut bench = Bench::joined();
    bench.running(1);
    bench.answer(LeaseVerdict::Displaced, &[], false);
    let fenced = Output::Stop {
        run: RunId(1),
        kind: StopKind::Fenced,
    };
    assert_eq!(bench.acts(), [fenced]);
    assert!(!bench.guard.permits(bench.guard.generation(), bench.now_us));
    bench.event(1, RunEvent::Over);
    assert_eq!(bench.acts(), [Output::Exit(Exit::Displaced)]);
    assert_eq!(bench.core.next_deadline(), None);
    // One whose calls do not end leaves all the same.
    let mut stuck = Bench::joined();
    stuck.running(1);
    stuck.answer(LeaseVerdict::Displaced, &[], false);
    stuck.pass(15 * SECOND);
    assert_eq!(stuck.acts().last(), Some(&Output::Exit(Exit::Displaced)));
}

#[test]
fn a_refused_node_says_so_and_asks_again() {
    let mut bench = Bench::new();
    bench.input(Input::Tick);
    bench.answer(
        LeaseVerdict::Refused("version 9 is too new".into()),
        &[],
        false,
    );
    let refused = Notice::Refused("version 9 is too new".into());
    assert!(bench.out.contains(&Output::Notice(refused)));
    assert!(!bench.core.has_lease());
    bench.grant(&[]);
    assert!(bench.core.has_lease());
}

#[test]
fn a_drain_takes_no_run_waits_ends_the_calls_and_leaves_when_all_is_stored() {
    let mut bench = Bench::joined();
    bench.running(1);
    bench.input(Input::Drain);
    bench.say(Downward::Prepare(Box::new(desired(2))));
    assert_eq!(bench.state(2), None);
    let orders = [order(1, 2, Running, 0)];
    for _ in 0..9 {
        bench.grant(&orders);
    }
    let renewal = bench.renewals().pop().unwrap();
    assert_eq!(renewal.status.condition, NodeCondition::Draining);
    for _ in 0..2 {
        bench.grant(&orders);
    }
    let stop = Output::Stop {
        run: RunId(1),
        kind: StopKind::Whole,
    };
    assert_eq!(bench.acts(), [stop]);
    bench.event(1, RunEvent::Over);
    let items = bench.items();
    assert_eq!(items.last().and_then(ended), Some(EndCause::Drained));
    bench.grant(&[order(1, 3, Stopped, 1)]);
    assert_eq!(bench.acts(), [Output::Exit(Exit::Drained)]);
}

#[test]
fn a_drain_with_nothing_to_do_leaves_at_once_and_one_that_nobody_stores_leaves_late() {
    let mut idle = Bench::joined();
    idle.input(Input::Drain);
    assert_eq!(idle.acts(), [Output::Exit(Exit::Drained)]);
    let mut bench = Bench::joined();
    bench.running(1);
    bench.input(Input::Drain);
    bench.event(1, RunEvent::Over);
    bench.pass(9 * SECOND);
    assert!(!bench.acts().contains(&Output::Exit(Exit::Drained)));
    bench.pass(2 * SECOND);
    assert!(bench.acts().contains(&Output::Exit(Exit::Drained)));
}

#[test]
fn an_operators_drain_takes_no_run_and_can_be_taken_back() {
    let mut bench = Bench::joined();
    bench.answer(LeaseVerdict::Granted, &[], true);
    bench.say(Downward::Prepare(Box::new(desired(1))));
    assert_eq!(bench.state(1), None);
    bench.grant(&[]);
    bench.prepare(1);
    assert_eq!(bench.state(1), Some(HeldState::Prepared));
}

#[test]
fn tells_are_taken_once_in_order_and_without_a_hole() {
    let mut bench = Bench::joined();
    bench.running(1);
    let over = |place| Tell::CallerOver {
        group: GroupIndex(1),
        place,
    };
    let tells = |first, tells: &[u32]| Downward::Tells {
        run: RunId(1),
        run_epoch: 3,
        first,
        tells: tells.iter().map(|place| over(*place)).collect(),
    };
    let told = |places: &[u32]| Output::Tell {
        run: RunId(1),
        tells: places.iter().map(|place| over(*place)).collect(),
    };
    bench.say(tells(2, &[12]));
    assert_eq!(bench.acts(), [], "a hole");
    bench.say(tells(0, &[10, 11]));
    assert_eq!(bench.acts(), [told(&[10, 11])]);
    bench.say(tells(0, &[10, 11]));
    assert_eq!(bench.acts(), []);
    bench.say(tells(1, &[11, 12, 13]));
    assert_eq!(bench.acts(), [told(&[12, 13])]);
    assert_eq!(bench.core.held()[0].tells, 4);
    assert_eq!(bench.core.refused().repeated, 1);
}

#[test]
fn a_coordinator_that_starts_anew_is_followed_and_gets_what_it_had_not_stored() {
    let mut bench = Bench::joined();
    bench.running(1);
    for second in 0..4 {
        bench.event(1, RunEvent::Item(frame(1, second)));
    }
    bench.say(Downward::Order(order(1, 2, Running, 2)));
    bench.out.clear();
    bench.epoch = 4;
    bench.sequence = 0;
    bench.grant(&[order(1, 1, Running, 2)]);
    let fence = Fence {
        cluster: CLUSTER,
        epoch: 4,
    };
    assert!(bench.out.contains(&Output::Fence(fence)));
    assert_eq!(bench.state(1), Some(HeldState::Running));
    let numbers: Vec<u64> = bench.items().iter().map(|item| item.sequence).collect();
    assert_eq!(numbers, [2, 3]);
    // What the former one still had on its way is refused.
    bench.epoch = 3;
    bench.say(Downward::Order(order(1, 9, Stopped, 0)));
    assert_eq!(bench.acts(), []);
    assert_eq!(bench.core.refused().outdated, 1);
}
