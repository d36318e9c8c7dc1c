//! Peers that misbehave, over real sockets: each ends as an outcome with a reason, inside its RFC
//! timer, and leaves the program unharmed. Sources: RFC 3261 §8.1.3, §13.2.2.4, §15, §17; DESIGN 12.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step is a failed test"
)]

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use shared::phase::{Outcome, RunStatus};
use shared::result::{EndpointResult, RunResult};
use tests::{Carillon, Finished, Heard, RtpEcho, Scripted, free_ports, rtp_packet, session, until};

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
            endpoint(finished.result(), group).report
        );
    }
    let result = finished.result();
    for case in cases {
        let report = &endpoint(result, case.group).report;
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
    assert!(!result.generator.saturated, "{:?}", result.generator);
}

#[test]
fn hostile_answers_end_as_outcomes() {
    let cases = [
        case("twice", answer_twice, FINE, Some(200), &[]),
        case(
            "redirecting",
            redirect_in_a_circle,
            FAILED,
            Some(302),
            &["302", "redirected too often"],
        ),
        case(
            "same-contact",
            redirect_to_itself,
            FAILED,
            Some(302),
            &["302"],
        ),
        case(
            "outside",
            redirect_outside,
            &[Outcome::CallFailed, Outcome::Oserror],
            None,
            &["198.51.100.77"],
        ),
        Case {
            settings: CREDENTIALS,
            ..case(
                "proxy-challenge",
                challenge_407,
                FAILED,
                Some(407),
                &["407"],
            )
        },
        Case {
            settings: CREDENTIALS,
            ..case("challenge", challenge_401, FAILED, Some(401), &["401"])
        },
        Case {
            settings: CREDENTIALS,
            ..case("stale", challenge_stale, FAILED, Some(407), &["407"])
        },
        case("unavailable", refuse_503, FAILED, Some(503), &["503"]),
        case("retry-at-once", refuse_503_now, FAILED, Some(503), &["503"]),
        Case {
            call_duration: "4s",
            ..case("bye-at-once", bye_at_once, WARNED, Some(200), &["hung up"])
        },
        Case {
            call_duration: "4s",
            ..case(
                "bye-before-ack",
                bye_before_ack,
                WARNED,
                Some(200),
                &["hung up"],
            )
        },
        case(
            "third-party",
            media_elsewhere,
            NETWORK,
            Some(200),
            &["198.51.100.77", "allow_targets"],
        ),
        case(
            "no-answer-sdp",
            |peer| answer_body(peer, ""),
            UNUSABLE,
            Some(200),
            &["no session description"],
        ),
        case(
            "garbage-sdp",
            |peer| answer_body(peer, "v=0\r\nm=audio nonsense\r\n"),
            UNUSABLE,
            Some(200),
            &["answer cannot be used"],
        ),
        Case {
            tcp: true,
            ..case(
                "tcp-closes-early",
                close_before_answer,
                NETWORK,
                None,
                &["closed the connection"],
            )
        },
        Case {
            tcp: true,
            ..case(
                "tcp-closes-late",
                close_in_call,
                NOT_TORN_DOWN,
                Some(200),
                &["BYE"],
            )
        },
        Case {
            tcp: true,
            ..case("tcp-garbage", answer_garbage, NETWORK, None, &["not SIP"])
        },
    ];
    let finished = run_cases("hostile", "12s", &cases, Duration::from_secs(30));
    let result = finished.result();
    let third = &endpoint(result, "third-party").report;
    assert_eq!(result.endpoints.len(), cases.len());
    assert!(
        third.calls.iter().all(|call| call.media.is_none()),
        "a stream to a third party began: {third:?}"
    );
}

const CREDENTIALS: &str = "accounts = [{ username = \"alice\", password = \"secret\" }]";
const SOON: Duration = Duration::from_secs(10);
/// The script has seen everything when nothing came for so long.
const QUIET: Duration = Duration::from_millis(1_500);

/// Two forks answer: the first is the call, the second gets ACK and BYE (RFC 3261 §13.2.2.4).
fn answer_twice(peer: &mut Scripted) {
    let echo = RtpEcho::start("127.0.0.1");
    let invite = peer.expect("INVITE", SOON);
    peer.answer(&invite, 180, "one", &[], "");
    peer.accept(&invite, "one", &echo.session());
    peer.accept(&invite, "two", &echo.session());
    let mut seen = Vec::new();
    while let Some(heard) = peer.receive(SOON) {
        let tag = heard.tag("To").unwrap_or_default().to_owned();
        if heard.is("BYE") {
            peer.answer(&heard, 200, "", &[], "");
        }
        seen.push((heard.method().to_owned(), tag));
        if seen.last() == Some(&("BYE".to_owned(), "one".to_owned())) {
            break;
        }
    }
    for (method, tag) in [
        ("ACK", "one"),
        ("ACK", "two"),
        ("BYE", "two"),
        ("BYE", "one"),
    ] {
        assert!(
            seen.contains(&(method.to_owned(), tag.to_owned())),
            "{method} for {tag} is missing: {seen:?}"
        );
    }
    assert!(echo.received() > 30, "{} packets came", echo.received());
}

/// Answers every INVITE the same way until no more comes; returns how many there were.
fn answer_all(peer: &mut Scripted, mut answer: impl FnMut(&mut Scripted, &Heard, usize)) -> usize {
    let mut heard = Some(peer.expect("INVITE", SOON));
    let mut invites = 0;
    while let Some(message) = heard {
        if message.is("INVITE") {
            invites += 1;
            assert!(invites < 50, "INVITE without end: {:?}", peer.seen());
            answer(peer, &message, invites);
        }
        heard = peer.receive(QUIET);
    }
    assert!(
        peer.count("ACK") >= invites,
        "a final answer without its ACK: {:?}",
        peer.seen()
    );
    invites
}

fn redirect_in_a_circle(peer: &mut Scripted) {
    let invites = answer_all(peer, |peer, invite, number| {
        let contact = format!("Contact: <{}>", peer.uri(&format!("bob{number}")));
        peer.answer(invite, 302, "r", &[contact], "");
    });
    assert!((2..=10).contains(&invites), "{invites} INVITEs");
}

fn redirect_to_itself(peer: &mut Scripted) {
    let invites = answer_all(peer, |peer, invite, _| {
        let contact = format!("Contact: <{}>", peer.uri("bob"));
        peer.answer(invite, 302, "r", &[contact], "");
    });
    assert!(invites <= 3, "{invites} INVITEs");
}

fn redirect_outside(peer: &mut Scripted) {
    let invites = answer_all(peer, |peer, invite, _| {
        let contact = "Contact: <sip:bob@198.51.100.77>".to_owned();
        peer.answer(invite, 302, "r", &[contact], "");
    });
    assert_eq!(invites, 1);
}

fn challenge_407(peer: &mut Scripted) {
    challenge(peer, 407, "Proxy-Authenticate", "");
}

fn challenge_401(peer: &mut Scripted) {
    challenge(peer, 401, "WWW-Authenticate", "");
}

/// Says each time that only the nonce was too old: RFC 7616 §3.3 asks to try again, but not for ever.
fn challenge_stale(peer: &mut Scripted) {
    challenge(peer, 407, "Proxy-Authenticate", ", stale=true");
}

fn challenge(peer: &mut Scripted, code: u16, header: &str, more: &str) {
    let invites = answer_all(peer, |peer, invite, number| {
        let line =
            format!("{header}: Digest realm=\"r\", nonce=\"n{number}\", algorithm=MD5{more}");
        peer.answer(invite, code, "c", &[line], "");
    });
    assert!((2..=6).contains(&invites), "{invites} INVITEs");
}

fn refuse_503(peer: &mut Scripted) {
    let invites = answer_all(peer, |peer, invite, _| {
        peer.answer(invite, 503, "u", &[], "")
    });
    assert_eq!(invites, 1);
}

fn refuse_503_now(peer: &mut Scripted) {
    let invites = answer_all(peer, |peer, invite, _| {
        peer.answer(invite, 503, "u", &["Retry-After: 0".to_owned()], "");
    });
    assert_eq!(invites, 2);
}

fn bye_at_once(peer: &mut Scripted) {
    let echo = RtpEcho::start("127.0.0.1");
    let invite = peer.expect("INVITE", SOON);
    peer.accept(&invite, "b", &echo.session());
    peer.expect("ACK", SOON);
    bye_back(peer, &invite, "b");
    peer.expect("200", SOON);
}

fn bye_before_ack(peer: &mut Scripted) {
    let echo = RtpEcho::start("127.0.0.1");
    let invite = peer.expect("INVITE", SOON);
    peer.accept(&invite, "b", &echo.session());
    bye_back(peer, &invite, "b");
    peer.expect("200", SOON);
}

/// BYE from the called side.
fn bye_back(peer: &mut Scripted, invite: &Heard, tag: &str) {
    let text = format!(
        "BYE {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKbye\r\nMax-Forwards: 70\r\n\
         From: {};tag={tag}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        invite.contact().unwrap_or_default(),
        peer.local(),
        invite.header("To"),
        invite.header("From"),
        invite.header("Call-ID"),
    );
    peer.send(text.as_bytes(), invite.from);
}

/// Points our media at somebody else (RFC 5737's TEST-NET-2).
fn media_elsewhere(peer: &mut Scripted) {
    let invite = peer.expect("INVITE", SOON);
    let elsewhere = session("198.51.100.77:40000".parse().unwrap(), "0", "sendrecv");
    peer.accept(&invite, "e", &elsewhere);
    peer.expect("ACK", SOON);
    let bye = peer.expect("BYE", SOON);
    peer.answer(&bye, 200, "", &[], "");
}

/// An answer that cannot be used still ends with ACK and BYE.
fn answer_body(peer: &mut Scripted, body: &str) {
    let invite = peer.expect("INVITE", SOON);
    peer.accept(&invite, "s", body);
    peer.expect("ACK", SOON);
    let bye = peer.expect("BYE", SOON);
    peer.answer(&bye, 200, "", &[], "");
}

fn close_before_answer(peer: &mut Scripted) {
    peer.expect("INVITE", SOON);
    peer.close();
}

fn close_in_call(peer: &mut Scripted) {
    let echo = RtpEcho::start("127.0.0.1");
    let invite = peer.expect("INVITE", SOON);
    peer.accept(&invite, "c", &echo.session());
    peer.expect("ACK", SOON);
    peer.close();
    // The call's media goes on until its planned end: the echo must outlive it.
    until("RTP of the call that lost its connection", SOON, || {
        (echo.received() > 40).then_some(())
    });
}

fn answer_garbage(peer: &mut Scripted) {
    let invite = peer.expect("INVITE", SOON);
    let mut garbage = vec![b'x'; 70_000];
    garbage.extend(b"\r\n\r\n");
    peer.send(&garbage, invite.from);
    // Ours closes it: nothing more comes.
    while peer.receive(SOON).is_some() {}
}

/// Everything that takes 64*T1 = 32 s, at once: four runs side by side.
#[test]
fn silence_ends_inside_its_timer() {
    let started = Instant::now();
    let answered_late = std::thread::spawn(|| {
        let cases = [
            case(
                "late",
                answer_after_cancel,
                TIMED_OUT,
                Some(200),
                &["did not answer"],
            ),
            case(
                "refuses-late",
                refuse_after_cancel,
                TIMED_OUT,
                Some(487),
                &["did not answer"],
            ),
            case(
                "deaf-to-cancel",
                ring_for_ever,
                TIMED_OUT,
                None,
                &["did not answer"],
            ),
        ];
        run_cases("late", "2s", &cases, TIMERS)
    });
    let unacknowledged = std::thread::spawn(never_acknowledge);
    let fading = std::thread::spawn(registrar_that_falls_silent);
    let cases = [
        case("silent", stay_silent, TIMED_OUT, None, &["no answer"]),
        Case {
            tcp: true,
            ..case("silent-tcp", stay_silent, TIMED_OUT, None, &["no answer"])
        },
        case(
            "keeps-its-bye",
            leave_bye_unanswered,
            NOT_TORN_DOWN,
            Some(200),
            &["BYE", "no answer"],
        ),
    ];
    run_cases("silent", "50s", &cases, TIMERS);
    answered_late.join().expect("the late ones");
    unacknowledged.join().expect("the one without ACK");
    fading.join().expect("the registrar");
    assert!(started.elapsed() < TIMERS, "{:?}", started.elapsed());
}

/// 64*T1 twice one after the other would be more.
const TIMERS: Duration = Duration::from_secs(55);

/// Hears everything that comes in 64*T1 and a little more, and answers nothing.
fn listen(peer: &mut Scripted) {
    let end = Instant::now() + Duration::from_secs(33);
    while peer
        .receive(end.saturating_duration_since(Instant::now()))
        .is_some()
    {}
}

fn stay_silent(peer: &mut Scripted) {
    let first = peer.expect("INVITE", SOON);
    let tcp = first.header("Via").contains("TCP");
    listen(peer);
    // RFC 3261 §17.1.1.2: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s over UDP; once over a stream.
    let expected = if tcp { 1 } else { 7 };
    assert_eq!(peer.count("INVITE"), expected, "{:?}", peer.seen());
    assert_eq!(peer.seen().len(), expected, "{:?}", peer.seen());
}

fn leave_bye_unanswered(peer: &mut Scripted) {
    let echo = RtpEcho::start("127.0.0.1");
    let invite = peer.expect("INVITE", SOON);
    peer.accept(&invite, "k", &echo.session());
    peer.expect("ACK", SOON);
    peer.expect("BYE", SOON);
    listen(peer);
    // RFC 3261 §17.1.2.2: Timer E doubles up to T2: 0, 0.5, 1.5, 3.5, 7.5, then each 4 s.
    assert_eq!(peer.count("BYE"), 11, "{:?}", peer.seen());
}

/// The 200 crosses our CANCEL: ACK, then BYE (RFC 3261 §9.1).
fn answer_after_cancel(peer: &mut Scripted) {
    let invite = peer.expect("INVITE", SOON);
    peer.answer(&invite, 180, "l", &[], "");
    let cancel = peer.expect("CANCEL", SOON);
    peer.answer(&cancel, 200, "l", &[], "");
    let own = session("127.0.0.1:9".parse().unwrap(), "0", "");
    peer.accept(&invite, "l", &own);
    peer.expect("ACK", SOON);
    let bye = peer.expect("BYE", SOON);
    peer.answer(&bye, 200, "", &[], "");
}

fn refuse_after_cancel(peer: &mut Scripted) {
    let invite = peer.expect("INVITE", SOON);
    peer.answer(&invite, 180, "l", &[], "");
    let cancel = peer.expect("CANCEL", SOON);
    peer.answer(&cancel, 200, "l", &[], "");
    peer.answer(&invite, 487, "l", &[], "");
    peer.expect("ACK", SOON);
}

fn ring_for_ever(peer: &mut Scripted) {
    let invite = peer.expect("INVITE", SOON);
    peer.answer(&invite, 180, "l", &[], "");
    peer.expect("CANCEL", SOON);
    listen(peer);
    assert_eq!(peer.count("CANCEL"), 11, "{:?}", peer.seen());
}

/// A receiver whose 200 is never acknowledged repeats it until Timer H, then sends BYE.
fn never_acknowledge() {
    let [port] = free_ports();
    let test = format!(
        "duration = \"35s\"\nbuildup = \"0s\"\n{}",
        receivers("callee", port, 1, "")
    );
    let run = Carillon::run("no-ack", &test, &[]);
    let mut caller = Scripted::udp("127.0.0.1");
    let echo = RtpEcho::start("127.0.0.1");
    let (mut call, answer) = call_when_ready(&mut caller, port, &echo.session());
    call.learn(&answer);
    let sent = Instant::now();
    let bye = caller.expect("BYE", Duration::from_secs(40));
    let after = sent.elapsed().as_secs_f64();
    assert!((31.0..34.0).contains(&after), "BYE came after {after} s");
    caller.answer(&bye, 200, "", &[], "");
    // RFC 3261 §13.3.1.4: T1 doubling up to T2 for 64*T1.
    let answers = caller.count("SIP/2.0 200");
    assert_eq!(answers, 11, "{:?}", caller.seen());
    let finished = run.wait(TIMERS);
    let report = &endpoint(finished.result(), "callee").report;
    assert_eq!(report.outcome, Outcome::CallFailed, "{report:?}");
    assert!(report.reason.contains("no ACK"), "{}", report.reason);
    assert_unharmed(&finished);
}

/// A registrar that grants three seconds and does not answer the refresh: after Timer F the
/// endpoint still asks for the removal of what may stand.
fn registrar_that_falls_silent() {
    let mut registrar = Scripted::udp("127.0.0.1");
    let test = format!(
        "duration = \"60s\"\nbuildup = \"0s\"\n[registrars.fading]\ndomain = \"127.0.0.1\"\nport = {}\n\
         [groups.phones]\nregistrar = \"fading\"\naccounts = [{{ username = \"alice\", password = \"x\" }}]\n",
        registrar.local().port()
    );
    let run = Carillon::run("fading", &test, &[]);
    let first = registrar.expect("REGISTER", SOON);
    registrar.answer(&first, 200, "r", &["Expires: 3".to_owned()], "");
    let refresh = registrar.expect("REGISTER", SOON);
    assert_eq!(refresh.cseq(), first.cseq() + 1);
    let asked = Instant::now();
    let removal = loop {
        let heard = registrar.expect("REGISTER", Duration::from_secs(20));
        if heard.cseq() != refresh.cseq() {
            break heard;
        }
    };
    let after = asked.elapsed().as_secs_f64();
    assert!((31.5..34.0).contains(&after), "Timer F took {after} s");
    assert_eq!(removal.header("Expires"), "0", "{removal:?}");
    assert_eq!(removal.header("Call-ID"), first.header("Call-ID"));
    registrar.answer(&removal, 200, "r", &[], "");
    let finished = run.wait(TIMERS);
    let report = &endpoint(finished.result(), "phones").report;
    assert_eq!(report.outcome, Outcome::RegistrationFailed, "{report:?}");
    assert!(report.unregistered, "{report:?}");
    assert!(report.reason.contains("no answer"), "{}", report.reason);
    assert_eq!(finished.result().generator.panics, 0);
}

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

/// INVITEs until the final answer is another than 486; before the run is on the port is closed or
/// everybody is busy. The answer is not acknowledged.
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
        if !answer.is("486") {
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

#[test]
fn hostile_callers_leave_receivers_usable() {
    let [own, shared, aimed, single] = free_ports();
    let mut test = "duration = \"6s\"\nbuildup = \"0s\"\n".to_owned();
    test += &receivers("own", own, 1, "sockets = \"own\"");
    test += &receivers("shared", shared, 1, "sockets = \"shared\"");
    test += &receivers("aimed", aimed, 1, "");
    test += &receivers("single", single, 1, "");
    let run = Carillon::run("receivers", &test, &[]);
    let heard = std::thread::scope(|scope| {
        let strangers = [own, shared].map(|port| scope.spawn(move || call_with_strangers(port)));
        scope.spawn(move || aim_at_third_party(aimed));
        scope.spawn(move || refused_invites_hold_nobody(single));
        strangers.map(|thread| thread.join().expect("a call with strangers"))
    });
    let finished = run.wait(Duration::from_secs(30));
    let result = finished.result();
    for (group, sent) in ["own", "shared"].into_iter().zip(heard) {
        let report = &endpoint(result, group).report;
        assert_eq!(report.outcome, Outcome::Success, "{group}: {report:?}");
        let media = report.calls[0].media.as_ref().unwrap();
        assert!(
            media.rx_packets > 0 && media.rx_packets <= sent.echoed,
            "{group}: {} of {} packets: {media:?}",
            media.rx_packets,
            sent.echoed
        );
        assert_eq!(
            (media.rx_lost, media.rx_missing, media.rx_duplicates),
            (0, 0, 0),
            "{group}: {media:?}"
        );
        assert_eq!(media.loss_pct, Some(0.0), "{group}: {media:?}");
    }
    let own_media = endpoint(result, "own").report.calls[0]
        .media
        .clone()
        .unwrap();
    assert_eq!(own_media.strangers, STRANGERS, "{own_media:?}");
    // The shared port cannot tell which call a stranger meant: it is counted for the generator,
    // with the few packets that were under way when the call ended.
    let strangers = result.generator.strangers;
    assert!(
        (STRANGERS..STRANGERS + 10).contains(&strangers),
        "{:?}",
        result.generator
    );
    let aimed = &endpoint(result, "aimed").report;
    assert_eq!(aimed.outcome, Outcome::Oserror, "{aimed:?}");
    assert!(aimed.reason.contains("198.51.100.77"), "{}", aimed.reason);
    assert!(
        aimed.calls.iter().all(|call| call.media.is_none()),
        "{aimed:?}"
    );
    assert_unharmed(&finished);
}

const STRANGERS: u64 = 50;

/// What a call's peer knows of it.
struct Sent {
    echoed: u64,
}

/// A call whose receiver also gets RTP from a wrong source.
fn call_with_strangers(port: u16) -> Sent {
    let mut caller = Scripted::udp("127.0.0.1");
    let echo = RtpEcho::start("127.0.0.1");
    let (mut call, answer) = call_when_ready(&mut caller, port, &echo.session());
    caller.acknowledge(&mut call, &answer);
    let media = answer.media_address().expect("where RTP goes");
    until("RTP of the call", SOON, || {
        (echo.received() > 10).then_some(())
    });
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for sequence in 0..STRANGERS {
        let sequence = u16::try_from(sequence * 7).unwrap();
        stranger
            .send_to(&rtp_packet(sequence, 0xbad), media)
            .unwrap();
    }
    let before = echo.received();
    until("RTP after the strangers", SOON, || {
        (echo.received() > before + 25).then_some(())
    });
    hang_up(&mut caller, &mut call);
    Sent {
        echoed: u64::from(echo.received()),
    }
}

/// An offer that points our media at somebody else.
fn aim_at_third_party(port: u16) {
    let mut caller = Scripted::udp("127.0.0.1");
    let elsewhere = session("198.51.100.77:40000".parse().unwrap(), "0", "sendrecv");
    let (mut call, answer) = call_when_ready(&mut caller, port, &elsewhere);
    caller.acknowledge(&mut call, &answer);
    let bye = caller.expect("BYE", SOON);
    caller.answer(&bye, 200, "", &[], "");
}

/// INVITEs that are refused before anybody rings leave the only receiver free; the ACKs of the
/// refusals reach the transaction that waits for them, so none is repeated.
fn refused_invites_hold_nobody(port: u16) {
    let mut caller = Scripted::udp("127.0.0.1");
    for (line, code) in [
        ("Content-Type: application/unknown", 415),
        ("Require: nothing-we-know", 420),
        ("Accept: text/plain", 406),
    ] {
        let lines = [line.to_owned()];
        let (mut call, refusal) = invite_when_free(&mut caller, port, &lines, "v=0\r\n");
        assert_eq!(refusal.status(), Some(code), "{refusal:?}");
        caller.acknowledge(&mut call, &refusal);
    }
    let echo = RtpEcho::start("127.0.0.1");
    let mut second = Scripted::udp("127.0.0.1");
    let (mut call, answer) = call_when_ready(&mut second, port, &echo.session());
    second.acknowledge(&mut call, &answer);
    // While it is busy one more is refused, and the call goes on.
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let mut third = caller.invite("somebody", to, &echo.session());
    let busy = caller.expect("486", SOON);
    caller.acknowledge(&mut third, &busy);
    until("RTP of the call", SOON, || {
        (echo.received() > 20).then_some(())
    });
    hang_up(&mut second, &mut call);
    let repeated = caller.receive(Duration::from_millis(700));
    assert!(
        repeated.is_none(),
        "an acknowledged refusal again: {repeated:?}"
    );
}

/// Every torture file at the SIP ports and at an RTP port, whole and truncated; then a normal call.
#[test]
fn torture_leaves_the_program_working() {
    let Some(files) = torture() else { return };
    let [udp, tcp] = free_ports();
    let mut test = "duration = \"14s\"\nbuildup = \"0s\"\n".to_owned();
    test += &receivers("datagrams", udp, 120, "");
    test += &receivers(
        "streams",
        tcp,
        120,
        "transport = \"tcp\"\nsockets = \"shared\"",
    );
    let run = Carillon::run("torture", &test, &[]);
    let mut caller = Scripted::udp("127.0.0.1");
    let echo = RtpEcho::start("127.0.0.1");
    let (mut call, answer) = call_when_ready(&mut caller, udp, &echo.session());
    caller.acknowledge(&mut call, &answer);
    let media = answer.media_address().expect("where RTP goes");

    let hostile = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sip = SocketAddr::from(([127, 0, 0, 1], udp));
    let stream = SocketAddr::from(([127, 0, 0, 1], tcp));
    for (_, octets) in &files {
        for length in [octets.len(), octets.len() / 2, octets.len() / 3, 1] {
            let part = &octets[..length.min(octets.len())];
            hostile.send_to(part, sip).unwrap();
            hostile.send_to(part, media).unwrap();
            caller.send(part, media);
        }
        over_tcp(stream, octets);
        // In step with the call's packets: a flood would test the socket's buffer instead.
        let before = echo.received();
        until("RTP during the torture", SOON, || {
            (echo.received() > before).then_some(())
        });
    }
    over_tcp(stream, &[0; 100_000]);
    over_tcp(stream, b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    over_tcp(stream, &b"INVITE sip:x@y SIP/2.0\r\nX: y\r\n".repeat(5_000));

    streams_are_answered(stream);

    // The call that was up all the while still carries media and ends in order.
    let before = echo.received();
    until("RTP after the torture", SOON, || {
        (echo.received() > before + 20).then_some(())
    });
    hang_up(&mut caller, &mut call);
    let (mut second, answer) = call_when_ready(&mut caller, udp, &echo.session());
    caller.acknowledge(&mut second, &answer);
    hang_up(&mut caller, &mut second);
    let mut streamed = Scripted::connect(stream);
    let mut third = streamed.invite("anybody", stream, &echo.session());
    let answer = streamed.expect("200", SOON);
    streamed.acknowledge(&mut third, &answer);
    hang_up(&mut streamed, &mut third);

    let finished = run.wait(Duration::from_secs(60));
    assert_unharmed(&finished);
    let clean = finished
        .result()
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.report.calls)
        .filter(|report| report.call_id.starts_with("scripted-") && report.established);
    assert_eq!(clean.count(), 3, "{}", finished.output);
}

/// What RFC 5626 §4.4.1 and RFC 4475 §3.1.2.3 ask of a stream: a keep-alive is answered, a refused
/// request too, and only one that cannot be framed costs the connection.
fn streams_are_answered(to: SocketAddr) {
    use std::io::{Read, Write};
    let request = |cseq: &str, length: &str| {
        format!(
            "OPTIONS sip:nobody@{to} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{length}{}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: s\r\n\
             CSeq: {cseq}\r\nContent-Length: {length}\r\n\r\n",
            cseq.len()
        )
    };
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"\r\n\r\n").unwrap();
    let mut octets = [0; 2];
    stream
        .read_exact(&mut octets)
        .expect("an answer to a keep-alive");
    assert_eq!(&octets, b"\r\n");
    for (cseq, length, expected) in [
        ("1 REGISTER", "0", "SIP/2.0 400 "),
        ("2 OPTIONS", "0", "SIP/2.0 404 "),
        ("3 OPTIONS", "-999", "SIP/2.0 400 "),
    ] {
        stream.write_all(request(cseq, length).as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap_or_else(|error| {
                panic!("{cseq}: {error} after {}", String::from_utf8_lossy(&head))
            });
            head.push(octet[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with(expected), "{cseq}: {head}");
    }
    assert_eq!(stream.read(&mut octets).unwrap_or(0), 0, "still open");
}

/// A connection of its own for each: what cannot be framed costs the connection.
fn over_tcp(to: SocketAddr, octets: &[u8]) {
    use std::io::Write;
    let mut stream = TcpStream::connect(to).expect("the TCP port still takes connections");
    // The far end may close while we still write.
    stream.write_all(octets).ok();
}

/// Every torture file with its name; none (and a line that says so) where the folder is missing.
fn torture() -> Option<Vec<(PathBuf, Vec<u8>)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/torture");
    if !root.is_dir() {
        println!("skipped: {} is missing", root.display());
        return None;
    }
    let mut files = Vec::new();
    for folder in ["rfc4475", "rfc5118", "sip-extra", "rtp", "rtcp"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a torture folder") {
            let path = entry.unwrap().path();
            let octets = std::fs::read(&path).unwrap();
            files.push((path, octets));
        }
    }
    files.sort();
    assert!(files.len() >= 85, "only {} torture files", files.len());
    Some(files)
}
