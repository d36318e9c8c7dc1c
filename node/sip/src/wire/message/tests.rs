use bytes::Bytes;

use super::{Incoming, Message};
use crate::wire::{MAX_HEADER_LINES, MAX_HEADER_SECTION, MAX_LINE, MAX_VIA, Name, RejectKind};

const HEAD: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n\
    To: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n";

fn kind(text: impl Into<Vec<u8>>) -> Result<(), RejectKind> {
    Message::parse_datagram(Bytes::from(text.into()))
        .map(|_| ())
        .map_err(|rejected| rejected.kind)
}

fn parse(text: impl Into<Vec<u8>>) -> Message {
    match Message::parse_datagram(Bytes::from(text.into())) {
        Ok(Incoming::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_are_where_they_are_said_to_be() {
    let lines = |count: usize| format!("{HEAD}{}\r\n", "X: y\r\n".repeat(count));
    assert_eq!(kind(lines(MAX_HEADER_LINES - 5)), Ok(()));
    assert_eq!(
        kind(lines(MAX_HEADER_LINES - 4)),
        Err(RejectKind::TooManyHeaders)
    );
    let vias = |count: usize| format!("{HEAD}{}\r\n", "Via: SIP/2.0/UDP i\r\n".repeat(count));
    assert_eq!(kind(vias(MAX_VIA - 1)), Ok(()));
    assert_eq!(kind(vias(MAX_VIA)), Err(RejectKind::TooManyVias));
    let line = |length: usize| format!("{HEAD}X: {}\r\n\r\n", "y".repeat(length - 3));
    assert_eq!(kind(line(MAX_LINE)), Ok(()));
    assert_eq!(kind(line(MAX_LINE + 1)), Err(RejectKind::LineTooLong));
    let folded = format!("{HEAD}X: {}\r\n\r\n", "y\r\n ".repeat(MAX_LINE / 3));
    assert_eq!(kind(folded), Err(RejectKind::LineTooLong));
    let section = |length: usize| {
        let filler = length - HEAD.len() - 2;
        let half = filler / 2;
        format!(
            "{HEAD}X: {}\r\nX: {}\r\n\r\n",
            "y".repeat(half - 5),
            "y".repeat(filler - half - 5)
        )
    };
    assert_eq!(section(MAX_HEADER_SECTION).len(), MAX_HEADER_SECTION);
    assert_eq!(kind(section(MAX_HEADER_SECTION)), Ok(()));
    assert_eq!(
        kind(section(MAX_HEADER_SECTION + 2)),
        Err(RejectKind::HeaderSectionTooLong)
    );
    assert_eq!(kind(vec![b'x'; 65_536]), Err(RejectKind::DatagramTooLong));
}

#[test]
fn keep_alives_are_no_messages() {
    assert_eq!(
        Message::parse_datagram(Bytes::from_static(b"\r\n\r\n")),
        Ok(Incoming::Ping)
    );
    assert_eq!(
        Message::parse_datagram(Bytes::from_static(b"\r\n")),
        Ok(Incoming::Pong)
    );
    assert_eq!(kind(""), Err(RejectKind::Empty));
    assert_eq!(kind("\r"), Err(RejectKind::NoBlankLine));
}

#[test]
fn octets_that_are_not_utf8_are_kept_where_text_is_free() {
    let message = parse(
        [
            HEAD.as_bytes(),
            b"Subject: caf\xe9\r\nUser-Agent: \xff\r\n\r\n",
        ]
        .concat(),
    );
    assert_eq!(message.header(Name::Subject), Some(&b"caf\xe9"[..]));
    assert_eq!(message.header_str(Name::Subject), None);
    assert_eq!(
        kind([HEAD.replace("Call-ID: x", "Call-ID: ").as_bytes(), b"\r\n"].concat()),
        Err(RejectKind::Malformed(Name::CallId))
    );
}

#[test]
fn comma_joined_and_repeated_lines_read_alike() {
    let text = format!(
        "{HEAD}Route: <sip:p1;lr>, \"a, b\" <sip:p2,x;lr>;q=\"1,2\"\r\nRoute: ,<sip:p3>,\r\n\r\n"
    );
    let message = parse(text);
    let values: Vec<&[u8]> = message.values(Name::Route).collect();
    assert_eq!(
        values,
        [
            &b"<sip:p1;lr>"[..],
            b"\"a, b\" <sip:p2,x;lr>;q=\"1,2\"",
            b"<sip:p3>"
        ]
    );
    assert_eq!(message.lines(Name::Route).count(), 2);
}

#[test]
fn a_repeated_content_length_may_only_say_the_same() {
    let with = |lines: &str| format!("{HEAD}{lines}\r\nabcdef");
    assert_eq!(
        parse(with("Content-Length: 3\r\nl: 003\r\n")).body(),
        b"abc"
    );
    assert_eq!(
        kind(with("Content-Length: 3\r\nl: 4\r\n")),
        Err(RejectKind::Duplicate(Name::ContentLength))
    );
    assert_eq!(
        kind(with("Content-Length: 3, 3\r\n")),
        Err(RejectKind::Malformed(Name::ContentLength))
    );
    assert_eq!(
        kind(with("Content-Length: 7\r\n")),
        Err(RejectKind::BodyTooShort)
    );
    assert_eq!(
        kind(with("Content-Length:\r\n")),
        Err(RejectKind::Malformed(Name::ContentLength))
    );
    assert_eq!(parse(with("")).body(), b"abcdef");
}

#[test]
fn numbers_saturate_and_keep_to_their_digits() {
    let message = parse(format!(
        "{HEAD}Expires: 99999999999\r\nRetry-After: 18 (soon);duration=3\r\nMin-Expires: x\r\n\r\n"
    ));
    assert_eq!(message.number(Name::Expires), Some(u32::MAX));
    assert_eq!(message.number(Name::RetryAfter), Some(18));
    assert_eq!(message.number(Name::MinExpires), None);
}

#[test]
fn a_missing_reason_phrase_is_no_error() {
    let response = |line: &str| HEAD.replace("OPTIONS sip:a@b SIP/2.0", line) + "\r\n";
    assert_eq!(parse(response("SIP/2.0 180")).status(), Some(180));
    assert_eq!(parse(response("SIP/2.0 180 ")).reason(), "");
    assert_eq!(kind(response("SIP/2.0 18")), Err(RejectKind::Status));
    assert_eq!(kind(response("SIP/3.0 180 x")), Err(RejectKind::Version));
    assert_eq!(kind(response("HTTP/1.1 200 OK")), Err(RejectKind::NotSip));
}
