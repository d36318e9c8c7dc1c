//! A run as it is stored and listed: everything of it but what moves each second.
//!
//! One record a run, replaced whole with each move of its status. It never holds a password, and
//! never anything that is derived from other runs (its place in the queue, live counts).

use serde::{Deserialize, Serialize};
use shared::api::{Credits, Headline, Run};
use shared::definition::Test;
use shared::id::{KeyId, OrganizationId, ProjectId, RunId, TestId};
use shared::phase::RunStatus;
use shared::result::{Counts, LiveUpdate, StatusMove, ThresholdResult, Verdict};
use shared::wire::Problem;

use super::summary::Summary;

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
    /// True once nothing of it is held any more: with its end, or where a node was lost when its
    /// lease is over too.
    pub(crate) settled: bool,
    /// SHA-256 of the frozen document, under which it is stored; zeros where none is.
    pub(crate) frozen: [u8; 32],
    /// ETag of what people may change: the label and the pin.
    pub(crate) revision: u64,
}

/// The owner of runs that the command line starts without the API: no plan, no credits.
pub(crate) const LOCAL: OrganizationId = OrganizationId(0);

impl RunRecord {
    /// A new run's record, with nothing known of it but its test.
    pub(crate) fn blank(id: RunId, test: &Test) -> Self {
        Self {
            id,
            organization: LOCAL,
            project: ProjectId(0),
            test: TestId(0),
            test_revision: 0,
            test_name: test.name.clone(),
            label: String::new(),
            pinned: false,
            rerun_of: None,
            started_by: KeyId(0),
            history: Vec::new(),
            problems: Vec::new(),
            endpoints: test.endpoint_count(),
            duration_ms: test.duration.0,
            created_unix_ms: 0,
            began_unix_ms: None,
            ended_unix_ms: None,
            elapsed_ms: 0,
            counts: None,
            verdict: None,
            headline: None,
            thresholds: Vec::new(),
            accepted: false,
            reserved_endpoint_ms: 0,
            used_endpoint_ms: None,
            settled: false,
            frozen: [0; 32],
            revision: 1,
        }
    }

    /// The newest move; none only where the record is damaged.
    pub(crate) fn last(&self) -> Option<&StatusMove> {
        self.history.last()
    }

    /// The status now.
    pub(crate) fn status(&self) -> RunStatus {
        self.last().map_or(RunStatus::Pending, |step| step.status)
    }

    /// True while slots, credits or accounts are held for it: it has not ended, or its nodes may not
    /// have let go of it yet. A run that was never accepted holds nothing once it has ended.
    pub(crate) fn holds(&self) -> bool {
        !self.status().is_terminal() || (self.accepted && !self.settled)
    }

    /// Takes a move in. After a terminal one it is not settled: see [`Self::settle`].
    pub(crate) fn moved(&mut self, step: &StatusMove) {
        self.history.push(step.clone());
        if step.status == RunStatus::Running {
            self.began_unix_ms = Some(step.at_unix_ms);
        }
        if step.status.is_terminal() {
            self.ended_unix_ms = Some(step.at_unix_ms);
        }
    }

    /// Its nodes have let go of it: what it used is told, the rest goes back. To be stored together
    /// with the settlement. Returns what it used, in endpoint-milliseconds.
    pub(crate) fn settle(&mut self) -> u64 {
        self.settled = true;
        if !self.accepted {
            return 0;
        }
        let span = self.elapsed_ms.min(self.duration_ms);
        let used = u64::from(self.endpoints).saturating_mul(span);
        let used = used.min(self.reserved_endpoint_ms);
        self.used_endpoint_ms = Some(used);
        used
    }

    /// Takes the final figures in.
    pub(crate) fn summed_up(&mut self, summary: &Summary) {
        self.elapsed_ms = if summary.began_unix_ms.is_some() {
            summary.elapsed_ms
        } else {
            0
        };
        self.problems.clone_from(&summary.problems);
        self.verdict = Some(summary.verdict);
        self.thresholds.clone_from(&summary.thresholds);
        if summary.began_unix_ms.is_some() {
            self.counts = Some(summary.all.counts.clone());
            self.headline = Some(headline(summary));
        }
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

fn headline(summary: &Summary) -> Headline {
    let metric = |key: &str| summary.all.metric(key);
    Headline {
        registration_success_pct: summary.all.ratios.registration_success,
        call_success_pct: summary.all.ratios.call_success,
        mos_p50: metric("mos").map(|mos| mos.p50),
        mos_p5: metric("mos").map(|mos| mos.p5),
        jitter_ms_p95: metric("jitter_ms").map(|jitter| jitter.p95),
        loss_pct_p95: metric("loss_pct").map(|loss| loss.p95),
        rtt_ms_p95: metric("rtt_ms").map(|rtt| rtt.p95),
    }
}
