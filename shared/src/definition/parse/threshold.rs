//! `thresholds = ["mos.p5 >= 3.8", "callers: call_success >= 99.5%"]`.
//!
//! Grammar: `[GROUP:] METRIC[.AGGREGATE] OP VALUE[UNIT]`. A metric is a key of the catalogue, with
//! or without its unit at the end (`jitter_ms` or `jitter`), and needs an aggregate; a run ratio
//! has none.

use super::super::mistake::Mistakes;
use super::super::{Comparison, Threshold};
use super::nearest::nearest;
use super::section::Section;
use crate::metric::{CATALOGUE, Metric, MetricId, Unit};
use crate::units::Millis;

pub(super) fn read(
    root: &mut Section<'_, '_>,
    groups: &[String],
    mistakes: &mut Mistakes<'_>,
) -> Vec<Threshold> {
    let Some(field) = root.take("thresholds") else {
        return Vec::new();
    };
    let mut thresholds = Vec::new();
    for text in field
        .texts("[\"mos.p5 >= 3.8\"]", mistakes)
        .unwrap_or_default()
    {
        match threshold(text.value, groups) {
            Ok(threshold) => thresholds.push(threshold),
            Err(message) => mistakes.add(&text.spot, message),
        }
    }
    if thresholds.len() > THRESHOLDS_MAX {
        let message = format!("{} thresholds; at most {THRESHOLDS_MAX}", thresholds.len());
        mistakes.add(&field.spot, message);
    }
    thresholds
}

fn threshold(text: &str, groups: &[String]) -> Result<Threshold, String> {
    let (group, rest) = match text.split_once(':') {
        Some((group, rest)) => (Some(known_group(group.trim(), groups)?), rest),
        None => (None, text),
    };
    let start = rest.find(['<', '>', '=', '!']).ok_or_else(|| {
        format!("`{text}` compares nothing; write METRIC OP VALUE, such as \"mos.p5 >= 3.8\"")
    })?;
    let (name, after) = rest.split_at(start);
    let length = after.chars().take_while(|c| "<>=!".contains(*c)).count();
    let (op, value) = after.split_at(length);
    let op = comparison(op)?;
    let subject = subject(name.trim())?;
    let value = number(value.trim(), subject.unit)?;
    Ok(Threshold {
        text: text.to_owned(),
        metric: subject.metric.to_owned(),
        aggregate: subject.aggregate.map(str::to_owned),
        group,
        op,
        value,
    })
}

fn known_group(name: &str, groups: &[String]) -> Result<String, String> {
    if groups.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    Err(match nearest(name, groups.iter().map(String::as_str)) {
        Some(meant) => format!("there is no group `{name}`; did you mean `{meant}`?"),
        None => format!(
            "there is no group `{name}`; there are {}",
            groups.join(", ")
        ),
    })
}

fn comparison(op: &str) -> Result<Comparison, String> {
    match op {
        "<" => Ok(Comparison::Less),
        "<=" => Ok(Comparison::AtMost),
        ">" => Ok(Comparison::Greater),
        ">=" => Ok(Comparison::AtLeast),
        "==" => Ok(Comparison::Equal),
        "=" => Err("`=` is no comparison; write `==`".into()),
        "=>" => Err("`=>` is no comparison; write `>=`".into()),
        "=<" => Err("`=<` is no comparison; write `<=`".into()),
        other => Err(format!(
            "`{other}` is no comparison; write <, <=, >, >= or =="
        )),
    }
}

struct Subject {
    metric: &'static str,
    aggregate: Option<&'static str>,
    unit: Unit,
}

fn subject(name: &str) -> Result<Subject, String> {
    if let Some(ratio) = RATIOS.into_iter().find(|ratio| *ratio == name) {
        return Ok(Subject {
            metric: ratio,
            aggregate: None,
            unit: Unit::Percent,
        });
    }
    if let Some(metric) = metric(name) {
        let (bad, worst) = (bad_tail(metric), metric.key);
        return Err(format!(
            "`{name}` needs an aggregate; write {name}.{bad} or {worst}.worst"
        ));
    }
    if let Some((key, tail)) = name.rsplit_once('.') {
        let aggregate = AGGREGATES.into_iter().find(|known| *known == tail);
        match (metric(key), aggregate) {
            (Some(metric), Some(aggregate)) => {
                return Ok(Subject {
                    metric: metric.key,
                    aggregate: Some(aggregate),
                    unit: metric.unit,
                });
            }
            (Some(_), None) => {
                let meant = nearest(tail, AGGREGATES);
                let hint = meant.map_or_else(
                    || format!("known are {}", AGGREGATES.join(", ")),
                    |meant| format!("did you mean `{key}.{meant}`?"),
                );
                return Err(format!("`{tail}` is no aggregate; {hint}"));
            }
            (None, _) if RATIOS.contains(&key) => {
                return Err(format!(
                    "`{key}` is one figure for the whole run; write it without .{tail}"
                ));
            }
            (None, _) => {}
        }
    }
    Err(unknown(name))
}

fn unknown(name: &str) -> String {
    let (key, tail) = match name.rsplit_once('.') {
        Some((key, tail)) if AGGREGATES.contains(&tail) => (key, Some(tail)),
        _ => (name, None),
    };
    let short = |metric: &'static Metric| {
        let key = metric.key;
        key.strip_suffix("_ms")
            .or_else(|| key.strip_suffix("_pct"))
            .unwrap_or(key)
    };
    let candidates = CATALOGUE
        .iter()
        .flat_map(|metric| [metric.key, short(metric)]);
    // The last part alone is how people remember a metric: `setup_ms` for `call.setup_ms`.
    let part = |wanted: &str| {
        CATALOGUE.iter().map(|metric| metric.key).find(|known| {
            known
                .rsplit('.')
                .next()
                .is_some_and(|last| last == wanted || last.strip_suffix("_ms") == Some(wanted))
        })
    };
    let meant = part(key).or_else(|| nearest(key, candidates.chain(RATIOS)));
    match (meant, tail) {
        (Some(meant), Some(tail)) if !RATIOS.contains(&meant) => {
            format!("there is no metric `{key}`; did you mean `{meant}.{tail}`?")
        }
        (Some(meant), _) => format!("there is no metric `{key}`; did you mean `{meant}`?"),
        (None, _) => format!(
            "there is no metric `{key}`; docs/METRICS.md lists them, the ratios are {}",
            RATIOS.join(", ")
        ),
    }
}

/// A metric by its key, with or without its unit.
fn metric(key: &str) -> Option<&'static Metric> {
    ["", "_ms", "_pct", "_ppm", "_dbov"]
        .into_iter()
        .find_map(|unit| MetricId::by_key(&format!("{key}{unit}")))
        .map(MetricId::metric)
}

fn bad_tail(metric: &Metric) -> &'static str {
    match metric.better {
        crate::metric::Better::Higher => "p5",
        crate::metric::Better::Lower | crate::metric::Better::Neither => "p95",
    }
}

/// The value in the metric's unit.
fn number(text: &str, unit: Unit) -> Result<f64, String> {
    let wrong = || {
        let example = match unit {
            Unit::Mos => "3.8",
            Unit::Percent => "99.5%",
            Unit::Milliseconds => "150ms",
            _ => "10",
        };
        format!("`{text}` is no value of this metric; write a number such as {example}")
    };
    let plain = |text: &str| {
        text.trim()
            .parse::<f64>()
            .ok()
            .filter(|value| value.is_finite())
    };
    let value = match unit {
        Unit::Percent => plain(text.strip_suffix('%').unwrap_or(text)),
        Unit::Milliseconds => milliseconds(text).or_else(|| plain(text)),
        _ => plain(text.strip_suffix(unit.symbol()).unwrap_or(text)),
    };
    let value = value.ok_or_else(wrong)?;
    let (least, most) = match unit {
        Unit::Mos => (1.0, 5.0),
        Unit::Percent => (0.0, 100.0),
        Unit::Milliseconds => (0.0, f64::MAX),
        _ => (f64::MIN, f64::MAX),
    };
    if !(least..=most).contains(&value) {
        return Err(match unit {
            Unit::Milliseconds => format!("{text} is negative; a time is 0 or more"),
            _ => format!("{text} can never be reached; the figure lies between {least} and {most}"),
        });
    }
    Ok(value)
}

/// `150ms`, `1.5s`, `1m30s`.
fn milliseconds(text: &str) -> Option<f64> {
    if let Some(ms) = text.strip_suffix("ms") {
        return ms.trim().parse::<f64>().ok();
    }
    if let Ok(span) = Millis::parse(text) {
        // Exact below 2^53 ms, far above any bound of a duration.
        return Some(span.0 as f64);
    }
    text.strip_suffix('s')?
        .trim()
        .parse::<f64>()
        .ok()
        .map(|seconds| seconds * 1_000.0)
}

/// Ratios of a whole run or group, in per cent.
const RATIOS: [&str; 7] = [
    "registration_success",
    "ira",
    "call_success",
    "ser",
    "seer",
    "isa",
    "scr",
];
const AGGREGATES: [&str; 9] = [
    "p1", "p5", "p50", "p95", "p99", "avg", "worst", "min", "max",
];
const THRESHOLDS_MAX: usize = 200;
