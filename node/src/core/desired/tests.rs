use super::*;
use shared::id::RunId;

fn order(sequence: u64, state: DesiredState) -> Order {
    Order {
        run: RunId(1),
        run_epoch: 3,
        sequence,
        state,
        stored_to: 0,
    }
}

fn preparing() -> RunCore {
    RunCore::preparing(3, (3, 1), (3, 10))
}

use DesiredState::{Prepared, Running, Stopped};

#[test]
fn a_run_goes_forward_and_repeats_change_nothing() {
    let mut run = preparing();
    assert_eq!(run.order(3, &order(1, Prepared)), Ordered::Repeated);
    assert_eq!(run.prepared(), Step::Nothing);
    assert_eq!(run.order(3, &order(2, Running)), Ordered::New(Step::Start));
    assert_eq!(run.order(3, &order(2, Running)), Ordered::Repeated);
    assert_eq!(run.order(3, &order(1, Prepared)), Ordered::Outdated);
    let stop = Ordered::New(Step::Stop(StopKind::Whole));
    assert_eq!(run.order(3, &order(3, Stopped)), stop);
    assert_eq!(run.state(), HeldState::Stopping);
    assert_eq!(run.order(3, &order(3, Stopped)), Ordered::Repeated);
    assert_eq!(run.over(), Step::Ended(EndCause::Ordered));
    assert_eq!(run.over(), Step::Nothing);
}

#[test]
fn every_order_of_prepare_run_and_stop_ends_stopped() {
    let orders = [
        order(1, Prepared),
        order(2, Running),
        order(3, Stopped),
        order(2, Running),
        order(3, Stopped),
    ];
    // Every permutation of five, by counting in the factorial base.
    for number in 0..120 {
        let mut left: Vec<&Order> = orders.iter().collect();
        let mut run = preparing();
        let _ = run.prepared();
        let (mut digits, mut stops, mut starts) = (number, 0, 0);
        for base in (1..=5).rev() {
            let next = left.remove(digits % base);
            digits /= base;
            match run.order(3, next) {
                Ordered::New(Step::Stop(_)) => stops += 1,
                Ordered::New(Step::Start) => starts += 1,
                _ => {}
            }
            assert!(stops == 0 || run.state() == HeldState::Stopping);
        }
        assert_eq!(stops, 1, "permutation {number}");
        assert!(starts <= 1);
    }
}

#[test]
fn an_order_to_run_that_overtakes_the_preparation_waits_for_it() {
    let mut run = preparing();
    assert_eq!(
        run.order(3, &order(2, Running)),
        Ordered::New(Step::Nothing)
    );
    assert_eq!(run.state(), HeldState::Preparing);
    assert_eq!(run.prepared(), Step::Start);
}

#[test]
fn a_newer_epoch_counts_before_the_sequence_and_the_runs_own_epoch_stays() {
    let mut run = preparing();
    let _ = run.prepared();
    assert_eq!(run.order(3, &order(9, Running)), Ordered::New(Step::Start));
    let stop = Ordered::New(Step::Stop(StopKind::Whole));
    assert_eq!(run.order(4, &order(1, Stopped)), stop);
    let mut foreign = order(2, Stopped);
    foreign.run_epoch = 4;
    assert_eq!(run.order(5, &foreign), Ordered::Outdated);
    assert_eq!(run.newest_order(), (4, 1));
}

#[test]
fn the_first_cause_stays_and_a_fenced_stop_takes_over_a_whole_one() {
    let mut run = preparing();
    let _ = run.prepared();
    let whole = Step::Stop(StopKind::Whole);
    let fenced = Step::Stop(StopKind::Fenced);
    assert_eq!(run.stop(EndCause::Drained, StopKind::Whole), whole);
    assert_eq!(run.stop(EndCause::Ordered, StopKind::Whole), Step::Nothing);
    assert_eq!(run.stop(EndCause::LeaseLost, StopKind::Fenced), fenced);
    assert_eq!(
        run.stop(EndCause::LeaseLost, StopKind::Fenced),
        Step::Nothing
    );
    assert_eq!(run.over(), Step::Ended(EndCause::Drained));
    assert_eq!(
        run.stop(EndCause::LeaseLost, StopKind::Fenced),
        Step::Nothing
    );
    let mut alone = preparing();
    assert_eq!(alone.over(), Step::Ended(EndCause::Finished));
    assert_eq!(
        alone.prepared(),
        Step::Nothing,
        "the preparation came too late"
    );
}

#[test]
fn only_a_message_that_came_after_the_prepare_can_leave_the_run_out() {
    let run = preparing();
    assert!(!run.is_known_at((3, 9)) && !run.is_known_at((3, 10)));
    assert!(run.is_known_at((3, 11)) && run.is_known_at((4, 1)));
}
