//! What a run came to: its head line, the generator's health, thresholds and the verdict.

use console::measure_text_width;
use shared::metric::{MetricId, Unit};
use shared::phase::RunStatus;
use shared::result::{Distribution, MissingShare, RunResult, ThresholdResult, Verdict};

use super::Page;
use crate::exit::Exit;
use crate::screen::Paint;
use crate::screen::draw::wrap;
use crate::screen::figure::{clock, count, milliseconds, octets, percent, printable};

/// What was run, and first of all whether the figures below can be believed.
pub(super) fn head(result: &RunResult, page: Page<'_>) -> Vec<String> {
    let ink = page.ink;
    let mut lines = Vec::new();
    if result.verdict == Verdict::Invalid {
        let badge = ink.paint(Paint::YellowBadge, " NOT VALID ");
        lines.push(format!(
            " {badge} the generator was the bottleneck: these figures are not the platform's"
        ));
    }
    let paint = match result.status {
        RunStatus::Completed => Paint::Green,
        RunStatus::Failed | RunStatus::CannotRunForNow => Paint::Red,
        RunStatus::Pending | RunStatus::Queued | RunStatus::Running | RunStatus::Stopping => {
            Paint::Yellow
        }
    };
    lines.push(format!(
        " {}  {}  {}",
        ink.paint(Paint::Bold, &printable(&result.test)),
        ink.paint(paint, result.status.name()),
        ink.paint(
            Paint::Dim,
            &format!("after {} · run {}", clock(result.elapsed_ms), result.run)
        ),
    ));
    if let Some(last) = result.history.last()
        && result.status != RunStatus::Completed
        && result.verdict != Verdict::Failed
    {
        lines.extend(sentence(page, &last.sentence, 1));
    }
    let problems = result.problems.iter();
    let problems = problems.map(|problem| problem.sentence.clone());
    for told in problems.chain(result.missing.iter().map(missing)) {
        let mut text = sentence(page, &told, 5);
        if let Some(first) = text.first_mut() {
            *first = format!("   {} {}", ink.paint(Paint::Red, "✗"), first.trim_start());
        }
        lines.append(&mut text);
    }
    lines
}

/// Whoever reads figures of a run that lost a node reads first what is not in them.
fn missing(share: &MissingShare) -> String {
    let from = clock(u64::from(share.from_second) * 1_000);
    let unreported = match share.unreported {
        0 => "all of them told how they ended".to_owned(),
        some => format!(
            "{} of them never told how they ended",
            count(u64::from(some))
        ),
    };
    format!(
        "The figures are without node `{}` from {from} on: it carried {} endpoints, {unreported}.",
        share.node,
        count(u64::from(share.endpoints)),
    )
}

pub(super) fn generator(result: &RunResult, page: Page<'_>) -> Vec<String> {
    let health = &result.generator;
    let late = |distribution: &Option<Distribution>| {
        let Some(distribution) = distribution else {
            return "–".to_owned();
        };
        let (median, tail) = (
            milliseconds(distribution.p50),
            milliseconds(distribution.p99),
        );
        format!(
            "p50 {median} ms, p99 {tail} ms, worst {} ms",
            milliseconds(distribution.max)
        )
    };
    if health.send_late_ms.is_none() && health.timer_late_ms.is_none() && !health.saturated {
        return Vec::new();
    }
    let healthy = if health.saturated {
        page.ink.paint(Paint::Red, "saturated")
    } else {
        page.ink.paint(Paint::Green, "healthy")
    };
    let mut lines = vec![
        format!(" generator  {healthy}"),
        format!("   packets late   {}", late(&health.send_late_ms)),
        format!("   timers late    {}", late(&health.timer_late_ms)),
        format!(
            "   CPU            {:.2} cores, busiest second {:.2}; memory {}",
            health.cpu_cores_mean,
            health.cpu_cores_max,
            octets(health.resident_bytes_max)
        ),
    ];
    let faults = [
        (health.socket_drops, "datagrams dropped by our own sockets"),
        (health.skipped_packets, "packets not sent in time"),
        (health.refused, "messages refused by full queues"),
        (health.panics, "endpoints rebuilt after a panic"),
    ];
    for (faults, what) in faults.into_iter().filter(|(faults, _)| *faults > 0) {
        lines.push(format!(
            "   {}",
            page.ink
                .paint(Paint::Yellow, &format!("{} {what}", count(faults)))
        ));
    }
    for reason in &health.reasons {
        lines.push(format!(
            "   {} {}",
            page.ink.paint(Paint::Red, "✗"),
            printable(reason)
        ));
    }
    lines
}

pub(super) fn thresholds(result: &RunResult, page: Page<'_>) -> Vec<String> {
    let width = result
        .thresholds
        .iter()
        .map(|t| t.text.chars().count())
        .max()
        .unwrap_or(0);
    result
        .thresholds
        .iter()
        .map(|threshold| {
            let (mark, paint) = if threshold.passed {
                ("✓", Paint::Green)
            } else {
                ("✗", Paint::Red)
            };
            let mark = page.ink.paint(paint, mark);
            format!(
                " {mark} {:<width$}   {}",
                printable(&threshold.text),
                measured(threshold)
            )
        })
        .collect()
}

/// What was measured, in the threshold's unit.
pub(crate) fn measured(threshold: &ThresholdResult) -> String {
    let Some(value) = threshold.measured else {
        return "nothing was measured".to_owned();
    };
    match unit(&threshold.text) {
        Unit::Percent => percent(value),
        Unit::Milliseconds => format!("{} ms", milliseconds(value)),
        Unit::Mos | Unit::RFactor => format!("{value:.2}"),
        unit => format!("{value:.2} {}", unit.symbol())
            .trim_end()
            .to_owned(),
    }
}

/// The unit of the metric in a threshold's text; a ratio's is per cent.
fn unit(text: &str) -> Unit {
    let subject = text.rsplit_once(':').map_or(text, |(_, rest)| rest);
    let end = subject.find(['<', '>', '=']).unwrap_or(subject.len());
    let name = subject.get(..end).unwrap_or("").trim();
    let key = name.rsplit_once('.').map_or(name, |(key, _)| key);
    ["", "_ms", "_pct", "_ppm", "_dbov"]
        .into_iter()
        .find_map(|tail| MetricId::by_key(&format!("{key}{tail}")))
        .map_or(Unit::Percent, |id| id.metric().unit)
}

/// The last lines: verdict with its exit code, and where the data is.
pub(super) fn verdict(result: &RunResult, page: Page<'_>) -> Vec<String> {
    let (badge, paint) = match result.verdict {
        Verdict::Passed => (" PASSED ", Paint::GreenBadge),
        Verdict::Failed => (" FAILED ", Paint::RedBadge),
        Verdict::Invalid => (" NOT VALID ", Paint::YellowBadge),
        Verdict::ThresholdCrossed => (" THRESHOLD CROSSED ", Paint::RedBadge),
        Verdict::Interrupted => (" INTERRUPTED ", Paint::YellowBadge),
    };
    let exit = format!("exit {}", Exit::from(result.verdict).code());
    let badge = page.ink.paint(paint, badge);
    let head = format!(" {badge}  {}", page.ink.paint(Paint::Dim, &exit));
    let why = reason(result);
    let room = page.width.saturating_sub(measure_text_width(&head) + 2);
    let mut lines = if measure_text_width(&why) <= room {
        vec![format!("{head}  {why}")]
    } else {
        std::iter::once(head)
            .chain(sentence(page, &why, 1))
            .collect()
    };
    if let Some(folder) = page.data_dir {
        let text = format!(" run {} is kept in {}", result.run, folder.display());
        lines.push(page.ink.paint(Paint::Dim, &text));
    }
    lines
}

fn sentence(page: Page<'_>, text: &str, indent: usize) -> Vec<String> {
    let lines = wrap(&printable(text), page.width.saturating_sub(indent));
    lines
        .into_iter()
        .map(|line| format!("{:indent$}{line}", ""))
        .collect()
}

/// Why the verdict is what it is, in one sentence.
pub(crate) fn reason(result: &RunResult) -> String {
    let last = || {
        result
            .history
            .last()
            .map_or_else(String::new, |last| printable(&last.sentence))
    };
    match result.verdict {
        Verdict::Passed if result.thresholds.is_empty() => "the run completed".to_owned(),
        Verdict::Passed => "every threshold held".to_owned(),
        Verdict::Failed => last(),
        Verdict::Invalid => "the generator was saturated, so the result is not valid".to_owned(),
        Verdict::ThresholdCrossed => {
            let crossed: Vec<String> = result
                .thresholds
                .iter()
                .filter(|threshold| !threshold.passed)
                .map(|threshold| {
                    format!("{} ({})", printable(&threshold.text), measured(threshold))
                })
                .collect();
            format!("did not hold: {}", crossed.join("; "))
        }
        Verdict::Interrupted => {
            "stopped from the terminal; what was measured before is kept".to_owned()
        }
    }
}
