//! The failure table: endpoints that failed, by outcome and SIP code, with one to open.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::phase::Outcome;
use shared::result::FailureRow;
use shared::wire::EndpointReport;

/// Rows of failures. The example is the endpoint with the lowest number, so that two runs that
/// failed alike show the same one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failures {
    rows: BTreeMap<(u8, Option<u16>), FailureRow>,
    left_out: u32,
}

impl Failures {
    /// Takes a report; one that did not fail changes nothing.
    pub(crate) fn add(&mut self, report: &EndpointReport) {
        if report.outcome.severity() < FAILURE {
            return;
        }
        let code = code_of(report);
        let key = (place(report.outcome), code);
        if !self.rows.contains_key(&key) && self.rows.len() >= ROWS_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let row = self.rows.entry(key).or_insert_with(|| FailureRow {
            outcome: report.outcome,
            code,
            reason: String::new(),
            count: 0,
            example_endpoint: u32::MAX,
            example_account: String::new(),
        });
        row.count = row.count.saturating_add(1);
        if report.endpoint.0 < row.example_endpoint {
            row.example_endpoint = report.endpoint.0;
            row.example_account.clone_from(&report.account);
            row.reason.clone_from(&report.reason);
        }
    }

    /// The commonest first, at most `limit`; and how many endpoints the rest holds.
    pub(crate) fn rows(&self, limit: usize) -> (Vec<FailureRow>, u32) {
        let mut rows: Vec<FailureRow> = self.rows.values().cloned().collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(row.count), row.example_endpoint));
        let left: u32 = rows.iter().skip(limit).map(|row| row.count).sum();
        rows.truncate(limit);
        (rows, left.saturating_add(self.left_out))
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The SIP code that says why: of the REGISTER where that failed, else of the call.
pub(crate) fn code_of(report: &EndpointReport) -> Option<u16> {
    if report.outcome == Outcome::RegistrationFailed {
        report.registration_code
    } else {
        report.call_code
    }
}

/// The place of an outcome in [`Outcome::ALL`].
pub(crate) fn place(outcome: Outcome) -> u8 {
    Outcome::ALL
        .iter()
        .position(|other| *other == outcome)
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(0)
}

/// Severity from which an outcome is a failure. PRODUCT §3.
const FAILURE: u8 = 10;
/// Different (outcome, code) pairs kept; further endpoints are counted as left out.
pub(crate) const ROWS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn rows_are_by_outcome_and_code_with_the_lowest_example() {
        let mut failures = Failures::default();
        for (endpoint, outcome, code) in [
            (9, Outcome::CallFailed, Some(486)),
            (4, Outcome::CallFailed, Some(486)),
            (1, Outcome::Success, None),
            (2, Outcome::CallFailed, Some(503)),
            (3, Outcome::Timeout, None),
            (5, Outcome::CompletedWithWarnings, None),
        ] {
            let mut report = testing::report(endpoint, outcome);
            report.call_code = code;
            failures.add(&report);
        }
        let (rows, left) = failures.rows(2);
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.outcome, row.code, row.count, row.example_endpoint))
            .collect();
        assert_eq!(
            seen,
            [
                (Outcome::CallFailed, Some(486), 2, 4),
                (Outcome::CallFailed, Some(503), 1, 2)
            ]
        );
        assert_eq!(left, 1);
    }

    #[test]
    fn a_failed_registration_shows_the_code_of_its_register() {
        let mut report = testing::report(0, Outcome::RegistrationFailed);
        report.registration_code = Some(403);
        report.call_code = Some(200);
        assert_eq!(code_of(&report), Some(403));
    }
}
