//! Every torture file at the sockets of a running program, and streams that are no SIP.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::{Carillon, Reported, RtpEcho, Scripted, free_ports, until};

use super::{SOON, assert_unharmed, call_when_ready, hang_up, receivers};

/// Every torture file at the SIP ports and at an RTP port, whole and truncated; then a normal call.
#[test]
fn torture_leaves_the_program_working() {
    let Some(files) = torture() else { return };
    let [udp, tcp] = free_ports();
    let mut test = "duration = \"14s\"\nbuildup = \"0s\"\n".to_owned();
    test += &receivers("datagrams", udp, 120, "");
    test += &receivers(
        "streams",
        tcp,
        120,
        "transport = \"tcp\"\nsockets = \"shared\"",
    );
    let run = Carillon::run("torture", &test, &[]);
    let mut caller = Scripted::udp("127.0.0.1");
    let echo = RtpEcho::start("127.0.0.1");
    let (mut call, answer) = call_when_ready(&mut caller, udp, &echo.session());
    caller.acknowledge(&mut call, &answer);
    let media = answer.media_address().expect("where RTP goes");

    let hostile = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sip = SocketAddr::from(([127, 0, 0, 1], udp));
    let stream = SocketAddr::from(([127, 0, 0, 1], tcp));
    for (_, octets) in &files {
        for length in [octets.len(), octets.len() / 2, octets.len() / 3, 1] {
            let part = &octets[..length.min(octets.len())];
            hostile.send_to(part, sip).unwrap();
            hostile.send_to(part, media).unwrap();
            caller.send(part, media);
        }
        over_tcp(stream, octets);
        // In step with the call's packets: a flood would test the socket's buffer instead.
        let before = echo.received();
        until("RTP during the torture", SOON, || {
            (echo.received() > before).then_some(())
        });
    }
    over_tcp(stream, &[0; 100_000]);
    over_tcp(stream, b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    over_tcp(stream, &b"INVITE sip:x@y SIP/2.0\r\nX: y\r\n".repeat(5_000));

    streams_are_answered(stream);

    // The call that was up all the while still carries media and ends in order.
    let before = echo.received();
    until("RTP after the torture", SOON, || {
        (echo.received() > before + 20).then_some(())
    });
    hang_up(&mut caller, &mut call);
    let (mut second, answer) = call_when_ready(&mut caller, udp, &echo.session());
    caller.acknowledge(&mut second, &answer);
    hang_up(&mut caller, &mut second);
    let mut streamed = Scripted::connect(stream);
    let mut third = streamed.invite("anybody", stream, &echo.session());
    let answer = streamed.expect("200", SOON);
    streamed.acknowledge(&mut third, &answer);
    hang_up(&mut streamed, &mut third);

    let finished = run.wait(Duration::from_secs(60));
    assert_unharmed(&finished);
    let clean = finished
        .result()
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.report().calls)
        .filter(|report| report.call_id.starts_with("scripted-") && report.established);
    assert_eq!(clean.count(), 3, "{}", finished.output);
}

/// What RFC 5626 §3.5.1 and RFC 4475 §3.1.2.3 ask of a stream: a keep-alive is answered, a refused
/// request too, and only one that cannot be framed costs the connection.
fn streams_are_answered(to: SocketAddr) {
    use std::io::{Read, Write};
    let request = |cseq: &str, length: &str| {
        format!(
            "OPTIONS sip:nobody@{to} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{length}{}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: s\r\n\
             CSeq: {cseq}\r\nContent-Length: {length}\r\n\r\n",
            cseq.len()
        )
    };
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"\r\n\r\n").unwrap();
    let mut octets = [0; 2];
    stream
        .read_exact(&mut octets)
        .expect("an answer to a keep-alive");
    assert_eq!(&octets, b"\r\n");
    for (cseq, length, expected) in [
        ("1 REGISTER", "0", "SIP/2.0 400 "),
        ("2 OPTIONS", "0", "SIP/2.0 200 "),
        ("3 OPTIONS", "-999", "SIP/2.0 400 "),
    ] {
        stream.write_all(request(cseq, length).as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap_or_else(|error| {
                panic!("{cseq}: {error} after {}", String::from_utf8_lossy(&head))
            });
            head.push(octet[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with(expected), "{cseq}: {head}");
    }
    assert_eq!(stream.read(&mut octets).unwrap_or(0), 0, "still open");
}

/// A connection of its own for each: what cannot be framed costs the connection.
fn over_tcp(to: SocketAddr, octets: &[u8]) {
    use std::io::Write;
    let mut stream = TcpStream::connect(to).expect("the TCP port still takes connections");
    // The far end may close while we still write.
    stream.write_all(octets).ok();
}

/// Every torture file with its name; none (and a line that says so) where the folder is missing.
fn torture() -> Option<Vec<(PathBuf, Vec<u8>)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/torture");
    if !root.is_dir() {
        println!("skipped: {} is missing", root.display());
        return None;
    }
    let mut files = Vec::new();
    for folder in ["rfc4475", "rfc5118", "sip-extra", "rtp", "rtcp"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a torture folder") {
            let path = entry.unwrap().path();
            let octets = std::fs::read(&path).unwrap();
            files.push((path, octets));
        }
    }
    files.sort();
    assert!(files.len() >= 85, "only {} torture files", files.len());
    Some(files)
}
