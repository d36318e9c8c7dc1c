use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::api::NodeState;
use shared::bus::{LocalBus, Subscription};
use shared::definition::Target;
use shared::id::{EndpointIndex, NodeId};
use shared::metric::MetricId;
use shared::phase::{Outcome, Phase, RunStatus};
use shared::result::{Counts, FailureRow, LivePart, StatusMove};
use shared::stat::Histogram;
use shared::wire::{Column, GeneratorSecond};

use super::*;
use crate::core::part::Sketches;
use crate::testing::{self, RUN, group, pair_test};

const PROTOCOL: &str = include_str!("../../../docs/PROTOCOL.md");

/// The example of a subject in docs/PROTOCOL.md: the JSON block after the heading with the subject.
fn documented(subject: &str) -> Value {
    let section = PROTOCOL
        .split("\n### ")
        .find(|section| section.starts_with(&format!("`{subject}`")))
        .unwrap_or_else(|| panic!("docs/PROTOCOL.md has no section for {subject}"));
    let (_, block) = section.split_once("```json\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    serde_json::from_str(block).unwrap_or_else(|error| panic!("{subject}: {error}"))
}

fn outward() -> (Outward, Subscription) {
    let bus = LocalBus::new();
    let heard = bus.subscribe("carillon.v1.>", 64);
    (Outward::new(Arc::new(bus)), heard)
}

/// What was published, as (subject, JSON).
fn all(heard: &mut Subscription) -> Vec<(String, Value)> {
    std::iter::from_fn(|| heard.try_next())
        .map(|message| {
            let value = serde_json::from_slice(&message.payload).unwrap();
            (message.subject, value)
        })
        .collect()
}

fn update() -> LiveUpdate {
    let counts = Counts {
        endpoints: 2,
        phases: [0, 1, 0, 0, 0, 1, 0, 0],
        registrations_attempted: 2,
        registrations_succeeded: 2,
        calls_attempted: 1,
        calls_established: 1,
        ..Counts::default()
    };
    let part = |name: &str| LivePart {
        name: name.to_owned(),
        counts: counts.clone(),
        ..LivePart::default()
    };
    LiveUpdate {
        run: RUN.to_string(),
        status: RunStatus::Running,
        last_move: StatusMove {
            status: RunStatus::Running,
            at_unix_ms: 1_795_398_949_316,
            reason: "started".to_owned(),
            sentence: "2 endpoints begin to register and call over 5s; the run lasts 30s."
                .to_owned(),
        },
        elapsed_ms: 2_004,
        duration_ms: 30_000,
        all: part("all"),
        groups: vec![part("callers")],
        new_failures: vec![FailureRow {
            outcome: Outcome::CallFailed,
            code: Some(486),
            reason: "The call was refused: 486 Busy Here.".to_owned(),
            count: 1,
            example_endpoint: 1,
            example_account: "user0002".to_owned(),
        }],
        failures_left_out: 0,
        send_late_p99_ms: None,
        cpu_cores: None,
    }
}

fn id(key: &str) -> MetricId {
    MetricId::by_key(key).unwrap()
}

fn second(generator: bool) -> AggregateSecond {
    let mut sketches = Sketches::default();
    for value in [4.25, 4.5, 4.0] {
        sketches.of(id("mos")).unwrap().record(value);
        sketches.of(id("jitter_ms")).unwrap().record(value - 3.75);
    }
    sketches.of(id("rx.packets")).unwrap().record(100.0);
    let mut late = Histogram::new();
    late.record(250);
    let generator = generator.then(|| GeneratorSecond {
        send_late_us: late,
        timer_late_us: Histogram::new(),
        cpu_cores: 0.25,
        socket_drops: 0,
        skipped_packets: 0,
        refused: 0,
        strangers: 0,
        panics: 0,
        resident_bytes: 1,
    });
    let phases = [0, 0, 0, 0, 0, 2, 0, 0];
    AggregateSecond::new(12, &sketches, phases, generator.as_ref())
}

#[test]
fn a_status_is_as_it_is_documented() {
    let (outward, mut heard) = outward();
    outward.status(&update());
    let all = all(&mut heard);
    assert_eq!(all[0].0, "carillon.v1.runs.0000000012345678.status");
    assert_eq!(all[0].1, documented("carillon.v1.runs.<run>.status"));
}

#[test]
fn a_second_of_a_run_is_as_it_is_documented() {
    let (outward, mut heard) = outward();
    outward.second(RUN, &pair_test(1, 1), &second(true));
    let all = all(&mut heard);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].0, "carillon.v1.runs.0000000012345678.metrics");
    assert_eq!(all[0].1, documented("carillon.v1.runs.<run>.metrics"));
}

#[test]
fn a_second_of_a_group_is_as_it_is_documented_and_has_a_safe_subject() {
    let (outward, mut heard) = outward();
    let mut test = pair_test(1, 1);
    test.groups[1].name = "call.ees *".to_owned();
    outward.group_second(RUN, &test, 0, &second(false));
    outward.group_second(RUN, &test, 1, &second(false));
    outward.group_second(RUN, &test, 2, &second(false));
    let all = all(&mut heard);
    assert_eq!(all.len(), 2);
    assert_eq!(
        all[0].1,
        documented("carillon.v1.runs.<run>.groups.<group>.metrics")
    );
    assert_eq!(
        all[1].0,
        "carillon.v1.runs.0000000012345678.groups.call%2Eees%20%2A.metrics"
    );
    assert_eq!(all[1].1["group"], "call.ees *");
}

#[test]
fn the_only_group_of_a_test_has_its_seconds_as_well() {
    let (outward, mut heard) = outward();
    let mut test = pair_test(1, 1);
    test.groups = vec![group("all-in", 2, Target::Receives)];
    outward.second(RUN, &test, &second(true));
    let subjects: Vec<String> = all(&mut heard)
        .into_iter()
        .map(|(subject, _)| subject)
        .collect();
    assert_eq!(
        subjects,
        [
            "carillon.v1.runs.0000000012345678.metrics",
            "carillon.v1.runs.0000000012345678.groups.all-in.metrics",
        ]
    );
}

#[test]
fn endpoints_are_published_where_the_test_asks_for_it() {
    let (outward, mut heard) = outward();
    let mut test = pair_test(1, 1);
    let mut frame = testing::frame(0, 12);
    frame.node = NodeId("fra1".to_owned());
    frame.endpoints = vec![EndpointIndex(0), EndpointIndex(1)];
    frame.phases = vec![Phase::Incall; 2];
    frame.columns = vec![
        Column {
            metric: id("mos"),
            values: vec![4.31, f32::NAN],
        },
        Column {
            metric: id("rx.packets"),
            values: vec![50.0, 50.0],
        },
    ];
    outward.frame(&test, &frame);
    assert_eq!(all(&mut heard), []);
    test.publish_endpoints = true;
    outward.frame(&test, &frame);
    let all = all(&mut heard);
    let subject = "carillon.v1.runs.0000000012345678.endpoints.0.metrics";
    assert_eq!((all.len(), all[0].0.as_str()), (2, subject));
    assert_eq!(
        all[0].1,
        documented("carillon.v1.runs.<run>.endpoints.<n>.metrics")
    );
    // Not measured is left out.
    assert_eq!(all[1].1["metrics"], json!({ "rx.packets": 50.0 }));
    assert_eq!(all[1].1["group"], "callees");
}

#[test]
fn a_node_is_as_it_is_documented() {
    let (outward, mut heard) = outward();
    let node = Node {
        name: "fra1".to_owned(),
        region: "eu".to_owned(),
        version: "0.1.0".to_owned(),
        status: NodeState::Online,
        last_seen_unix_ms: 1_795_398_949_316,
        cores: 2,
        free_descriptors: 65_000,
        free_ports: 40_000,
        endpoints: 120,
        labels: [("rack".to_owned(), "b7".to_owned())].into(),
        reason: String::new(),
        capacity_endpoints: Some(9_000),
        cpu_cores: 0.5,
        resident_bytes: 52_428_800,
        clock_offset_ms: Some(-0.25),
        clock_error_ms: Some(0.125),
        refused_commands: 0,
    };
    outward.node(&node);
    let all = all(&mut heard);
    assert_eq!(all[0].0, "carillon.v1.nodes.fra1.status");
    assert_eq!(all[0].1, documented("carillon.v1.nodes.<node>.status"));
}

#[test]
fn every_subject_of_the_contract_has_a_section() {
    let documented: BTreeSet<&str> = PROTOCOL
        .lines()
        .filter_map(|line| line.strip_prefix("### `carillon.v1.")?.strip_suffix('`'))
        .collect();
    let promised = BTreeSet::from([
        "runs.<run>.status",
        "runs.<run>.metrics",
        "runs.<run>.groups.<group>.metrics",
        "runs.<run>.endpoints.<n>.metrics",
        "nodes.<node>.status",
    ]);
    assert_eq!(documented, promised);
}

#[test]
fn what_the_bus_does_not_take_is_counted() {
    let bus = LocalBus::new();
    let _full = bus.subscribe(">", 1);
    let outward = Outward::new(Arc::new(bus));
    for _ in 0..3 {
        outward.status(&update());
    }
    let counts = outward.counts();
    assert_eq!((counts.published, counts.refused), (1, 2));
    Outward::default().status(&update());
    assert_eq!(Outward::default().counts(), OutwardCounts::default());
}
