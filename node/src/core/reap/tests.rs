//! A model peer over a lossy link, in virtual time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::ua::{Destination, HostPort, Transport};
use sip::wire::{Incoming, Message, Method, Name, ResponseWriter};

use super::{ReapConfig, Reaper};
use crate::core::journal::{Leg, OpenCall, Stage};

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn leg(transport: Transport) -> Leg {
    Leg {
        local: address(5062),
        to: Destination {
            host: HostPort::Ip(address(5080)),
            transport,
        },
    }
}

/// From, To, Call-ID.
fn identity(call: usize, to_tag: &str) -> String {
    format!("From: <sip:a@x>;tag=a{call}\r\nTo: <sip:b@x>{to_tag}\r\nCall-ID: c{call}\r\n")
}

const VIA: &str = "Via: SIP/2.0/UDP 127.0.0.1:5062;rport;branch=z9hG4bKi";

fn inviting(call: usize) -> OpenCall {
    let identity = identity(call, "");
    let invite =
        format!("INVITE sip:b@x SIP/2.0\r\n{VIA}{call}\r\n{identity}CSeq: 3 INVITE\r\n").into();
    OpenCall {
        leg: leg(Transport::Udp),
        stage: Stage::Inviting { invite },
    }
}

fn confirmed(call: usize, transport: Transport) -> OpenCall {
    let identity = identity(call, ";tag=b");
    let uri = "sip:b@127.0.0.1:5080";
    let ack = format!("ACK {uri} SIP/2.0\r\n{VIA}a{call}\r\n{identity}CSeq: 3 ACK\r\n").into();
    OpenCall {
        leg: leg(transport),
        stage: Stage::Confirmed { ack, next_cseq: 4 },
    }
}

fn ringing(call: usize) -> OpenCall {
    let via = "Via: SIP/2.0/UDP 127.0.0.1:5080;branch=z9hG4bKp";
    let identity = identity(call, ";tag=ours");
    let response =
        format!("SIP/2.0 180 Ringing\r\n{via}{call}\r\n{identity}CSeq: 1 INVITE\r\n").into();
    OpenCall {
        leg: leg(Transport::Udp),
        stage: Stage::Ringing { response },
    }
}

fn answered(call: usize) -> OpenCall {
    let identity = identity(call, "");
    let contact = "Contact: <sip:a@127.0.0.1:5080>";
    let invite = format!(
        "INVITE sip:b@x SIP/2.0\r\n{VIA}{call}\r\nMax-Forwards: 0\r\n{identity}CSeq: 1 INVITE\r\n\
         {contact}\r\nContent-Length: 0\r\n\r\n"
    );
    OpenCall {
        leg: leg(Transport::Udp),
        stage: Stage::Answered {
            invite: invite.into(),
            local_tag: "ours".to_owned(),
        },
    }
}

fn parse(bytes: &Bytes) -> Message {
    match Message::parse_datagram(bytes.clone()).unwrap() {
        Incoming::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn percent(&mut self, share: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % 100 < share
    }
}

/// The peer: its open dialogs, and what it says to a message of ours.
struct Peer {
    open: BTreeSet<String>,
    /// It had answered these INVITEs; it repeats the 200 until the ACK.
    late: BTreeSet<String>,
    challenges: bool,
}

impl Peer {
    fn hear(&mut self, message: &Message) -> Vec<Bytes> {
        let call = message.call_id().to_owned();
        let say = |code, method: &str| {
            let text = String::from_utf8_lossy(&ResponseWriter::to(message, code, "x").finish())
                .into_owned();
            let from = format!(" {}\r\n", message.cseq().1);
            let text = text.replacen(&from, &format!(" {method}\r\n"), 1);
            match message.to_tag() {
                Some(_) => Bytes::from(text),
                None => Bytes::from(text.replacen("To: <sip:b@x>", "To: <sip:b@x>;tag=b", 1)),
            }
        };
        if message.status().is_some() {
            // Our final answer: its ACK.
            let top = message.header(Name::Via).unwrap();
            let identity = format!(
                "From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>;tag=ours\r\nCall-ID: {call}\r\nCSeq: 1 ACK"
            );
            let via = String::from_utf8_lossy(top);
            self.open.remove(&call);
            let ack = format!(
                "ACK sip:b@x SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 1\r\n{identity}\r\n\r\n"
            );
            return vec![Bytes::from(ack)];
        }
        match message.method() {
            Some(Method::Bye) if self.challenges => vec![say(407, "BYE")],
            Some(Method::Bye) => {
                let code = if self.open.remove(&call) { 200 } else { 481 };
                vec![say(code, "BYE")]
            }
            Some(Method::Cancel) if self.late.contains(&call) => {
                let answer = say(200, "INVITE");
                let text = String::from_utf8_lossy(&answer).into_owned();
                let contact = "Contact: <sip:b@127.0.0.1:5080>\r\nContent-Length";
                let text = text.replacen("Content-Length", contact, 1);
                vec![say(481, "CANCEL"), Bytes::from(text)]
            }
            Some(Method::Cancel) if self.open.remove(&call) => {
                vec![say(200, "CANCEL"), say(487, "INVITE")]
            }
            Some(Method::Cancel) => vec![say(481, "CANCEL")],
            _ => Vec::new(),
        }
    }
}

/// Runs to the end; gives how long it took and how many messages left.
fn run(reaper: &mut Reaper, peer: &mut Peer, loss: u64, seed: u64) -> (Duration, usize) {
    let mut chance = Chance(seed);
    let start = Instant::now();
    let mut now = start;
    let mut sent = 0;
    reaper.timeout(now);
    loop {
        while let Some(send) = reaper.poll() {
            sent += 1;
            if chance.percent(loss) {
                continue;
            }
            for answer in peer.hear(&parse(&send.bytes)) {
                if !chance.percent(loss) {
                    let message = parse(&answer);
                    reaper.message(now, address(5062), &message, address(5080), Transport::Udp);
                }
            }
        }
        let Some(next) = reaper.next_deadline() else {
            return (now - start, sent);
        };
        now = now.max(next);
        reaper.timeout(now);
    }
}

fn calls(count: usize) -> (Vec<OpenCall>, Peer) {
    let mut open = Vec::new();
    let mut peer = Peer {
        open: BTreeSet::new(),
        late: BTreeSet::new(),
        challenges: false,
    };
    for call in 0..count {
        open.push(match call % 5 {
            0 => confirmed(call, Transport::Udp),
            1 => answered(call),
            2 => ringing(call),
            _ => inviting(call),
        });
        peer.open.insert(format!("c{call}"));
        if call % 5 == 4 {
            peer.late.insert(format!("c{call}"));
        }
    }
    (open, peer)
}

#[test]
fn every_call_ends_also_over_a_bad_link() {
    for seed in 0..60 {
        let loss = [0, 30][seed as usize % 2];
        let (open, mut peer) = calls(50);
        let mut reaper = Reaper::new(ReapConfig::default(), open, Instant::now());
        let (took, _) = run(&mut reaper, &mut peer, loss, seed);
        let reaped = reaper.reaped();
        assert_eq!(reaped.open, 50);
        assert_eq!((reaped.cancels, reaped.refusals), (20, 10), "seed {seed}");
        assert!((20..=30).contains(&reaped.byes), "seed {seed}: {reaped:?}");
        if loss == 0 {
            assert!(took < Duration::from_secs(1), "{took:?}");
            assert_eq!(
                (reaped.answered, reaped.unanswered, reaped.byes),
                (50, 0, 30)
            );
            assert!(peer.open.is_empty(), "seed {seed}: {:?}", peer.open);
        } else {
            assert!(took <= Duration::from_secs(33), "{took:?}");
            assert_eq!(reaped.answered + reaped.unanswered, 50);
            // An answered call whose only 200 was lost: the model peer repeats it with a CANCEL only.
            let lost: Vec<&String> = peer
                .open
                .iter()
                .filter(|call| !peer.late.contains(*call))
                .collect();
            assert!(lost.is_empty(), "seed {seed}: {lost:?}");
        }
    }
}

#[test]
fn a_mute_peer_is_given_up_and_earlier_where_somebody_waits() {
    for hurry in [false, true] {
        let (open, mut peer) = calls(5);
        let mut reaper = Reaper::new(ReapConfig::default(), open, Instant::now());
        let expected = if hurry {
            reaper.hurry(Instant::now() + Duration::from_secs(5));
            5
        } else {
            32
        };
        let (took, sent) = run(&mut reaper, &mut peer, 100, 1);
        assert!(took.abs_diff(Duration::from_secs(expected)) < Duration::from_millis(100));
        assert_eq!(reaper.reaped().unanswered, 5);
        // RFC 3261 §17.1.2.2: eleven in all over Timer F.
        assert_eq!(sent, 5 * if hurry { 4 } else { 11 });
    }
}

#[test]
fn a_challenge_is_counted_and_not_answered() {
    let mut peer = calls(0).1;
    peer.challenges = true;
    let open = vec![confirmed(0, Transport::Udp)];
    let mut reaper = Reaper::new(ReapConfig::default(), open, Instant::now());
    let (_, sent) = run(&mut reaper, &mut peer, 0, 1);
    let reaped = reaper.reaped();
    assert_eq!((sent, reaped.challenged, reaped.answered), (1, 1, 1));
}

#[test]
fn many_calls_are_paced() {
    let open = (0..1_000)
        .map(|call| confirmed(call, Transport::Tcp))
        .collect();
    let now = Instant::now();
    let mut reaper = Reaper::new(ReapConfig::default(), open, now);
    for (at_ms, most) in [(0, 20), (10, 40), (100, 220), (600, 1_000)] {
        reaper.timeout(now + Duration::from_millis(at_ms));
        let byes = reaper.reaped().byes;
        assert!(
            byes <= most && byes + 20 >= most.min(1_000),
            "{byes} at {at_ms} ms"
        );
    }
    // A stream repeats nothing.
    let mut sent = 0;
    while reaper.poll().is_some() {
        sent += 1;
    }
    reaper.timeout(now + Duration::from_secs(20));
    assert_eq!((sent, reaper.poll()), (1_000, None));
    reaper.unreachable(address(5080));
    assert!(reaper.is_over());
    assert_eq!(reaper.reaped().unanswered, 1_000);
}

#[test]
fn a_peer_that_hangs_up_meanwhile_is_answered() {
    let open = vec![answered(0)];
    let now = Instant::now();
    let mut reaper = Reaper::new(ReapConfig::default(), open, now);
    reaper.timeout(now);
    assert!(reaper.poll().is_some());
    let request = |method: &str, call: &str, tag: &str| {
        parse(&Bytes::from(format!(
            "{method} sip:b@127.0.0.1:5062 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5080;branch=z9hG4bKq\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=a0\r\nTo: <sip:b@x>{tag}\r\nCall-ID: {call}\r\n\
             CSeq: 2 {method}\r\nContent-Length: 0\r\n\r\n"
        )))
    };
    let mut code = |method: &str, call: &str, tag: &str| {
        let message = request(method, call, tag);
        reaper.message(now, address(5062), &message, address(5080), Transport::Udp);
        let send = reaper.poll().unwrap();
        parse(&send.bytes).status().unwrap()
    };
    assert_eq!(code("BYE", "c0", ";tag=ours"), 200);
    assert_eq!(code("BYE", "other", ";tag=x"), 481);
    assert_eq!(code("INVITE", "new", ""), 503);
    assert!(reaper.is_over());
    assert_eq!(reaper.reaped().answered, 1);
}
