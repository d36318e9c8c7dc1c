//! The live block: what a run looks like now, as lines. Pure; `terminal` draws it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use console::measure_text_width;
use shared::phase::{Outcome, Phase, RunStatus};
use shared::result::{Counts, Distribution, FailureRow, LivePart, LiveUpdate};

use super::draw::{Cell, Table, progress, sparkline, stacked};
use super::figure::{Measure, clock, count, milliseconds, percent, printable};
use super::{Ink, Paint};

/// Everything that the live block is drawn from.
#[derive(Debug)]
pub(crate) struct LiveView {
    ink: Ink,
    name: String,
    newest: Option<(Instant, LiveUpdate)>,
    /// Newest second last: the bad end of MOS, jitter, loss, RTT.
    history: VecDeque<[Option<f64>; 4]>,
    note: Option<String>,
}

impl LiveView {
    pub(crate) fn new(ink: Ink, name: &str) -> Self {
        Self {
            ink,
            name: printable(name),
            newest: None,
            history: VecDeque::with_capacity(HISTORY_MAX),
            note: None,
        }
    }

    /// Takes an update that came at `now`.
    pub(crate) fn update(&mut self, now: Instant, update: LiveUpdate) {
        let second = |update: &LiveUpdate| update.elapsed_ms / 1_000;
        let is_new = self
            .newest
            .as_ref()
            .is_none_or(|(_, old)| second(old) != second(&update));
        if is_new && update.elapsed_ms > 0 {
            if self.history.len() == HISTORY_MAX {
                self.history.pop_front();
            }
            let all = &update.all;
            self.history.push_back([
                all.mos.map(|d| d.p5),
                all.jitter_ms.map(|d| d.p95),
                all.loss_pct.map(|d| d.p95),
                all.rtt_ms.map(|d| d.p95),
            ]);
        }
        self.newest = Some((now, update));
    }

    /// Shows a note in the last line from now on.
    pub(crate) fn note(&mut self, note: &str) {
        self.note = Some(note.to_owned());
    }

    /// The block, at most `width` wide and `height` high.
    pub(crate) fn lines(&self, now: Instant, width: usize, height: usize) -> Vec<String> {
        let Some((at, update)) = &self.newest else {
            return vec![format!(" carillon · {} · starting", self.name)];
        };
        let width = width.clamp(40, WIDTH_MAX) - 1;
        let mut lines = self.head(update, now.saturating_duration_since(*at), width);
        lines.push(String::new());
        lines.extend(self.endpoints(&update.all.counts, width));
        lines.push(String::new());
        lines.extend(self.quality(&update.all, width));
        let mut tail = self.foot(update);
        if update.groups.len() > 1 {
            let room = height.saturating_sub(lines.len() + tail.len() + 3);
            if room >= 2 {
                lines.push(String::new());
                lines.extend(self.groups(&update.groups, room, width));
            }
        }
        lines.append(&mut tail);
        lines.truncate(height.saturating_sub(1).max(1));
        lines
    }

    fn head(&self, update: &LiveUpdate, since: Duration, width: usize) -> Vec<String> {
        let ink = self.ink;
        let running = update.status == RunStatus::Running;
        // Between two updates the clock goes on, for a bar that moves evenly.
        let extra = if running {
            since.min(EXTRAPOLATE_MAX).as_millis()
        } else {
            0
        };
        let elapsed = update.elapsed_ms + u64::try_from(extra).unwrap_or(0);
        let status_paint = match update.status {
            RunStatus::Pending | RunStatus::Queued => Paint::Cyan,
            RunStatus::Running | RunStatus::Completed => Paint::Green,
            RunStatus::Stopping => Paint::Yellow,
            RunStatus::Failed | RunStatus::CannotRunForNow => Paint::Red,
        };
        let times = format!(
            "{} / {}",
            clock(elapsed.min(update.duration_ms)),
            clock(update.duration_ms)
        );
        let right = format!("{}  {times}", update.status);
        let left_room = width.saturating_sub(measure_text_width(&right) + 3);
        let left = format!("carillon · {} · run {}", self.name, update.run);
        let left = console::truncate_str(&left, left_room, "…").into_owned();
        let gap = width.saturating_sub(measure_text_width(&left) + measure_text_width(&right) + 1);
        let done = elapsed as f64 / update.duration_ms.max(1) as f64;
        vec![
            format!(
                " {}{}{}  {times}",
                ink.paint(Paint::Bold, &left),
                " ".repeat(gap),
                ink.paint(status_paint, update.status.name()),
            ),
            format!(" {}", progress(ink, status_paint, done, width - 1)),
        ]
    }

    fn endpoints(&self, counts: &Counts, width: usize) -> Vec<String> {
        let ink = self.ink;
        let tally = Tally::of(counts);
        let parts: Vec<(Paint, u64)> = tally
            .parts
            .iter()
            .map(|(paint, _, count)| (*paint, u64::from(*count)))
            .collect();
        let label = format!("{LABEL:<12}", LABEL = "endpoints");
        let bar = stacked(ink, &parts, width - 13);
        let legend: Vec<String> = tally
            .parts
            .iter()
            .filter(|(_, _, count)| *count > 0)
            .map(|(paint, name, count)| {
                format!("{} {} {name}", ink.paint(*paint, "●"), number(*count))
            })
            .collect();
        let mut lines = vec![format!(" {label}{bar}")];
        lines.extend(wrapped(&legend, "   ", 13, width));
        lines.push(format!(" {}", self.progress_counts(counts)));
        lines
    }

    fn progress_counts(&self, counts: &Counts) -> String {
        let ink = self.ink;
        let ratio = |good: u64, of: u64| {
            let share = if of == 0 {
                0.0
            } else {
                good as f64 * 100.0 / of as f64
            };
            let paint = match of {
                0 => Paint::Dim,
                _ if good == of => Paint::Green,
                _ => Paint::Yellow,
            };
            format!(
                "{}/{} {}",
                count(good),
                count(of),
                ink.paint(
                    paint,
                    &if of == 0 {
                        "–".to_owned()
                    } else {
                        percent(share)
                    }
                )
            )
        };
        let failed = failures(counts);
        let failed_paint = if failed > 0 { Paint::Red } else { Paint::Dim };
        format!(
            "registered  {}   calls {}   received {}   {}",
            ratio(
                counts.registrations_succeeded,
                counts.registrations_attempted
            ),
            ratio(counts.calls_established, counts.calls_attempted),
            count(counts.calls_received),
            ink.paint(failed_paint, &format!("failed {}", number(failed))),
        )
    }

    fn quality(&self, all: &LivePart, width: usize) -> Vec<String> {
        let ink = self.ink;
        let rows: [(Measure, &str, Option<Distribution>); 4] = [
            (Measure::Mos, "MOS", all.mos),
            (Measure::Jitter, "jitter ms", all.jitter_ms),
            (Measure::Loss, "loss %", all.loss_pct),
            (Measure::Rtt, "RTT ms", all.rtt_ms),
        ];
        let head = format!(
            " {:<12}{:>8}{:>11}   worst 5 % of each second",
            "", "median", "worst 5 %"
        );
        let mut lines = vec![ink.paint(Paint::Dim, &head)];
        let chart_width = width.saturating_sub(35);
        for (index, (measure, name, distribution)) in rows.into_iter().enumerate() {
            let figure = |value: Option<f64>, width: usize| {
                let text = value.map_or_else(|| "–".to_owned(), |value| measure.format(value));
                let paint = value.map_or(Paint::Dim, |value| measure.paint(value));
                ink.paint(paint, &format!("{text:>width$}"))
            };
            let values: Vec<Option<f64>> = self
                .history
                .iter()
                .map(|second| second.get(index).copied().flatten())
                .collect();
            lines.push(format!(
                " {name:<12}{}{}   {}",
                figure(distribution.map(|d| d.p50), 8),
                figure(distribution.map(|d| tail(measure, &d)), 11),
                sparkline(ink, measure, &values, chart_width),
            ));
        }
        lines
    }

    fn groups(&self, groups: &[LivePart], room: usize, width: usize) -> Vec<String> {
        let header = [
            "group",
            "endpoints",
            "in call",
            "failed",
            "MOS",
            "jitter ms",
            "loss %",
            "RTT ms",
        ];
        let mut table = Table::new(0..1, &header);
        let shown = if groups.len() < room {
            groups.len()
        } else {
            room.saturating_sub(2)
        };
        for part in groups.iter().take(shown) {
            let failed = failures(&part.counts);
            let figure = |measure: Measure, distribution: Option<Distribution>| match distribution {
                None => Cell::painted("–", Paint::Dim),
                Some(distribution) => {
                    let value = distribution.p50;
                    Cell::painted(measure.format(value), measure.paint(value))
                }
            };
            table.row(vec![
                Cell::new(printable(&part.name)),
                Cell::new(number(part.counts.endpoints)),
                Cell::new(number(in_phase(&part.counts, Phase::Incall))),
                Cell::painted(
                    number(failed),
                    if failed > 0 { Paint::Red } else { Paint::Dim },
                ),
                figure(Measure::Mos, part.mos),
                figure(Measure::Jitter, part.jitter_ms),
                figure(Measure::Loss, part.loss_pct),
                figure(Measure::Rtt, part.rtt_ms),
            ]);
        }
        let mut lines = table.lines(self.ink, 1, width);
        if shown < groups.len() {
            let more = format!(" and {} more groups", groups.len() - shown);
            lines.push(self.ink.paint(Paint::Dim, &more));
        }
        lines
    }

    fn foot(&self, update: &LiveUpdate) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(late) = update.send_late_p99_ms {
            let cores = update
                .cpu_cores
                .map_or(String::new(), |cores| format!(" · {cores:.2} cores"));
            let text = format!(
                " generator   sends late p99 {} ms{cores}",
                milliseconds(late)
            );
            lines.push(String::new());
            lines.push(self.ink.paint(Paint::Dim, &text));
        }
        if let Some(note) = &self.note {
            lines.push(String::new());
            lines.push(format!(" {}", self.ink.paint(Paint::Yellow, note)));
        }
        lines
    }
}

/// Endpoints by what their colour says.
struct Tally {
    parts: Vec<(Paint, &'static str, u32)>,
}

impl Tally {
    fn of(counts: &Counts) -> Self {
        let failed = failures(counts);
        let mut parts = vec![(Paint::Red, "failed", failed)];
        for phase in [
            Phase::Incall,
            Phase::Negotiating,
            Phase::Ringing,
            Phase::Calling,
            Phase::Registered,
            Phase::Disconnecting,
            Phase::Initializing,
            Phase::Closed,
        ] {
            let mut count = in_phase(counts, phase);
            if phase == Phase::Closed {
                count = count.saturating_sub(failed);
            }
            parts.push((phase_paint(phase), phase.name(), count));
        }
        Self { parts }
    }
}

/// The colours of PRODUCT §6.
fn phase_paint(phase: Phase) -> Paint {
    match phase {
        Phase::Incall => Paint::Green,
        Phase::Calling | Phase::Ringing | Phase::Negotiating => Paint::Yellow,
        Phase::Registered => Paint::Cyan,
        Phase::Disconnecting => Paint::Magenta,
        Phase::Initializing | Phase::Closed => Paint::Dim,
    }
}

/// Endpoints in a phase.
pub(crate) fn in_phase(counts: &Counts, phase: Phase) -> u32 {
    let index = Phase::ALL
        .iter()
        .position(|known| *known == phase)
        .unwrap_or(0);
    counts.phases.get(index).copied().unwrap_or(0)
}

/// Endpoints that ended with a failure.
pub(crate) fn failures(counts: &Counts) -> u32 {
    let outcomes = Outcome::ALL.iter().zip(&counts.outcomes);
    outcomes
        .filter(|(outcome, _)| outcome.severity() >= 10)
        .map(|(_, count)| count)
        .sum()
}

/// A failure in one line.
pub(crate) fn failure_line(ink: Ink, row: &FailureRow) -> String {
    let code = row.code.map_or(String::new(), |code| format!(" {code}"));
    let times = if row.count > 1 {
        format!(" × {}", count(u64::from(row.count)))
    } else {
        String::new()
    };
    let example = if row.count > 1 {
        "e.g. endpoint"
    } else {
        "endpoint"
    };
    format!(
        "{} {}  {}  ({example} {} {})",
        ink.paint(Paint::Red, "✗"),
        ink.paint(Paint::Red, &format!("{}{code}{times}", row.outcome)),
        printable(&row.reason),
        row.example_endpoint,
        printable(&row.example_account),
    )
}

fn tail(measure: Measure, distribution: &Distribution) -> f64 {
    if measure == Measure::Mos {
        distribution.p5
    } else {
        distribution.p95
    }
}

fn number(value: u32) -> String {
    count(u64::from(value))
}

/// Puts pieces beside each other, in as many lines as the width wants.
fn wrapped(pieces: &[String], gap: &str, indent: usize, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![" ".repeat(indent)];
    let mut used = indent;
    for piece in pieces {
        let own = measure_text_width(piece);
        if used > indent && used + gap.len() + own > width {
            lines.push(" ".repeat(indent));
            used = indent;
        }
        if let Some(line) = lines.last_mut() {
            if used > indent {
                line.push_str(gap);
                used += gap.len();
            }
            line.push_str(piece);
            used += own;
        }
    }
    lines
}

/// Seconds kept for the charts: more than any terminal is wide.
const HISTORY_MAX: usize = 400;
/// Wider lines are harder to read.
const WIDTH_MAX: usize = 120;
/// A late update must not let the clock run away.
const EXTRAPOLATE_MAX: Duration = Duration::from_millis(1_500);
