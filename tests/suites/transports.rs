//! The ways that signalling and media can travel: TCP, IPv6, both socket modes, RTCP beside or on
//! the RTP port, every packet length and codec, a WAV file, and sessions that change in mid-call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step is a failed test"
)]

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use lab::{Lab, LabConfig, LabHandle, RelayConfig};
use shared::phase::Outcome;
use shared::wire::{EndpointReport, MediaReport};
use tests::{
    Carillon, Finished, Heard, Reported, Scratch, Scripted, alone, rtp_packet, session, until,
    write_sine,
};

const PAIRS: u32 = 5;
const SOON: Duration = Duration::from_secs(30);

fn lab(change: impl FnOnce(&mut LabConfig)) -> LabHandle {
    let mut config = LabConfig::default();
    change(&mut config);
    Lab::start(config).unwrap()
}

/// Pairs that register at the lab and call each other through it.
fn registered_pairs(lab: &LabHandle, transport: &str, settings: &str) -> String {
    let at = lab.sip_addr();
    let (host, port) = (at.ip(), at.port());
    format!(
        r#"duration = "30s"
buildup = "0s"
thresholds = ["registration_success >= 100%", "call_success >= 100%"]

[registrars.lab]
domain = "lab.carillon"
host = "{host}"
port = {port}
transport = "{transport}"

[groups.callers]
registrar = "lab"
accounts = {{ pattern = "caller{{1..{PAIRS}}}", password = "pw-{{username}}" }}
calls = {{ group = "callees" }}
call_duration = "2s"
{settings}

[groups.callees]
registrar = "lab"
accounts = {{ pattern = "callee{{1..{PAIRS}}}", password = "pw-{{username}}" }}
receives = true
{settings}
"#
    )
}

/// Everybody registered, called, heard the other end whole and un-registered.
fn assert_whole(finished: &Finished, endpoints: u32) {
    let result = finished.result();
    finished.assert_ended(0);
    let counts = &result.all.counts;
    assert_eq!(counts.endpoints, endpoints);
    assert_eq!(
        counts.outcomes[0], endpoints,
        "{:?}\n{}",
        result.failures, finished.output
    );
    for endpoint in &result.endpoints {
        let media = media(endpoint.report());
        assert!(
            media.rx_packets > 20 && media.rx_missing == 0 && media.tx_errors == 0,
            "{}: {media:?}",
            endpoint.report().account
        );
    }
}

fn assert_registrations(finished: &Finished, lab: LabHandle, endpoints: u32) {
    let counts = &finished.result().all.counts;
    assert_eq!(
        (
            counts.registrations_succeeded,
            counts.registrations_failed,
            counts.unregistered
        ),
        (u64::from(endpoints), 0, u64::from(endpoints)),
        "{}",
        finished.output
    );
    let stats = lab.shutdown().sip;
    assert_eq!(
        (stats.registered_now, stats.calls_now, stats.expired),
        (0, 0, 0),
        "{stats:?}"
    );
    assert_eq!(stats.calls_answered, u64::from(endpoints / 2), "{stats:?}");
}

fn media(report: &EndpointReport) -> &MediaReport {
    let call = report.calls.first();
    call.and_then(|call| call.media.as_ref())
        .unwrap_or_else(|| panic!("no media: {report:?}"))
}

#[test]
fn pairs_register_and_call_over_tcp() {
    let _machine = alone();
    let lab = lab(|config| config.tcp = true);
    let test = registered_pairs(&lab, "tcp", "");
    let finished = Carillon::run("tcp", &test, &[]).wait(SOON);
    assert_whole(&finished, 2 * PAIRS);
    assert_registrations(&finished, lab, 2 * PAIRS);
    let retransmits = finished.result().all.counts.retransmits_sent;
    assert_eq!(retransmits, 0, "a reliable transport repeats nothing");
}

#[test]
fn pairs_register_and_call_over_ipv6() {
    let _machine = alone();
    for transport in ["udp", "tcp"] {
        let lab = lab(|config| {
            config.bind = "[::1]:0".parse().unwrap();
            config.tcp = true;
        });
        let test = registered_pairs(&lab, transport, "");
        let finished = Carillon::run("ipv6", &test, &[]).wait(SOON);
        assert_whole(&finished, 2 * PAIRS);
        for endpoint in &finished.result().endpoints {
            let media = media(endpoint.report());
            assert!(
                media.local.starts_with("[::1]:") && media.remote.starts_with("[::1]:"),
                "{media:?}"
            );
        }
        assert_registrations(&finished, lab, 2 * PAIRS);
    }
}

#[test]
fn shared_sockets_work_through_a_relay() {
    let _machine = alone();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let lab = lab(|config| {
            config.bind = address.parse().unwrap();
            config.relay = Some(RelayConfig {
                ports: 33_000..=33_999,
                ..RelayConfig::default()
            });
        });
        let test = registered_pairs(&lab, "udp", "sockets = \"shared\"");
        let finished = Carillon::run("relay", &test, &[]).wait(SOON);
        assert_whole(&finished, 2 * PAIRS);
        let relayed = lab.stats().media_total.relayed;
        let received = finished.result().all.packets_received;
        assert!(
            relayed >= received && received > 0,
            "{relayed} relayed, {received} received"
        );
        assert_registrations(&finished, lab, 2 * PAIRS);
    }
}

/// One group pair without a registrar, and what its media must be.
struct Shape {
    name: &'static str,
    settings: &'static str,
    codec: &'static str,
    ptime_ms: u64,
    scale: &'static str,
    grounded: bool,
    mos: std::ops::RangeInclusive<f32>,
    /// RTCP has a port of its own.
    apart: bool,
}

/// G.711 in 20 ms packets.
const PLAIN: Shape = Shape {
    name: "plain",
    settings: "",
    codec: "PCMU",
    ptime_ms: 20,
    scale: "NB",
    grounded: true,
    mos: 4.3..=4.5,
    apart: false,
};

fn shapes() -> Vec<Shape> {
    let mut shapes = vec![
        PLAIN,
        Shape {
            name: "apart",
            settings: "rtcp_mux = false",
            apart: true,
            ..PLAIN
        },
        Shape {
            name: "shared",
            settings: "sockets = \"shared\"",
            ..PLAIN
        },
        Shape {
            name: "shared-apart",
            settings: "sockets = \"shared\"\nrtcp_mux = false",
            apart: true,
            ..PLAIN
        },
        Shape {
            name: "alaw",
            settings: "codecs = [\"PCMA\"]",
            codec: "PCMA",
            ..PLAIN
        },
        Shape {
            name: "wideband",
            settings: "codecs = [\"G722\"]",
            codec: "G722",
            scale: "WB",
            mos: 3.5..=4.5,
            ..PLAIN
        },
        Shape {
            name: "opus",
            settings: "codecs = [\"opus\"]",
            codec: "opus",
            grounded: false,
            ..PLAIN
        },
        Shape {
            name: "own-socket",
            settings: "sip_socket_per_endpoint = true",
            ..PLAIN
        },
        Shape {
            name: "streams",
            settings: "transport = \"tcp\"",
            ..PLAIN
        },
    ];
    for (name, settings, ptime_ms) in [
        ("p10", "ptime = \"10ms\"", 10),
        ("p30", "ptime = \"30ms\"", 30),
        ("p40", "ptime = \"40ms\"", 40),
        ("p60", "ptime = \"60ms\"", 60),
    ] {
        shapes.push(Shape {
            name,
            settings,
            ptime_ms,
            ..PLAIN
        });
    }
    shapes
}

#[test]
fn every_shape_of_media_is_whole_both_ways() {
    let _machine = alone();
    let scratch = Scratch::new("wav");
    let wav = write_sine(&scratch, "tone.wav", 44_100, 2, 3);
    let shapes = shapes();
    let mut test =
        "duration = \"20s\"\nbuildup = \"0s\"\nthresholds = [\"call_success >= 100%\"]\n"
            .to_owned();
    for shape in &shapes {
        let (name, settings) = (shape.name, shape.settings);
        let played = match name {
            "alaw" => "media = \"tone:440\"".to_owned(),
            "shared" | "wideband" => format!("media = {:?}", wav.display().to_string()),
            _ => String::new(),
        };
        write!(
            test,
            "[groups.{name}]\ncount = 2\ncalls = {{ group = \"{name}-b\" }}\ncall_duration = \"3s\"\n{settings}\n{played}\n\
             [groups.{name}-b]\ncount = 2\nreceives = true\n{settings}\n{played}\n"
        )
        .unwrap();
    }
    let finished = Carillon::run("shapes", &test, &[]).wait(SOON);
    let endpoints = u32::try_from(shapes.len() * 4).unwrap();
    assert_whole(&finished, endpoints);
    for shape in &shapes {
        check_shape(&finished, shape);
    }
}

fn check_shape(finished: &Finished, shape: &Shape) {
    let callee = format!("{}-b", shape.name);
    let of_shape = finished
        .result()
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.group_name == shape.name || endpoint.group_name == callee);
    let mut count = 0;
    for endpoint in of_shape {
        count += 1;
        let media = media(endpoint.report());
        let name = shape.name;
        assert_eq!(
            media.codec.to_lowercase(),
            shape.codec.to_lowercase(),
            "{name}: {media:?}"
        );
        assert_eq!(
            (media.scale.as_str(), media.grounded),
            (shape.scale, shape.grounded),
            "{name}: {media:?}"
        );
        let mos = media.mos.expect("a MOS");
        assert!(shape.mos.contains(&mos), "{name}: MOS {mos}: {media:?}");
        let duration_ms = endpoint.report().calls[0].duration_ms.expect("a duration");
        let due = f64::from(duration_ms) / shape.ptime_ms as f64;
        let sent = media.tx_packets as f64;
        // The stream begins and ends within a few packets of the call; what was not sent because this
        // machine held us up was due all the same.
        let unsent = finished.result().generator.skipped_packets as f64;
        assert!(
            sent + unsent >= due * 0.9 - 3.0 && sent <= due * 1.05 + 4.0,
            "{name}: {sent} packets in {duration_ms} ms"
        );
        assert!(
            media.rtcp_received > 0 && media.rtt_samples > 0,
            "{name}: {media:?}"
        );
        let local: SocketAddr = media.local.parse().unwrap();
        assert!(
            !shape.apart || local.port().is_multiple_of(2),
            "{name}: {local}"
        );
    }
    assert_eq!(count, 4, "{}", shape.name);
}

/// A far end that changes the session: what it says decides whether we send.
#[test]
fn hold_and_update_are_obeyed() {
    let _machine = alone();
    let mut peer = Scripted::udp("127.0.0.1");
    let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = rtp.local_addr().unwrap();
    let test = format!(
        "duration = \"20s\"\n[groups.callers]\ncount = 1\ncalls = \"{}\"\ncall_duration = \"6s\"\n",
        peer.uri("bob")
    );
    let run = Carillon::run("hold", &test, &[]);
    let invite = peer.expect("INVITE", SOON);
    peer.accept(&invite, "h", &session(own, "0", ""));
    peer.expect("ACK", SOON);
    let mut far = FarEnd {
        peer: &mut peer,
        rtp: &rtp,
        invite,
        cseq: 0,
    };
    assert!(far.hears(), "no media before the hold");
    let nowhere: SocketAddr = ([0, 0, 0, 0], own.port()).into();
    for (method, held, answered) in [
        ("INVITE", session(own, "0", "sendonly"), "a=recvonly"),
        ("UPDATE", session(own, "0", "inactive"), "a=inactive"),
        // RFC 3264 §8.4: the old way.
        ("INVITE", session(nowhere, "0", ""), ""),
    ] {
        let answer = far.change(method, &held);
        assert!(answer.body.contains(answered), "{method}: {answer:?}");
        assert!(far.falls_silent(), "{method} {held}: still sending");
        let answer = far.change(method, &session(own, "0", "sendrecv"));
        assert!(!answer.body.contains("inactive"), "{method}: {answer:?}");
        assert!(far.hears(), "{method} {held}: silent after the hold");
    }
    // What nobody can play is refused, and the call goes on as it was (RFC 3261 §14.1).
    for formats in ["99", "8"] {
        let refused = far.change("INVITE", &session(own, formats, ""));
        assert_eq!(refused.status(), Some(488), "{formats}: {refused:?}");
    }
    assert!(far.hears(), "silent after a refused change");
    let bye = peer.expect("BYE", SOON);
    peer.answer(&bye, 200, "", &[], "");
    let finished = run.wait(SOON);
    let report = finished.result().endpoints[0].report();
    assert_eq!(report.outcome, Outcome::Success, "{report:?}");
    let media = media(report);
    assert!(media.rx_packets > 0 && media.tx_errors == 0, "{media:?}");
}

/// A change that points our media at somebody else silences it, and says so in the outcome.
#[test]
fn a_change_does_not_move_media_to_a_third_party() {
    let _machine = alone();
    let mut peer = Scripted::udp("127.0.0.1");
    let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = rtp.local_addr().unwrap();
    let test = format!(
        "duration = \"20s\"\n[groups.callers]\ncount = 1\ncalls = \"{}\"\ncall_duration = \"3s\"\nsockets = \"shared\"\n",
        peer.uri("bob")
    );
    let run = Carillon::run("moved", &test, &[]);
    let invite = peer.expect("INVITE", SOON);
    peer.accept(&invite, "h", &session(own, "0", ""));
    peer.expect("ACK", SOON);
    let mut far = FarEnd {
        peer: &mut peer,
        rtp: &rtp,
        invite,
        cseq: 0,
    };
    assert!(far.hears(), "no media before the change");
    let elsewhere: SocketAddr = "198.51.100.77:40000".parse().unwrap();
    far.change("INVITE", &session(elsewhere, "0", ""));
    assert!(far.falls_silent(), "still sending");
    far.change("INVITE", &session(own, "0", ""));
    assert!(far.hears(), "silent after media came back");
    let bye = peer.expect("BYE", SOON);
    peer.answer(&bye, 200, "", &[], "");
    let finished = run.wait(SOON);
    let report = finished.result().endpoints[0].report();
    assert_eq!(report.outcome, Outcome::CompletedWithWarnings, "{report:?}");
    assert!(report.reason.contains("198.51.100.77"), "{}", report.reason);
    assert_eq!(media(report).tx_errors, 0, "{report:?}");
}

/// The called side of a call, in mid-call.
struct FarEnd<'a> {
    peer: &'a mut Scripted,
    rtp: &'a UdpSocket,
    invite: Heard,
    cseq: u32,
}

impl FarEnd<'_> {
    /// Offers a change and returns its final answer, acknowledged.
    fn change(&mut self, method: &str, sdp: &str) -> Heard {
        self.cseq += 1;
        self.send(method, "", sdp);
        let answer = loop {
            let heard = self.peer.receive(SOON).expect("an answer");
            if heard.status().is_some_and(|code| code >= 200) && heard.cseq() == self.cseq {
                break heard;
            }
        };
        if method == "INVITE" {
            let branch = match answer.status() {
                Some(200) => "ack",
                _ => "",
            };
            self.send("ACK", branch, "");
        }
        answer
    }

    fn send(&mut self, method: &str, branch: &str, sdp: &str) {
        let content = if sdp.is_empty() {
            String::new()
        } else {
            "Content-Type: application/sdp\r\n".to_owned()
        };
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKh{cseq}{branch}\r\n\
             Max-Forwards: 70\r\nFrom: {to};tag=h\r\nTo: {from}\r\nCall-ID: {id}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:script@{own}>\r\n{content}\
             Content-Length: {length}\r\n\r\n{sdp}",
            target = self.invite.contact().unwrap_or_default(),
            own = self.peer.local(),
            cseq = self.cseq,
            to = self.invite.header("To"),
            from = self.invite.header("From"),
            id = self.invite.header("Call-ID"),
            length = sdp.len(),
        );
        self.peer.send(text.as_bytes(), self.invite.from);
    }

    /// Whether RTP comes; sends some back.
    fn hears(&mut self) -> bool {
        let mut count = 0_u16;
        while self.next(Duration::from_secs(2)).is_some_and(|from| {
            let packet = rtp_packet(count, 7);
            self.rtp.send_to(&packet, from).is_ok()
        }) {
            count += 1;
            if count > 5 {
                return true;
            }
        }
        false
    }

    /// Whether no RTP comes for five packet lengths, once what was under way has come.
    fn falls_silent(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if self.next(Duration::from_millis(150)).is_none() {
                return true;
            }
        }
        false
    }

    /// The source of the next RTP packet; RTCP (RFC 5761 §4) is left out.
    fn next(&mut self, within: Duration) -> Option<SocketAddr> {
        let deadline = Instant::now() + within;
        let mut octets = [0; 2_048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.rtp.set_read_timeout(Some(left)).unwrap();
            match self.rtp.recv_from(&mut octets) {
                Ok((_, from)) if !(192..=223).contains(&octets[1]) => return Some(from),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

/// A peer that is reached over TCP and calls over TCP, IPv6 included.
#[test]
fn scripted_peers_call_and_are_called_over_tcp_and_ipv6() {
    let _machine = alone();
    let [listening] = tests::free_ports();
    let mut called = Scripted::tcp("::1");
    let rtp = UdpSocket::bind("[::1]:0").unwrap();
    let own = rtp.local_addr().unwrap();
    let test = format!(
        "duration = \"5s\"\nbuildup = \"0s\"\n\
         [groups.callers]\ncount = 1\ncalls = \"{}\"\ncall_duration = \"1s\"\ntransport = \"tcp\"\n\
         [groups.callees]\ncount = 1\nreceives = true\ntransport = \"tcp\"\nsip_bind = \"[::1]:{listening}\"\n",
        called.uri("bob")
    );
    let run = Carillon::run("tcp-peer", &test, &[]);
    let caller = std::thread::spawn(move || {
        let to: SocketAddr = format!("[::1]:{listening}").parse().unwrap();
        until("the TCP port", SOON, || {
            std::net::TcpStream::connect(to).ok()
        });
        let mut caller = Scripted::connect(to);
        let mut call = until("a receiver that is free", SOON, || {
            let mut call = caller.invite("anybody", to, &session(own, "0", ""));
            let answer = loop {
                let heard = caller.receive(SOON).expect("an answer");
                if heard.status().is_some_and(|code| code >= 200) {
                    break heard;
                }
            };
            caller.acknowledge(&mut call, &answer);
            answer.is("200").then_some(call)
        });
        let mut octets = [0; 2_048];
        rtp.set_read_timeout(Some(SOON)).unwrap();
        for sequence in 0..25 {
            let (_, from) = rtp.recv_from(&mut octets).expect("RTP");
            rtp.send_to(&rtp_packet(sequence, 9), from).unwrap();
        }
        caller.request(&mut call, "BYE", &[], "");
        caller.expect("200", SOON);
    });
    let invite = called.expect("INVITE", SOON);
    assert!(
        invite.header("Via").starts_with("SIP/2.0/TCP [::1]:"),
        "{invite:?}"
    );
    assert!(invite.body.contains("c=IN IP6 ::1"), "{invite:?}");
    let echo = tests::RtpEcho::start("::1");
    called.accept(&invite, "t", &echo.session());
    called.expect("ACK", SOON);
    let bye = called.expect("BYE", SOON);
    called.answer(&bye, 200, "", &[], "");
    caller.join().expect("the call over TCP");
    let finished = run.wait(SOON);
    for endpoint in &finished.result().endpoints {
        let report = endpoint.report();
        assert_eq!(report.outcome, Outcome::Success, "{report:?}");
        let media = media(report);
        assert!(
            media.rx_packets > 20 && media.local.starts_with("[::1]:"),
            "{media:?}"
        );
    }
}
