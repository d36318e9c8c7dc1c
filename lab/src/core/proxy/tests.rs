use std::time::Duration;

use sip::wire::{Incoming, Method, Name};

use super::super::route::Channel;
use super::*;
use crate::config::{Accounts, Action, Fault, Faults, RelayConfig};
use crate::fake::{Ask, Ua, parse, sdp, text};

struct Bench {
    proxy: Proxy,
    now: Instant,
    lab: SocketAddr,
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Bench {
    fn new(config: LabConfig) -> Self {
        let now = Instant::now();
        let lab = address(5070);
        Self {
            proxy: Proxy::new(now, config, lab, 42),
            now,
            lab,
        }
    }

    fn ua(&self, user: &str, port: u16) -> Ua {
        Ua::new(user, address(port), self.lab)
    }

    /// Hands over a message and gives everything that is sent.
    fn give(&mut self, bytes: &[u8], flow: Flow) -> Vec<(Flow, Message)> {
        self.proxy
            .handle(self.now, Input::Message(parse(bytes), flow));
        self.sent()
    }

    fn sent(&mut self) -> Vec<(Flow, Message)> {
        let mut sent = Vec::new();
        while let Some(output) = self.proxy.poll() {
            if let Output::Send(flow, bytes) = output {
                sent.push((flow, parse(&bytes)));
            }
        }
        sent
    }

    /// Hands over and expects exactly one message to `port`.
    fn one(&mut self, bytes: &[u8], from: &Ua, port: u16) -> Message {
        let mut sent = self.give(bytes, Flow::udp(from.address));
        assert_eq!(sent.len(), 1, "{sent:?}");
        let (flow, message) = sent.remove(0);
        assert_eq!(flow, Flow::udp(address(port)));
        message
    }

    /// Hands over and expects one answer to its sender.
    fn back(&mut self, bytes: &[u8], from: &Ua) -> Message {
        self.one(bytes, from, from.address.port())
    }

    fn register(&mut self, ua: &mut Ua) {
        let refusal = self.back(&ua.register(60), ua);
        assert_eq!(refusal.status(), Some(401));
        ua.challenged(&refusal);
        assert_eq!(self.back(&ua.register(60), ua).status(), Some(200));
    }

    /// Two registered ends; the caller has been challenged for INVITE already.
    fn pair(&mut self) -> (Ua, Ua) {
        let (mut a, mut b) = (self.ua("a", 6000), self.ua("b", 7000));
        self.register(&mut a);
        self.register(&mut b);
        let invite = a.invite("b", "warm-up", None);
        let refusal = self.back(&invite, &a);
        assert_eq!(refusal.status(), Some(407));
        a.challenged(&refusal);
        (a, b)
    }

    fn after(&mut self, ms: u64) -> Vec<(Flow, Message)> {
        self.now += Duration::from_millis(ms);
        self.proxy.handle(self.now, Input::Timeout);
        self.sent()
    }
}

fn fault(action: Action) -> Vec<Fault> {
    vec![Fault {
        action,
        percent: 100.0,
    }]
}

fn cancel_of(ua: &Ua, invite: &Message) -> Vec<u8> {
    let (to, cseq) = ("b", invite.cseq().0);
    let ask = Ask {
        method: Method::Cancel,
        uri: invite.request_uri().to_owned(),
        to,
        to_tag: None,
        call_id: invite.call_id(),
        cseq,
        headers: Vec::new(),
        sdp: None,
    };
    ua.request_with_branch(&ask, invite.branch().unwrap())
        .to_vec()
}

fn ack_of(ua: &Ua, invite: &Message, refusal: &Message) -> Vec<u8> {
    let ask = Ask {
        method: Method::Ack,
        uri: invite.request_uri().to_owned(),
        to: "b",
        to_tag: refusal.to_tag(),
        call_id: invite.call_id(),
        cseq: invite.cseq().0,
        headers: Vec::new(),
        sdp: None,
    };
    ua.request_with_branch(&ask, invite.branch().unwrap())
        .to_vec()
}

#[test]
fn registration_is_challenged_granted_and_removed() {
    let mut bench = Bench::new(LabConfig::default());
    let mut a = bench.ua("a", 6000);
    bench.register(&mut a);
    assert_eq!(bench.proxy.stats().registered_now, 1);
    let query = a.register_with(Vec::new());
    let contact = text(bench.back(&query, &a).header(Name::Contact).unwrap());
    assert_eq!(contact, "<sip:ep-a@127.0.0.1:6000>;expires=60");
    assert_eq!(bench.back(&a.register(0), &a).status(), Some(200));
    let stats = bench.proxy.stats();
    assert_eq!(
        (
            stats.registered_now,
            stats.registrations,
            stats.unregistrations
        ),
        (0, 1, 1)
    );
    bench.back(&a.register(60), &a);
    bench.after(60_000);
    assert_eq!(
        (
            bench.proxy.stats().registered_now,
            bench.proxy.stats().expired
        ),
        (0, 1)
    );
}

#[test]
fn star_removes_everything_and_nonsense_is_refused() {
    let mut bench = Bench::new(LabConfig::default());
    let mut a = bench.ua("a", 6000);
    bench.register(&mut a);
    let star = |expires: &str| {
        vec![
            (Name::Contact, "*".to_owned()),
            (Name::Expires, expires.to_owned()),
        ]
    };
    assert_eq!(
        bench.back(&a.register_with(star("60")), &a).status(),
        Some(400)
    );
    let answer = bench.back(&a.register_with(star("0")), &a);
    assert_eq!(
        (answer.status(), answer.header(Name::Contact)),
        (Some(200), None)
    );
}

#[test]
fn a_brief_registration_learns_the_minimum() {
    let mut bench = Bench::new(LabConfig::default());
    let mut a = bench.ua("a", 6000);
    bench.register(&mut a);
    let answer = bench.back(&a.register(5), &a);
    assert_eq!(
        (answer.status(), answer.number(Name::MinExpires)),
        (Some(423), Some(10))
    );
}

#[test]
fn strangers_do_not_get_in() {
    let listed = Accounts::Listed([("a".to_owned(), "secret".to_owned())].into());
    let mut bench = Bench::new(LabConfig {
        accounts: listed,
        ..LabConfig::default()
    });
    let mut wrong = bench.ua("a", 6000);
    let refusal = bench.back(&wrong.register(60), &wrong);
    wrong.challenged(&refusal);
    assert_eq!(bench.back(&wrong.register(60), &wrong).status(), Some(401));
    assert_eq!(bench.proxy.stats().wrong_credentials, 1);
    let mut unknown = bench.ua("nobody", 6002);
    assert_eq!(
        bench.back(&unknown.register(60), &unknown).status(),
        Some(404)
    );
    // Who proves to be "a" may not register "c".
    let listed = [
        ("a".to_owned(), "pw-a".to_owned()),
        ("c".to_owned(), "x".to_owned()),
    ];
    let accounts = Accounts::Listed(listed.into());
    let mut bench = Bench::new(LabConfig {
        accounts,
        ..LabConfig::default()
    });
    let mut a = bench.ua("a", 6000);
    bench.register(&mut a);
    a.user = "c".to_owned();
    assert_eq!(bench.back(&a.register(60), &a).status(), Some(403));
}

#[test]
fn a_call_goes_through_and_both_ends_can_end_it() {
    let mut bench = Bench::new(LabConfig::default());
    let (mut a, b) = bench.pair();
    let invite = a.invite("b", "call", Some(&sdp(address(6100))));
    let at_b = bench.one(&invite, &a, 7000);
    assert_eq!(at_b.request_uri(), "sip:ep-b@127.0.0.1:7000");
    assert_eq!(at_b.number(Name::MaxForwards), Some(69));
    assert_eq!(at_b.header(Name::ProxyAuthorization), None);
    assert_eq!(
        text(at_b.header(Name::RecordRoute).unwrap()),
        "<sip:127.0.0.1:5070;lr>"
    );
    assert_eq!(
        (at_b.via_count(), at_b.body()),
        (2, &sdp(address(6100))[..])
    );
    let ringing = bench.one(&b.respond(&at_b, 180, None), &b, 6000);
    assert_eq!((ringing.status(), ringing.via_count()), (Some(180), 1));
    let ok = bench.one(&b.respond(&at_b, 200, Some(&sdp(address(7100)))), &b, 6000);
    assert_eq!(ok.branch(), parse(&invite).branch());
    let ack = bench.one(&a.within(Method::Ack, &ok, 2), &a, 7000);
    assert_eq!(
        (ack.method(), ack.header(Name::Route)),
        (Some(&Method::Ack), None)
    );
    assert_eq!(bench.proxy.stats().calls_now, 1);
    // The callee hangs up.
    let bye = bench.one(&b.within(Method::Bye, &at_b, 1), &b, 6000);
    assert_eq!(bye.request_uri(), "sip:ep-a@127.0.0.1:6000");
    assert_eq!(
        bench.one(&a.respond(&bye, 200, None), &a, 7000).status(),
        Some(200)
    );
    let stats = bench.proxy.stats();
    assert_eq!(
        (stats.calls, stats.calls_answered, stats.calls_ended),
        (1, 1, 1)
    );
    assert_eq!((stats.calls_now, stats.dropped), (0, 0));
}

#[test]
fn repetitions_look_alike() {
    let mut bench = Bench::new(LabConfig::default());
    let (mut a, b) = bench.pair();
    let invite = a.invite("b", "call", None);
    let first = bench.one(&invite, &a, 7000);
    assert_eq!(bench.one(&invite, &a, 7000).raw(), first.raw());
    // A refusal by the callee: its ACK and a CANCEL carry the branch of the INVITE.
    let busy = bench.one(&b.respond(&first, 486, None), &b, 6000);
    let ack = bench.one(&ack_of(&a, &parse(&invite), &busy), &a, 7000);
    assert_eq!(
        (ack.branch(), ack.request_uri()),
        (first.branch(), first.request_uri())
    );
    let cancel = bench.one(&cancel_of(&a, &parse(&invite)), &a, 7000);
    assert_eq!(
        (cancel.branch(), cancel.request_uri()),
        (first.branch(), first.request_uri())
    );
    let stats = bench.proxy.stats();
    assert_eq!((stats.calls, stats.calls_failed), (1, 1));
}

#[test]
fn the_labs_own_refusals_keep_their_ack() {
    let mut bench = Bench::new(LabConfig::default());
    let (mut a, _) = bench.pair();
    let invite = a.invite("nobody", "call", None);
    let refusal = bench.back(&invite, &a);
    assert_eq!(refusal.status(), Some(404));
    assert_eq!(bench.back(&invite, &a).to_tag(), refusal.to_tag());
    let ack = ack_of(&a, &parse(&invite), &refusal);
    assert!(bench.give(&ack, Flow::udp(a.address)).is_empty());
}

#[test]
fn faults_answer_swallow_and_delay() {
    let invite = fault(Action::Answer {
        code: 503,
        retry_after_s: Some(7),
    });
    let register = fault(Action::Slow { ms: 300 });
    let faults = Faults {
        invite,
        register,
        bye: Vec::new(),
    };
    let mut bench = Bench::new(LabConfig {
        faults,
        ..LabConfig::default()
    });
    let mut a = bench.ua("a", 6000);
    let refusal = bench.back(&a.register(60), &a);
    a.challenged(&refusal);
    assert!(bench.give(&a.register(60), Flow::udp(a.address)).is_empty());
    assert!(bench.after(299).is_empty());
    assert_eq!(bench.after(1)[0].1.status(), Some(200));
    let refusal = bench.back(&a.invite("b", "call", None), &a);
    a.challenged(&refusal);
    let invite = a.invite("b", "call", None);
    let answer = bench.back(&invite, &a);
    assert_eq!(
        (answer.status(), answer.number(Name::RetryAfter)),
        (Some(503), Some(7))
    );
    assert_eq!(
        bench.back(&cancel_of(&a, &parse(&invite)), &a).status(),
        Some(200)
    );
    let stats = bench.proxy.stats();
    assert_eq!(
        (
            stats.faults_slow,
            stats.faults_answered,
            stats.faults_silent
        ),
        (1, 1, 0)
    );
}

#[test]
fn a_silenced_invite_takes_its_cancel_along() {
    let faults = Faults {
        invite: fault(Action::Silence),
        ..Faults::default()
    };
    let mut bench = Bench::new(LabConfig {
        faults,
        ..LabConfig::default()
    });
    let (mut a, _) = bench.pair();
    let invite = a.invite("b", "call", None);
    assert!(bench.give(&invite, Flow::udp(a.address)).is_empty());
    let cancel = cancel_of(&a, &parse(&invite));
    assert!(bench.give(&cancel, Flow::udp(a.address)).is_empty());
    assert_eq!(bench.proxy.stats().faults_silent, 2);
}

#[test]
fn what_a_proxy_must_refuse_is_refused() {
    let mut bench = Bench::new(LabConfig::default());
    let (mut a, _) = bench.pair();
    let mut ask = |method: Method, uri: &str, to_tag: Option<&str>, header: (Name, &str)| {
        let bytes = a.request(&Ask {
            method,
            uri: uri.to_owned(),
            to: "b",
            to_tag,
            call_id: "odd",
            cseq: a_cseq(&mut 1),
            headers: vec![(header.0, header.1.to_owned())],
            sdp: None,
        });
        bench.back(&bytes, &a).status().unwrap()
    };
    let none = (Name::Subject, "x");
    let own = "sip:b@127.0.0.1:5070";
    assert_eq!(ask(Method::Publish, own, None, none), 405);
    assert_eq!(ask(Method::Invite, "sip:b@127.0.0.1:9", None, none), 403);
    assert_eq!(ask(Method::Bye, own, Some("x"), none), 404);
    assert_eq!(
        ask(Method::Cancel, "sip:no@127.0.0.1:5070", None, none),
        481
    );
    assert_eq!(
        ask(Method::Invite, own, None, (Name::ProxyRequire, "sec-agree")),
        420
    );
    assert_eq!(ask(Method::Options, "sip:127.0.0.1:5070", None, none), 200);
    let away = (Name::Route, "<sip:192.0.2.1;lr>");
    assert_eq!(ask(Method::Bye, own, Some("x"), away), 403);
    let invite = a.invite("b", "hops", None);
    let invite = text(&invite).replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(bench.back(invite.as_bytes(), &a).status(), Some(483));
}

fn a_cseq(last: &mut u32) -> u32 {
    *last += 1;
    *last
}

#[test]
fn descriptions_pass_through_the_relay() {
    let relay = Some(RelayConfig::default());
    let mut bench = Bench::new(LabConfig {
        relay,
        ..LabConfig::default()
    });
    for port in (40_000..40_010).step_by(2) {
        bench.proxy.handle(bench.now, Input::PortReady(port));
    }
    let (mut a, b) = bench.pair();
    let invite = a.invite("b", "call", Some(&sdp(address(6100))));
    let at_b = bench.one(&invite, &a, 7000);
    assert!(text(at_b.body()).contains("m=audio 40002 RTP/AVP 0\r\na=ssrc:7 cname:x"));
    let length = at_b.number(Name::ContentLength).unwrap() as usize;
    assert_eq!(length, at_b.body().len());
    let ok = bench.one(&b.respond(&at_b, 200, Some(&sdp(address(7100)))), &b, 6000);
    assert!(text(ok.body()).contains("m=audio 40000 RTP/AVP 0"));
    // Two of five pairs are in use: two calls more can be described, and then none.
    assert_eq!(
        bench
            .one(&a.invite("b", "c2", Some(&sdp(address(1)))), &a, 7000)
            .status(),
        None
    );
    let full = bench.back(&a.invite("b", "c3", Some(&sdp(address(1)))), &a);
    assert_eq!(full.status(), Some(503));
}

#[test]
fn a_connection_carries_what_belongs_to_it() {
    let mut bench = Bench::new(LabConfig::default());
    let (mut a, _) = bench.pair();
    let mut c = bench.ua("c", 8000);
    c.transport = "TCP";
    let connection = Flow {
        peer: address(33_000),
        via: Channel::Tcp(9),
    };
    let challenge = bench.give(&c.register(60), connection);
    assert_eq!(challenge[0].0, connection);
    c.challenged(&challenge[0].1);
    assert_eq!(
        bench.give(&c.register(60), connection)[0].1.status(),
        Some(200)
    );
    // UDP calls TCP: the connection of the registration, and a route for each transport.
    let invite = a.invite("c", "mixed", None);
    let sent = bench.give(&invite, Flow::udp(a.address));
    assert_eq!(sent[0].0, connection);
    let at_c = &sent[0].1;
    assert_eq!(at_c.top_via().transport, "TCP");
    let routes: Vec<_> = at_c.values(Name::RecordRoute).map(text).collect();
    assert_eq!(
        routes,
        [
            "<sip:127.0.0.1:5070;transport=tcp;lr>",
            "<sip:127.0.0.1:5070;lr>"
        ]
    );
    let ok = bench.give(&c.respond(at_c, 200, None), connection);
    assert_eq!(ok[0].0, Flow::udp(a.address));
    let bye = bench.give(&c.within(Method::Bye, at_c, 1), connection);
    assert_eq!(bye[0].0, Flow::udp(a.address));
    assert_eq!(bye[0].1.header(Name::Route), None);
    let done = bench.give(&a.respond(&bye[0].1, 200, None), Flow::udp(a.address));
    assert_eq!(done[0].0, connection);
}

#[test]
fn nothing_on_the_wire_panics() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/testdata/torture");
    let Ok(files) = std::fs::read_dir(folder) else {
        println!("skipped: no torture messages beside the repository");
        return;
    };
    let mut bench = Bench::new(LabConfig::default());
    for file in files.filter_map(Result::ok) {
        let Ok(octets) = std::fs::read(file.path()) else {
            continue;
        };
        for end in (0..=octets.len()).rev().step_by(1 + octets.len() / 200) {
            let datagram = Bytes::copy_from_slice(&octets[..end]);
            let flow = Flow::udp(address(6000));
            match Message::parse_datagram(datagram) {
                Ok(Incoming::Message(message)) => {
                    bench.proxy.handle(bench.now, Input::Message(message, flow));
                }
                Ok(_) => {}
                Err(rejected) => {
                    bench
                        .proxy
                        .handle(bench.now, Input::Rejected(rejected.answer, flow));
                }
            }
            while bench.proxy.poll().is_some() {}
        }
    }
}
