//! Progress as plain lines, where standard error is no terminal.

use std::time::{Duration, Instant};

use shared::phase::{Phase, RunStatus};
use shared::result::{Distribution, LiveUpdate};

use super::Ink;
use super::figure::{Measure, clock, count, printable};
use super::live::{failure_line, failures, in_phase};

/// Decides which updates become a line: every change of status, every failure, and how it stands
/// every few seconds.
#[derive(Debug)]
pub(crate) struct PlainView {
    ink: Ink,
    status: Option<RunStatus>,
    next: Option<Instant>,
}

impl PlainView {
    pub(crate) fn new(ink: Ink) -> Self {
        Self {
            ink,
            status: None,
            next: None,
        }
    }

    /// The lines for an update.
    pub(crate) fn update(&mut self, now: Instant, update: &LiveUpdate) -> Vec<String> {
        let mut lines = Vec::new();
        let time = format!("{}/{}", clock(update.elapsed_ms), clock(update.duration_ms));
        if self.status != Some(update.status) {
            self.status = Some(update.status);
            let sentence = printable(&update.last_move.sentence);
            lines.push(format!("{time}  {}  {sentence}", update.status));
        }
        lines.extend(new_failures(self.ink, update).map(|line| format!("{time}  {line}")));
        let running = update.status == RunStatus::Running;
        let next = *self.next.get_or_insert(now + EVERY);
        if running && now >= next {
            self.next = Some(now + EVERY);
            lines.push(format!("{time}  {}", standing(update)));
        }
        lines
    }
}

/// Failures of an update, one line each.
pub(crate) fn new_failures(ink: Ink, update: &LiveUpdate) -> impl Iterator<Item = String> {
    let rows: Vec<String> = update
        .new_failures
        .iter()
        .map(|row| failure_line(ink, row))
        .collect();
    let more = (update.failures_left_out > 0).then(|| {
        format!(
            "  and {} more failures",
            count(u64::from(update.failures_left_out))
        )
    });
    rows.into_iter().chain(more)
}

fn standing(update: &LiveUpdate) -> String {
    let all = &update.all;
    let counts = &all.counts;
    let figure = |measure: Measure, value: Option<Distribution>, unit: &str| {
        value.map_or_else(
            || "–".to_owned(),
            |distribution| {
                let tail = match measure {
                    Measure::Mos => distribution.p5,
                    _ => distribution.p95,
                };
                format!(
                    "{}{unit} ({}{unit})",
                    measure.format(distribution.p50),
                    measure.format(tail)
                )
            },
        )
    };
    format!(
        "registered {}/{}  in call {}  calls {}/{}  failed {}  MOS {}  jitter {}  loss {}  RTT {}",
        counts.registrations_succeeded,
        counts.registrations_attempted,
        in_phase(counts, Phase::Incall),
        counts.calls_established,
        counts.calls_attempted,
        failures(counts),
        figure(Measure::Mos, all.mos, ""),
        figure(Measure::Jitter, all.jitter_ms, " ms"),
        figure(Measure::Loss, all.loss_pct, " %"),
        figure(Measure::Rtt, all.rtt_ms, " ms"),
    )
}

/// A log that is read later needs no line a second.
const EVERY: Duration = Duration::from_secs(5);
