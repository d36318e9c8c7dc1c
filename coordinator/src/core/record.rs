//! A run as it is stored and listed: everything of it but what moves each second.
//!
//! One record a run, replaced whole with each move of its status. It never holds a password, and
//! never anything that is derived from other runs (its place in the queue, live counts).

use serde::{Deserialize, Serialize};
use shared::api::{Credits, Headline, Run};
use shared::id::{KeyId, OrganizationId, ProjectId, RunId, TestId};
use shared::phase::RunStatus;
use shared::result::{Counts, LiveUpdate, StatusMove, ThresholdResult, Verdict};
use shared::wire::Problem;

/// A run's record.
///
/// Bounds: the history has at most eight moves; `problems` and `thresholds` are bounded by the test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// Its id.
    pub(crate) id: RunId,
    /// Whose; [`LOCAL`] for a run of the command line.
    pub(crate) organization: OrganizationId,
    /// Where it belongs.
    pub(crate) project: ProjectId,
    /// Of which test.
    pub(crate) test: TestId,
    /// The test's revision that was frozen.
    pub(crate) test_revision: u64,
    /// The test's name then.
    pub(crate) test_name: String,
    /// For people.
    pub(crate) label: String,
    /// Retention does not delete it.
    pub(crate) pinned: bool,
    /// The run that it repeats.
    pub(crate) rerun_of: Option<RunId>,
    /// The key that started it.
    pub(crate) started_by: KeyId,
    /// Every move; the last one is the status now.
    pub(crate) history: Vec<StatusMove>,
    /// Everything that speaks against it.
    pub(crate) problems: Vec<Problem>,
    /// Endpoints.
    pub(crate) endpoints: u32,
    /// The configured duration.
    pub(crate) duration_ms: u64,
    /// Milliseconds since 1970.
    pub(crate) created_unix_ms: u64,
    /// When it went RUNNING.
    pub(crate) began_unix_ms: Option<u64>,
    /// When it reached a terminal status.
    pub(crate) ended_unix_ms: Option<u64>,
    /// From RUNNING to its end, by the monotonic clock; 0 before its end.
    pub(crate) elapsed_ms: u64,
    /// At its end; none where it was never accepted.
    pub(crate) counts: Option<Counts>,
    /// After its end.
    pub(crate) verdict: Option<Verdict>,
    /// After its end.
    pub(crate) headline: Option<Headline>,
    /// After its end.
    pub(crate) thresholds: Vec<ThresholdResult>,
    /// True once it was QUEUED: it has a directory of its own and held a slot.
    pub(crate) accepted: bool,
    /// Reserved at its acceptance, in endpoint-milliseconds; 0 where it was never accepted.
    pub(crate) reserved_endpoint_ms: u64,
    /// Used, in endpoint-milliseconds; none until it is settled.
    pub(crate) used_endpoint_ms: Option<u64>,
    /// True once nothing of it is held any more.
    pub(crate) settled: bool,
    /// SHA-256 of the frozen document, under which it is stored; zeros where none is.
    pub(crate) frozen: [u8; 32],
    /// ETag of what people may change: the label and the pin.
    pub(crate) revision: u64,
}

/// The owner of runs that the command line starts without the API: no plan, no credits.
pub(crate) const LOCAL: OrganizationId = OrganizationId(0);

impl RunRecord {
    /// The newest move; none only where the record is damaged.
    pub(crate) fn last(&self) -> Option<&StatusMove> {
        self.history.last()
    }

    /// The status now.
    pub(crate) fn status(&self) -> RunStatus {
        self.last().map_or(RunStatus::Pending, |step| step.status)
    }

    /// As the API shows it. `live` is the newest update of a run that has not ended.
    pub(crate) fn to_api(&self, live: Option<&LiveUpdate>, queue_position: Option<u32>) -> Run {
        let last = self.last();
        let ended = self.ended_unix_ms.is_some();
        let live = live.filter(|_| !ended);
        Run {
            id: self.id,
            organization: self.organization,
            project: self.project,
            test: self.test,
            test_revision: self.test_revision,
            test_name: self.test_name.clone(),
            label: self.label.clone(),
            pinned: self.pinned,
            rerun_of: self.rerun_of,
            started_by: self.started_by,
            status: self.status(),
            reason: last.map_or_else(String::new, |step| step.reason.clone()),
            sentence: last.map_or_else(String::new, |step| step.sentence.clone()),
            history: self.history.clone(),
            problems: self.problems.clone(),
            queue_position: queue_position.filter(|_| self.status() == RunStatus::Queued),
            endpoints: self.endpoints,
            duration_ms: self.duration_ms,
            created_unix_ms: self.created_unix_ms,
            began_unix_ms: self.began_unix_ms,
            ended_unix_ms: self.ended_unix_ms,
            elapsed_ms: live.map_or(self.elapsed_ms, |live| live.elapsed_ms),
            counts: live
                .map(|live| live.all.counts.clone())
                .or_else(|| self.counts.clone()),
            verdict: self.verdict,
            headline: self.headline,
            thresholds: self.thresholds.clone(),
            reserved: Credits::new(self.reserved_endpoint_ms),
            used: self.used_endpoint_ms.map(Credits::new),
            revision: self.revision,
        }
    }
}
