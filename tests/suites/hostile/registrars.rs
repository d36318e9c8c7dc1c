//! Registrars that loop, grant strange lifetimes or talk nonsense.

use std::fmt::Write as _;
use std::time::Duration;

use shared::phase::Outcome;
use tests::{Carillon, Heard, Reported, Scripted};

use super::{SOON, endpoint};

/// What a registrar answers; its endpoint's group, registration code and words of its sentence.
type Registrar = (
    &'static str,
    fn(&mut Scripted, &Heard),
    Option<u16>,
    &'static [&'static str],
);

const REGISTRARS: [Registrar; 9] = [
    ("redirecting", redirect_register, Some(302), &["302"]),
    ("challenging", challenge_register, Some(401), &["401"]),
    ("stale", stale_register, Some(401), &["401"]),
    ("strange-scheme", bearer_register, Some(401), &["401"]),
    ("too-brief", too_brief, Some(423), &["423"]),
    ("overloaded", overloaded, Some(503), &["503"]),
    ("for-ever", grant_for_ever, Some(200), &[]),
    ("no-expires", grant_without_expires, Some(200), &[]),
    ("garbage", send_garbage_first, Some(200), &[]),
];

/// Registrars that loop or talk nonsense end as outcomes too, in a bounded number of attempts.
#[test]
fn hostile_registrars_end_as_outcomes() {
    let mut test = "duration = \"4s\"\nbuildup = \"0s\"\n".to_owned();
    let mut peers = Vec::new();
    for (name, answer, ..) in REGISTRARS {
        let mut peer = Scripted::udp("127.0.0.1");
        write!(
            test,
            "[registrars.{name}]\ndomain = \"127.0.0.1\"\nport = {}\n[groups.{name}]\nregistrar = \"{name}\"\n\
             accounts = [{{ username = \"alice\", password = \"secret\" }}]\n",
            peer.local().port()
        )
        .unwrap();
        peers.push(std::thread::spawn(move || {
            let mut heard = Some(peer.expect("REGISTER", SOON));
            while let Some(register) = heard {
                answer(&mut peer, &register);
                // The run's four seconds may lie between two of them.
                heard = peer.receive(Duration::from_secs(5));
            }
            peer.count("REGISTER")
        }));
    }
    let finished = Carillon::run("registrars", &test, &[]).wait(Duration::from_secs(30));
    let result = finished.result();
    for ((name, _, code, words), peer) in REGISTRARS.into_iter().zip(peers) {
        let attempts = peer.join().expect("a registrar");
        assert!(attempts <= 12, "{name}: {attempts} REGISTERs");
        let report = endpoint(result, name).report();
        let expected = if code == Some(200) {
            Outcome::Success
        } else {
            Outcome::RegistrationFailed
        };
        assert_eq!(
            (report.outcome, report.registration_code),
            (expected, code),
            "{name}: {report:?}"
        );
        for word in words {
            assert!(report.reason.contains(word), "{name}: {}", report.reason);
        }
        assert_eq!(report.unregistered, code == Some(200), "{name}: {report:?}");
    }
    assert_eq!(result.generator.panics, 0, "{}", finished.output);
}

fn redirect_register(peer: &mut Scripted, register: &Heard) {
    let contact = format!("Contact: <sip:n{}@{}>", register.cseq(), peer.local());
    peer.answer(register, 302, "r", &[contact], "");
}

fn challenge_register(peer: &mut Scripted, register: &Heard) {
    let line = format!(
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"{}\"",
        register.cseq()
    );
    peer.answer(register, 401, "r", &[line], "");
}

fn stale_register(peer: &mut Scripted, register: &Heard) {
    let nonce = register.cseq();
    let line = format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", stale=true");
    peer.answer(register, 401, "r", &[line], "");
}

fn bearer_register(peer: &mut Scripted, register: &Heard) {
    let line = "WWW-Authenticate: Bearer authz_server=\"https://x.example\"".to_owned();
    peer.answer(register, 401, "r", &[line], "");
}

fn too_brief(peer: &mut Scripted, register: &Heard) {
    let asked: u64 = register.header("Expires").parse().unwrap_or(0);
    let line = format!("Min-Expires: {}", asked + 1);
    peer.answer(register, 423, "r", &[line], "");
}

fn overloaded(peer: &mut Scripted, register: &Heard) {
    peer.answer(register, 503, "r", &["Retry-After: 1".to_owned()], "");
}

fn grant_for_ever(peer: &mut Scripted, register: &Heard) {
    peer.answer(register, 200, "r", &["Expires: 4294967295".to_owned()], "");
}

fn grant_without_expires(peer: &mut Scripted, register: &Heard) {
    peer.answer(register, 200, "r", &[], "");
}

/// Half an answer, no answer, and answers for somebody else come before the right one.
fn send_garbage_first(peer: &mut Scripted, register: &Heard) {
    let to = register.from;
    for garbage in [
        &b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP"[..],
        b"\0\0\0\0",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"SIP/2.0 999 No\r\nCSeq: 1 REGISTER\r\n\r\n",
    ] {
        peer.send(garbage, to);
    }
    let mut other = register.clone();
    for (name, value) in &mut other.headers {
        if name == "Via" {
            *value = value.replace("z9hG4bK", "z9hG4bKx");
        }
    }
    peer.answer(&other, 403, "r", &[], "");
    peer.answer(register, 200, "r", &["Expires: 60".to_owned()], "");
}
