//! Peers that misbehave, over real sockets: each ends as an outcome with a reason, inside its RFC
//! timer, and leaves the program unharmed. Sources: RFC 3261 §8.1.3, §13.2.2.4, §15, §17; DESIGN 12.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a failed step is a failed test, and a skipped one says so"
)]

#[path = "hostile/answers.rs"]
mod answers;
#[path = "hostile/receivers.rs"]
mod receivers;
#[path = "hostile/registrars.rs"]
mod registrars;
#[path = "hostile/silence.rs"]
mod silence;
#[path = "hostile/torture.rs"]
mod torture;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use shared::phase::{Outcome, RunStatus};
use shared::result::{EndpointResult, RunResult};
use tests::{Carillon, Finished, Heard, Reported, Scripted, until};

/// One peer of one caller group.
struct Case {
    group: &'static str,
    settings: &'static str,
    call_duration: &'static str,
    tcp: bool,
    script: fn(&mut Scripted),
    outcomes: &'static [Outcome],
    code: Option<u16>,
    /// Words that the sentence must have, in any case.
    words: &'static [&'static str],
}

/// A UDP case without further settings.
const fn case(
    group: &'static str,
    script: fn(&mut Scripted),
    outcomes: &'static [Outcome],
    code: Option<u16>,
    words: &'static [&'static str],
) -> Case {
    Case {
        group,
        settings: "",
        call_duration: "1s",
        tcp: false,
        script,
        outcomes,
        code,
        words,
    }
}

const FINE: &[Outcome] = &[Outcome::Success];
const WARNED: &[Outcome] = &[Outcome::CompletedWithWarnings];
const FAILED: &[Outcome] = &[Outcome::CallFailed];
const TIMED_OUT: &[Outcome] = &[Outcome::Timeout];
const NOT_TORN_DOWN: &[Outcome] = &[Outcome::TeardownError];
const NETWORK: &[Outcome] = &[Outcome::Oserror];
const UNUSABLE: &[Outcome] = &[Outcome::NegotiationFailed];

/// Runs one caller against each case's peer, all in one run, and judges each.
fn run_cases(name: &str, duration: &str, cases: &[Case], within: Duration) -> Finished {
    let mut test = format!("duration = \"{duration}\"\nbuildup = \"0s\"\n");
    let mut peers: Vec<(&str, JoinHandle<()>)> = Vec::new();
    for case in cases {
        let mut peer = if case.tcp {
            Scripted::tcp("127.0.0.1")
        } else {
            Scripted::udp("127.0.0.1")
        };
        let transport = if case.tcp { "tcp" } else { "udp" };
        write!(
            test,
            "[groups.{}]\ncount = 1\ncalls = \"{}\"\ncall_duration = \"{}\"\ntransport = \"{transport}\"\n{}\n",
            case.group,
            peer.uri("bob"),
            case.call_duration,
            case.settings
        )
        .unwrap();
        let script = case.script;
        peers.push((case.group, std::thread::spawn(move || script(&mut peer))));
    }
    let finished = Carillon::run(name, &test, &[]).wait(within);
    for (group, peer) in peers {
        assert!(
            peer.join().is_ok(),
            "{group}: its peer did not see what it should (above)\n{:?}",
            endpoint(finished.result(), group).report()
        );
    }
    let result = finished.result();
    for case in cases {
        let report = endpoint(result, case.group).report();
        assert!(
            case.outcomes.contains(&report.outcome),
            "{}: {report:?}",
            case.group
        );
        assert_eq!(report.call_code, case.code, "{}: {report:?}", case.group);
        let reason = report.reason.to_lowercase();
        for word in case.words {
            assert!(
                reason.contains(&word.to_lowercase()),
                "{}: `{word}` is not in `{reason}`",
                case.group
            );
        }
    }
    assert_unharmed(&finished);
    finished
}

fn endpoint<'a>(result: &'a RunResult, group: &str) -> &'a EndpointResult {
    let found = result
        .endpoints
        .iter()
        .find(|endpoint| endpoint.group_name == group);
    found.unwrap_or_else(|| panic!("no endpoint of group {group}"))
}

fn assert_unharmed(finished: &Finished) {
    let result = finished.result();
    assert_eq!(result.generator.panics, 0, "{}", finished.output);
    assert_eq!(result.status, RunStatus::Completed, "{}", finished.output);
    tests::assert_late_at_most(result);
}

const SOON: Duration = Duration::from_secs(10);

/// A group that receives at this port of 127.0.0.1.
fn receivers(name: &str, port: u16, count: u32, settings: &str) -> String {
    format!(
        "[groups.{name}]\ncount = {count}\nreceives = true\nsip_bind = \"127.0.0.1:{port}\"\n{settings}\n"
    )
}

/// Calls as soon as somebody is free; returns the call with its 200.
fn call_when_ready(caller: &mut Scripted, port: u16, offer: &str) -> (tests::Dialing, Heard) {
    let (call, answer) = invite_when_free(caller, port, &[], offer);
    assert_eq!(answer.status(), Some(200), "{answer:?}");
    (call, answer)
}

/// INVITEs until the final answer is another than 480 (before the run is on the port is closed or
/// nobody is ready) or 486 (everybody is busy). The answer is not acknowledged.
fn invite_when_free(
    caller: &mut Scripted,
    port: u16,
    lines: &[String],
    body: &str,
) -> (tests::Dialing, Heard) {
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    until("a receiver that is free", SOON, || {
        let mut call = caller.invite_with("anybody", to, lines, body);
        let answer = loop {
            let heard = caller.receive(Duration::from_millis(100))?;
            if heard.status().is_some_and(|code| code >= 200) {
                break heard;
            }
        };
        if !answer.is("480") && !answer.is("486") {
            return Some((call, answer));
        }
        caller.acknowledge(&mut call, &answer);
        None
    })
}

fn hang_up(caller: &mut Scripted, call: &mut tests::Dialing) {
    caller.request(call, "BYE", &[], "");
    caller.expect("200", SOON);
}
