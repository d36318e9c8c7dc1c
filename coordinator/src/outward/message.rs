//! The messages to subscribers, as they stand in docs/PROTOCOL.md. Fields are added, never changed
//! or taken away without a new version in the subject and in `v`. Absent is left out, never 0.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::api::Node;
use shared::definition::Test;
use shared::id::{EndpointIndex, RunId};
use shared::metric::Better;
use shared::phase::{Outcome, Phase, RunStatus};
use shared::result::{Counts, FailureRow, LivePart, LiveUpdate};
use shared::wire::Frame;

use crate::core::summary::{AggregateSecond, Figure, GeneratorFigures};

/// The version of every message here; the same as in the subjects.
const V: u32 = 1;

/// `carillon.v1.runs.<run>.status`.
#[derive(Debug, Serialize)]
pub(super) struct Status<'a> {
    v: u32,
    run: &'a str,
    status: RunStatus,
    /// When it went there, milliseconds since 1970.
    at_unix_ms: u64,
    /// Why, for a machine.
    reason: &'a str,
    /// Why, for people.
    sentence: &'a str,
    /// Since RUNNING.
    elapsed_ms: u64,
    /// As configured.
    duration_ms: u64,
    /// The whole run so far.
    all: Counted<'a>,
    /// Its groups, in the test's order.
    groups: Vec<Counted<'a>>,
    /// Since the last message; at most 20, the rest is counted below.
    new_failures: &'a [FailureRow],
    failures_left_out: u32,
}

/// Counts so far, of the whole run or a group.
#[derive(Debug, Serialize)]
struct Counted<'a> {
    name: &'a str,
    endpoints: u32,
    /// Endpoints in each phase.
    phases: BTreeMap<&'static str, u32>,
    /// Endpoints that ended, by outcome.
    outcomes: BTreeMap<String, u32>,
    registrations_attempted: u64,
    registrations_succeeded: u64,
    registrations_failed: u64,
    calls_attempted: u64,
    calls_established: u64,
    calls_failed: u64,
    calls_received: u64,
    calls_completed: u64,
    retransmits_sent: u64,
}

impl<'a> Status<'a> {
    pub(super) fn new(update: &'a LiveUpdate) -> Self {
        Self {
            v: V,
            run: &update.run,
            status: update.status,
            at_unix_ms: update.last_move.at_unix_ms,
            reason: &update.last_move.reason,
            sentence: &update.last_move.sentence,
            elapsed_ms: update.elapsed_ms,
            duration_ms: update.duration_ms,
            all: Counted::new(&update.all),
            groups: update.groups.iter().map(Counted::new).collect(),
            new_failures: &update.new_failures,
            failures_left_out: update.failures_left_out,
        }
    }
}

impl<'a> Counted<'a> {
    fn new(part: &'a LivePart) -> Self {
        let Counts {
            endpoints,
            phases,
            outcomes,
            registrations_attempted,
            registrations_succeeded,
            registrations_failed,
            unregistered: _,
            calls_attempted,
            calls_established,
            calls_failed,
            calls_received,
            calls_completed,
            retransmits_sent,
        } = part.counts;
        Self {
            name: &part.name,
            endpoints,
            phases: by_phase(phases),
            outcomes: Outcome::ALL
                .iter()
                .map(ToString::to_string)
                .zip(outcomes)
                .collect(),
            registrations_attempted,
            registrations_succeeded,
            registrations_failed,
            calls_attempted,
            calls_established,
            calls_failed,
            calls_received,
            calls_completed,
            retransmits_sent,
        }
    }
}

/// `carillon.v1.runs.<run>.metrics` and `carillon.v1.runs.<run>.groups.<group>.metrics`.
#[derive(Debug, Serialize)]
pub(super) struct Metrics<'a> {
    v: u32,
    run: RunId,
    /// The group's name as the test has it; left out for the whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    /// Seconds since the run's begin: the figures are of [second, second + 1).
    second: u32,
    /// Endpoints in each phase at its end.
    phases: BTreeMap<&'static str, u32>,
    /// By key of the metric catalogue; what nobody measured is left out.
    metrics: BTreeMap<&'static str, Value>,
    /// The generator itself; of the whole run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    generator: Option<Generator>,
}

/// A metric in one second of many endpoints.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Value {
    /// A counter: the sum.
    Sum(f64),
    /// A gauge or events where high is good.
    High {
        avg: f64,
        p50: f64,
        p5: f64,
        p1: f64,
        worst: f64,
    },
    /// A gauge or events where low is good, or neither.
    Low {
        avg: f64,
        p50: f64,
        p95: f64,
        p99: f64,
        worst: f64,
    },
}

/// The generator in one second.
#[derive(Debug, Serialize)]
struct Generator {
    #[serde(skip_serializing_if = "Option::is_none")]
    send_late_p99_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timer_late_p99_ms: Option<f64>,
    /// Over all nodes of the run.
    cpu_cores: f64,
}

impl<'a> Metrics<'a> {
    pub(super) fn new(run: RunId, group: Option<&'a str>, second: &AggregateSecond) -> Self {
        let metrics = second.figures().map(|(metric, figure)| {
            let value = match figure {
                Figure::Sum(sum) => Value::Sum(sum),
                Figure::Gauge(gauge) if metric.better == Better::Higher => Value::High {
                    avg: gauge.avg,
                    p50: gauge.p50,
                    p5: gauge.tail,
                    p1: gauge.far,
                    worst: gauge.worst,
                },
                Figure::Gauge(gauge) => Value::Low {
                    avg: gauge.avg,
                    p50: gauge.p50,
                    p95: gauge.tail,
                    p99: gauge.far,
                    worst: gauge.worst,
                },
            };
            (metric.key, value)
        });
        Self {
            v: V,
            run,
            group,
            second: second.second,
            phases: by_phase(second.phases()),
            metrics: metrics.collect(),
            // One group that is the whole run has its figures too; a group has none.
            generator: second
                .generator()
                .filter(|_| group.is_none())
                .map(Generator::new),
        }
    }
}

impl Generator {
    fn new(figures: GeneratorFigures) -> Self {
        Self {
            send_late_p99_ms: figures.send_late_p99_ms,
            timer_late_p99_ms: figures.timer_late_p99_ms,
            cpu_cores: figures.cpu_cores,
        }
    }
}

/// `carillon.v1.runs.<run>.endpoints.<n>.metrics`.
#[derive(Debug, Serialize)]
pub(super) struct EndpointMetrics<'a> {
    v: u32,
    run: RunId,
    /// Its number in the run, from 0.
    endpoint: u32,
    /// The group's name as the test has it.
    group: &'a str,
    /// Where it runs.
    node: &'a str,
    /// Seconds since the run's begin.
    second: u32,
    /// At the end of the second.
    phase: Option<Phase>,
    /// By key of the metric catalogue; what was not measured is left out.
    metrics: BTreeMap<&'static str, f32>,
}

impl<'a> EndpointMetrics<'a> {
    /// Of a row of a frame.
    pub(super) fn new(
        test: &'a Test,
        frame: &'a Frame,
        row: usize,
        endpoint: EndpointIndex,
    ) -> Self {
        let columns = frame.columns.iter();
        let metrics = columns.filter_map(|column| {
            let value = column.values.get(row).filter(|value| value.is_finite())?;
            let metric = shared::metric::CATALOGUE.get(usize::from(column.metric.0))?;
            Some((metric.key, *value))
        });
        Self {
            v: V,
            run: frame.run,
            endpoint: endpoint.0,
            group: group_of(test, endpoint),
            node: &frame.node.0,
            second: frame.second,
            phase: frame.phases.get(row).copied(),
            metrics: metrics.collect(),
        }
    }
}

/// Endpoints are numbered by the groups' order.
fn group_of(test: &Test, endpoint: EndpointIndex) -> &str {
    let mut first = 0u32;
    for group in &test.groups {
        first = first.saturating_add(group.count);
        if endpoint.0 < first {
            return &group.name;
        }
    }
    ""
}

/// `carillon.v1.nodes.<node>.status`: as `GET /api/v1/nodes/{name}`.
#[derive(Debug, Serialize)]
pub(super) struct NodeStatus<'a> {
    v: u32,
    #[serde(flatten)]
    node: &'a Node,
}

impl<'a> NodeStatus<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { v: V, node }
    }
}

fn by_phase(counts: [u32; 8]) -> BTreeMap<&'static str, u32> {
    Phase::ALL
        .iter()
        .map(|phase| phase.name())
        .zip(counts)
        .collect()
}
