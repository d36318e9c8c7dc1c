//! Counts, ratios, distributions and failures, a row for the whole run and one for each group.

use shared::result::{Counts, Distribution, Part, RunResult};

use super::Page;
use crate::screen::Paint;
use crate::screen::draw::{Cell, Table, wrap};
use crate::screen::figure::{Measure, count, percent, printable};

/// The whole run first, then its groups; a single group is the whole run.
fn parts(result: &RunResult) -> impl Iterator<Item = &Part> {
    let groups: &[Part] = if result.groups.len() > 1 {
        &result.groups
    } else {
        &[]
    };
    std::iter::once(&result.all).chain(groups)
}

pub(super) fn counts(result: &RunResult, page: Page<'_>) -> Vec<String> {
    let header = [
        "",
        "endpoints",
        "registered",
        "calls up",
        "received",
        "ended",
        "removed",
        "packets",
        "lost",
        "codecs",
    ];
    let mut table = Table::new(0..1, &header);
    for part in parts(result) {
        let Counts {
            registrations_succeeded,
            registrations_attempted,
            ..
        } = part.counts;
        table.row(vec![
            name(part),
            Cell::new(count(u64::from(part.counts.endpoints))),
            of(registrations_succeeded, registrations_attempted),
            of(part.counts.calls_established, part.counts.calls_attempted),
            some(part.counts.calls_received),
            some(part.counts.calls_completed),
            removed(part),
            some(part.packets_received),
            lost(part),
            Cell::new(
                part.codecs
                    .iter()
                    .map(|codec| printable(codec))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        ]);
    }
    table.lines(page.ink, 1, page.width)
}

pub(super) fn ratios(result: &RunResult, page: Page<'_>) -> Vec<String> {
    let header = [
        "",
        "registration",
        "call success",
        "SER",
        "SEER",
        "ISA",
        "SCR",
        "IRA",
    ];
    let mut table = Table::new(0..1, &header);
    for part in parts(result) {
        let ratios = &part.ratios;
        let high = |value: Option<f64>| ratio(value, |value| value);
        let low = |value: Option<f64>| ratio(value, |value| 100.0 - value);
        table.row(vec![
            name(part),
            high(ratios.registration_success),
            high(ratios.call_success),
            high(ratios.ser),
            high(ratios.seer),
            low(ratios.isa),
            high(ratios.scr),
            low(ratios.ira),
        ]);
    }
    table.lines(page.ink, 1, page.width)
}

pub(super) fn metrics(result: &RunResult, page: Page<'_>) -> Vec<String> {
    let header = [
        "",
        "",
        "median",
        "worst 5 %",
        "worst 1 %",
        "worst",
        "mean",
        "samples",
    ];
    let mut table = Table::new(0..2, &header);
    let mut rows = 0;
    for (measure, key, label) in METRICS {
        let mut label = label;
        for part in parts(result) {
            let Some(distribution) = part.metric(key) else {
                continue;
            };
            table.row(metric_row(label, part, measure, distribution));
            rows += 1;
            // Said once, in front of the first of its rows.
            label = "";
        }
    }
    if rows == 0 {
        return Vec::new();
    }
    let mut lines = table.lines(page.ink, 1, page.width);
    let grounded = result.all.mos_grounded || result.all.metric("mos").is_none();
    let mut note =
        " worst 5 % is p95 (for MOS p5); each endpoint's each second is a sample".to_owned();
    if !grounded {
        note.push_str("; some MOS are of a codec without published values");
    }
    lines.push(page.ink.paint(Paint::Dim, &note));
    lines
}

fn metric_row(
    label: &str,
    part: &Part,
    measure: Measure,
    distribution: &Distribution,
) -> Vec<Cell> {
    let (five, one) = match measure {
        Measure::Mos => (distribution.p5, distribution.p1),
        _ => (distribution.p95, distribution.p99),
    };
    let figure = |value: f64| Cell::painted(measure.format(value), measure.paint(value));
    vec![
        Cell::new(label),
        Cell::painted(printable(&part.name), Paint::Dim),
        figure(distribution.p50),
        figure(five),
        figure(one),
        figure(distribution.worst),
        figure(distribution.mean),
        Cell::painted(count(distribution.count), Paint::Dim),
    ]
}

/// By outcome and code, each with an endpoint to look at and its sentence below.
pub(super) fn failures(result: &RunResult, page: Page<'_>) -> Vec<String> {
    let mut table = Table::new(2..4, &["failed", "code", "outcome", "for example"]);
    for row in &result.failures {
        table.row(vec![
            Cell::painted(count(u64::from(row.count)), Paint::Red),
            Cell::new(
                row.code
                    .map_or_else(|| "–".to_owned(), |code| code.to_string()),
            ),
            Cell::painted(row.outcome.name(), Paint::Red),
            Cell::new(format!(
                "endpoint {} {}",
                row.example_endpoint,
                printable(&row.example_account)
            )),
        ]);
    }
    let mut rows = table.lines(page.ink, 1, page.width).into_iter();
    let mut lines: Vec<String> = rows
        .next()
        .filter(|_| !result.failures.is_empty())
        .into_iter()
        .collect();
    for (line, row) in rows.zip(&result.failures) {
        lines.push(line);
        let sentence = wrap(
            &printable(&row.reason),
            page.width.saturating_sub(REASON_INDENT),
        );
        lines.extend(
            sentence
                .iter()
                .map(|text| format!("{:REASON_INDENT$}{}", "", page.ink.paint(Paint::Dim, text))),
        );
    }
    lines
}

fn name(part: &Part) -> Cell {
    Cell::new(printable(&part.name))
}

/// `198/200`, green where nothing is missing.
fn of(good: u64, all: u64) -> Cell {
    if all == 0 {
        return Cell::painted("–", Paint::Dim);
    }
    let paint = if good == all {
        Paint::Green
    } else {
        Paint::Red
    };
    Cell::painted(format!("{}/{}", count(good), count(all)), paint)
}

fn some(value: u64) -> Cell {
    if value == 0 {
        Cell::painted("–", Paint::Dim)
    } else {
        Cell::new(count(value))
    }
}

/// Registrations that are gone again, of those that were there.
fn removed(part: &Part) -> Cell {
    of(
        part.counts
            .unregistered
            .min(part.counts.registrations_succeeded),
        part.counts.registrations_succeeded,
    )
}

fn lost(part: &Part) -> Cell {
    match part.loss_pct {
        None => Cell::painted("–", Paint::Dim),
        Some(loss) => Cell::painted(percent(loss), Measure::Loss.paint(loss)),
    }
}

/// A ratio; `goodness` turns it so that 100 is good.
fn ratio(value: Option<f64>, goodness: impl Fn(f64) -> f64) -> Cell {
    let Some(value) = value else {
        return Cell::painted("–", Paint::Dim);
    };
    let paint = match goodness(value) {
        good if good >= RATIO_GOOD_PCT => Paint::Green,
        fair if fair >= RATIO_BAD_PCT => Paint::Yellow,
        _ => Paint::Red,
    };
    Cell::painted(percent(value), paint)
}

/// What the summary shows of the catalogue; `--json` has all of it.
const METRICS: [(Measure, &str, &str); 9] = [
    (Measure::Mos, "mos", "MOS"),
    (Measure::Mos, "mos_wb", "MOS wideband"),
    (Measure::Mos, "mos_fb", "MOS fullband"),
    (Measure::Jitter, "jitter_ms", "jitter ms"),
    (Measure::Loss, "loss_pct", "loss %"),
    (Measure::Rtt, "rtt_ms", "RTT ms"),
    (Measure::Delay, "call.pdd_ms", "post-dial ms"),
    (Measure::Delay, "call.setup_ms", "setup ms"),
    (Measure::Delay, "reg.rrd_ms", "registration ms"),
];
/// "Near 100 %", PRODUCT §5.
const RATIO_GOOD_PCT: f64 = 99.0;
const RATIO_BAD_PCT: f64 = 95.0;
/// Under the outcome.
const REASON_INDENT: usize = 15;
