//! One agent that gets more than it can use: everything is bounded, nothing panics.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::link::{address, config, target};
use crate::ua::id::Ids;
use crate::ua::*;
use crate::wire::{Incoming, Message};

fn agent(now: Instant) -> UserAgent {
    UserAgent::new(config(0, Transport::Udp, 1), now)
}

fn receive(agent: &mut UserAgent, now: Instant, datagram: &[u8]) -> Vec<Output> {
    let datagram = Bytes::copy_from_slice(datagram);
    if let Ok(Incoming::Message(message)) = Message::parse_datagram(datagram) {
        let (from, transport) = (address(1), Transport::Udp);
        agent.handle(
            now,
            Input::Message {
                message,
                from,
                transport,
            },
        );
    }
    std::iter::from_fn(|| agent.poll()).collect()
}

fn request(method: &str, number: usize) -> Vec<u8> {
    format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bK{number}\r\n\
         From: <sip:bob@192.0.2.2>;tag={number}\r\nTo: <sip:alice@192.0.2.1>\r\n\
         Call-ID: {number}\r\nCSeq: 1 {method}\r\nContact: <sip:bob@192.0.2.2>\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn codes(outputs: &[Output]) -> Vec<String> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Transmit { bytes, .. } => {
                Some(String::from_utf8_lossy(bytes.get(8..11).unwrap_or_default()).into_owned())
            }
            Output::Event(_) => None,
        })
        .collect()
}

#[test]
fn more_calls_than_a_person_can_take_are_busy() {
    let now = Instant::now();
    let mut agent = agent(now);
    for number in 0..16 {
        let outputs = receive(&mut agent, now, &request("INVITE", number));
        assert!(codes(&outputs).is_empty(), "call {number}");
    }
    let outputs = receive(&mut agent, now, &request("INVITE", 16));
    assert_eq!(codes(&outputs), ["486"]);
    assert!(
        outputs
            .iter()
            .any(|it| matches!(it, Output::Event(Event::Warning { .. })))
    );
}

#[test]
fn more_transactions_than_the_bound_get_503_and_it_ends() {
    let now = Instant::now();
    let mut agent = agent(now);
    for number in 0..256 {
        assert_eq!(
            codes(&receive(&mut agent, now, &request("OPTIONS", number))),
            ["200"]
        );
    }
    assert_eq!(
        codes(&receive(&mut agent, now, &request("OPTIONS", 256))),
        ["503"]
    );
    agent.handle(now + Duration::from_secs(32), Input::Timeout);
    assert!(agent.is_idle());
}

/// Every torture message, whole and mangled, at an agent that registers, calls and is called.
#[test]
fn nothing_that_parses_makes_an_agent_panic_or_grow() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata/torture");
    let mut messages = Vec::new();
    collect(&folder, &mut messages);
    if messages.is_empty() {
        println!("skipped: {} is not there", folder.display());
    }
    for number in 0..3 {
        messages.extend(["INVITE", "BYE", "ACK", "CANCEL", "PRACK"].map(|it| request(it, number)));
    }
    let start = Instant::now();
    let mut agent = agent(start);
    let mut random = Ids::new(4711);
    let call = CallRef(1);
    let offer = Some(Bytes::from_static(b"offer"));
    agent.handle(start, Input::Command(Command::Register));
    agent.handle(
        start,
        Input::Command(Command::Invite {
            call,
            target: target(),
            offer,
        }),
    );
    for round in 0..40_u64 {
        for message in &messages {
            let now = start + Duration::from_millis(round * 700);
            let mut mangled = message.clone();
            for _ in 0..round % 4 {
                let at = random.next_u64() as usize % mangled.len().max(1);
                if let Some(octet) = mangled.get_mut(at) {
                    *octet = random.next_u64() as u8;
                }
            }
            for output in receive(&mut agent, now, &mangled) {
                if let Output::Event(Event::Incoming { call, .. }) = output {
                    let body = Bytes::from_static(b"answer");
                    let command = match random.next_u64() % 3 {
                        0 => Command::Ring { call },
                        1 => Command::Answer { call, body },
                        _ => Command::Reject {
                            call,
                            code: 486,
                            reason: "no".into(),
                        },
                    };
                    agent.handle(now, Input::Command(command));
                }
            }
            agent.handle(now, Input::Timeout);
            assert!(std::iter::from_fn(|| agent.poll()).count() < 2000);
        }
    }
    agent.handle(start + Duration::from_secs(400), Input::Timeout);
    assert!(std::iter::from_fn(|| agent.poll()).count() < 2000);
}

fn collect(folder: &Path, messages: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, messages);
        } else if path
            .extension()
            .is_some_and(|it| it == "dat" || it == "sip" || it == "bin")
        {
            messages.extend(std::fs::read(path));
        }
    }
}
