//! Lists as tables on standard output.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use shared::phase::RunStatus;
use shared::result::Verdict;

use crate::screen::draw::{Cell, Table};
use crate::screen::figure::printable;
use crate::screen::terminal::Screen;
use crate::screen::{Ink, Paint};

/// A cell with text of the coordinator.
pub(super) fn cell(text: &str) -> Cell {
    if text.is_empty() {
        Cell::painted("–", Paint::Dim)
    } else {
        Cell::new(printable(text))
    }
}

/// A figure, or a dash where there is none.
pub(super) fn figure(value: Option<String>) -> Cell {
    value.map_or_else(|| Cell::painted("–", Paint::Dim), Cell::new)
}

/// A run's status in its colour.
pub(super) fn status(status: RunStatus) -> Cell {
    let paint = match status {
        RunStatus::Pending | RunStatus::Queued => Paint::Cyan,
        RunStatus::Running | RunStatus::Completed => Paint::Green,
        RunStatus::Stopping => Paint::Yellow,
        RunStatus::Failed | RunStatus::CannotRunForNow => Paint::Red,
    };
    Cell::painted(status.name(), paint)
}

/// A verdict in its colour.
pub(super) fn verdict(verdict: Option<Verdict>) -> Cell {
    match verdict {
        None => Cell::painted("–", Paint::Dim),
        Some(Verdict::Passed) => Cell::painted("passed", Paint::Green),
        Some(Verdict::Failed) => Cell::painted("failed", Paint::Red),
        Some(Verdict::Invalid) => Cell::painted("invalid", Paint::Red),
        Some(Verdict::ThresholdCrossed) => Cell::painted("threshold crossed", Paint::Red),
        Some(Verdict::Interrupted) => Cell::painted("interrupted", Paint::Yellow),
    }
}

/// Prints a table, as wide as the terminal; uncut where it goes to a file or another program.
pub(super) fn print(table: &Table) -> anyhow::Result<()> {
    let (ink, width) = page();
    lines(&table.lines(ink, 0, width))
}

/// The ink and the width of standard output.
pub(super) fn page() -> (Ink, usize) {
    let terminal = io::stdout().is_terminal();
    let width = if terminal { Screen::size().0 } else { UNCUT };
    (Ink::for_stream(terminal), width)
}

/// Prints lines.
pub(super) fn lines(lines: &[String]) -> anyhow::Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader of a pipe may have seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot print"),
    }
}

/// `2026-11-23 00:15` (UTC) of milliseconds since 1970.
pub(super) fn time(unix_ms: u64) -> String {
    let minutes = unix_ms / 60_000;
    let (year, month, day) = date(minutes / 1_440);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02}",
        minutes / 60 % 24,
        minutes % 60
    )
}

/// The civil date of a day since 1970-01-01, by the days of 400-year cycles that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let cycle = shifted / 146_097;
    let of_cycle = shifted % 146_097;
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycle * 400 + year + u64::from(month <= 2), month, day)
}

const UNCUT: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_400, "2000-02-29 00:00"),
            (1_709_251_199, "2024-02-29 23:59"),
            (1_709_251_200, "2024-03-01 00:00"),
            (1_795_392_900, "2026-11-23 00:15"),
            (4_107_542_399, "2100-02-28 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(time(unix_s * 1_000), text);
        }
    }
}
