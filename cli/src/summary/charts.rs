//! The run as small charts over its time: endpoints in a call, MOS, jitter, loss, RTT.

use shared::result::{RunResult, SeriesSecond};

use super::Page;
use crate::screen::Paint;
use crate::screen::draw::{level, merge, sparkline};
use crate::screen::figure::{Measure, clock, count};

pub(super) fn lines(result: &RunResult, page: Page<'_>) -> Vec<String> {
    let seconds = &result.seconds;
    let Some(last) = seconds.iter().map(|second| second.second).max() else {
        return Vec::new();
    };
    let span = usize::try_from(last).unwrap_or(0) + 1;
    let width = page.width.saturating_sub(LABEL + RANGE + 4);
    // A short run takes several columns a second, so that its chart is not a stub.
    let repeat = (width / span).clamp(1, REPEAT_MAX);
    let mut lines = Vec::new();
    let calls = column(seconds, span, &["phase.incall"]);
    let most = calls.iter().flatten().copied().fold(0.0, f64::max);
    if most > 0.0 {
        let chart = population(
            page,
            &stretched(&calls, repeat),
            result.all.counts.endpoints,
            width,
        );
        lines.push(row(
            page,
            "in call",
            &chart,
            &format!("{} at most", count(most as u64)),
        ));
    }
    let rows: [(Measure, &str, &[&str]); 4] = [
        (
            Measure::Mos,
            "MOS p5",
            &["mos.p5", "mos_wb.p5", "mos_fb.p5"],
        ),
        (Measure::Jitter, "jitter p95", &["jitter_ms.p95"]),
        (Measure::Loss, "loss p95", &["loss_pct.p95"]),
        (Measure::Rtt, "RTT p95", &["rtt_ms.p95"]),
    ];
    for (measure, name, keys) in rows {
        let values = column(seconds, span, keys);
        let least = values.iter().flatten().copied().reduce(f64::min);
        let most = values.iter().flatten().copied().reduce(f64::max);
        if let Some((least, most)) = least.zip(most) {
            let chart = sparkline(page.ink, measure, &stretched(&values, repeat), width);
            let range = format!("{} – {}", measure.format(least), measure.format(most));
            lines.push(row(page, name, &chart, &range));
        }
    }
    if !lines.is_empty() {
        let shown = (span * repeat).min(width);
        let end = clock(u64::try_from(span).unwrap_or(0) * 1_000);
        let gap = shown.saturating_sub(5).max(end.len() + 1);
        let axis = format!(" {:<LABEL$} 00:00{end:>gap$}", "");
        lines.push(page.ink.paint(Paint::Dim, &axis));
    }
    lines
}

fn row(page: Page<'_>, name: &str, chart: &str, range: &str) -> String {
    format!(
        " {name:<LABEL$} {chart}  {}",
        page.ink.paint(Paint::Dim, range)
    )
}

/// The first of `keys` that a second has, by second; for MOS the scale that the calls had.
fn column(seconds: &[SeriesSecond], span: usize, keys: &[&str]) -> Vec<Option<f64>> {
    let mut column = vec![None; span];
    for second in seconds {
        let value = keys.iter().find_map(|key| second.values.get(*key).copied());
        let index = usize::try_from(second.second).unwrap_or(usize::MAX);
        if let Some(slot) = column.get_mut(index) {
            *slot = value;
        }
    }
    column
}

fn stretched(values: &[Option<f64>], repeat: usize) -> Vec<Option<f64>> {
    values
        .iter()
        .flat_map(|value| std::iter::repeat_n(*value, repeat))
        .collect()
}

/// Endpoints in a call, a full column where all of them are.
fn population(page: Page<'_>, values: &[Option<f64>], endpoints: u32, width: usize) -> String {
    let all = f64::from(endpoints.max(1));
    let cells: Vec<(Paint, char)> = merge(values, width, f64::max)
        .into_iter()
        .map(|value| match value {
            Some(count) if count > 0.0 => (Paint::Green, level(count / all)),
            Some(_) | None => (Paint::Dim, '·'),
        })
        .collect();
    page.ink.paint_cells(&cells)
}

const LABEL: usize = 11;
/// Room for `12.4 – 1 180`.
const RANGE: usize = 14;
const REPEAT_MAX: usize = 4;
