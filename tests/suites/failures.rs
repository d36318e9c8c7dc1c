//! What goes wrong, one by one: outcome, SIP code, run status, sentence and exit code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step is a failed test"
)]

use std::collections::HashMap;
use std::net::UdpSocket;
use std::time::Duration;

use lab::{Accounts, Action, Fault, Lab, LabConfig, LabHandle};
use shared::phase::{Outcome, RunStatus};
use shared::result::Verdict;
use tests::{Carillon, Finished, Reported, free_ports};

fn lab(change: impl FnOnce(&mut LabConfig)) -> LabHandle {
    let mut config = LabConfig::default();
    change(&mut config);
    Lab::start(config).unwrap()
}

/// One caller and one callee at the registrar of this port.
fn pair(port: u16) -> String {
    format!(
        r#"duration = "50s"

[registrars.pbx]
domain = "127.0.0.1"
port = {port}

[groups.callers]
registrar = "pbx"
accounts = [{{ username = "alice", password = "pw-alice" }}]
calls = {{ group = "callees" }}
call_duration = "2s"

[groups.callees]
registrar = "pbx"
accounts = [{{ username = "bob", password = "pw-bob" }}]
receives = true
"#
    )
}

/// One endpoint that registers.
fn registering(port: u16) -> String {
    format!(
        r#"duration = "5s"

[registrars.pbx]
domain = "127.0.0.1"
port = {port}

[groups.phones]
registrar = "pbx"
accounts = [{{ username = "alice", password = "pw-alice" }}]
"#
    )
}

/// One caller without a registrar.
fn calling(port: u16) -> String {
    format!(
        "duration = \"50s\"\n[groups.callers]\ncount = 1\ncalls = \"sip:echo@127.0.0.1:{port}\"\ncall_duration = \"2s\"\n"
    )
}

/// What the run and the endpoint `account` ended with.
struct Expected {
    exit: i32,
    status: RunStatus,
    outcome: Outcome,
    registration: Option<u16>,
    call: Option<u16>,
    /// Words that the sentence must have, in any case.
    sentence: &'static [&'static str],
}

fn assert_ends(name: &str, finished: &Finished, account: &str, expected: &Expected) {
    let result = finished.result();
    let output = &finished.output;
    let endpoint = result
        .endpoints
        .iter()
        .find(|endpoint| endpoint.account.contains(account))
        .unwrap_or_else(|| panic!("{name}: no endpoint {account}:\n{output}"));
    let report = endpoint.report();
    let sentence = report.reason.to_lowercase();
    let got = (report.outcome, report.registration_code, report.call_code);
    assert_eq!(
        got,
        (expected.outcome, expected.registration, expected.call),
        "{name}: {report:?}"
    );
    for word in expected.sentence {
        assert!(
            sentence.contains(&word.to_lowercase()),
            "{name}: `{word}` is not in `{}`",
            report.reason
        );
    }
    assert_eq!(result.status, expected.status, "{name}:\n{output}");
    finished.assert_ended(expected.exit);
    assert!(
        endpoint.has_trace || report.outcome == Outcome::Oserror,
        "{name}: a failure without its trace"
    );
    let row = result
        .failures
        .iter()
        .find(|row| row.outcome == expected.outcome);
    let row =
        row.unwrap_or_else(|| panic!("{name}: not in the failure table: {:?}", result.failures));
    assert_eq!(
        row.code,
        expected.call.or(expected.registration),
        "{name}: {row:?}"
    );
}

#[test]
fn a_wrong_password_is_a_failed_registration() {
    let accounts = HashMap::from([("alice".to_owned(), "something else".to_owned())]);
    let lab = lab(|config| config.accounts = Accounts::Listed(accounts));
    let finished = Carillon::run("password", &registering(lab.sip_addr().port()), &[]).wait(SOON);
    let expected = Expected {
        exit: 1,
        status: RunStatus::Failed,
        outcome: Outcome::RegistrationFailed,
        registration: Some(401),
        call: None,
        sentence: &["401", "credentials"],
    };
    assert_ends("wrong password", &finished, "alice", &expected);
    assert_eq!(finished.result().verdict, Verdict::Failed);
    let last = finished.result().history.last().unwrap();
    assert!(
        last.sentence.contains(&lab.sip_addr().port().to_string()),
        "{}",
        last.sentence
    );
}

#[test]
fn an_unknown_user_is_a_failed_registration() {
    let lab = lab(|config| config.accounts = Accounts::Listed(HashMap::new()));
    let finished = Carillon::run("user", &registering(lab.sip_addr().port()), &[]).wait(SOON);
    let expected = Expected {
        exit: 1,
        status: RunStatus::Failed,
        outcome: Outcome::RegistrationFailed,
        registration: Some(404),
        call: None,
        sentence: &["404"],
    };
    assert_ends("unknown user", &finished, "alice", &expected);
}

#[test]
fn a_registrar_that_never_answers_is_told_after_timer_f() {
    // Bound, so that the kernel does not refuse for it, and silent.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let test = registering(port).replace("duration = \"5s\"", "duration = \"45s\"");
    let finished = Carillon::run("silent", &test, &[]).wait(AFTER_TIMER_F);
    let expected = Expected {
        exit: 1,
        status: RunStatus::Failed,
        outcome: Outcome::RegistrationFailed,
        registration: None,
        call: None,
        sentence: &["no answer"],
    };
    assert_ends("dead registrar", &finished, "alice", &expected);
    let last = finished.result().history.last().unwrap();
    assert!(
        last.sentence.to_lowercase().contains("no answer"),
        "{}",
        last.sentence
    );
}

#[test]
fn a_closed_port_is_told_at_once() {
    let [port] = free_ports();
    let finished = Carillon::run("closed", &registering(port), &[]).wait(SOON);
    let result = finished.result();
    let report = result.endpoints[0].report();
    assert!(
        report.outcome.severity() == 10 && report.registration_code.is_none(),
        "{report:?}"
    );
    assert!(report.reason.contains("refused"), "{}", report.reason);
    assert_eq!(
        (finished.code, result.status),
        (Some(1), RunStatus::Failed),
        "{}",
        finished.output
    );
}

#[test]
fn a_callee_that_never_answers_is_a_timeout() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let finished = Carillon::run("no-answer", &calling(port), &[]).wait(AFTER_TIMER_F);
    let result = finished.result();
    let report = result.endpoints[0].report();
    assert_eq!(
        (report.outcome, report.call_code),
        (Outcome::Timeout, None),
        "{report:?}"
    );
    assert!(
        report.reason.to_lowercase().contains("no answer"),
        "{}",
        report.reason
    );
    assert_eq!(
        (finished.code, result.status),
        (Some(1), RunStatus::Failed),
        "{}",
        finished.output
    );
    let last = result.history.last().unwrap();
    assert!(
        last.sentence.contains(&port.to_string()),
        "{}",
        last.sentence
    );
}

#[test]
fn busy_is_a_failed_call_with_its_code() {
    let busy = Action::Answer {
        code: 486,
        retry_after_s: None,
    };
    let finished = with_fault("busy", busy);
    let expected = Expected {
        exit: 99,
        status: RunStatus::Completed,
        outcome: Outcome::CallFailed,
        registration: Some(200),
        call: Some(486),
        sentence: &["486", "busy"],
    };
    assert_ends("busy", &finished, "alice", &expected);
}

#[test]
fn unavailable_with_retry_after_says_when_to_come_back() {
    let unavailable = Action::Answer {
        code: 503,
        retry_after_s: Some(120),
    };
    let finished = with_fault("unavailable", unavailable);
    let expected = Expected {
        exit: 99,
        status: RunStatus::Completed,
        outcome: Outcome::CallFailed,
        registration: Some(200),
        call: Some(503),
        sentence: &["503", "120"],
    };
    assert_ends("unavailable", &finished, "alice", &expected);
}

#[test]
fn a_number_that_nobody_has_is_a_failed_call() {
    let lab = lab(|_| {});
    let test = pair(lab.sip_addr().port()).replace(
        "calls = { group = \"callees\" }",
        &format!("calls = \"sip:nobody@127.0.0.1:{}\"", lab.sip_addr().port()),
    );
    let test = test.replace("duration = \"50s\"", "duration = \"8s\"");
    let finished = Carillon::run("nobody", &test, &[]).wait(SOON);
    let report = finished.result().endpoints.iter().map(Reported::report);
    let report = report
        .into_iter()
        .find(|report| report.account == "alice")
        .unwrap();
    assert_eq!(report.outcome, Outcome::CallFailed, "{report:?}");
    assert!(matches!(report.call_code, Some(404 | 480)), "{report:?}");
    finished.assert_ended(99);
}

fn with_fault(name: &str, action: Action) -> Finished {
    let lab = lab(|config| {
        config.faults.invite = vec![Fault {
            action,
            percent: 100.0,
        }]
    });
    let test = pair(lab.sip_addr().port()).replace("duration = \"50s\"", "duration = \"8s\"");
    Carillon::run(name, &test, &[]).wait(SOON)
}

const SOON: Duration = Duration::from_secs(30);
/// 64 × T1 is 32 s.
const AFTER_TIMER_F: Duration = Duration::from_secs(60);
