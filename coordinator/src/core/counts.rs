//! Counts of groups, how they add up to the whole run, and the ratios of RFC 6076.
//!
//! A call between two of our groups is seen at both ends; the whole run counts it once, at the
//! caller. A group that only receives from others' callers counts at its own end.

use shared::definition::{Target, Test};
use shared::metric::{self, MetricId};
use shared::result::{Counts, Ratios};

use super::part::CallTotals;

/// What a group does in calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends INVITEs.
    Caller,
    /// Receives them from another group of this test.
    Called,
    /// Receives them from elsewhere.
    Receiver,
    /// Only registers.
    Idle,
}

/// The role of each group, in the test's order.
pub(crate) fn roles(test: &Test) -> Vec<Role> {
    test.groups
        .iter()
        .enumerate()
        .map(|(index, group)| match group.target {
            Target::Uri(_) | Target::Group(_) => Role::Caller,
            Target::Nobody => Role::Idle,
            Target::Receives if is_called(test, index) => Role::Called,
            Target::Receives => Role::Receiver,
        })
        .collect()
}

fn is_called(test: &Test, index: usize) -> bool {
    test.groups
        .iter()
        .any(|group| matches!(group.target, Target::Group(to) if usize::from(to) == index))
}

/// Adds what a counter column summed up to in one frame.
pub(crate) fn count(counts: &mut Counts, role: Role, id: MetricId, sum: f64) {
    let n = whole(sum);
    match id {
        metric::REG_ATTEMPTS => counts.registrations_attempted += n,
        metric::REG_SUCCESS => counts.registrations_succeeded += n,
        metric::REG_FAILED => counts.registrations_failed += n,
        metric::CALL_ATTEMPTS => counts.calls_attempted += n,
        metric::CALL_ESTABLISHED if role == Role::Caller => counts.calls_established += n,
        metric::CALL_FAILED => counts.calls_failed += n,
        metric::CALL_INCOMING => counts.calls_received += n,
        metric::CALL_ENDED => counts.calls_completed += n,
        metric::SIP_RETRANSMITS_SENT => counts.retransmits_sent += n,
        _ => {}
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates; counts are whole
fn whole(sum: f64) -> u64 {
    sum.max(0.0).round() as u64
}

/// Adds a group to the whole run.
pub(crate) fn add(all: &mut Counts, group: &Counts, role: Role) {
    all.endpoints += group.endpoints;
    for (sum, part) in all.phases.iter_mut().zip(group.phases) {
        *sum += part;
    }
    for (sum, part) in all.outcomes.iter_mut().zip(group.outcomes) {
        *sum += part;
    }
    all.registrations_attempted += group.registrations_attempted;
    all.registrations_succeeded += group.registrations_succeeded;
    all.registrations_failed += group.registrations_failed;
    all.unregistered += group.unregistered;
    all.calls_attempted += group.calls_attempted;
    all.calls_established += group.calls_established;
    all.calls_received += group.calls_received;
    all.retransmits_sent += group.retransmits_sent;
    if role != Role::Called {
        all.calls_failed += group.calls_failed;
        all.calls_completed += group.calls_completed;
    }
}

/// The ratios of a part in per cent; null where the denominator is 0.
///
/// An attempt is one INVITE dialog attempt: a challenge is not a second one. An attempt without any
/// final answer counts as a 408 (RFC 3261 §8.1.3.1). SER, SEER and ISA need the code of every
/// attempt; they are null where endpoints made more calls than their reports detail.
/// Source: RFC 6076 §4.2, §4.6–§4.9.
pub(crate) fn ratios(counts: &Counts, calls: &CallTotals) -> Ratios {
    let attempts = counts.calls_attempted;
    let detailed: u64 = calls.codes.values().sum();
    let of_codes = |wanted: fn(u16) -> bool| -> u64 {
        calls
            .codes
            .iter()
            .filter(|(code, _)| wanted(code.unwrap_or(408)))
            .map(|(_, count)| count)
            .sum()
    };
    let redirected = of_codes(|code| (300..400).contains(&code));
    let complete = detailed == attempts && !calls.cut;
    let by_code = |part: u64, whole: u64| {
        if complete { percent(part, whole) } else { None }
    };
    Ratios {
        registration_success: percent(
            counts.registrations_succeeded,
            counts.registrations_attempted,
        ),
        ira: percent(
            calls.registrations_ineffective,
            counts.registrations_attempted,
        ),
        call_success: percent(counts.calls_established, attempts),
        ser: by_code(
            of_codes(|code| code == 200),
            attempts.saturating_sub(redirected),
        ),
        seer: by_code(
            of_codes(|code| matches!(code, 200 | 480 | 486 | 600 | 603)),
            attempts.saturating_sub(redirected),
        ),
        isa: by_code(
            of_codes(|code| matches!(code, 408 | 500 | 503 | 504)),
            attempts,
        ),
        scr: percent(counts.calls_completed.min(attempts), attempts),
    }
}

/// Per cent, or none where there is nothing to divide by.
#[allow(clippy::cast_precision_loss)] // counts stay far below 2^53
pub(crate) fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing;

    #[test]
    fn a_call_between_our_groups_counts_once() {
        let test = testing::pair_test(1, 1);
        assert_eq!(roles(&test), [Role::Caller, Role::Called]);
        let mut parts = [Counts::default(), Counts::default()];
        for id in [metric::CALL_ESTABLISHED, metric::CALL_ENDED] {
            count(&mut parts[0], Role::Caller, id, 1.0);
            count(&mut parts[1], Role::Called, id, 1.0);
        }
        count(&mut parts[0], Role::Caller, metric::CALL_ATTEMPTS, 1.0);
        count(&mut parts[1], Role::Called, metric::CALL_INCOMING, 1.0);
        let mut all = Counts::default();
        for (part, role) in parts.iter().zip(roles(&test)) {
            add(&mut all, part, role);
        }
        assert_eq!(
            (
                all.calls_attempted,
                all.calls_established,
                all.calls_completed,
                all.calls_received
            ),
            (1, 1, 1, 1)
        );
        assert_eq!(parts[1].calls_completed, 1);
    }

    /// RFC 6076 §4.6–§4.8 with ten attempts: 4 × 200, 1 × 302, 2 × 486, 1 × 503, 1 × 404, 1 silent.
    #[test]
    fn the_ratios_are_those_of_rfc_6076() {
        let calls = CallTotals {
            codes: BTreeMap::from([
                (Some(200), 4),
                (Some(302), 1),
                (Some(486), 2),
                (Some(503), 1),
                (Some(404), 1),
                (None, 1),
            ]),
            registrations_ineffective: 1,
            ..CallTotals::default()
        };
        let counts = Counts {
            registrations_attempted: 4,
            registrations_succeeded: 2,
            calls_attempted: 10,
            calls_established: 4,
            calls_completed: 3,
            ..Counts::default()
        };
        let got = ratios(&counts, &calls);
        let near = |value: Option<f64>, want: f64| (value.unwrap() - want).abs() < 1e-9;
        assert!(near(got.registration_success, 50.0));
        assert!(near(got.ira, 25.0));
        assert!(near(got.call_success, 40.0));
        assert!(near(got.ser, 400.0 / 9.0));
        assert!(near(got.seer, 600.0 / 9.0));
        assert!(near(got.isa, 20.0));
        assert!(near(got.scr, 30.0));
    }

    #[test]
    fn a_ratio_without_a_denominator_or_without_all_codes_is_absent() {
        assert_eq!(
            ratios(&Counts::default(), &CallTotals::default()),
            Ratios::default()
        );
        let counts = Counts {
            calls_attempted: 2,
            ..Counts::default()
        };
        let calls = CallTotals {
            codes: BTreeMap::from([(Some(200), 1)]),
            ..CallTotals::default()
        };
        assert_eq!(ratios(&counts, &calls).ser, None);
    }
}
