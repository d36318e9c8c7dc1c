//! What a run shows while it lives and leaves behind: the live update, and the whole result as
//! `--json` writes it.

use serde::{Deserialize, Serialize};

use crate::id::{EndpointIndex, NodeId};
use crate::phase::{Outcome, Phase, RunStatus};
use crate::wire::{EndpointReport, Problem};

/// Version of [`RunResult`] as JSON. Grows when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// Distribution of one metric. Percentiles are of all samples, merged, never averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Distribution {
    /// Samples.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Least value.
    pub min: f64,
    /// 1st percentile: where high is good, as telling as p99 is where low is good.
    #[serde(default)]
    pub p1: f64,
    /// 5th percentile.
    pub p5: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest value.
    pub max: f64,
    /// `min` or `max`, whichever is bad for this metric.
    pub worst: f64,
}

/// A move of a run's status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusMove {
    /// The new status.
    pub status: RunStatus,
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Machine-readable.
    pub reason: String,
    /// For people: what to check.
    pub sentence: String,
}

/// Counts of one group or of the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// Endpoints.
    pub endpoints: u32,
    /// In each phase, in the order of [`Phase::ALL`].
    pub phases: [u32; 8],
    /// Ended with each outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u32; 8],
    /// Registrations begun.
    pub registrations_attempted: u64,
    /// Succeeded.
    pub registrations_succeeded: u64,
    /// Failed.
    pub registrations_failed: u64,
    /// Endpoints whose un-REGISTER was confirmed (known at the end).
    pub unregistered: u64,
    /// INVITE attempts of our callers.
    pub calls_attempted: u64,
    /// Of those, answered and confirmed.
    pub calls_established: u64,
    /// Of those, failed.
    pub calls_failed: u64,
    /// Calls our callees received.
    pub calls_received: u64,
    /// Of all established at callers (or at callees where callers are not ours), ended in order.
    pub calls_completed: u64,
    /// SIP messages sent again.
    pub retransmits_sent: u64,
}

/// One limit: what it is, what is in use, what was asked (PRODUCT §4, §7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LimitDetail {
    /// `concurrent_runs_per_project`, `credits`, `accounts`, …
    pub name: String,
    /// What is allowed or present.
    pub limit: u64,
    /// What is in use.
    pub in_use: u64,
    /// What was asked for on top.
    pub asked: u64,
    /// When some of it should be free again, milliseconds since 1970; null where nobody can say.
    pub may_free_at_unix_ms: Option<u64>,
}

/// Ratios in per cent; null where the denominator is 0 (RFC 6076).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ratios {
    /// Registrations succeeded of attempted.
    pub registration_success: Option<f64>,
    /// Ineffective Registration Attempts, RFC 6076 §4.2.
    pub ira: Option<f64>,
    /// Calls established of attempted.
    pub call_success: Option<f64>,
    /// Session Establishment Ratio, RFC 6076 §4.6.
    pub ser: Option<f64>,
    /// Session Establishment Effectiveness Ratio, RFC 6076 §4.7.
    pub seer: Option<f64>,
    /// Ineffective Session Attempts, RFC 6076 §4.8.
    pub isa: Option<f64>,
    /// Session Completion Ratio, RFC 6076 §4.9.
    pub scr: Option<f64>,
}

/// One metric with its distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricSummary {
    /// Catalogue key.
    pub metric: String,
    /// Over all endpoint-seconds (gauges) or events.
    pub distribution: Distribution,
}

/// A group's or the whole run's result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Part {
    /// The group's name; `all` for the whole run.
    pub name: String,
    /// Counts.
    pub counts: Counts,
    /// Ratios.
    pub ratios: Ratios,
    /// Every metric that has a sample.
    pub metrics: Vec<MetricSummary>,
    /// RTP packets received and lost over all calls, and sent: whole-run sums of calls.
    pub packets_sent: u64,
    /// Received.
    pub packets_received: u64,
    /// Lost in the network.
    pub packets_lost: i64,
    /// Network loss of all expected, in per cent.
    pub loss_pct: Option<f64>,
    /// False where any of its MOS came from a codec without published values.
    pub mos_grounded: bool,
    /// Codecs that calls of this part agreed on.
    pub codecs: Vec<String>,
}

impl Part {
    /// The distribution of a metric, if it has one.
    #[must_use]
    pub fn metric(&self, key: &str) -> Option<&Distribution> {
        self.metrics
            .iter()
            .find(|summary| summary.metric == key)
            .map(|summary| &summary.distribution)
    }
}

/// A row of the failure table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailureRow {
    /// The outcome.
    pub outcome: Outcome,
    /// SIP code; none where nobody answered or nothing was sent.
    pub code: Option<u16>,
    /// Reason sentence of the example.
    pub reason: String,
    /// How many endpoints.
    pub count: u32,
    /// One of them.
    pub example_endpoint: u32,
    /// Its account.
    pub example_account: String,
}

/// The generator's health over the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GeneratorHealth {
    /// RTP send lateness in milliseconds; none where nothing was sent.
    pub send_late_ms: Option<Distribution>,
    /// Lateness of SIP timers and planned starts in milliseconds; none where no timer fired.
    pub timer_late_ms: Option<Distribution>,
    /// Busiest second: cores.
    pub cpu_cores_max: f64,
    /// Mean: cores.
    pub cpu_cores_mean: f64,
    /// Datagrams dropped by our own sockets.
    pub socket_drops: u64,
    /// RTP packets not sent because the engine was late.
    pub skipped_packets: u64,
    /// Refused by full queues.
    pub refused: u64,
    /// Datagrams at shared RTP sockets that belong to no stream, with what was still under way when
    /// a call ended. Those at own sockets are in `rx.strangers` of their endpoint.
    #[serde(default)]
    pub strangers: u64,
    /// Endpoints that panicked.
    pub panics: u64,
    /// Largest resident memory.
    pub resident_bytes_max: u64,
    /// True: the figures are not valid (exit code 98).
    pub saturated: bool,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
}

/// A threshold and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ThresholdResult {
    /// As it was written.
    pub text: String,
    /// What was measured; none where there is no data (which fails the threshold).
    pub measured: Option<f64>,
    /// Whether it held.
    pub passed: bool,
}

/// How a run is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Verdict {
    /// Exit code 0.
    Passed,
    /// The run ended FAILED or CANNOT_RUN_FOR_NOW: exit code 1.
    Failed,
    /// The generator was saturated: exit code 98.
    Invalid,
    /// A threshold was crossed: exit code 99.
    ThresholdCrossed,
    /// Stopped by a person: exit code 130 in the command line.
    Interrupted,
}

/// One second of one endpoint or aggregate, as JSON: metric keys with values; absent ones are left out.
pub type SecondValues = std::collections::BTreeMap<String, f64>;

/// One second of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SeriesSecond {
    /// Seconds since the run's begin.
    pub second: u32,
    /// Phase at the end of the second; none in aggregates.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub phase: Option<Phase>,
    /// Values by metric key.
    pub values: SecondValues,
}

/// An endpoint with its series.
///
/// The report is absent where nobody told how the endpoint ended, because its node or the coordinator
/// was lost: that is no outcome, and it is counted in no outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndpointResult {
    /// Its number in the run.
    pub endpoint: EndpointIndex,
    /// The group's name.
    pub group_name: String,
    /// Account; blank where its group has none.
    pub account: String,
    /// The node that carried it; blank where none did.
    pub node: NodeId,
    /// The last phase that is known of it.
    pub phase: Phase,
    /// How it ended; none where it never told.
    pub report: Option<EndpointReport>,
    /// Each second that has a row.
    pub seconds: Vec<SeriesSecond>,
    /// True where a SIP trace is stored.
    pub has_trace: bool,
}

/// The whole result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunResult {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program's version.
    pub carillon_version: String,
    /// The run's id.
    pub run: String,
    /// The test's name.
    pub test: String,
    /// Last status.
    pub status: RunStatus,
    /// Every move.
    pub history: Vec<StatusMove>,
    /// What prevented it, where something did.
    pub problems: Vec<Problem>,
    /// The verdict.
    pub verdict: Verdict,
    /// Milliseconds since 1970, when it went RUNNING; none where it never did.
    pub began_unix_ms: Option<u64>,
    /// From RUNNING to its end.
    pub elapsed_ms: u64,
    /// The whole run.
    pub all: Part,
    /// Its groups, in the test's order.
    pub groups: Vec<Part>,
    /// By outcome and code.
    pub failures: Vec<FailureRow>,
    /// The generator.
    pub generator: GeneratorHealth,
    /// Thresholds.
    pub thresholds: Vec<ThresholdResult>,
    /// Shares of nodes that were lost during the run; everything above is without what they had not
    /// sent.
    pub missing: Vec<MissingShare>,
    /// Aggregate series, a second each.
    pub seconds: Vec<SeriesSecond>,
    /// Every endpoint with both directions per second; empty where they were not asked for.
    pub endpoints: Vec<EndpointResult>,
}

/// What a lost node did not deliver, whether the run failed by it or went on without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingShare {
    /// The node.
    pub node: String,
    /// When it was heard last, milliseconds since 1970.
    pub last_seen_unix_ms: u64,
    /// The first second of the run that is missing of it.
    pub from_second: u32,
    /// Endpoints it carried.
    pub endpoints: u32,
    /// Of these: without a report, so that how they ended is not known.
    pub unreported: u32,
}

/// What subscribers see of a live run, at most once a second and at each change of status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LiveUpdate {
    /// The run's id.
    pub run: String,
    /// Its status now.
    pub status: RunStatus,
    /// The newest move.
    pub last_move: StatusMove,
    /// Milliseconds since RUNNING began.
    pub elapsed_ms: u64,
    /// The configured duration.
    pub duration_ms: u64,
    /// Whole run, counts so far.
    pub all: LivePart,
    /// Groups.
    pub groups: Vec<LivePart>,
    /// Failures that came since the last update; at most 20, `failures_left_out` counts the rest.
    pub new_failures: Vec<FailureRow>,
    /// Left out of `new_failures`.
    pub failures_left_out: u32,
    /// Generator's newest second, in the units of [`GeneratorHealth`].
    pub send_late_p99_ms: Option<f64>,
    /// Cores busy in the newest second.
    pub cpu_cores: Option<f64>,
}

/// One part of a live update: distributions are of the newest complete second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LivePart {
    /// The group's name; `all` for the whole run.
    pub name: String,
    /// Counts so far.
    pub counts: Counts,
    /// MOS of the newest second.
    pub mos: Option<Distribution>,
    /// Jitter, milliseconds.
    pub jitter_ms: Option<Distribution>,
    /// Loss, per cent.
    pub loss_pct: Option<Distribution>,
    /// RTT, milliseconds.
    pub rtt_ms: Option<Distribution>,
}
