//! Ending the calls of an agent that is no more, out of octets that it left behind: CANCEL, ACK and
//! BYE without an agent, a session or a transaction.
//!
//! Never: needs a secret. A peer that challenges BYE gets no second one.
//! Source: RFC 3261 §9.1, §12.2.1.1, §13.2.2.4, §15.1.1, §17.1.1.3.

use std::io::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;
use smol_str::SmolStr;

use crate::dialog::Dialog;
use crate::transaction::derive;
use crate::ua::{HostPort, Transport};
use crate::wire::{Message, Method};

/// Who sends: what stands in Via.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// The transport.
    pub transport: Transport,
    /// Sent-by.
    pub local: SocketAddr,
}

/// What ends an answered call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// Where both go.
    pub to: HostPort,
    /// The ACK that is owed first, by a caller only.
    pub ack: Option<Bytes>,
    /// The BYE.
    pub bye: Bytes,
}

/// The CANCEL of an INVITE, of which the lines up to CSeq suffice (RFC 3261 §9.1).
pub fn cancel(invite: &[u8]) -> Bytes {
    derive::cancel(invite)
}

/// The ACK of a 300-699 to an INVITE, of which the lines up to CSeq suffice (RFC 3261 §17.1.1.3).
pub fn ack_of_failure(invite: &[u8], response: &Message) -> Bytes {
    derive::ack_of_failure(invite, response)
}

/// The BYE of the dialog in which one of our agents sent this ACK to a 2xx; of the ACK the lines up
/// to CSeq suffice, as its Request-URI, routes and tags are those of the BYE.
///
/// `None` where it is no ACK.
pub fn bye_after_ack(sender: Sender, ack: &[u8], branch: &str, cseq: u32) -> Option<Bytes> {
    let mut out = Vec::with_capacity(ack.len() + USUAL_EXCESS);
    let mut lines = ack.split_inclusive(|octet| *octet == b'\n');
    out.extend_from_slice(b"BYE");
    out.extend_from_slice(lines.next()?.strip_prefix(b"ACK")?);
    for line in lines {
        if line.starts_with(b"Via:") {
            via(&mut out, sender, branch);
        } else if line.starts_with(b"CSeq:") {
            break;
        } else {
            out.extend_from_slice(line);
        }
    }
    Some(finish(out, cseq, &Method::Bye))
}

/// ACK and BYE for a 2xx to an INVITE of ours that nobody waits for any more; `request_uri` is the
/// INVITE's, for a peer that forgot its Contact.
///
/// `None` where the answer leads nowhere.
pub fn of_answer(
    sender: Sender,
    response: &Message,
    request_uri: &str,
    [ack_branch, bye_branch]: [&str; 2],
    bye_cseq: u32,
) -> Option<Farewell> {
    let dialog = Dialog::of_response(response, request_uri).ok()?;
    let (cseq, _) = response.cseq();
    let ack = within(sender, &dialog, &Method::Ack, ack_branch, cseq);
    let bye = within(sender, &dialog, &Method::Bye, bye_branch, bye_cseq);
    Some(Farewell {
        to: dialog.next_hop().clone(),
        ack: Some(ack),
        bye,
    })
}

/// The BYE for a call that one of our agents answered: `invite` is what it received, of which
/// From, To, Call-ID, Contact and Record-Route suffice; `local_tag` is what it added to To.
///
/// `None` where the INVITE leads nowhere.
pub fn of_received(
    sender: Sender,
    invite: &Message,
    local_tag: &str,
    branch: &str,
    cseq: u32,
) -> Option<Farewell> {
    let dialog = Dialog::of_request(invite, SmolStr::new(local_tag)).ok()?;
    let bye = within(sender, &dialog, &Method::Bye, branch, cseq);
    Some(Farewell {
        to: dialog.next_hop().clone(),
        ack: None,
        bye,
    })
}

fn within(sender: Sender, dialog: &Dialog, method: &Method, branch: &str, cseq: u32) -> Bytes {
    let mut out = Vec::with_capacity(USUAL_LENGTH);
    for part in [method.as_str(), " ", dialog.request_uri(), " SIP/2.0\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    via(&mut out, sender, branch);
    out.extend_from_slice(b"Max-Forwards: 70\r\n");
    dialog.print_routes(&mut out);
    out.extend_from_slice(dialog.identity());
    finish(out, cseq, method)
}

/// Writing to a Vec cannot fail.
fn via(out: &mut Vec<u8>, Sender { transport, local }: Sender, branch: &str) {
    let token = transport.via_token();
    let _ = write!(
        out,
        "Via: SIP/2.0/{token} {local};rport;branch={branch}\r\n"
    );
}

fn finish(mut out: Vec<u8>, cseq: u32, method: &Method) -> Bytes {
    let _ = write!(out, "CSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n");
    Bytes::from(out)
}

const USUAL_LENGTH: usize = 768;
const USUAL_EXCESS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Incoming;

    const SENDER: Sender = Sender {
        transport: Transport::Udp,
        local: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5062),
    };

    fn message(text: &str) -> Message {
        match Message::parse_datagram(Bytes::from(text.to_owned())).unwrap() {
            Incoming::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_bye_goes_the_way_of_the_ack() {
        let ack = "ACK sip:b@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;rport;branch=z9hG4bKold\r\n\
            Max-Forwards: 70\r\nRoute: <sip:192.0.2.1;lr>\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\n\
            Call-ID: c\r\nCSeq: 7 ACK\r\nProxy-Authorization: Digest x\r\nContent-Length: 0\r\n\r\n";
        let expected = "BYE sip:b@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;rport;branch=z9hG4bKnew\r\n\
            Max-Forwards: 70\r\nRoute: <sip:192.0.2.1;lr>\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\n\
            Call-ID: c\r\nCSeq: 9 BYE\r\nContent-Length: 0\r\n\r\n";
        let bye = bye_after_ack(SENDER, ack.as_bytes(), "z9hG4bKnew", 9).unwrap();
        assert_eq!(text(&bye), expected);
        assert_eq!(bye_after_ack(SENDER, b"INVITE x", "b", 1), None);
        assert_eq!(bye_after_ack(SENDER, b"", "b", 1), None);
    }

    #[test]
    fn a_late_answer_gets_its_ack_and_a_bye_along_the_reversed_route() {
        let answer = message(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKi\r\n\
             Record-Route: <sip:192.0.2.2;lr>\r\nRecord-Route: <sip:192.0.2.1:5070;lr>\r\n\
             From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\nCall-ID: c\r\nCSeq: 4 INVITE\r\n\
             Contact: <sip:b@192.0.2.9>\r\nContent-Length: 0\r\n\r\n",
        );
        let farewell = of_answer(SENDER, &answer, "sip:b@x", ["z9hG4bKa", "z9hG4bKb"], 20).unwrap();
        assert_eq!(farewell.to, HostPort::Ip("192.0.2.1:5070".parse().unwrap()));
        let ack = message(text(farewell.ack.as_ref().unwrap()));
        assert_eq!((ack.cseq().0, ack.branch()), (4, Some("z9hG4bKa")));
        let bye = message(text(&farewell.bye));
        assert_eq!((bye.cseq().0, bye.branch()), (20, Some("z9hG4bKb")));
        assert_eq!(bye.request_uri(), "sip:b@192.0.2.9");
        let routes: Vec<&[u8]> = bye.values(crate::wire::Name::Route).collect();
        assert_eq!(
            routes,
            [b"<sip:192.0.2.1:5070;lr>".as_slice(), b"<sip:192.0.2.2;lr>"]
        );
        assert_eq!((bye.from_tag(), bye.to_tag()), (Some("1"), Some("2")));
    }

    #[test]
    fn a_received_call_ends_towards_its_caller() {
        let invite = message(
            "INVITE sip:us@127.0.0.1:5062 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKi\r\n\
             Record-Route: <sip:192.0.2.1;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:a@x>;tag=1\r\n\
             To: <sip:us@x>\r\nCall-ID: c\r\nCSeq: 4 INVITE\r\nContact: <sip:a@192.0.2.9:5071>\r\n\
             Content-Length: 0\r\n\r\n",
        );
        let farewell = of_received(SENDER, &invite, "mine", "z9hG4bKb", 1).unwrap();
        assert_eq!(farewell.to, HostPort::Ip("192.0.2.1:5060".parse().unwrap()));
        assert_eq!(farewell.ack, None);
        let bye = message(text(&farewell.bye));
        assert_eq!(bye.request_uri(), "sip:a@192.0.2.9:5071");
        assert_eq!((bye.from_tag(), bye.to_tag()), (Some("mine"), Some("1")));
    }
}
