use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use ::sip::wire::{Message, Method};

use super::*;
use crate::config::{Impairment, Loss};
use crate::fake::{Ua, parse, sdp};

/// A real socket with an endpoint behind it.
struct Peer {
    ua: Ua,
    socket: UdpSocket,
    media: UdpSocket,
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

impl Peer {
    fn new(user: &str, lab: SocketAddr) -> Self {
        let (socket, media) = (socket(), socket());
        let ua = Ua::new(user, socket.local_addr().unwrap(), lab);
        Self { ua, socket, media }
    }

    fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.ua.lab).unwrap();
    }

    fn receive(&self) -> Message {
        let mut buffer = [0; 4096];
        let (length, _) = self.socket.recv_from(&mut buffer).unwrap();
        parse(&buffer[..length])
    }

    fn exchange(&self, bytes: &[u8]) -> Message {
        self.send(bytes);
        self.receive()
    }

    fn register(&mut self) {
        let first = self.ua.register(60);
        let refusal = self.exchange(&first);
        self.ua.challenged(&refusal);
        let second = self.ua.register(60);
        assert_eq!(self.exchange(&second).status(), Some(200));
    }
}

/// A call between two registered ends, and where each of them sends its media.
fn call(lab: &LabHandle) -> (Peer, Peer, SocketAddr, SocketAddr) {
    let mut a = Peer::new("a", lab.sip_addr());
    let mut b = Peer::new("b", lab.sip_addr());
    a.register();
    b.register();
    let offer = sdp(a.media.local_addr().unwrap());
    let refusal = {
        let invite = a.ua.invite("b", "call", Some(&offer));
        a.exchange(&invite)
    };
    a.ua.challenged(&refusal);
    let invite = a.ua.invite("b", "call", Some(&offer));
    a.send(&invite);
    let at_b = b.receive();
    b.send(
        &b.ua
            .respond(&at_b, 200, Some(&sdp(b.media.local_addr().unwrap()))),
    );
    let ok = a.receive();
    a.send(&a.ua.within(Method::Ack, &ok, 3));
    assert_eq!(b.receive().method(), Some(&Method::Ack));
    let media = |message: &Message| crate::core::sdp::media(message.body())[0].rtp.unwrap();
    (a, b, media(&ok), media(&at_b))
}

fn rtp(sequence: u16) -> [u8; 172] {
    let mut data = [0; 172];
    data[0] = 0x80;
    data[2..4].copy_from_slice(&sequence.to_be_bytes());
    data[11] = 7;
    data
}

fn relayed(ports: std::ops::RangeInclusive<u16>, impair: Impairment) -> LabConfig {
    let relay = RelayConfig {
        ports,
        impair,
        ..RelayConfig::default()
    };
    LabConfig {
        relay: Some(relay),
        ..LabConfig::default()
    }
}

#[test]
fn media_passes_both_ways_and_every_loss_is_counted() {
    let impair = Impairment {
        loss: Loss::Random { percent: 10.0 },
        ..Impairment::default()
    };
    let lab = Lab::start(relayed(41_000..=41_199, impair)).unwrap();
    let (a, b, from_a, from_b) = call(&lab);
    b.media.send_to(&rtp(1), from_b).unwrap();
    // In small batches, so that no socket buffer has to drop anything.
    let (mut got, mut buffer) = (0, [0; 2048]);
    for batch in 0..20 {
        for n in 0..50 {
            a.media.send_to(&rtp(batch * 50 + n), from_a).unwrap();
        }
        let counts = loop {
            let counts = lab.stats().calls[0].to_callee;
            if counts.received == u64::from(batch + 1) * 50 {
                break counts;
            }
            std::thread::yield_now();
        };
        while got < counts.relayed {
            let (length, source) = b.media.recv_from(&mut buffer).unwrap();
            assert_eq!((length, source), (172, from_b));
            got += 1;
        }
    }
    let stats = lab.shutdown();
    let counts = stats.calls[0].to_callee;
    assert_eq!(
        (counts.received, counts.dropped + counts.relayed),
        (1000, 1000)
    );
    assert!(
        (50..150).contains(&counts.dropped),
        "seed 1: {}",
        counts.dropped
    );
    assert_eq!(stats.calls[0].to_caller.received, 1);
    assert_eq!(stats.calls[0].call_id, "call");
    assert_eq!((stats.relay_send_errors, stats.sip.calls_answered), (0, 1));
    b.media.set_nonblocking(true).unwrap();
    assert!(
        b.media.recv_from(&mut buffer).is_err(),
        "nothing arrives beyond the count"
    );
}

#[test]
fn held_packets_leave_no_earlier_than_asked_and_the_log_tells() {
    let folder = std::env::temp_dir().join(format!("carillon-lab-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("packets.csv");
    let impair = Impairment {
        delay_ms: 30.0,
        jitter_ms: 10.0,
        ..Impairment::default()
    };
    let mut config = relayed(41_200..=41_399, impair);
    if let Some(relay) = &mut config.relay {
        relay.log = Some(path.clone());
    }
    let lab = Lab::start(config).unwrap();
    let (a, b, from_a, _) = call(&lab);
    let mut buffer = [0; 2048];
    for n in 0..100 {
        a.media.send_to(&rtp(n), from_a).unwrap();
    }
    for n in 0..100_u16 {
        b.media.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[2..4], n.to_be_bytes(), "the order is preserved");
    }
    let stats = lab.shutdown();
    assert_eq!(
        (stats.calls[0].to_callee.delayed, stats.log_lines_lost),
        (100, 0)
    );
    let log = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let rows: Vec<Vec<&str>> = log
        .lines()
        .skip(1)
        .map(|row| row.split(',').collect())
        .collect();
    assert_eq!(rows.len(), 100);
    for row in rows {
        let at = |column: usize| row[column].parse::<f64>().unwrap();
        assert!(at(1) - at(0) >= 30_000.0, "{row:?}");
        assert_eq!(
            (row[2], row[3], row[4], row[8]),
            ("\"call\"", "to_callee", "rtp", "sent")
        );
    }
}

#[test]
fn a_stream_carries_registrations() {
    let lab = Lab::start(LabConfig {
        tcp: true,
        ..LabConfig::default()
    })
    .unwrap();
    let mut stream = TcpStream::connect(lab.sip_addr()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut ua = Ua::new("a", stream.local_addr().unwrap(), lab.sip_addr());
    ua.transport = "TCP";
    let mut exchange = |bytes: &[u8]| {
        // In two pieces, with a keep-alive before them.
        let (head, tail) = bytes.split_at(100);
        for piece in [b"\r\n\r\n", head, tail] {
            stream.write_all(piece).unwrap();
        }
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut buffer).unwrap();
            answer.extend_from_slice(&buffer[..length]);
        }
        assert!(answer.starts_with(b"\r\n"), "the keep-alive is answered");
        parse(&answer)
    };
    let refusal = exchange(&ua.register(60));
    ua.challenged(&refusal);
    assert_eq!(exchange(&ua.register(60)).status(), Some(200));
    assert_eq!(lab.stats().sip.registered_now, 1);
}

#[test]
fn a_dropped_lab_frees_its_port_and_a_taken_port_is_told() {
    let lab = Lab::start(LabConfig::default()).unwrap();
    let address = lab.sip_addr();
    let taken = Lab::start(LabConfig {
        bind: address,
        ..LabConfig::default()
    });
    assert!(matches!(taken, Err(LabError::Bind { .. })));
    drop(lab);
    let again = Lab::start(LabConfig {
        bind: address,
        ..LabConfig::default()
    })
    .unwrap();
    assert_eq!(again.sip_addr(), address);
}
