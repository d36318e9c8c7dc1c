//! Real agents talk; whatever the moment of death, the journal holds what ends their calls.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::definition::Network;
use sip::ua::{CallRef, Command, Event, HostPort, Input, Output, Transport, UaConfig, UserAgent};
use sip::wire::{Incoming, Message, Uri};

use super::{Book, Contents, Leg, Stage, Watch, read};

fn config(name: &str, port: u16) -> UaConfig {
    UaConfig {
        user: name.into(),
        domain: "example.org".into(),
        display: None,
        local: SocketAddr::from(([127, 0, 0, 1], port)),
        transport: Transport::Udp,
        registrar: None,
        outbound_proxy: None,
        credentials: None,
        timers: sip::ua::TimerConfig::default(),
        contact_user: name.into(),
        call_id_prefix: name.into(),
        branch_prefix: name.into(),
        user_agent: "x".into(),
        seed: u64::from(port),
    }
}

/// An endpoint with its journal, as a process would have it.
struct Party {
    local: SocketAddr,
    agent: UserAgent,
    watch: Watch,
    book: Book,
    file: Vec<u8>,
    events: Vec<Event>,
}

impl Party {
    fn new(name: &str, port: u16, now: Instant) -> Self {
        let config = config(name, port);
        Self {
            local: config.local,
            agent: UserAgent::new(config, now),
            watch: Watch::new(),
            book: Book::new(),
            file: Vec::new(),
            events: Vec::new(),
        }
    }

    fn write(&mut self) {
        let octets = self.book.take();
        self.file.extend_from_slice(&octets);
        self.book.reuse(octets);
    }

    fn open(&self) -> Contents {
        read(&self.file)
    }

    fn stages(&mut self) -> Vec<Stage> {
        self.write();
        self.open()
            .open
            .into_iter()
            .map(|call| call.stage)
            .collect()
    }
}

struct Pair {
    now: Instant,
    caller: Party,
    callee: Party,
    /// To the callee or not, and what.
    wire: VecDeque<(bool, Bytes)>,
}

const CALL: CallRef = CallRef(1);

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            now,
            caller: Party::new("anna", 5062, now),
            callee: Party::new("bert", 5064, now),
            wire: VecDeque::new(),
        }
    }

    fn input(&mut self, to_callee: bool, input: Input) {
        let party = match to_callee {
            true => &mut self.callee,
            false => &mut self.caller,
        };
        if let Input::Message { message, .. } = &input {
            party.watch.received(&mut party.book, message);
        }
        party.agent.handle(self.now, input);
        while let Some(output) = party.agent.poll() {
            match output {
                Output::Transmit { to, bytes, .. } => {
                    let local = party.local;
                    party
                        .watch
                        .sending(&mut party.book, &Leg { local, to }, &bytes);
                    if party.book.is_urgent() {
                        party.write();
                    }
                    self.wire.push_back((!to_callee, bytes));
                }
                Output::Event(event) => party.events.push(event),
            }
        }
    }

    fn command(&mut self, to_callee: bool, command: Command) {
        self.input(to_callee, Input::Command(command));
    }

    fn dial(&mut self) {
        let target = Uri::parse("sip:bert@127.0.0.1:5064").unwrap();
        let offer = Some(Bytes::from_static(b"v=0\r\n"));
        self.command(
            false,
            Command::Invite {
                call: CALL,
                target,
                offer,
            },
        );
    }

    /// Delivers everything.
    fn settle(&mut self) {
        while let Some((to_callee, bytes)) = self.wire.pop_front() {
            let Ok(Incoming::Message(message)) = Message::parse_datagram(bytes) else {
                panic!("not a message");
            };
            let from = match to_callee {
                true => self.caller.local,
                false => self.callee.local,
            };
            let transport = Transport::Udp;
            self.input(
                to_callee,
                Input::Message {
                    message,
                    from,
                    transport,
                },
            );
        }
    }

    fn received_call(&self) -> CallRef {
        let incoming = self.callee.events.iter().find_map(|event| match event {
            Event::Incoming { call, .. } => Some(*call),
            _ => None,
        });
        incoming.unwrap()
    }

    fn answer(&mut self) {
        let call = self.received_call();
        let body = Bytes::from_static(b"v=0\r\n");
        self.command(true, Command::Answer { call, body });
    }
}

#[test]
fn a_call_is_open_on_both_sides_from_its_invite_to_the_answer_of_its_bye() {
    let mut pair = Pair::new();
    pair.dial();
    let open = pair.caller.open().open;
    let [call] = open.as_slice() else {
        panic!("{open:?}");
    };
    assert_eq!(call.leg.to.host, HostPort::Ip(pair.callee.local));
    let Stage::Inviting { invite } = &call.stage else {
        panic!("{call:?}");
    };
    let sent = pair.wire.front().unwrap().1.clone();
    assert!(sent.starts_with(invite) && invite.ends_with(b" INVITE\r\n"));
    pair.settle();
    let call = pair.received_call();
    pair.command(true, Command::Ring { call });
    let stages = pair.callee.stages();
    let [Stage::Ringing { response }] = &stages[..] else {
        panic!("{stages:?}");
    };
    assert!(response.starts_with(b"SIP/2.0 180 "));
    pair.settle();
    assert!(matches!(pair.caller.stages()[..], [Stage::Inviting { .. }]));

    pair.answer();
    let stages = pair.callee.stages();
    let [Stage::Answered { invite, local_tag }] = &stages[..] else {
        panic!("{stages:?}");
    };
    let text = String::from_utf8(invite.clone()).unwrap();
    assert!(text.contains("Contact: <sip:anna@127.0.0.1:5062>") && !text.contains("v=0"));
    assert!(!local_tag.is_empty());
    pair.settle();
    let stages = pair.caller.stages();
    let [Stage::Confirmed { ack, next_cseq }] = &stages[..] else {
        panic!("{stages:?}");
    };
    assert!(ack.starts_with(b"ACK sip:bert@127.0.0.1:5064 ") && ack.ends_with(b" ACK\r\n"));
    assert_eq!(*next_cseq, 2);

    pair.command(false, Command::Bye { call: CALL });
    assert_eq!(pair.caller.stages().len(), 1);
    pair.settle();
    assert_eq!(
        (pair.caller.stages(), pair.callee.stages()),
        (vec![], vec![])
    );
}

#[test]
fn a_changed_session_moves_the_sequence_on() {
    let mut pair = Pair::new();
    pair.dial();
    pair.settle();
    pair.answer();
    pair.settle();
    let offer = Bytes::from_static(b"v=0\r\n");
    pair.command(false, Command::Reinvite { call: CALL, offer });
    assert!(matches!(
        pair.caller.stages()[..],
        [Stage::Confirmed { next_cseq: 2, .. }]
    ));
    pair.settle();
    let call = pair.received_call();
    let body = Bytes::from_static(b"v=0\r\n");
    pair.command(true, Command::AnswerOffer { call, body });
    pair.settle();
    assert!(matches!(
        pair.caller.stages()[..],
        [Stage::Confirmed { next_cseq: 3, .. }]
    ));
    // One that is refused ends nothing.
    let offer = Bytes::from_static(b"v=0\r\n");
    pair.command(true, Command::Reinvite { call, offer });
    pair.settle();
    pair.command(
        false,
        Command::RejectOffer {
            call: CALL,
            code: 488,
        },
    );
    pair.settle();
    assert!(matches!(pair.callee.stages()[..], [Stage::Answered { .. }]));
    pair.command(true, Command::Bye { call });
    pair.settle();
    assert_eq!(
        (pair.caller.stages(), pair.callee.stages()),
        (vec![], vec![])
    );
}

#[test]
fn a_refused_and_a_cancelled_call_are_over() {
    for cancel in [false, true] {
        let mut pair = Pair::new();
        pair.dial();
        pair.settle();
        let call = pair.received_call();
        pair.command(true, Command::Ring { call });
        pair.settle();
        if cancel {
            pair.command(false, Command::Cancel { call: CALL });
        } else {
            let reason = "".into();
            let code = 486;
            pair.command(true, Command::Reject { call, code, reason });
        }
        pair.settle();
        assert_eq!(
            (pair.caller.stages(), pair.callee.stages()),
            (vec![], vec![])
        );
    }
}

#[test]
fn an_endpoint_that_is_over_leaves_nothing_open() {
    let mut pair = Pair::new();
    pair.dial();
    pair.caller.watch.ended(&mut pair.caller.book);
    assert_eq!(pair.caller.stages(), vec![]);
    assert_eq!(pair.caller.book.open(), 0);
}

#[test]
fn a_lost_message_that_is_sent_again_is_not_written_again() {
    let mut pair = Pair::new();
    pair.dial();
    let length = pair.caller.file.len();
    pair.wire.clear();
    pair.now += Duration::from_millis(500);
    pair.input(false, Input::Timeout);
    assert_eq!(pair.wire.len(), 1);
    assert_eq!(
        (pair.caller.file.len(), pair.caller.book.waiting()),
        (length, 0)
    );
}

#[test]
fn a_file_that_is_cut_or_garbage_gives_what_is_whole() {
    let mut pair = Pair::new();
    pair.caller
        .book
        .allow(&["10.0.0.0/8".parse::<Network>().unwrap()]);
    pair.dial();
    pair.settle();
    pair.answer();
    pair.settle();
    let file = pair.caller.file.clone();
    let whole = read(&file);
    assert_eq!((whole.open.len(), whole.skipped), (1, 0));
    assert_eq!(whole.networks, ["10.0.0.0/8".parse().unwrap()]);
    for cut in 0..file.len() {
        let cut_off = read(&file[..cut]);
        assert!(cut_off.records <= whole.records && cut_off.open.len() <= 1);
    }
    for place in (0..file.len()).step_by(3) {
        let mut broken = file.clone();
        broken[place] ^= 0x40;
        let left = read(&broken);
        assert!(left.records < whole.records, "octet {place}");
    }
    // Something else stands before, within and behind.
    let mut mixed = b"garbage \xCA\x4A and more".to_vec();
    mixed.extend_from_slice(&file);
    mixed.extend_from_slice(&[0xCA, 0x4A, 1, 2, 255, 255, 255, 255, 0]);
    let found = read(&mixed);
    assert_eq!((found.open, found.records), (whole.open, whole.records));
    assert!(found.skipped > 20);
}

#[test]
fn a_file_grows_only_with_what_is_open() {
    let mut book = Book::new();
    let mut file: Vec<u8> = Vec::new();
    let leg = Leg {
        local: SocketAddr::from(([127, 0, 0, 1], 5062)),
        to: sip::ua::Destination {
            host: HostPort::Name("sut.example.org".into(), 5060),
            transport: Transport::Tcp,
        },
    };
    book.allow(&["10.0.0.0/8".parse::<Network>().unwrap()]);
    let invite = |call: u32| {
        format!(
            "INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK{call}\r\n\
             From: <sip:a@x>;tag=t{call}\r\nTo: <sip:b@x>\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    let mut stay = Watch::new();
    stay.sending(&mut book, &leg, invite(0).as_bytes());
    let mut largest = 0;
    let mut compacted = 0;
    for call in 1..80_000 {
        let mut watch = Watch::new();
        watch.sending(&mut book, &leg, invite(call).as_bytes());
        watch.ended(&mut book);
        file.extend(book.take());
        largest = largest.max(file.len());
        if let Some(places) = book.worth_compacting() {
            let mut fresh = Vec::new();
            for place in places {
                let at = usize::try_from(place.offset).unwrap();
                fresh.extend_from_slice(&file[at..at + place.length as usize]);
            }
            file = fresh;
            book.compacted();
            compacted += 1;
            assert_eq!(read(&file).open.len(), 1);
        }
    }
    assert!(compacted > 0 && largest < 9 << 20, "{compacted}, {largest}");
    let contents = read(&file);
    assert_eq!(contents.open.len(), 1);
    assert_eq!(contents.open[0].leg, leg);
    assert_eq!(contents.networks.len(), 1);
    assert_eq!(book.open(), 1);
}
