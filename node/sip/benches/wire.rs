//! What one message costs: parse, scan in place, print, and a whole call of two user agents without
//! sockets. CPU by the process clock, medians of nine; rsip 0.4 is measured in the same run.
//!
//! `cargo bench -p sip`
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used
)] // a bench binary

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::ua::{
    CallRef, Command, Event, HostPort, Input, Output, TimerConfig, Transport, UaConfig, UserAgent,
};
use sip::wire::{Incoming, Message, Method, Name, RequestWriter, Uri, scan::Scan};

const INVITE: &[u8] = b"INVITE sip:user0001@127.0.0.1:5070 SIP/2.0\r\n\
Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1f-4c9a2b7e11;rport\r\n\
Max-Forwards: 70\r\n\
From: <sip:user0002@127.0.0.1>;tag=a73kszlfl\r\n\
To: <sip:user0001@127.0.0.1:5070>\r\n\
Call-ID: 18c0ffee.1f-3848276298220188511\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:user0002.1f@127.0.0.1:5060>\r\n\
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE\r\n\
Supported: 100rel\r\n\
User-Agent: Carillon/0.1.0\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 175\r\n\r\n\
v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp-mux\r\na=ptime:20\r\n\r\n";

fn main() {
    let invite = Bytes::from_static(INVITE);
    assert!(matches!(
        Message::parse_datagram(invite.clone()),
        Ok(Incoming::Message(_))
    ));
    row("parse an INVITE into Message", 200_000, || {
        black_box(Message::parse_datagram(black_box(invite.clone())).is_ok());
    });
    row("scan an INVITE in place", 1_000_000, || {
        black_box(Scan::of(black_box(INVITE)).is_some());
    });
    row("print an INVITE", 200_000, || {
        let printed = RequestWriter::new(&Method::Invite, "sip:user0001@127.0.0.1:5070")
            .header(
                Name::Via,
                "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1f-4c9a2b7e11;rport",
            )
            .header(Name::MaxForwards, "70")
            .header(Name::From, "<sip:user0002@127.0.0.1>;tag=a73kszlfl")
            .header(Name::To, "<sip:user0001@127.0.0.1:5070>")
            .header(Name::CallId, "18c0ffee.1f-3848276298220188511")
            .cseq(314_159, &Method::Invite)
            .header(Name::Contact, "<sip:user0002.1f@127.0.0.1:5060>")
            .body("application/sdp", b"v=0\r\n")
            .finish();
        black_box(printed);
    });
    row(
        "rsip 0.4: parse the same INVITE (for comparison)",
        100_000,
        || {
            black_box(rsip::SipMessage::try_from(black_box(INVITE)).is_ok());
        },
    );
    row("a whole call, both user agents, no sockets", 10_000, || {
        assert_eq!(call(), 6, "INVITE 180 200 ACK BYE 200");
    });
}

fn row(what: &str, times: u32, mut work: impl FnMut()) {
    let mut each: Vec<f64> = (0..9)
        .map(|_| {
            let begin = cpu_ns();
            for _ in 0..times {
                work();
            }
            (cpu_ns() - begin) / 1e3 / f64::from(times)
        })
        .collect();
    each.sort_by(f64::total_cmp);
    println!(
        "{what:55} {:8.3} µs   (min {:.3}, max {:.3})",
        each[4], each[0], each[8]
    );
}

/// Nanoseconds of CPU that this process has had: other programs on the machine do not count.
fn cpu_ns() -> f64 {
    let figures = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    figures
        .split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .expect("nanoseconds on a CPU")
}

fn agent(number: u16) -> (UserAgent, SocketAddr) {
    let local = SocketAddr::from(([127, 0, 0, 1], 5_000 + number));
    let config = UaConfig {
        user: format!("u{number}").into(),
        domain: "127.0.0.1".into(),
        display: None,
        local,
        transport: Transport::Udp,
        registrar: None,
        outbound_proxy: None,
        credentials: None,
        timers: TimerConfig::default(),
        contact_user: format!("u{number}.1").into(),
        call_id_prefix: "1-".into(),
        branch_prefix: "1-".into(),
        user_agent: "bench".into(),
        seed: u64::from(number),
    };
    (UserAgent::new(config, Instant::now()), local)
}

/// One call between two agents; gives the number of messages.
fn call() -> usize {
    let now = Instant::now();
    let mut agents = [agent(1), agent(2)];
    let target = Uri::parse("sip:u2.1@127.0.0.1:5002").expect("a URI");
    let offer = Some(Bytes::from_static(b"v=0\r\n"));
    let invite = Command::Invite {
        call: CallRef(1),
        target,
        offer,
    };
    agents[0].0.handle(now, Input::Command(invite));
    let mut messages = 0;
    let mut incoming = None;
    loop {
        let mut busy = false;
        for from in 0..2 {
            while let Some(output) = agents[from].0.poll() {
                busy = true;
                match output {
                    Output::Transmit { to, bytes, .. } => {
                        let HostPort::Ip(_) = to.host else {
                            panic!("a name")
                        };
                        messages += 1;
                        let parsed = Message::parse_datagram(bytes);
                        if let Ok(Incoming::Message(message)) = parsed {
                            let source = agents[from].1;
                            let transport = Transport::Udp;
                            let input = Input::Message {
                                message,
                                from: source,
                                transport,
                            };
                            agents[1 - from]
                                .0
                                .handle(now + Duration::from_millis(1), input);
                        }
                    }
                    Output::Event(Event::Incoming { call, .. }) => incoming = Some(call),
                    Output::Event(Event::Answered { call, .. }) => {
                        agents[0]
                            .0
                            .handle(now, Input::Command(Command::Bye { call }));
                    }
                    Output::Event(_) => {}
                }
            }
        }
        if let Some(call) = incoming.take() {
            agents[1]
                .0
                .handle(now, Input::Command(Command::Ring { call }));
            while let Some(output) = agents[1].0.poll() {
                relay(&mut agents, now, output, &mut messages);
            }
            let body = Bytes::from_static(b"v=0\r\n");
            agents[1]
                .0
                .handle(now, Input::Command(Command::Answer { call, body }));
            busy = true;
        }
        if !busy {
            return messages;
        }
    }
}

fn relay(
    agents: &mut [(UserAgent, SocketAddr); 2],
    now: Instant,
    output: Output,
    messages: &mut usize,
) {
    if let Output::Transmit { bytes, .. } = output {
        *messages += 1;
        if let Ok(Incoming::Message(message)) = Message::parse_datagram(bytes) {
            let from = agents[1].1;
            let input = Input::Message {
                message,
                from,
                transport: Transport::Udp,
            };
            agents[0].0.handle(now, input);
        }
    }
}
