//! Requests that are made out of an INVITE's octets: the ACK of a 300-699 and the CANCEL.
//!
//! Both copy Request-URI, Via, Route, From and Call-ID octet by octet, so they are cut out of the
//! INVITE instead of being printed anew. This relies on the layout of `ua::request`: start line,
//! Via, Max-Forwards, Route, From, To, Call-ID, CSeq, then everything else.
//! Source: RFC 3261 §9.1, §17.1.1.3.

use bytes::Bytes;

use crate::wire::{Message, Name};

/// The ACK of a 300-699 answer: as the INVITE, with the answer's To (RFC 3261 §17.1.1.3).
pub(crate) fn ack_of_failure(invite: &[u8], response: &Message) -> Bytes {
    let to = response.header(Name::To).unwrap_or_default();
    derive(invite, b"ACK", Some(to))
}

/// The CANCEL of an INVITE: as the INVITE, same branch, no body (RFC 3261 §9.1).
pub(crate) fn cancel(invite: &[u8]) -> Bytes {
    derive(invite, b"CANCEL", None)
}

fn derive(invite: &[u8], method: &[u8], to: Option<&[u8]>) -> Bytes {
    let mut out = Vec::with_capacity(invite.len().min(MAX_HEAD));
    out.extend_from_slice(method);
    for (index, line) in invite.split_inclusive(|octet| *octet == b'\n').enumerate() {
        if index == 0 {
            out.extend_from_slice(line.strip_prefix(b"INVITE").unwrap_or(line));
        } else if let (Some(to), true) = (to, line.starts_with(b"To:")) {
            out.extend_from_slice(b"To: ");
            out.extend_from_slice(to);
            out.extend_from_slice(b"\r\n");
        } else if line.starts_with(b"CSeq:") {
            out.extend_from_slice(
                line.trim_ascii_end()
                    .strip_suffix(b"INVITE")
                    .unwrap_or(line),
            );
            out.extend_from_slice(method);
            out.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
            break;
        } else {
            out.extend_from_slice(line);
        }
    }
    Bytes::from(out)
}

/// The part of an INVITE up to CSeq is shorter than this in practice; longer ones just reallocate.
const MAX_HEAD: usize = 768;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancel_copies_what_identifies_the_invite() {
        let invite = b"INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;rport\r\n\
            Max-Forwards: 70\r\nRoute: <sip:p;lr>\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\n\
            Call-ID: c\r\nCSeq: 7 INVITE\r\nContact: <sip:a@a>\r\nContent-Length: 4\r\n\r\nv=0\n";
        let expected = b"CANCEL sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;rport\r\n\
            Max-Forwards: 70\r\nRoute: <sip:p;lr>\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\n\
            Call-ID: c\r\nCSeq: 7 CANCEL\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(cancel(invite).as_ref(), expected.as_slice());
    }
}
