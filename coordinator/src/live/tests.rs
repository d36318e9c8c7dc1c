use shared::phase::RunStatus;
use shared::result::{LivePart, StatusMove};

use super::*;
use crate::testing::{self, RUN};

fn update(status: RunStatus, elapsed_ms: u64) -> LiveUpdate {
    LiveUpdate {
        run: RUN.to_string(),
        status,
        last_move: StatusMove {
            status,
            at_unix_ms: 1,
            reason: "test".to_owned(),
            sentence: "A test.".to_owned(),
        },
        elapsed_ms,
        duration_ms: 1,
        all: LivePart::default(),
        groups: Vec::new(),
        new_failures: Vec::new(),
        failures_left_out: 0,
        send_late_p99_ms: None,
        cpu_cores: None,
    }
}

fn roster(endpoints: u32) -> Roster {
    Roster::new(&testing::pair_test(endpoints, 0))
}

#[actix::test]
async fn who_comes_later_sees_how_it_stands_and_all_that_follows() {
    let shown = Shown::new(roster(1));
    shown.show(update(RunStatus::Running, 1));
    let mut stream = LiveStream::new(&shown);
    shown.show(update(RunStatus::Running, 2));
    shown.show(update(RunStatus::Completed, 3));
    let mut seen = Vec::new();
    while let Some(update) = stream.next().await {
        seen.push(update.elapsed_ms);
    }
    assert_eq!((seen, stream.missed()), (vec![1, 2, 3], 0));
    assert!(stream.ended());
}

#[actix::test]
async fn who_does_not_keep_up_is_told_what_he_missed() {
    let shown = Shown::new(roster(1));
    shown.show(update(RunStatus::Running, 1));
    let mut stream = LiveStream::new(&shown);
    for elapsed in 2..=101 {
        shown.show(update(RunStatus::Running, elapsed));
    }
    assert_eq!(stream.next().await.unwrap().elapsed_ms, 1);
    let ready: Vec<u64> = stream.ready().iter().map(|u| u.live.elapsed_ms).collect();
    let kept = UPDATES_KEPT as u64;
    assert_eq!(ready, (102 - kept..=101).collect::<Vec<_>>());
    assert_eq!(stream.missed(), 100 - kept);
    assert_eq!(stream.ready().len(), 0);
}

#[test]
fn an_update_is_put_into_text_once_for_all() {
    let shown = Shown::new(roster(1));
    shown.show(update(RunStatus::Running, 1));
    let (first, second) = (shown.latest().unwrap(), shown.latest().unwrap());
    let made = first.text(|update| Bytes::from(update.number.to_string()));
    let again = second.text(|_| unreachable!("it was made"));
    assert_eq!(made, "1");
    assert_eq!(made.as_ptr(), again.as_ptr());
}

#[test]
fn the_list_of_a_run_that_ended_is_in_the_cache_and_no_longer_with_the_run() {
    let board = Board::default();
    let shown = Arc::new(Shown::new(roster(3)));
    board.put(RUN, Arc::clone(&shown));
    assert_eq!(shown.with_roster(|roster| roster.len()), Some(3));
    assert!(board.kept_roster(RUN).is_none());
    board.retire(RUN);
    board.retire(RUN);
    assert_eq!(shown.with_roster(|roster| roster.len()), None);
    assert_eq!(board.kept_roster(RUN).unwrap().len(), 3);
    board.remove(RUN);
    assert!(board.get(RUN).is_none());
}

#[test]
fn the_cache_lets_go_of_what_was_not_asked_for_longest() {
    let board = Board::default();
    let large = u32::try_from(ROWS_CACHED_MAX / 2).unwrap();
    for run in 1..=2 {
        board.keep_roster(RunId(run), Arc::new(roster(large)));
    }
    assert!(board.kept_roster(RunId(1)).is_some());
    board.keep_roster(RunId(3), Arc::new(roster(1)));
    assert!(board.kept_roster(RunId(2)).is_none());
    assert!(board.kept_roster(RunId(1)).is_some() && board.kept_roster(RunId(3)).is_some());
    board.keep_roster(RunId(4), Arc::new(roster(large * 3)));
    assert!(
        board.kept_roster(RunId(4)).is_some(),
        "a larger one is kept alone"
    );
    assert!(board.kept_roster(RunId(1)).is_none() && board.kept_roster(RunId(3)).is_none());
}
