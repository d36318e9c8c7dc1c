//! Everything that ends by a timer of 64*T1, side by side.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use shared::phase::Outcome;
use tests::{Carillon, Reported, RtpEcho, Scripted, free_ports, session};

use super::{
    Case, NOT_TORN_DOWN, SOON, TIMED_OUT, assert_unharmed, call_when_ready, case, endpoint,
    receivers, run_cases,
};

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
    let [port, stream] = free_ports();
    let test = format!(
        "duration = \"36s\"\nbuildup = \"0s\"\n{}{}",
        receivers("callee", port, 1, ""),
        receivers("streams", stream, 1, "transport = \"tcp\"")
    );
    let run = Carillon::run("no-ack", &test, &[]);
    let mut caller = Scripted::udp("127.0.0.1");
    let echo = RtpEcho::start("127.0.0.1");
    let (mut call, answer) = call_when_ready(&mut caller, port, &echo.session());
    call.learn(&answer);
    let unfinished = std::thread::spawn(move || leave_unfinished(stream));
    let sent = Instant::now();
    let bye = caller.expect("BYE", Duration::from_secs(40));
    let after = sent.elapsed().as_secs_f64();
    assert!((31.0..34.0).contains(&after), "BYE came after {after} s");
    caller.answer(&bye, 200, "", &[], "");
    // RFC 3261 §13.3.1.4: T1 doubling up to T2 for 64*T1.
    let answers = caller.count("SIP/2.0 200");
    assert_eq!(answers, 11, "{:?}", caller.seen());
    unfinished.join().expect("the unfinished message");
    let finished = run.wait(TIMERS);
    let report = endpoint(finished.result(), "callee").report();
    assert_eq!(report.outcome, Outcome::CallFailed, "{report:?}");
    assert!(report.reason.contains("no ACK"), "{}", report.reason);
    assert_unharmed(&finished);
}

/// A connection on which a message is begun, drop by drop, and not finished is closed.
fn leave_unfinished(port: u16) {
    use std::io::{ErrorKind, Read, Write};
    let begun = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(4)))
        .unwrap();
    let mut octet = [0];
    loop {
        stream.write_all(b"INVITE sip:somebody").ok();
        match stream.read(&mut octet) {
            Ok(0) => break,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < TIMERS, "never closed");
    }
    let after = begun.elapsed().as_secs_f64();
    assert!((31.5..34.0).contains(&after), "closed after {after} s");
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
    let report = endpoint(finished.result(), "phones").report();
    assert_eq!(report.outcome, Outcome::RegistrationFailed, "{report:?}");
    assert!(report.unregistered, "{report:?}");
    assert!(report.reason.contains("no answer"), "{}", report.reason);
    assert_eq!(finished.result().generator.panics, 0);
}
