//! Whether a run whose endpoints have all ended COMPLETED or FAILED, and the sentence that says why.
//!
//! FAILED is for critical errors only: nothing registered, or nothing answered at all. Calls that a
//! target refuses with a code are a result, not a failure of the run. Source: PRODUCT §2 and §7.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::definition::{Registrar, Target, Test, Transport};
use shared::phase::{Outcome, Phase};
use shared::result::Counts;
use shared::wire::EndpointReport;

use super::Now;

/// What ended a run before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CriticalError {
    /// Machine-readable.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) sentence: String,
}

/// What the endpoints' reports say together. Bounded by registrars and groups.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Endings {
    /// By registrar.
    registrations: BTreeMap<u16, Tally>,
    /// By caller group.
    callers: BTreeMap<u16, Tally>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tally {
    ended: u32,
    failed: u32,
    example: Option<Example>,
    since_unix_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Example {
    endpoint: u32,
    account: String,
    code: Option<u16>,
    reason: String,
}

impl Tally {
    fn add(&mut self, now: Now, report: &EndpointReport, failed: bool, code: Option<u16>) {
        self.ended += 1;
        if !failed {
            return;
        }
        if self.failed == 0 {
            self.since_unix_ms = now.unix_ms;
        }
        self.failed += 1;
        if self
            .example
            .as_ref()
            .is_none_or(|example| report.endpoint.0 < example.endpoint)
        {
            self.example = Some(Example {
                endpoint: report.endpoint.0,
                account: report.account.clone(),
                code,
                reason: report.reason.clone(),
            });
        }
    }

    fn all_failed(&self) -> bool {
        self.ended > 0 && self.failed == self.ended
    }
}

impl Endings {
    /// Takes a report, once per endpoint.
    pub(crate) fn add(&mut self, now: Now, test: &Test, report: &EndpointReport) {
        let Some(group) = test.groups.get(report.group.index()) else {
            return;
        };
        if let Some(registrar) = group.registrar {
            let failed = registration_failed(report);
            self.registrations.entry(registrar).or_default().add(
                now,
                report,
                failed,
                report.registration_code,
            );
        }
        if matches!(group.target, Target::Uri(_) | Target::Group(_)) {
            // A call whose INVITE never left (no ports here, say) says nothing of the target.
            let silent = !report.calls.is_empty()
                && report.phase >= Phase::Calling
                && report.call_code.is_none()
                && report
                    .calls
                    .iter()
                    .all(|call| !call.established && call.code.is_none());
            self.callers
                .entry(report.group.0)
                .or_default()
                .add(now, report, silent, None);
        }
    }

    /// The critical error of a run that ended by itself, if there is one.
    pub(crate) fn critical(&self, test: &Test, counts: &Counts) -> Option<CriticalError> {
        if counts.registrations_succeeded == 0 {
            self.nothing_registered(test)
        } else {
            None
        }
        .or_else(|| self.nothing_answered(test))
    }

    fn nothing_registered(&self, test: &Test) -> Option<CriticalError> {
        if self.registrations.is_empty() || !self.registrations.values().all(Tally::all_failed) {
            return None;
        }
        let sentences: Vec<String> = self
            .registrations
            .iter()
            .filter_map(|(index, tally)| {
                let registrar = test.registrars.get(usize::from(*index))?;
                let example = tally.example.as_ref()?;
                Some(format!(
                    "All {} endpoints failed to register at registrar `{}` ({}) since {}: {}. Check the registrar's address, the accounts and their passwords; open the trace of endpoint {} (account `{}`).",
                    tally.failed,
                    registrar.name,
                    place(registrar),
                    clock(tally.since_unix_ms),
                    answer(example),
                    example.endpoint,
                    example.account
                ))
            })
            .take(REGISTRARS_TOLD)
            .collect();
        Some(CriticalError {
            reason: "all_registrations_failed",
            sentence: sentences.join(" "),
        })
    }

    fn nothing_answered(&self, test: &Test) -> Option<CriticalError> {
        if self.callers.is_empty() || !self.callers.values().all(Tally::all_failed) {
            return None;
        }
        let (index, tally) = self.callers.first_key_value()?;
        let group = test.groups.get(usize::from(*index))?;
        let example = tally.example.as_ref()?;
        let registrar = group
            .registrar
            .and_then(|registrar| test.registrars.get(usize::from(registrar)));
        let target = match (&group.target, registrar) {
            (Target::Uri(uri), Some(registrar)) if registrar.outbound_proxy.is_some() => {
                format!("{uri} through {}", place(registrar))
            }
            (Target::Uri(uri), _) => uri.clone(),
            (_, Some(registrar)) => place(registrar),
            (_, None) => "the callees' own addresses".to_owned(),
        };
        Some(CriticalError {
            reason: "sut_unreachable",
            sentence: format!(
                "The system under test was not reachable: none of {} callers got any final answer from {target} since {}: {}. Check that it listens there and that nothing between drops the packets; open the trace of endpoint {} (account `{}`).",
                tally.failed,
                clock(tally.since_unix_ms),
                plain(&example.reason),
                example.endpoint,
                example.account
            ),
        })
    }
}

/// Failed to register: as its outcome says, or because nothing could be sent or came back before it.
fn registration_failed(report: &EndpointReport) -> bool {
    match report.outcome {
        Outcome::RegistrationFailed => true,
        Outcome::Timeout | Outcome::Oserror => {
            report.calls.is_empty()
                && !report
                    .registration_code
                    .is_some_and(|code| (200..300).contains(&code))
        }
        Outcome::Success
        | Outcome::CompletedWithWarnings
        | Outcome::CallFailed
        | Outcome::NegotiationFailed
        | Outcome::TeardownError => false,
    }
}

fn place(registrar: &Registrar) -> String {
    let transport = match registrar.transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    };
    match &registrar.outbound_proxy {
        Some(proxy) => format!("outbound proxy {proxy}, {transport}"),
        None if registrar.host.contains(':') && !registrar.host.starts_with('[') => {
            format!("[{}]:{} {transport}", registrar.host, registrar.port)
        }
        None => format!("{}:{} {transport}", registrar.host, registrar.port),
    }
}

fn answer(example: &Example) -> String {
    let reason = plain(&example.reason);
    match example.code {
        Some(code) if reason.contains(&code.to_string()) => reason.to_owned(),
        Some(code) => format!("SIP {code} ({reason})"),
        None => format!("no answer ({reason})"),
    }
}

/// A node's sentence inside one of ours: without its full stop.
fn plain(reason: &str) -> &str {
    let reason = reason.trim().trim_end_matches('.');
    if reason.is_empty() {
        "no reason given"
    } else {
        reason
    }
}

/// The time of day for people.
pub(crate) fn clock(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000 % 86_400;
    format!(
        "{:02}:{:02}:{:02} UTC",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Registrars with a sentence of their own.
const REGISTRARS_TOLD: usize = 4;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use shared::id::GroupIndex;
    use shared::wire::CallReport;

    use super::*;
    use crate::testing;

    fn now() -> Now {
        Now {
            instant: Instant::now(),
            unix_ms: 3_723_000,
        }
    }

    fn ended(
        test: &Test,
        reports: impl IntoIterator<Item = EndpointReport>,
        registered: u64,
    ) -> Option<CriticalError> {
        let mut endings = Endings::default();
        for report in reports {
            endings.add(now(), test, &report);
        }
        let counts = Counts {
            registrations_succeeded: registered,
            ..Counts::default()
        };
        endings.critical(test, &counts)
    }

    fn refused(endpoint: u32, code: Option<u16>) -> EndpointReport {
        let mut report = testing::report(endpoint, Outcome::RegistrationFailed);
        report.group = GroupIndex(u16::from(endpoint >= 2));
        report.registration_code = code;
        report.reason = "the registrar refused".to_owned();
        report
    }

    #[test]
    fn all_registrations_refused_is_a_failed_run_with_everything_to_check() {
        let test = testing::pair_test(2, 2);
        let error = ended(&test, (0..4).map(|n| refused(n, Some(403))), 0).unwrap();
        assert_eq!(error.reason, "all_registrations_failed");
        for word in [
            "All 4 endpoints",
            "`pbx`",
            "127.0.0.1:5060 UDP",
            "SIP 403",
            "endpoint 0 (account `user0`)",
            "01:02:03 UTC",
        ] {
            assert!(error.sentence.contains(word), "{word}: {}", error.sentence);
        }
    }

    #[test]
    fn silence_is_told_as_no_answer() {
        let test = testing::pair_test(2, 2);
        let error = ended(&test, (0..4).map(|n| refused(n, None)), 0).unwrap();
        assert!(error.sentence.contains("no answer"), "{}", error.sentence);
    }

    #[test]
    fn one_success_makes_it_a_result() {
        let test = testing::pair_test(2, 2);
        let reports = (0..4).map(|n| {
            if n == 3 {
                let mut report = testing::report(3, Outcome::Success);
                report.group = GroupIndex(1);
                report
            } else {
                refused(n, Some(403))
            }
        });
        assert_eq!(ended(&test, reports, 1), None);
    }

    fn silent_call(endpoint: u32, code: Option<u16>) -> EndpointReport {
        let mut report = testing::report(endpoint, Outcome::Timeout);
        report.registration_code = Some(200);
        report.call_code = code;
        report.reason = "connection refused by 127.0.0.1:5999 (ICMP)".to_owned();
        report.calls = vec![CallReport {
            caller: true,
            code,
            ..CallReport::default()
        }];
        report
    }

    #[test]
    fn calls_without_any_answer_mean_an_unreachable_target() {
        let mut test = testing::pair_test(2, 0);
        test.groups.truncate(1);
        test.groups[0].target = Target::Uri("sip:echo@127.0.0.1:5999".to_owned());
        let error = ended(&test, (0..2).map(|n| silent_call(n, None)), 2).unwrap();
        assert_eq!(error.reason, "sut_unreachable");
        for word in ["sip:echo@127.0.0.1:5999", "ICMP", "01:02:03 UTC"] {
            assert!(error.sentence.contains(word), "{word}: {}", error.sentence);
        }
    }

    #[test]
    fn refused_calls_are_a_result() {
        let test = testing::pair_test(2, 0);
        assert_eq!(
            ended(&test, (0..2).map(|n| silent_call(n, Some(486))), 2),
            None
        );
        let no_ports = (0..2).map(|n| EndpointReport {
            phase: Phase::Registered,
            ..silent_call(n, None)
        });
        assert_eq!(ended(&test, no_ports, 2), None, "our own fault");
        let mixed = [silent_call(0, None), silent_call(1, Some(486))];
        assert_eq!(ended(&test, mixed, 2), None);
    }
}
