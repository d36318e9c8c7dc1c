use shared::id::{EndpointIndex, GroupIndex, NodeId};
use shared::metric;
use shared::phase::{Outcome, Phase};
use shared::wire::{CallReport, Column, MediaReport, Share};

use super::*;
use crate::testing::{self, Random};

fn roster() -> Roster {
    let mut roster = Roster::new(&testing::pair_test(3, 2));
    let share = |group, first, count| Share {
        group: GroupIndex(group),
        first,
        count,
    };
    roster.assign(&NodeId("a".to_owned()), &[share(0, 0, 2)]);
    roster.assign(&NodeId("b".to_owned()), &[share(0, 2, 1), share(1, 0, 2)]);
    roster
}

fn frame(second: u32, phase: Phase, metric: MetricId, values: &[f32]) -> Frame {
    let mut frame = testing::frame(u64::from(second), second);
    frame.endpoints = (0..5).map(EndpointIndex).collect();
    frame.phases = vec![phase; 5];
    frame.columns = vec![Column {
        metric,
        values: values.to_vec(),
    }];
    frame
}

fn all(query: Query) -> Query {
    Query {
        limit: 100,
        ..query
    }
}

fn numbers(places: &[Place]) -> Vec<u32> {
    places.iter().map(|place| place.endpoint).collect()
}

const NAN: f32 = f32::NAN;

#[test]
fn a_row_says_who_it_is_and_where_it_runs() {
    let rows = roster().snapshot();
    let row = rows.row(3).unwrap();
    assert_eq!(
        (row.group.as_str(), row.account.as_str()),
        ("callees", "callees0")
    );
    assert_eq!(row.node, NodeId("b".to_owned()));
    assert_eq!((row.phase, row.outcome), (Phase::Initializing, None));
    assert_eq!((row.mos, row.rtt_ms), (None, None));
    assert_eq!(rows.row(0).unwrap().node, NodeId("a".to_owned()));
    assert!(rows.row(5).is_none());
}

#[test]
fn figures_are_the_newest_there_are_and_phases_go_forward() {
    let mut roster = roster();
    roster.frame(&frame(
        0,
        Phase::Incall,
        metric::MOS,
        &[4.0, 4.1, 4.2, 4.3, 4.4],
    ));
    roster.frame(&frame(
        1,
        Phase::Calling,
        metric::MOS_FB,
        &[NAN, 3.1, NAN, NAN, NAN],
    ));
    roster.frame(&frame(1, Phase::Calling, metric::RX_PACKETS, &[50.0; 5]));
    let rows = roster.snapshot();
    assert_eq!(rows.row(0).unwrap().mos, Some(4.0));
    assert_eq!(rows.row(1).unwrap().mos, Some(3.1));
    assert_eq!(rows.row(1).unwrap().phase, Phase::Incall);
}

#[test]
fn after_its_end_a_row_has_the_newest_whole_call() {
    let mut roster = roster();
    let media = |mos| CallReport {
        media: Some(MediaReport {
            mos,
            jitter_mean_ms: Some(2.5),
            ..MediaReport::default()
        }),
        ..CallReport::default()
    };
    let mut report = testing::report(1, Outcome::CallFailed);
    report.calls = vec![media(Some(3.0)), media(Some(3.9)), CallReport::default()];
    report.call_code = Some(486);
    report.node = NodeId("b".to_owned());
    roster.report(&report);
    roster.trace(EndpointIndex(1));
    // What comes late belongs to a second before the end.
    roster.frame(&frame(1, Phase::Incall, metric::MOS, &[1.0; 5]));
    let row = roster.snapshot().row(1).unwrap();
    assert_eq!(
        (row.mos, row.jitter_ms, row.loss_pct),
        (Some(3.9), Some(2.5), None)
    );
    assert_eq!(
        (row.phase, row.outcome),
        (Phase::Closed, Some(Outcome::CallFailed))
    );
    assert_eq!((row.call_code, row.has_trace), (Some(486), true));
    assert_eq!(row.node, NodeId("b".to_owned()));
    assert_eq!(
        roster.reasons(&[1, 0]),
        ["it ended".to_owned(), String::new()]
    );
    let open: Vec<u32> = roster
        .without_outcome()
        .map(|endpoint| endpoint.0)
        .collect();
    assert_eq!(open, [0, 2, 3, 4]);
}

#[test]
fn what_the_run_does_not_have_is_counted_and_changes_nothing() {
    let mut roster = roster();
    roster.phase(EndpointIndex(5), Phase::Incall);
    roster.trace(EndpointIndex(u32::MAX));
    roster.report(&testing::report(9, Outcome::Success));
    let foreign = Share {
        group: GroupIndex(7),
        first: u32::MAX,
        count: u32::MAX,
    };
    roster.assign(&NodeId("a".to_owned()), &[foreign]);
    assert_eq!(roster.strange, 4);
    assert_eq!(roster.len(), 5);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn every_filter_takes_what_it_says() {
    let mut roster = roster();
    let mut busy = testing::report(1, Outcome::CallFailed);
    busy.call_code = Some(486);
    busy.registration_code = Some(200);
    roster.report(&busy);
    roster.report(&testing::report(4, Outcome::Success));
    roster.trace(EndpointIndex(1));
    roster.phase(EndpointIndex(2), Phase::Ringing);
    let rows = roster.snapshot();
    let found = |query: Query| numbers(&rows.select(&all(query)));
    let none = Query::default;
    assert_eq!(found(none()), [0, 1, 2, 3, 4]);
    assert_eq!(
        found(Query {
            phases: vec![Phase::Ringing],
            ..none()
        }),
        [2]
    );
    assert_eq!(
        found(Query {
            outcomes: vec![Outcome::CallFailed],
            ..none()
        }),
        [1]
    );
    assert_eq!(
        found(Query {
            outcomes: vec![Outcome::CallFailed, Outcome::Success],
            ..none()
        }),
        [1, 4]
    );
    assert_eq!(
        found(Query {
            groups: vec!["callees".to_owned()],
            ..none()
        }),
        [3, 4]
    );
    assert_eq!(
        found(Query {
            account: Some("LERS1".to_owned()),
            ..none()
        }),
        [1]
    );
    assert_eq!(
        found(Query {
            account: Some("x".repeat(300)),
            ..none()
        }),
        [0; 0]
    );
    assert_eq!(
        found(Query {
            code: Some(486),
            ..none()
        }),
        [1]
    );
    assert_eq!(
        found(Query {
            code: Some(200),
            ..none()
        }),
        [1]
    );
    assert_eq!(
        found(Query {
            node: Some("b".to_owned()),
            ..none()
        }),
        [2, 3]
    );
    assert_eq!(
        found(Query {
            node: Some("local".to_owned()),
            ..none()
        }),
        [1, 4]
    );
    assert_eq!(
        found(Query {
            has_trace: Some(true),
            ..none()
        }),
        [1]
    );
    assert_eq!(
        found(Query {
            has_trace: Some(false),
            ..none()
        }),
        [0, 2, 3, 4]
    );
}

#[test]
fn those_without_the_figure_come_last_either_way() {
    let mut roster = roster();
    roster.frame(&frame(
        0,
        Phase::Incall,
        metric::MOS,
        &[4.0, NAN, 1.0, NAN, 4.4],
    ));
    roster.frame(&frame(
        0,
        Phase::Incall,
        metric::LOSS,
        &[-1.0, 0.0, 1e-9, NAN, 3.0],
    ));
    let rows = roster.snapshot();
    let by = |key, descending| {
        let sort = Sort { key, descending };
        numbers(&rows.select(&all(Query {
            sort,
            ..Query::default()
        })))
    };
    assert_eq!(by(SortKey::Mos, false), [2, 0, 4, 1, 3]);
    assert_eq!(by(SortKey::Mos, true), [4, 0, 2, 1, 3]);
    assert_eq!(by(SortKey::Loss, false), [0, 1, 2, 4, 3]);
    assert_eq!(by(SortKey::Endpoint, true), [4, 3, 2, 1, 0]);
    assert_eq!(by(SortKey::Outcome, true), [0, 1, 2, 3, 4]);
}

#[test]
fn failures_come_after_successes_and_worst_first_where_that_is_asked() {
    let mut roster = roster();
    roster.report(&testing::report(0, Outcome::Timeout));
    roster.report(&testing::report(2, Outcome::CompletedWithWarnings));
    roster.report(&testing::report(3, Outcome::Success));
    let sort = Sort {
        key: SortKey::Outcome,
        descending: true,
    };
    let places = roster.snapshot().select(&all(Query {
        sort,
        ..Query::default()
    }));
    assert_eq!(numbers(&places), [0, 2, 3, 1, 4]);
}

#[test]
fn pages_join_to_the_whole_list_in_any_order() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let mut roster = Roster::new(&testing::pair_test(400, 300));
        let values: Vec<f32> = (0..700)
            .map(|_| match random.below(5) {
                0 => f32::NAN,
                // Few values, so that ties cross the ends of pages.
                _ => random.below(20) as f32,
            })
            .collect();
        let mut frame = frame(0, Phase::Incall, metric::JITTER, &values);
        frame.endpoints = (0..700).map(EndpointIndex).collect();
        frame.phases = vec![Phase::Incall; 700];
        roster.frame(&frame);
        let rows = roster.snapshot();
        let sort = Sort {
            key: SortKey::Jitter,
            descending: random.below(2) == 1,
        };
        let mut query = Query {
            sort,
            limit: 1_000,
            ..Query::default()
        };
        let whole = rows.select(&query);
        assert_eq!(whole.len(), 700);
        assert!(whole.is_sorted());
        query.limit = 1 + random.below(90) as usize;
        let mut joined = Vec::new();
        loop {
            let page = rows.select(&query);
            assert!(page.len() <= query.limit);
            let Some(last) = page.last() else { break };
            query.after = Some(*last);
            joined.extend(page);
        }
        assert_eq!(joined, whole, "seed {seed}");
    }
}
