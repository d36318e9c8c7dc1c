//! Frames in, figures out; with the laws that hold for any split of them.

use shared::metric::{self, MetricId};
use shared::phase::Outcome;
use shared::stat::Histogram;
use shared::wire::Column;

use super::*;
use crate::testing::{self, Random};

fn generator_second() -> GeneratorSecond {
    let mut send_late_us = Histogram::new();
    send_late_us.record_n(250, 100);
    GeneratorSecond {
        send_late_us,
        timer_late_us: Histogram::new(),
        cpu_cores: 0.5,
        socket_drops: 1,
        skipped_packets: 2,
        refused: 0,
        strangers: 0,
        panics: 0,
        resident_bytes: 1,
    }
}

fn node(name: &str) -> NodeId {
    NodeId(name.to_owned())
}

fn aggregate(callers: u32, nodes: &[&str]) -> Aggregate {
    let nodes: Vec<NodeId> = nodes.iter().map(|name| node(name)).collect();
    Aggregate::new(
        testing::RUN,
        1,
        &testing::pair_test(callers, callers),
        &nodes,
    )
}

fn frame(name: &str, sequence: u64, second: u32, rows: &[(u32, Phase, f32)]) -> Frame {
    Frame {
        node: node(name),
        endpoints: rows.iter().map(|row| EndpointIndex(row.0)).collect(),
        phases: rows.iter().map(|row| row.1).collect(),
        columns: vec![
            Column {
                metric: metric::MOS,
                values: rows.iter().map(|row| row.2).collect(),
            },
            Column {
                metric: metric::CALL_ESTABLISHED,
                values: vec![1.0; rows.len()],
            },
        ],
        generator: Some(generator_second()),
        ..testing::frame(sequence, second)
    }
}

#[test]
fn a_second_is_told_when_every_node_has_it() {
    let mut sums = aggregate(4, &["a", "b"]);
    assert!(sums.frame(&frame("a", 0, 0, &[(0, Phase::Incall, 4.0)])));
    assert!(sums.poll_second().is_none());
    assert!(sums.frame(&frame("b", 0, 0, &[(5, Phase::Incall, 3.0)])));
    let (second, parts) = sums.poll_second().unwrap();
    assert_eq!(second.second, 0);
    let values = second.series().values;
    assert_eq!(values["mos.avg"], 3.5);
    assert_eq!(values["mos.worst"], 3.0);
    assert_eq!(values["call.established"], 2.0);
    assert_eq!(values["phase.incall"], 2.0);
    assert_eq!(values["phase.initializing"], 6.0);
    assert_eq!(values["generator.cpu_cores"], 1.0);
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[1].live().mos.unwrap().mean, 4.0);
    assert_eq!(parts[2].live().mos.unwrap().mean, 3.0);
    assert!(sums.poll_second().is_none());
}

#[test]
fn an_ended_node_is_not_waited_for() {
    let mut sums = aggregate(4, &["a", "b"]);
    assert!(sums.frame(&frame("a", 0, 0, &[(0, Phase::Incall, 4.0)])));
    sums.ended(&node("b"));
    assert!(sums.poll_second().is_some());
    assert!(!sums.all_ended());
    sums.ended(&node("a"));
    assert!(sums.all_ended());
}

#[test]
fn repeated_foreign_and_malformed_frames_change_nothing() {
    let mut sums = aggregate(2, &["a"]);
    let good = frame("a", 0, 0, &[(0, Phase::Incall, 4.0)]);
    assert!(sums.frame(&good));
    let before = sums.all_counts();
    let mut short = frame("a", 1, 1, &[(0, Phase::Incall, 4.0)]);
    short.columns[0].values.clear();
    let mut phases = frame("a", 1, 1, &[(0, Phase::Incall, 4.0)]);
    phases.phases.clear();
    let refused = [
        good.clone(),
        Frame {
            epoch: 2,
            ..good.clone()
        },
        Frame {
            run: RunId(1),
            ..good.clone()
        },
        frame("stranger", 0, 0, &[]),
        frame("a", 1, 1, &[(4, Phase::Incall, 4.0)]),
        short,
        phases,
    ];
    for frame in &refused {
        assert!(!sums.frame(frame), "{frame:?}");
    }
    assert_eq!(sums.all_counts(), before);
    assert_eq!(
        sums.strange(),
        Strange {
            foreign: 3,
            repeated: 1,
            malformed: 3,
            ..Strange::default()
        }
    );
}

#[test]
fn a_hole_and_an_unknown_metric_are_survived() {
    let mut sums = aggregate(2, &["a"]);
    let mut odd = frame("a", 3, 0, &[(0, Phase::Incall, 4.0)]);
    odd.columns[0].metric = MetricId(u16::MAX);
    assert!(sums.frame(&odd));
    assert_eq!((sums.strange().missing, sums.strange().lost()), (3, 3));
    let (all, _, _) = sums.parts();
    assert!(all.metric("mos").is_none());
}

#[test]
fn phases_only_go_forward() {
    let mut sums = aggregate(1, &["a"]);
    assert!(sums.frame(&frame("a", 0, 1, &[(0, Phase::Incall, 4.0)])));
    assert!(sums.frame(&frame("a", 1, 0, &[(0, Phase::Calling, 4.0)])));
    assert_eq!(sums.all_counts().phases[Phase::Incall as usize], 1);
    assert!(sums.report(&testing::report(0, Outcome::Success)));
    assert_eq!(sums.all_counts().phases[Phase::Closed as usize], 1);
    assert!(!sums.report(&testing::report(0, Outcome::CallFailed)));
    assert!(!sums.report(&testing::report(2, Outcome::Success)));
    assert_eq!(sums.all_counts().outcomes, [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(sums.unreported(), 1);
}

#[test]
fn late_rows_count_in_the_whole_run_only() {
    let mut sums = aggregate(1, &["a"]);
    assert!(sums.frame(&frame("a", 0, 5, &[(0, Phase::Incall, 4.0)])));
    assert!(sums.poll_second().is_some());
    assert!(sums.frame(&frame("a", 1, 4, &[(0, Phase::Incall, 2.0)])));
    assert!(sums.poll_second().is_none());
    assert_eq!(sums.strange().late, 1);
    let (all, _, _) = sums.parts();
    assert_eq!(all.metric("mos").unwrap().count, 2);
    assert_eq!(all.metric("mos").unwrap().min, 2.0);
}

#[test]
fn a_node_that_lags_does_not_hold_seconds_without_bound() {
    let mut sums = aggregate(2, &["a", "b"]);
    for second in 0..30 {
        assert!(sums.frame(&frame(
            "a",
            u64::from(second),
            second,
            &[(0, Phase::Incall, 4.0)]
        )));
    }
    let mut told = 0;
    while sums.poll_second().is_some() {
        told += 1;
    }
    assert_eq!((told, sums.open.len()), (10, OPEN_SECONDS_MAX));
}

#[test]
fn however_the_rows_are_split_over_nodes_and_frames_the_result_is_the_same() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut whole = aggregate(50, &["a"]);
        let mut split = aggregate(50, &["a", "b", "c"]);
        let mut sequence = [0u64; 3];
        for second in 0..5u32 {
            let rows: Vec<(u32, Phase, f32)> = (0..100)
                .map(|endpoint| {
                    let mos = 1.0 + random.below(3_500) as f32 / 1_000.0;
                    (endpoint, Phase::Incall, mos)
                })
                .collect();
            assert!(whole.frame(&frame("a", u64::from(second), second, &rows)));
            let mut parts: [Vec<_>; 3] = Default::default();
            for row in rows {
                parts[random.below(3) as usize].push(row);
            }
            for (index, (name, part)) in ["a", "b", "c"].iter().zip(parts).enumerate() {
                let middle = part.len() / 2;
                for (half, last) in [(&part[..middle], false), (&part[middle..], true)] {
                    let mut frame = frame(name, sequence[index], second, half);
                    frame.last_of_second = last;
                    frame.generator = None;
                    sequence[index] += 1;
                    assert!(split.frame(&frame), "seed {seed}");
                }
            }
        }
        while whole.poll_second().is_some() {}
        while split.poll_second().is_some() {}
        let ((all, groups, _), (all_split, groups_split, _)) = (whole.parts(), split.parts());
        assert_eq!(all, all_split, "seed {seed}");
        assert_eq!(groups, groups_split, "seed {seed}");
    }
}

#[test]
fn calls_give_packets_codecs_and_groundedness() {
    use shared::wire::{CallReport, MediaReport};
    let mut sums = aggregate(1, &["a"]);
    for endpoint in 0..2u32 {
        let mut report = testing::report(endpoint, Outcome::Success);
        report.calls = vec![CallReport {
            media: Some(MediaReport {
                codec: if endpoint == 0 { "PCMU" } else { "opus" }.to_owned(),
                tx_packets: 500,
                rx_packets: 480,
                rx_expected: 500,
                rx_lost: 10,
                rx_missing: 20,
                mos: Some(4.0),
                grounded: endpoint == 0,
                ..MediaReport::default()
            }),
            ..CallReport::default()
        }];
        assert!(sums.report(&report));
    }
    let (all, _, traffic) = sums.parts();
    assert_eq!(all.packets_lost, 40, "a duplicate does not hide a loss");
    assert_eq!(all.loss_pct, Some(4.0));
    assert_eq!(all.codecs, ["PCMU", "opus"]);
    assert!(!all.mos_grounded);
    assert_eq!((traffic.sent, traffic.received), (1_000, 960));
}

#[test]
fn groups_have_seconds_of_their_own_where_there_are_several() {
    let mut aggregate = aggregate(2, &["a"]);
    let rows = [
        (0, Phase::Incall, 4.0),
        (1, Phase::Incall, 3.0),
        (2, Phase::Ringing, 2.0),
    ];
    assert!(aggregate.frame(&frame("a", 0, 0, &rows)));
    let (all, parts) = aggregate.poll_second().unwrap();
    let groups = aggregate.group_seconds(all.second, &parts);
    let figures: Vec<_> = groups
        .iter()
        .map(|(index, second)| {
            let values = second.series().values;
            (
                *index,
                values["mos.avg"],
                values["call.established"],
                values["phase.incall"],
            )
        })
        .collect();
    assert_eq!(figures, [(0, 3.5, 2.0, 2.0), (1, 2.0, 1.0, 0.0)]);
    let one = parts.get(..2).unwrap();
    assert_eq!(aggregate.group_seconds(0, one), []);
}
