//! Stateless answers to requests that cannot be taken.
//!
//! Owns: the response made from what could be read. Never: answers ACK or a response, or keeps
//! anything.
//! Source: RFC 3261 §8.2.6, §8.2.7.

use bytes::Bytes;

use super::head::{Head, Start};
use super::write::{put_line, put_number};
use super::{Method, Name, RejectKind, lex, name_addr, reason_phrase, via};

/// Makes the answer to a refused request.
///
/// Shape: all Via lines, From, To with a tag, Call-ID and CSeq as they came; `None` when the
/// message is a response or an ACK, the kind is not answered, or one of those header fields is not
/// there to copy.
/// Source: RFC 3261 §8.2.6.2; §8.2.7 wants the same tag for the same request, so it is a hash of
/// the request.
pub(crate) fn stateless(kind: RejectKind, head: &Head, text: &[u8]) -> Option<Bytes> {
    let code = kind.status()?;
    let Start::Request { method, .. } = &head.start else {
        return None;
    };
    if *method == Method::Ack {
        return None;
    }
    let copied = |name| head.value(text, name).filter(|value| !value.is_empty());
    let top = lex::Elements::of(copied(Name::Via)?).next()?;
    via::Parts::of(top)?;
    let (from, to) = (copied(Name::From)?, copied(Name::To)?);
    let (call_id, cseq) = (copied(Name::CallId)?, copied(Name::CSeq)?);

    let mut out = Vec::with_capacity(head.end + 64);
    out.extend_from_slice(b"SIP/2.0 ");
    put_number(&mut out, u64::from(code));
    out.push(b' ');
    out.extend_from_slice(reason_phrase(code).as_bytes());
    out.extend_from_slice(format!(" ({kind})\r\n").as_bytes());
    for line in head.lines.iter().filter(|line| line.name == Name::Via) {
        put_line(&mut out, b"Via", line.value.of(text));
    }
    put_line(&mut out, b"From", from);
    put_line(&mut out, b"To", to);
    if name_addr::Parts::of(to).is_some_and(|parts| lex::param(parts.params, b"tag").is_none()) {
        out.truncate(out.len() - 2);
        out.extend_from_slice(
            format!(
                ";tag={:016x}\r\n",
                fnv1a(text.get(..head.end).unwrap_or(text))
            )
            .as_bytes(),
        );
    }
    put_line(&mut out, b"Call-ID", call_id);
    put_line(&mut out, b"CSeq", cseq);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Some(Bytes::from(out))
}

/// FNV-1a, 64 bits: repeatable and good enough to tell requests apart.
fn fnv1a(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
