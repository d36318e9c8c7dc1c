//! Thresholds with what was measured, and the verdict that decides the exit code.
//!
//! A threshold without data has failed: a test that asked for a MOS and got none did not pass.
//! A test that names no threshold gets the two of PRODUCT §5 that every test means.

use shared::definition::{Comparison, Test, Threshold};
use shared::metric::{self, MetricId};
use shared::phase::RunStatus;
use shared::result::{Distribution, Part, ThresholdResult, Verdict};

use super::counts::Role;

/// The thresholds of a test, or the implicit ones where it names none at all:
/// `registration_success >= 100%` where endpoints register, `call_success >= 99%` where they call.
/// They hold for what began; endpoints that never began leave no ratio and fail them too.
pub(crate) fn thresholds(test: &Test, roles: &[Role]) -> Vec<Threshold> {
    if !test.thresholds.is_empty() {
        return test.thresholds.clone();
    }
    let mut implicit = Vec::new();
    if test.groups.iter().any(|group| group.registrar.is_some()) {
        implicit.push(at_least("registration_success", IMPLICIT_REGISTRATION_PCT));
    }
    if roles.contains(&Role::Caller) {
        implicit.push(at_least("call_success", IMPLICIT_CALL_PCT));
    }
    implicit
}

fn at_least(ratio: &str, value: f64) -> Threshold {
    Threshold {
        text: format!("{ratio} >= {value}%"),
        metric: ratio.to_owned(),
        aggregate: None,
        group: None,
        op: Comparison::AtLeast,
        value,
    }
}

/// Judges each threshold by the whole run or by its group.
pub(crate) fn judge(thresholds: &[Threshold], all: &Part, groups: &[Part]) -> Vec<ThresholdResult> {
    thresholds
        .iter()
        .map(|threshold| {
            let part = match &threshold.group {
                None => Some(all),
                Some(name) => groups.iter().find(|part| part.name == *name),
            };
            let measured = part.and_then(|part| measured(threshold, part));
            ThresholdResult {
                text: threshold.text.clone(),
                measured,
                passed: measured.is_some_and(|value| holds(threshold.op, value, threshold.value)),
            }
        })
        .collect()
}

fn measured(threshold: &Threshold, part: &Part) -> Option<f64> {
    let ratios = &part.ratios;
    match threshold.metric.as_str() {
        "registration_success" => ratios.registration_success,
        "ira" => ratios.ira,
        "call_success" => ratios.call_success,
        "ser" => ratios.ser,
        "seer" => ratios.seer,
        "isa" => ratios.isa,
        "scr" => ratios.scr,
        key => aggregate(threshold.aggregate.as_deref(), distribution(part, key)?),
    }
}

/// `mos` and `r` mean the call's own scale: where no call was narrowband, the other scales stand in.
fn distribution<'a>(part: &'a Part, key: &str) -> Option<&'a Distribution> {
    let scales: &[MetricId] = match key {
        "mos" => &[metric::MOS, metric::MOS_FB, metric::MOS_WB],
        "r" => &[metric::R, metric::R_FB, metric::R_WB],
        _ => return part.metric(key),
    };
    scales
        .iter()
        .find_map(|scale| part.metric(scale.metric().key))
}

fn aggregate(name: Option<&str>, distribution: &Distribution) -> Option<f64> {
    Some(match name.unwrap_or("avg") {
        "p1" => distribution.p1,
        "p5" => distribution.p5,
        "p50" => distribution.p50,
        "p95" => distribution.p95,
        "p99" => distribution.p99,
        "avg" => distribution.mean,
        "worst" => distribution.worst,
        "min" => distribution.min,
        "max" => distribution.max,
        _ => return None,
    })
}

fn holds(op: Comparison, measured: f64, value: f64) -> bool {
    match op {
        Comparison::Less => measured < value,
        Comparison::AtMost => measured <= value,
        Comparison::Greater => measured > value,
        Comparison::AtLeast => measured >= value,
        Comparison::Equal => (measured - value).abs() <= EQUAL_WITHIN,
    }
}

/// The verdict: a run that did not complete failed; one that a person broke off is neither passed
/// nor failed; figures of a saturated generator are not judged; then the thresholds.
pub(crate) fn verdict(
    status: RunStatus,
    interrupted: bool,
    saturated: bool,
    thresholds: &[ThresholdResult],
) -> Verdict {
    if matches!(status, RunStatus::Failed | RunStatus::CannotRunForNow) {
        Verdict::Failed
    } else if interrupted {
        Verdict::Interrupted
    } else if saturated {
        Verdict::Invalid
    } else if thresholds.iter().any(|threshold| !threshold.passed) {
        Verdict::ThresholdCrossed
    } else {
        Verdict::Passed
    }
}

/// "Registration success 100 % within the buildup", PRODUCT §5.
const IMPLICIT_REGISTRATION_PCT: f64 = 100.0;
/// "Call success near 100 %", PRODUCT §5.
const IMPLICIT_CALL_PCT: f64 = 99.0;
/// Half a thousandth: the finest step of a sketch.
const EQUAL_WITHIN: f64 = 0.000_5;

#[cfg(test)]
mod tests {
    use shared::result::{MetricSummary, Ratios};

    use super::*;
    use crate::core::counts::roles;
    use crate::testing;

    fn part(name: &str) -> Part {
        let distribution = |base: f64| Distribution {
            count: 10,
            mean: base,
            min: base - 1.0,
            p1: base - 0.9,
            p5: base - 0.5,
            p50: base,
            p95: base + 0.5,
            p99: base + 0.9,
            max: base + 1.0,
            worst: base - 1.0,
        };
        Part {
            name: name.to_owned(),
            ratios: Ratios {
                call_success: Some(99.5),
                ser: Some(98.0),
                ..Ratios::default()
            },
            metrics: vec![
                MetricSummary {
                    metric: "mos_fb".to_owned(),
                    distribution: distribution(4.0),
                },
                MetricSummary {
                    metric: "jitter_ms".to_owned(),
                    distribution: distribution(20.0),
                },
            ],
            ..Part::default()
        }
    }

    fn threshold(metric: &str, aggregate: Option<&str>, op: Comparison, value: f64) -> Threshold {
        Threshold {
            text: metric.to_owned(),
            metric: metric.to_owned(),
            aggregate: aggregate.map(str::to_owned),
            group: None,
            op,
            value,
        }
    }

    #[test]
    fn thresholds_are_judged_by_table() {
        use Comparison::{AtLeast, AtMost, Equal, Greater, Less};
        for (metric, aggregate, op, value, measured, passed) in [
            ("call_success", None, AtLeast, 99.5, Some(99.5), true),
            ("call_success", None, Greater, 99.5, Some(99.5), false),
            ("ser", None, AtLeast, 99.0, Some(98.0), false),
            ("isa", None, AtMost, 1.0, None, false),
            ("mos", Some("p5"), AtLeast, 3.4, Some(3.5), true),
            ("mos", Some("worst"), AtLeast, 3.4, Some(3.0), false),
            ("mos_wb", Some("p5"), AtLeast, 1.0, None, false),
            ("jitter_ms", Some("p95"), Less, 20.5, Some(20.5), false),
            ("jitter_ms", Some("p99"), Less, 21.0, Some(20.9), true),
            ("jitter_ms", Some("avg"), Equal, 20.0, Some(20.0), true),
            ("jitter_ms", Some("min"), Equal, 19.0, Some(19.0), true),
            ("jitter_ms", Some("max"), Equal, 20.0, Some(21.0), false),
            ("rtt_ms", Some("p95"), Less, 1_000.0, None, false),
        ] {
            let judged = judge(
                &[threshold(metric, aggregate, op, value)],
                &part("all"),
                &[],
            );
            assert_eq!(
                (judged[0].measured, judged[0].passed),
                (measured, passed),
                "{metric}.{aggregate:?} {op:?} {value}"
            );
        }
    }

    #[test]
    fn a_threshold_of_a_group_looks_at_that_group() {
        let mut of_group = threshold("ser", None, Comparison::AtLeast, 50.0);
        of_group.group = Some("b".to_owned());
        let mut other = part("b");
        other.ratios.ser = Some(10.0);
        let groups = [part("a"), other];
        assert!(!judge(std::slice::from_ref(&of_group), &part("all"), &groups)[0].passed);
        of_group.group = Some("nobody".to_owned());
        assert!(!judge(&[of_group], &part("all"), &groups)[0].passed);
    }

    #[test]
    fn a_test_without_thresholds_gets_the_two_that_every_test_means() {
        let mut test = testing::pair_test(1, 1);
        let texts = |test: &Test| -> Vec<String> {
            thresholds(test, &roles(test))
                .into_iter()
                .map(|threshold| threshold.text)
                .collect()
        };
        assert_eq!(
            texts(&test),
            ["registration_success >= 100%", "call_success >= 99%"]
        );
        test.groups.remove(0);
        assert_eq!(texts(&test), ["registration_success >= 100%"]);
        test.groups[0].registrar = None;
        assert_eq!(texts(&test), Vec::<String>::new());
        test.thresholds = vec![threshold("ser", None, Comparison::AtLeast, 1.0)];
        assert_eq!(texts(&test), ["ser"]);
    }

    #[test]
    fn the_verdict_has_an_order() {
        let failed = [ThresholdResult {
            text: String::new(),
            measured: None,
            passed: false,
        }];
        for (status, interrupted, saturated, thresholds, want) in [
            (RunStatus::Failed, true, true, &failed[..], Verdict::Failed),
            (
                RunStatus::CannotRunForNow,
                false,
                false,
                &[],
                Verdict::Failed,
            ),
            (
                RunStatus::Completed,
                true,
                true,
                &failed,
                Verdict::Interrupted,
            ),
            (RunStatus::Completed, false, true, &failed, Verdict::Invalid),
            (
                RunStatus::Completed,
                false,
                false,
                &failed,
                Verdict::ThresholdCrossed,
            ),
            (RunStatus::Completed, false, false, &[], Verdict::Passed),
        ] {
            assert_eq!(verdict(status, interrupted, saturated, thresholds), want);
        }
    }
}
