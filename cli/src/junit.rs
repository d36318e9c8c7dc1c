//! The result as JUnit XML: a case for the run, one for each threshold, one for each group.

use std::io::Write;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use shared::result::{Part, RunResult, Verdict};

use crate::screen::figure::printable;
use crate::summary::{measured, reason};

/// Writes the report.
pub(crate) fn write(result: &RunResult, out: &mut impl Write) -> anyhow::Result<()> {
    let name = printable(&result.test);
    let mut report = Report::new(format!("carillon {name}"));
    let mut suite = TestSuite::new(name);
    suite.set_time(Duration::from_millis(result.elapsed_ms));
    suite.add_property(("run", result.run.as_str()));
    suite.add_property(("status", result.status.name()));
    suite.add_test_case(run_case(result));
    for threshold in &result.thresholds {
        let text = printable(&threshold.text);
        let sentence =
            (!threshold.passed).then(|| format!("{text} did not hold: {}", measured(threshold)));
        suite.add_test_case(case("thresholds", &text, sentence, "threshold"));
    }
    for group in &result.groups {
        suite.add_test_case(case(
            "groups",
            &printable(&group.name),
            group_fault(group),
            "group",
        ));
    }
    report.add_test_suite(suite);
    report.serialize(out)?;
    Ok(())
}

/// Whether the run came about at all, and whether its figures count.
fn run_case(result: &RunResult) -> TestCase {
    let sentence = match result.verdict {
        Verdict::Passed | Verdict::ThresholdCrossed => None,
        Verdict::Failed | Verdict::Invalid | Verdict::Interrupted => {
            let problems = result
                .problems
                .iter()
                .map(|problem| printable(&problem.sentence));
            let sentences: Vec<String> = std::iter::once(reason(result)).chain(problems).collect();
            Some(sentences.join("; "))
        }
    };
    let mut case = case("run", "run", sentence, "run");
    case.set_time(Duration::from_millis(result.elapsed_ms));
    case
}

/// What failed in a group, in one sentence.
fn group_fault(group: &Part) -> Option<String> {
    let counts = &group.counts;
    let unregistered = counts
        .registrations_attempted
        .saturating_sub(counts.registrations_succeeded);
    let unanswered = counts
        .calls_attempted
        .saturating_sub(counts.calls_established);
    let mut faults = Vec::new();
    if unregistered > 0 {
        let of = counts.registrations_attempted;
        faults.push(format!(
            "{unregistered} of {of} endpoints were not registered"
        ));
    }
    if unanswered > 0 {
        faults.push(format!(
            "{unanswered} of {} calls did not come about",
            counts.calls_attempted
        ));
    }
    let failed = crate::screen::live::failures(counts);
    if faults.is_empty() && failed > 0 {
        faults.push(format!("{failed} of {} endpoints failed", counts.endpoints));
    }
    (!faults.is_empty()).then(|| faults.join("; "))
}

fn case(class: &str, name: &str, fault: Option<String>, kind: &str) -> TestCase {
    let status = match fault {
        None => TestCaseStatus::success(),
        Some(sentence) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(kind).set_message(sentence);
            status
        }
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::result;

    #[test]
    fn thresholds_and_groups_are_cases_and_control_characters_are_gone() {
        let mut result = result(Verdict::ThresholdCrossed);
        result.groups[1].name = "callees\u{1b}[2J".to_owned();
        result.groups[1].counts.registrations_succeeded = 7;
        let mut xml = Vec::new();
        write(&result, &mut xml).unwrap();
        let xml = String::from_utf8(xml).unwrap();
        for part in [
            "tests=\"6\" disabled=\"0\" errors=\"0\" failures=\"3\"",
            "message=\"mos.p5 &gt;= 4.3 did not hold: 4.05\"",
            "message=\"3 of 10 endpoints were not registered\"",
            "name=\"callees[2J\"",
        ] {
            assert!(xml.contains(part), "{part}\n{xml}");
        }
        assert!(!xml.contains('\u{1b}'));
    }
}
