//! Runs, their endpoints, figures and traces.

use serde::{Deserialize, Serialize};

use super::Credits;
use crate::id::{KeyId, NodeId, OrganizationId, ProjectId, RunId, TestId};
use crate::phase::{Outcome, Phase, RunStatus};
use crate::result::{Counts, Part, SeriesSecond, StatusMove, ThresholdResult, Verdict};
use crate::wire::{EndpointReport, Problem};

/// Start a run of a saved test. An empty body starts it as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StartRun {
    /// For people: a build number, a change; at most 200 characters.
    pub label: String,
}

/// Change what is said about a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateRun {
    /// For people; at most 200 characters.
    pub label: Option<String>,
    /// Retention does not delete it. Needs the role editor.
    pub pinned: Option<bool>,
}

/// The figures that lists show of an ended run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Headline {
    /// Per cent; null without registrations.
    pub registration_success_pct: Option<f64>,
    /// Per cent; null without calls.
    pub call_success_pct: Option<f64>,
    /// Median MOS over all endpoint-seconds.
    pub mos_p50: Option<f64>,
    /// Its bad end.
    pub mos_p5: Option<f64>,
    /// Milliseconds.
    pub jitter_ms_p95: Option<f64>,
    /// Per cent.
    pub loss_pct_p95: Option<f64>,
    /// Milliseconds.
    pub rtt_ms_p95: Option<f64>,
}

/// One independent execution of a test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Whose.
    pub organization: OrganizationId,
    /// Where it belongs.
    pub project: ProjectId,
    /// Which test; it may have changed or gone since.
    pub test: TestId,
    /// The test's revision that was frozen.
    pub test_revision: u64,
    /// The test's name then.
    pub test_name: String,
    /// For people.
    pub label: String,
    /// Retention does not delete it.
    pub pinned: bool,
    /// The run that this one repeats; null where it repeats none.
    pub rerun_of: Option<RunId>,
    /// The key that started it.
    pub started_by: KeyId,
    /// How it stands.
    pub status: RunStatus,
    /// The newest move's reason code.
    pub reason: String,
    /// The newest move's sentence.
    pub sentence: String,
    /// Every move.
    pub history: Vec<StatusMove>,
    /// Everything that speaks against it, all at once.
    pub problems: Vec<Problem>,
    /// QUEUED: its place among those that wait for a start slot, from 1; null where it does not wait.
    pub queue_position: Option<u32>,
    /// Endpoints.
    pub endpoints: u32,
    /// The configured duration.
    pub duration_ms: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When it went RUNNING; null where it never did.
    pub began_unix_ms: Option<u64>,
    /// When it reached a terminal status.
    pub ended_unix_ms: Option<u64>,
    /// From RUNNING until now or its end.
    pub elapsed_ms: u64,
    /// Counts now or at its end; null before anything is known.
    pub counts: Option<Counts>,
    /// After its end.
    pub verdict: Option<Verdict>,
    /// After its end.
    pub headline: Option<Headline>,
    /// After its end: thresholds.
    pub thresholds: Vec<ThresholdResult>,
    /// What it reserved; 0 where it was never accepted.
    pub reserved: Credits,
    /// What it used; null until it is settled.
    pub used: Option<Credits>,
    /// ETag of what people may change.
    pub revision: u64,
}

/// An endpoint in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndpointRow {
    /// Its number in the run, from 0.
    pub endpoint: u32,
    /// Its group's name.
    pub group: String,
    /// Its account's user name; blank without a registrar.
    pub account: String,
    /// Its node.
    pub node: NodeId,
    /// Where it is, or where it was last.
    pub phase: Phase,
    /// Null until its end.
    pub outcome: Option<Outcome>,
    /// Why, for people.
    pub reason: String,
    /// Last code to a REGISTER.
    pub registration_code: Option<u16>,
    /// Last code to its INVITE.
    pub call_code: Option<u16>,
    /// MOS of what it received: its newest second, or the whole call after its end.
    pub mos: Option<f64>,
    /// Milliseconds.
    pub jitter_ms: Option<f64>,
    /// Per cent.
    pub loss_pct: Option<f64>,
    /// Milliseconds.
    pub rtt_ms: Option<f64>,
    /// A SIP trace is stored.
    pub has_trace: bool,
}

/// Some seconds of an endpoint, or of the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndpointMetrics {
    /// Ascending; `?from=` and `?to=` cut them, `?metrics=a,b` picks columns.
    pub seconds: Vec<SeriesSecond>,
    /// Seconds after `to` that are stored as well; null: none.
    pub next_from: Option<u32>,
}

/// An endpoint's SIP messages, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Trace {
    /// Which endpoint.
    pub endpoint: u32,
    /// Its messages.
    pub messages: Vec<TraceMessage>,
    /// Messages before the first one here that the bounded ring had to drop.
    pub dropped: u32,
}

/// One SIP message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TraceMessage {
    /// Microseconds since the run's begin.
    pub at_us: u64,
    /// True: the endpoint sent it.
    pub sent: bool,
    /// Our `address:port`.
    pub local: String,
    /// The other end's `address:port`.
    pub remote: String,
    /// `UDP` or `TCP`.
    pub transport: String,
    /// The message; octets that are no UTF-8 are replaced.
    pub text: String,
}

/// Runs side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Comparison {
    /// The runs, in the order that was asked for.
    pub runs: Vec<Run>,
    /// The whole run's figures, in the same order; null where a run measured nothing.
    pub parts: Vec<Option<Part>>,
}

/// One endpoint with everything that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Endpoint {
    /// As the list shows it.
    pub row: EndpointRow,
    /// How it ended, with its calls; null until its end.
    pub report: Option<EndpointReport>,
}

/// Live updates that a reader missed because he did not keep up: the event `skipped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Skipped {
    /// How many.
    pub missed: u64,
}
