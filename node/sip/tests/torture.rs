//! Every file of the torture folder leads to what its index says, whole, cut, bent and streamed.
//!
//! Source: RFC 4475, RFC 5118 and the project's own edge cases; `INDEX.md` in the folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::wire::check::{Capabilities, check_request, response_is_for_endpoint};
use sip::wire::scan::Scan;
use sip::wire::{Host, Incoming, Message, Method, Name, NameAddr, RejectKind, Rejected};
use sip::wire::{ResponseWriter, StreamFramer, Uri};

/// What a user agent that is no registrar must do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Must {
    /// Take the request.
    Take,
    /// Take the response.
    Response(u16),
    /// Parse, then refuse with this code.
    Refuse(u16),
    /// Not parse, and answer this code statelessly.
    Answer(u16),
    /// Not parse; the code would be this, but what an answer is made of is missing.
    Mute(u16),
    /// Drop and count as this.
    Drop(RejectKind),
    Ping,
    Pong,
}

use Must::{Answer, Drop, Mute, Ping, Pong, Refuse, Response, Take};

#[rustfmt::skip]
const EXPECTED: &[(&str, Must)] = &[
    ("rfc4475/3.1.1.1_wsinv.dat", Take),
    ("rfc4475/3.1.1.2_intmeth.dat", Refuse(501)),
    ("rfc4475/3.1.1.3_esc01.dat", Take),
    ("rfc4475/3.1.1.4_escnull.dat", Refuse(405)),
    ("rfc4475/3.1.1.5_esc02.dat", Refuse(501)),
    ("rfc4475/3.1.1.6_lwsdisp.dat", Take),
    ("rfc4475/3.1.1.7_longreq.dat", Take),
    ("rfc4475/3.1.1.8_dblreq.dat", Refuse(405)),
    ("rfc4475/3.1.1.9_semiuri.dat", Take),
    ("rfc4475/3.1.1.10_transports.dat", Take),
    ("rfc4475/3.1.1.11_mpart01.dat", Refuse(405)),
    ("rfc4475/3.1.1.12_unreason.dat", Response(200)),
    ("rfc4475/3.1.1.13_noreason.dat", Response(100)),
    ("rfc4475/3.1.2.1_badinv01.dat", Mute(400)),
    ("rfc4475/3.1.2.2_clerr.dat", Answer(400)),
    ("rfc4475/3.1.2.3_ncl.dat", Answer(400)),
    ("rfc4475/3.1.2.4_scalar02.dat", Answer(400)),
    ("rfc4475/3.1.2.5_scalarlg.dat", Drop(RejectKind::Malformed(Name::CSeq))),
    ("rfc4475/3.1.2.6_quotbal.dat", Answer(400)),
    ("rfc4475/3.1.2.7_ltgtruri.dat", Answer(400)),
    ("rfc4475/3.1.2.8_lwsruri.dat", Answer(400)),
    ("rfc4475/3.1.2.9_lwsstart.dat", Take),
    ("rfc4475/3.1.2.10_trws.dat", Take),
    ("rfc4475/3.1.2.11_escruri.dat", Take),
    ("rfc4475/3.1.2.12_baddate.dat", Take),
    ("rfc4475/3.1.2.13_regbadct.dat", Refuse(405)),
    ("rfc4475/3.1.2.14_badaspec.dat", Take),
    ("rfc4475/3.1.2.15_baddn.dat", Drop(RejectKind::NoBlankLine)),
    ("rfc4475/3.1.2.16_badvers.dat", Answer(505)),
    ("rfc4475/3.1.2.17_mismatch01.dat", Answer(400)),
    ("rfc4475/3.1.2.18_mismatch02.dat", Answer(400)),
    ("rfc4475/3.1.2.19_bigcode.dat", Drop(RejectKind::Status)),
    ("rfc4475/3.2.1_badbranch.dat", Take),
    ("rfc4475/3.3.1_insuf.dat", Mute(400)),
    ("rfc4475/3.3.2_unkscm.dat", Refuse(416)),
    ("rfc4475/3.3.3_novelsc.dat", Refuse(416)),
    ("rfc4475/3.3.4_unksm2.dat", Refuse(405)),
    ("rfc4475/3.3.5_bext01.dat", Refuse(420)),
    ("rfc4475/3.3.6_invut.dat", Refuse(415)),
    ("rfc4475/3.3.7_regaut01.dat", Refuse(405)),
    ("rfc4475/3.3.8_multi01.dat", Answer(400)),
    ("rfc4475/3.3.9_mcl01.dat", Answer(400)),
    ("rfc4475/3.3.10_bcast.dat", Response(200)),
    ("rfc4475/3.3.11_zeromf.dat", Take),
    ("rfc4475/3.3.12_cparam01.dat", Refuse(405)),
    ("rfc4475/3.3.13_cparam02.dat", Refuse(405)),
    ("rfc4475/3.3.14_regescrt.dat", Refuse(405)),
    ("rfc4475/3.3.15_sdp01.dat", Refuse(406)),
    ("rfc4475/3.4.1_inv2543.dat", Take),
    ("rfc4475/A_test_unreferenced.dat", Drop(RejectKind::NotSip)),
    ("rfc5118/4.1_ipv6-good.dat", Refuse(405)),
    ("rfc5118/4.2_ipv6-bad.dat", Answer(400)),
    ("rfc5118/4.3_port-ambiguous.dat", Refuse(405)),
    ("rfc5118/4.4_port-unambiguous.dat", Refuse(405)),
    ("rfc5118/4.5_via-received-param-no-delim.dat", Take),
    ("rfc5118/4.5_via-received-param-with-delim.dat", Take),
    ("rfc5118/4.6_ipv6-in-sdp.dat", Take),
    ("rfc5118/4.7_mult-ip-in-header.dat", Take),
    ("rfc5118/4.8_mult-ip-in-sdp.dat", Take),
    ("rfc5118/4.9_ipv4-mapped-ipv6.dat", Take),
    ("rfc5118/4.10_ipv6-bug-abnf-3-colons.dat", Take),
    ("rfc5118/4.10_ipv6-correct-abnf-2-colons.dat", Take),
    ("sip-extra/01_compact_request.sip", Take),
    ("sip-extra/02_compact_response_sdp.sip", Response(200)),
    ("sip-extra/03_hcolon_space.sip", Take),
    ("sip-extra/04_folded_www_authenticate.sip", Response(401)),
    ("sip-extra/05_ipv6_ruri.sip", Take),
    ("sip-extra/06_ipv6_via.sip", Take),
    ("sip-extra/07_unknown_method.sip", Refuse(501)),
    ("sip-extra/08_keepalive_crlfcrlf.sip", Ping),
    ("sip-extra/09_keepalive_pong_crlf.sip", Pong),
    ("sip-extra/10_crlf_then_message.sip", Take),
    ("sip-extra/11_lf_only.sip", Drop(RejectKind::BareLineEnd)),
    ("sip-extra/12_no_blank_line.sip", Drop(RejectKind::NoBlankLine)),
    ("sip-extra/13_tel_uri.sip", Refuse(416)),
    ("sip-extra/14_status_099.sip", Drop(RejectKind::Status)),
    ("sip-extra/15_status_700.sip", Drop(RejectKind::Status)),
    ("sip-extra/16_content_length_plus.sip", Answer(400)),
    ("sip-extra/17_content_length_hex.sip", Answer(400)),
    ("sip-extra/18_content_length_2_64.sip", Answer(400)),
    ("sip-extra/26_sdp_media_to_third_party.sip", Response(200)),
];

const AGENT: Capabilities<'static> = Capabilities {
    methods: &[
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Options,
    ],
    schemes: &["sip", "sips"],
    option_tags: &["timer"],
    content_types: &["application/sdp"],
};

/// All files by `folder/name`; `None` (and a line that says so) where the folder is absent.
#[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
fn corpus() -> Option<BTreeMap<String, Bytes>> {
    let root = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/testdata/torture"
    ));
    if !root.is_dir() {
        println!("skipped: ../shared/testdata/torture is not here");
        return None;
    }
    let mut files = BTreeMap::new();
    for folder in ["rfc4475", "rfc5118", "sip-extra"] {
        for entry in std::fs::read_dir(root.join(folder)).ok()?.flatten() {
            let octets = std::fs::read(entry.path()).ok()?;
            files.insert(
                format!("{folder}/{}", entry.file_name().to_string_lossy()),
                Bytes::from(octets),
            );
        }
    }
    Some(files)
}

fn message(files: &BTreeMap<String, Bytes>, name: &str) -> Message {
    match files.get(name).cloned().map(Message::parse_datagram) {
        Some(Ok(Incoming::Message(message))) => message,
        other => panic!("{name}: {other:?}"),
    }
}

fn outcome(result: &Result<Incoming, Rejected>) -> Must {
    match result {
        Ok(Incoming::Ping) => Ping,
        Ok(Incoming::Pong) => Pong,
        Ok(Incoming::Message(message)) => match message.status() {
            Some(code) => Response(code),
            None => check_request(message, &AGENT)
                .map_or_else(|refusal| Refuse(refusal.code), |()| Take),
        },
        Err(Rejected {
            kind,
            answer: Some(answer),
        }) => {
            let code = kind.status().unwrap_or_default();
            assert!(
                answer.starts_with(format!("SIP/2.0 {code} ").as_bytes()),
                "{answer:?}"
            );
            assert!(
                answer.ends_with(b"\r\nContent-Length: 0\r\n\r\n"),
                "{answer:?}"
            );
            Answer(code)
        }
        Err(Rejected { kind, answer: None }) => Drop(*kind),
    }
}

#[test]
fn every_file_leads_to_what_the_index_says() {
    let Some(files) = corpus() else { return };
    let expected: BTreeMap<&str, Must> = EXPECTED.iter().copied().collect();
    for (name, octets) in &files {
        let must = *expected
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} has no expectation"));
        let found = outcome(&Message::parse_datagram(octets.clone()));
        match (must, found) {
            (Mute(code), Drop(kind)) => assert_eq!(kind.status(), Some(code), "{name}"),
            (must, found) => assert_eq!(found, must, "{name}"),
        }
    }
    for (name, _) in EXPECTED {
        assert!(
            files.contains_key(*name),
            "{name} is expected and not there"
        );
    }
}

#[test]
fn the_short_tortuous_invite_is_read_whole() {
    let Some(files) = corpus() else { return };
    let invite = message(&files, "rfc4475/3.1.1.1_wsinv.dat");
    assert_eq!(
        (invite.to_tag(), invite.from_tag()),
        (Some("1918181833n"), Some("98asjd8"))
    );
    assert_eq!(
        (invite.cseq(), invite.number(Name::MaxForwards)),
        ((9, &Method::Invite), Some(68))
    );
    assert_eq!(
        (invite.via_count(), invite.branch()),
        (3, Some("390skdjuw"))
    );
    assert!(!invite.top_via().has_rfc3261_branch());
    assert_eq!(
        invite.header_named("newfangledheader"),
        Some(&b"newfangled value   continued newfangled value"[..])
    );
    assert_eq!(invite.body().len(), 150);
    let contact = NameAddr::parse(invite.header(Name::Contact).unwrap()).unwrap();
    assert_eq!(
        (contact.params.get("newparam"), contact.params.get("q")),
        (Some("newvalue"), Some("0.33"))
    );
    let from = NameAddr::parse(invite.header(Name::From).unwrap()).unwrap();
    assert_eq!(from.display_name().as_deref(), Some("J Rosenberg \\\""));
}

#[test]
fn wide_characters_and_escapes_survive() {
    let Some(files) = corpus() else { return };
    let odd = message(&files, "rfc4475/3.1.1.2_intmeth.dat");
    assert_eq!(
        odd.method().map(Method::as_str),
        Some("!interesting-Method0123456789_*+`.%indeed'~")
    );
    let to = NameAddr::parse(odd.header(Name::To).unwrap()).unwrap();
    assert_eq!(
        to.display_name().as_deref(),
        Some("BEL:\u{7} NUL:\0 DEL:\u{7f}")
    );
    assert_eq!(
        Uri::parse(odd.request_uri()).unwrap().host,
        Host::Name("example.com".into())
    );

    let escaped = message(&files, "rfc4475/3.1.1.3_esc01.dat");
    assert_eq!(
        Uri::parse(escaped.request_uri()).unwrap().user_decoded(),
        b"sips:user@example.com"
    );
    let nulls = message(&files, "rfc4475/3.1.1.4_escnull.dat");
    let contacts: Vec<_> = nulls
        .values(Name::Contact)
        .map(|one| NameAddr::parse(one).unwrap().uri.user_decoded())
        .collect();
    assert_eq!(contacts, [b"\0".to_vec(), b"\0\0".to_vec()]);
    assert_eq!(
        message(&files, "rfc4475/3.1.1.5_esc02.dat")
            .values(Name::Contact)
            .count(),
        2
    );
    let semicolon = message(&files, "rfc4475/3.1.1.9_semiuri.dat");
    assert_eq!(
        Uri::parse(semicolon.request_uri()).unwrap().user_decoded(),
        b"user;par=u@example.net"
    );
    assert_eq!(semicolon.values(Name::Accept).count(), 6);
}

#[test]
fn lengths_bodies_and_phrases_are_exact() {
    let Some(files) = corpus() else { return };
    assert_eq!(
        message(&files, "rfc4475/3.1.1.7_longreq.dat").via_count(),
        34
    );
    let first = message(&files, "rfc4475/3.1.1.8_dblreq.dat");
    assert_eq!((first.body().len(), first.raw().len()), (0, 300));
    let multipart = message(&files, "rfc4475/3.1.1.11_mpart01.dat");
    assert_eq!(multipart.body().len(), 553);
    assert!(multipart.body().contains(&0));
    let phrase = message(&files, "rfc4475/3.1.1.12_unreason.dat");
    assert!(phrase.reason().starts_with("= 2**3 * 5**2 \u{43d}\u{43e}"));
    assert_eq!(
        message(&files, "rfc4475/3.1.1.13_noreason.dat").reason(),
        ""
    );
    assert_eq!(
        message(&files, "rfc4475/3.4.1_inv2543.dat").body().len(),
        105
    );
    assert!(!response_is_for_endpoint(&message(
        &files,
        "rfc4475/3.3.10_bcast.dat"
    )));
    assert!(response_is_for_endpoint(&message(
        &files,
        "sip-extra/02_compact_response_sdp.sip"
    )));
    let mapped = message(&files, "rfc5118/4.9_ipv4-mapped-ipv6.dat");
    assert_eq!(
        mapped.top_via().host,
        Host::V6("::ffff:192.0.2.10".parse().unwrap())
    );
}

#[test]
fn refusals_carry_the_headers_their_code_asks_for() {
    let Some(files) = corpus() else { return };
    let refusal = |name: &str, capabilities: &Capabilities<'_>| {
        check_request(&message(&files, name), capabilities).unwrap_err()
    };
    let unsupported = refusal("rfc4475/3.3.5_bext01.dat", &AGENT);
    assert_eq!(
        unsupported.headers[0],
        (
            Name::Unsupported,
            "nothingSupportsThis, nothingSupportsThisEither".into()
        )
    );
    assert_eq!(
        refusal("rfc4475/3.3.6_invut.dat", &AGENT).headers[0],
        (Name::Accept, "application/sdp".into())
    );
    assert_eq!(
        refusal("rfc4475/3.3.15_sdp01.dat", &AGENT).headers[0].0,
        Name::Warning
    );
    assert_eq!(
        refusal("sip-extra/07_unknown_method.sip", &AGENT).headers[0].0,
        Name::Allow
    );
    let registrar = Capabilities {
        methods: &[Method::Register],
        ..AGENT
    };
    for name in [
        "rfc4475/3.1.1.4_escnull.dat",
        "rfc4475/3.3.12_cparam01.dat",
        "rfc5118/4.1_ipv6-good.dat",
    ] {
        assert_eq!(
            check_request(&message(&files, name), &registrar),
            Ok(()),
            "{name}"
        );
    }
}

#[test]
fn an_unquoted_display_name_is_inferred_once_the_message_is_whole() {
    let Some(files) = corpus() else { return };
    let whole = [&files["rfc4475/3.1.2.15_baddn.dat"][..], b"\r\n"].concat();
    assert_eq!(outcome(&Message::parse_datagram(whole.into())), Take);
}

/// The events of a stream that is fed in pieces.
fn streamed<'a>(
    framer: &mut StreamFramer,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Vec<Result<Message, RejectKind>> {
    let mut events = Vec::new();
    for piece in pieces {
        framer.push(piece);
        while let Some(event) = framer.next() {
            match event {
                Ok(Incoming::Message(message)) => events.push(Ok(message)),
                Ok(Incoming::Ping | Incoming::Pong) => {}
                Err(rejected) => events.push(Err(rejected.kind)),
            }
        }
    }
    events
}

/// Whether a stream and a datagram with the same octets lead to the same.
///
/// Two differences are RFC 3261 §18.3's: a stream waits for octets that a datagram lacks, and needs
/// Content-Length.
fn agree(octets: &[u8], datagram: &Result<Incoming, Rejected>, piece: usize) {
    let mut framer = StreamFramer::new();
    let mut events = streamed(&mut framer, octets.chunks(piece));
    let shown = String::from_utf8_lossy(octets);
    match datagram {
        Ok(Incoming::Ping | Incoming::Pong) => assert!(events.is_empty(), "{shown:?}: {events:?}"),
        Ok(Incoming::Message(message)) if message.header(Name::ContentLength).is_none() => {
            assert_eq!(
                events.first(),
                Some(&Err(RejectKind::Missing(Name::ContentLength))),
                "{shown:?}"
            );
        }
        Ok(Incoming::Message(message)) => {
            assert_eq!(events.first(), Some(&Ok(message.clone())), "{shown:?}")
        }
        Err(rejected) => {
            let incomplete = matches!(
                rejected.kind,
                RejectKind::Empty | RejectKind::NoBlankLine | RejectKind::BodyTooShort
            );
            if events.is_empty() && !incomplete {
                events = streamed(&mut framer, std::iter::once(&FILLER[..]));
            }
            match events.first() {
                None => assert!(incomplete, "{shown:?}: {rejected:?}"),
                Some(Ok(message)) => {
                    panic!("{shown:?}: {rejected:?} as a datagram, {message:?} as a stream")
                }
                Some(Err(_)) => {}
            }
        }
    }
}

/// What follows an unfinished message, so that the stream must make up its mind.
static FILLER: [u8; 66_000] = [b'x'; 66_000];

/// Parses every way there is and checks that no way is slow.
fn exercise(octets: &[u8], pieces: &[usize]) -> Duration {
    let datagram = Bytes::copy_from_slice(octets);
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let before = Instant::now();
        let result = Message::parse_datagram(datagram.clone());
        best = best.min(before.elapsed());
        if best < SLOW {
            pieces
                .iter()
                .for_each(|piece| agree(octets, &result, *piece));
            look_at(octets, &result);
            return best;
        }
    }
    panic!("{best:?} for {:?}", String::from_utf8_lossy(octets));
}

const SLOW: Duration = Duration::from_millis(10);

/// Reads everything a message offers, answers it, and compares the glance with the parse.
fn look_at(octets: &[u8], result: &Result<Incoming, Rejected>) {
    let scan = Scan::of(octets);
    let Ok(Incoming::Message(message)) = result else {
        return;
    };
    if let Some(scan) = scan {
        assert_eq!(
            (scan.call_id, scan.branch),
            (message.call_id(), message.branch().unwrap_or_default())
        );
        assert_eq!(scan.cseq_method, message.cseq().1.as_str());
    }
    for (name, _, value) in message.all_lines() {
        let _address = NameAddr::parse(value);
        let _challenges = sip::digest::Challenge::parse_all(value);
        let _answer = sip::digest::DigestResponse::parse(value);
        let _count = message.values(name).count();
    }
    if !message.is_request() {
        return;
    }
    let _checked = check_request(message, &AGENT);
    let source = "192.0.2.77:5099".parse().unwrap_or_else(|_| unreachable!());
    let bytes = ResponseWriter::to_source(message, source, 200, "OK")
        .to_tag("t")
        .record_route(message)
        .finish();
    match Message::parse_datagram(bytes) {
        Ok(Incoming::Message(answer)) => {
            assert_eq!(
                (answer.call_id(), answer.cseq()),
                (message.call_id(), message.cseq())
            );
            assert_eq!(
                (answer.branch(), answer.from_tag()),
                (message.branch(), message.from_tag())
            );
            assert_eq!(answer.via_count(), message.via_count());
        }
        other => panic!("{other:?} answers {:?}", String::from_utf8_lossy(octets)),
    }
}

#[test]
fn every_truncation_and_every_bent_bit_is_survived_alike_on_stream_and_datagram() {
    let Some(files) = corpus() else { return };
    let mut slowest = Duration::ZERO;
    for octets in files.values() {
        exercise(octets, &[1, 7, usize::MAX]);
        for end in 0..octets.len() {
            slowest = slowest.max(exercise(&octets[..end], &[usize::MAX]));
        }
        let mut bent = octets.to_vec();
        for at in 0..bent.len() {
            for bit in 0..8 {
                bent[at] ^= 1 << bit;
                slowest = slowest.max(exercise(
                    &bent,
                    if bit == 0 {
                        &[usize::MAX, 97]
                    } else {
                        &[usize::MAX]
                    },
                ));
                bent[at] ^= 1 << bit;
            }
        }
    }
    println!("slowest parse {slowest:?}");
}

#[test]
fn two_hundred_thousand_mutations_do_no_harm() {
    let Some(files) = corpus() else { return };
    let seeds: Vec<&Bytes> = files.values().collect();
    let mut random = Random(SEED);
    for round in 0..200_000_u32 {
        let mut octets = seeds[random.below(seeds.len())].to_vec();
        for _ in 0..=random.below(4) {
            mutate(&mut octets, &seeds, &mut random);
        }
        let shown = std::panic::catch_unwind(|| exercise(&octets, &[usize::MAX]));
        assert!(
            shown.is_ok(),
            "seed {SEED:#x}, round {round}: {:?}",
            String::from_utf8_lossy(&octets)
        );
    }
}

fn mutate(octets: &mut Vec<u8>, seeds: &[&Bytes], random: &mut Random) {
    if octets.is_empty() {
        return;
    }
    let at = random.below(octets.len());
    let end = (at + 1 + random.below(40)).min(octets.len());
    match random.below(6) {
        0 => octets[at] = random.below(256) as u8,
        1 => drop(octets.drain(at..end)),
        2 => {
            let copy = octets[at..end].to_vec();
            let to = random.below(octets.len());
            drop(octets.splice(to..to, copy));
        }
        3 => {
            let token = TOKENS[random.below(TOKENS.len())];
            drop(octets.splice(at..at, token.iter().copied()));
        }
        4 => {
            let other = seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            let to = (from + random.below(80)).min(other.len());
            drop(octets.splice(at..end, other[from..to].iter().copied()));
        }
        _ => octets.truncate(at),
    }
}

/// Octets that matter to the grammar.
const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n ",
    b"\n",
    b"\r",
    b"\0",
    b"\"",
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b":",
    b"=",
    b"@",
    b"[",
    b"]",
    b"?",
    b"%00",
    b"\xff",
    b"\r\n\r\n",
    b"SIP/2.0",
    b"l: 1\r\n",
    b"Via: ",
    b";tag=",
    b";branch=",
    b"4294967296",
    b"-1",
    b"*",
];

const SEED: u64 = 0x5eed_0000_ca21_110f;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}
