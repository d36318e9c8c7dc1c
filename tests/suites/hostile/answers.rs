//! Callees that answer wrongly: twice, in circles, too early, with nonsense, or by hanging up.

use std::time::Duration;

use shared::phase::Outcome;
use tests::{Heard, Reported, RtpEcho, Scripted, session, until};

use super::{
    Case, FAILED, FINE, NETWORK, NOT_TORN_DOWN, SOON, UNUSABLE, WARNED, case, endpoint, run_cases,
};

const CASES: [Case; 17] = [
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

#[test]
fn hostile_answers_end_as_outcomes() {
    let finished = run_cases("hostile", "12s", &CASES, Duration::from_secs(30));
    let result = finished.result();
    let third = endpoint(result, "third-party").report();
    assert_eq!(result.endpoints.len(), CASES.len());
    assert!(
        third.calls.iter().all(|call| call.media.is_none()),
        "a stream to a third party began: {third:?}"
    );
}

const CREDENTIALS: &str = "accounts = [{ username = \"alice\", password = \"secret\" }]";
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
