//! A scripted UAS on loopback; the former process is a journal that nobody closed.

use std::time::Duration;

use bytes::Bytes;
use shared::wire::LifeId;
use sip::ua::{Destination, HostPort};
use sip::wire::{Incoming, Message, Method, Name, ResponseWriter};
use tokio::net::UdpSocket;

use super::*;
use crate::core::journal::{Leg, Watch};
use crate::net::journal::{Journal, JournalFile};
use crate::net::scratch::Scratch;

fn free_port() -> SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// What a process that is killed leaves: one confirmed call, `early` ones that ring.
fn die(state_dir: &Path, local: SocketAddr, remote: SocketAddr, early: &[&str]) {
    let journal = Journal::new(Some(JournalFile::create(state_dir, LifeId(1), 0).unwrap()));
    let leg = Leg {
        local,
        to: Destination {
            host: HostPort::Ip(remote),
            transport: Transport::Udp,
        },
    };
    let mut watch = Watch::new();
    let text = |method: &str, call: &str, to_tag: &str| {
        format!(
            "{method} sip:b@{remote} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};rport;branch=z9hG4bK{call}{method}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@x>;tag=a{call}\r\nTo: <sip:b@x>{to_tag}\r\nCall-ID: {call}\r\n\
             CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for call in ["confirmed"].iter().chain(early) {
        journal.sending(&mut watch, &leg, text("INVITE", call, "").as_bytes());
    }
    let ack = text("ACK", "confirmed", ";tag=b");
    journal.sending(&mut watch, &leg, ack.as_bytes());
}

/// Answers until nothing is open: CANCEL by 487, one that was answered meanwhile by its late 200.
async fn serve(socket: UdpSocket) -> Vec<String> {
    let mut open = vec!["confirmed", "early", "late"];
    let mut seen = Vec::new();
    let mut acks = 0;
    let mut memory = vec![0; 65_535];
    while !(open.is_empty() && acks == 2) {
        let (length, from) = socket.recv_from(&mut memory).await.unwrap();
        let datagram = Bytes::copy_from_slice(&memory[..length]);
        let Ok(Incoming::Message(message)) = Message::parse_datagram(datagram) else {
            panic!("not a message");
        };
        let call = message.call_id().to_owned();
        let method = message.method().unwrap().clone();
        seen.push(format!("{method} {call}"));
        let answer = |code: u16| {
            ResponseWriter::to_source(&message, from, code, "x")
                .to_tag("b")
                .header(
                    Name::Contact,
                    format!("<sip:b@{}>", socket.local_addr().unwrap()),
                )
                .finish()
        };
        // The answer to the INVITE that this CANCEL names.
        let of_invite = |code: u16| {
            let text = String::from_utf8(answer(code).to_vec()).unwrap();
            text.replace("1 CANCEL", "1 INVITE").into_bytes()
        };
        match method {
            Method::Bye => {
                open.retain(|name| *name != call);
                socket.send_to(&answer(200), from).await.unwrap();
            }
            Method::Cancel if call == "late" => {
                socket.send_to(&answer(481), from).await.unwrap();
                socket.send_to(&of_invite(200), from).await.unwrap();
            }
            Method::Cancel => {
                open.retain(|name| *name != call);
                socket.send_to(&answer(200), from).await.unwrap();
                socket.send_to(&of_invite(487), from).await.unwrap();
            }
            Method::Ack => acks += 1,
            other => panic!("{other:?}"),
        }
    }
    seen
}

#[actix_rt::test]
async fn calls_of_a_killed_process_end_at_the_peer_and_its_journal_goes() {
    let scratch = Scratch::new("reap");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let remote = socket.local_addr().unwrap();
    die(scratch.path(), free_port(), remote, &["early", "late"]);
    let peer = actix_rt::spawn(serve(socket));
    let reaped = reap(scratch.path(), ReapConfig::default()).await.unwrap();
    let expected = Reaped {
        open: 3,
        byes: 2,
        cancels: 2,
        answered: 3,
        ..Reaped::default()
    };
    assert_eq!(reaped, expected);
    let mut seen = peer.await.unwrap();
    seen.sort();
    seen.dedup();
    let all = [
        "ACK early",
        "ACK late",
        "BYE confirmed",
        "BYE late",
        "CANCEL early",
        "CANCEL late",
    ];
    assert_eq!(seen, all);
    // Nothing is left to do.
    let again = reap(scratch.path(), ReapConfig::default()).await.unwrap();
    assert_eq!(again, Reaped::default());
}

#[actix_rt::test]
async fn a_mute_peer_is_given_up_after_timer_f() {
    let scratch = Scratch::new("reap-mute");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let remote = socket.local_addr().unwrap();
    die(scratch.path(), free_port(), remote, &["early"]);
    let config = ReapConfig {
        t1: Duration::from_millis(20),
        patience: Duration::from_millis(200),
        ..ReapConfig::default()
    };
    let reaped = reap(scratch.path(), config).await.unwrap();
    assert_eq!((reaped.open, reaped.answered, reaped.unanswered), (2, 0, 2));
    let inheritance = Inheritance::of(scratch.path()).unwrap();
    assert_eq!(inheritance.open(), 0);
}

#[actix_rt::test]
async fn the_journal_of_a_living_process_is_left_alone() {
    let scratch = Scratch::new("reap-alive");
    let _lock = StateLock::take(scratch.path()).unwrap();
    let refused = reap(scratch.path(), ReapConfig::default())
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("another node process"),
        "{refused}"
    );
}
