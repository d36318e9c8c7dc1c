use bytes::Bytes;

use super::{RequestWriter, ResponseWriter, put_number};
use crate::wire::{Incoming, Message, Method, Name, RejectKind, TypedError, Via, reason_phrase};

fn parse(octets: impl Into<Bytes>) -> Message {
    match Message::parse_datagram(octets.into()) {
        Ok(Incoming::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn invite() -> Message {
    let via: Via = "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKa"
        .parse()
        .unwrap();
    parse(
        RequestWriter::new(&Method::Invite, "sip:b@[2001:db8::1]:5070;transport=udp")
            .header_display(Name::Via, via)
            .header(Name::Via, "SIP/2.0/TCP h.example.com;branch=z9hG4bKb")
            .header(Name::RecordRoute, "<sip:p1;lr>, <sip:p2;lr>")
            .header(Name::RecordRoute, "<sip:p3;lr>")
            .header(Name::MaxForwards, "70")
            .header(Name::From, "\"A \u{fc}\" <sip:a@b>;tag=1")
            .header(Name::To, "<sip:b@c>")
            .header(Name::CallId, "id@h")
            .cseq(4_294_967_295, &Method::Invite)
            .header_raw("X-Load", "one")
            .body("application/sdp", b"v=0\r\n\0\xff")
            .finish(),
    )
}

#[test]
fn octets_out_are_exactly_what_was_set() {
    let bytes = RequestWriter::new(&Method::Other("FOO".into()), "tel:+1")
        .header(Name::CallId, b"\xffraw")
        .cseq(1, &Method::Bye)
        .header_raw("x-Case", "  kept  ")
        .finish();
    let expected = b"FOO tel:+1 SIP/2.0\r\nCall-ID: \xffraw\r\nCSeq: 1 BYE\r\nx-Case:   kept  \r\nContent-Length: 0\r\n\r\n";
    assert_eq!(bytes, &expected[..]);
    let message = invite();
    assert_eq!(message.body(), b"v=0\r\n\0\xff");
    assert_eq!(message.header(Name::ContentLength), Some(&b"7"[..]));
    assert_eq!(message.cseq(), (u32::MAX, &Method::Invite));
    assert_eq!(message.header_named("x-load"), Some(&b"one"[..]));
}

#[test]
fn a_value_cannot_add_a_header() {
    let bytes = RequestWriter::new(&Method::Options, "sip:a\r\nX: y")
        .header(Name::Subject, "a\r\nInjected: b")
        .header_display(Name::Organization, "c\nd")
        .finish();
    let expected =
        b"OPTIONS sip:a  X: y SIP/2.0\r\nSubject: a  Injected: b\r\nOrganization: c d\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(bytes, &expected[..]);
}

#[test]
fn a_response_copies_what_rfc_3261_8_2_6_2_lists() {
    let request = invite();
    let bytes = ResponseWriter::to(&request, 486, "Besetzt \u{1f600}")
        .header(Name::Server, "carillon")
        .to_tag("tt")
        .record_route(&request)
        .finish();
    let text = String::from_utf8_lossy(&bytes);
    let expected = "SIP/2.0 486 Besetzt \u{1f600}\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKa\r\n\
        Via: SIP/2.0/TCP h.example.com;branch=z9hG4bKb\r\n\
        From: \"A \u{fc}\" <sip:a@b>;tag=1\r\nCall-ID: id@h\r\nCSeq: 4294967295 INVITE\r\nTo: <sip:b@c>;tag=tt\r\n\
        Server: carillon\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n\
        Content-Length: 0\r\n\r\n";
    assert_eq!(text, expected);
    let response = parse(bytes.clone());
    assert_eq!(
        (response.status(), response.reason().as_ref()),
        (Some(486), "Besetzt \u{1f600}")
    );
    assert_eq!(response.to_tag(), Some("tt"));
}

#[test]
fn the_top_via_learns_where_the_request_came_from() {
    // RFC 3581 §4: with rport, both the address and the port go in, even where the address is the
    // same.
    let bytes =
        ResponseWriter::to_source(&invite(), "192.0.2.1:6000".parse().unwrap(), 200, "OK").finish();
    let via = parse(bytes).top_via();
    assert_eq!(
        (via.received(), via.rport()),
        ("192.0.2.1".parse().ok(), Some(Some(6000)))
    );

    let plain = |host: &str| {
        parse(format!(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch=z9hG4bKx, SIP/2.0/UDP i;branch=y\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n"
        ))
    };
    let source = "[2001:db8::1]:6000".parse().unwrap();
    let bytes = ResponseWriter::to_source(&plain("h.example.com"), source, 200, "OK").finish();
    let line = parse(bytes).header_str(Name::Via).map(str::to_owned);
    let expected =
        "SIP/2.0/UDP h.example.com;branch=z9hG4bKx;received=2001:db8::1, SIP/2.0/UDP i;branch=y";
    assert_eq!(line.as_deref(), Some(expected));
    let bytes = ResponseWriter::to_source(&plain("[2001:db8::1]"), source, 200, "OK").finish();
    assert_eq!(parse(bytes).top_via().received(), None);
}

#[test]
fn a_refused_request_is_answered_with_a_repeatable_tag() {
    let bad = "BYE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bKx\r\nf: <sip:a@b>;tag=1\r\nTo:\r\n <sip:c@d>\r\n\
        i: x\r\nCSeq: 1 INFO\r\n\r\n";
    let rejected = Message::parse_datagram(Bytes::from(bad)).unwrap_err();
    assert_eq!(rejected.kind, RejectKind::CSeqMismatch);
    let again = Message::parse_datagram(Bytes::from(bad)).unwrap_err();
    assert_eq!(rejected.answer, again.answer);
    let answer = parse(rejected.answer.unwrap());
    assert_eq!(
        (answer.status(), answer.reason().as_ref()),
        (Some(400), "Bad Request (CSeq method mismatch)")
    );
    assert!(answer.to_tag().is_some_and(|tag| tag.len() == 16));
    assert_eq!(
        (answer.branch(), answer.cseq()),
        (Some("z9hG4bKx"), (1, &Method::Info))
    );

    let ack = bad.replace("BYE ", "ACK ");
    assert_eq!(
        Message::parse_datagram(ack.into()).unwrap_err().answer,
        None
    );
}

#[test]
fn rsip_gets_what_it_can_hold() {
    use rsip::message::HeadersExt as _;
    let typed = invite().to_rsip().unwrap();
    let rsip::SipMessage::Request(request) = typed else {
        panic!("a request")
    };
    assert_eq!(request.method, rsip::Method::Invite);
    assert_eq!(
        request.uri.to_string(),
        "sip:b@[2001:db8::1]:5070;transport=UDP"
    );
    assert_eq!(
        request.call_id_header().unwrap().to_string(),
        "Call-ID: id@h"
    );
    assert_eq!(request.body, invite().body());
    assert!(
        request
            .headers
            .iter()
            .any(|header| *header == rsip::Header::Other("X-Load".into(), "one".into()))
    );

    let response = parse(ResponseWriter::to(&invite(), 299, "So \u{fc}").finish());
    let rsip::SipMessage::Response(response) = response.to_rsip().unwrap() else {
        panic!("a response")
    };
    assert_eq!(
        response.status_code,
        rsip::StatusCode::Other(299, "So \u{fc}".into())
    );

    let refused = |line: &str| {
        let text = format!(
            "{line} SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 {}\r\n\r\n",
            line.split(' ').next().unwrap()
        );
        parse(text).to_rsip().unwrap_err()
    };
    assert_eq!(
        refused("FOO sip:a@b"),
        TypedError::Method(Method::Other("FOO".into()))
    );
    assert!(matches!(refused("INVITE tel:+1"), TypedError::Uri(_)));
    assert!(matches!(refused("INVITE sip:a@b?x=y"), TypedError::Uri(_)));
}

#[test]
fn numbers_and_phrases() {
    let mut out = Vec::new();
    for number in [0, 9, 10, 4_294_967_295, u64::MAX] {
        put_number(&mut out, number);
        out.push(b' ');
    }
    assert_eq!(out, b"0 9 10 4294967295 18446744073709551615 ");
    assert!((100..700).all(|code| !reason_phrase(code).is_empty()));
    assert_eq!(
        (reason_phrase(180), reason_phrase(487)),
        ("Ringing", "Request Terminated")
    );
}
