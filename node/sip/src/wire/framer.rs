//! Cuts a byte stream (TCP, TLS) into messages.
//!
//! Owns: the octets received and not yet taken, keep-alives, Content-Length framing. Never: waits;
//! the caller bounds how long a started message may stay incomplete (`is_partial`).
//! Source: RFC 3261 §7.5, §18.3; RFC 5626 §3.5.1.

use bytes::{Buf, BytesMut};

use super::head::Head;
use super::validate::Facts;
use super::{
    Incoming, MAX_BODY, MAX_HEADER_SECTION, MAX_STREAM_BUFFER, Message, Name, RejectKind, Rejected,
};

/// The receiving side of one stream connection.
///
/// Shape: `push` what was read, then `next` until it is `None`. After a refusal whose kind breaks
/// the stream `next` gives `None` for ever: the connection must be closed.
/// Bounds: at most `MAX_STREAM_BUFFER` octets are kept; every octet is looked at a fixed number of
/// times, however small the pieces.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: BytesMut,
    /// How far the buffer has been searched for the end of the header section.
    searched: usize,
    pending: Option<Pending>,
    /// An unpaired CRLF has been taken: a second one makes a ping.
    half_ping: bool,
    overflow: bool,
    broken: bool,
}

/// A message whose header section is complete and whose body is awaited.
#[derive(Debug)]
struct Pending {
    head: Head,
    facts: Facts,
    body: usize,
}

impl StreamFramer {
    /// A framer for a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets in the order of the stream; too many at once break it.
    pub fn push(&mut self, octets: &[u8]) {
        // After an overflow octets are missing, so what follows would be read out of place.
        if self.broken || self.overflow {
            return;
        }
        if self.buffer.len().saturating_add(octets.len()) > MAX_STREAM_BUFFER {
            self.overflow = true;
            return;
        }
        self.buffer.extend_from_slice(octets);
    }

    /// The next message, keep-alive or refusal; `None` when more octets are needed or the stream is
    /// broken.
    #[expect(
        clippy::should_implement_trait,
        reason = "not an iterator: `None` is not the end"
    )]
    pub fn next(&mut self) -> Option<Result<Incoming, Rejected>> {
        if self.broken {
            return None;
        }
        if self.pending.is_none() {
            match self.begin() {
                Ok(Begun::Pending(pending)) => self.pending = Some(pending),
                Ok(Begun::KeepAlive(incoming)) => return Some(Ok(incoming)),
                Ok(Begun::Nothing) if self.overflow => {
                    return self.refuse(Rejected::silent(RejectKind::StreamOverflow));
                }
                Ok(Begun::Nothing) => return None,
                Err(rejected) => return self.refuse(rejected),
            }
        }
        let pending = self.pending.take()?;
        let total = pending.head.end + pending.body;
        if self.buffer.len() < total {
            if self.overflow {
                return self.refuse(Rejected::silent(RejectKind::StreamOverflow));
            }
            self.pending = Some(pending);
            return None;
        }
        let raw = self.buffer.split_to(total).freeze();
        match Message::assemble(raw, pending.head, pending.facts, Ok(pending.body)) {
            Ok(message) => Some(Ok(Incoming::Message(message))),
            Err(rejected) => self.refuse(rejected),
        }
    }

    /// Whether the stream can give nothing more and must be closed.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a message has begun and is not complete.
    pub fn is_partial(&self) -> bool {
        !self.broken && !self.buffer.is_empty()
    }

    fn refuse(&mut self, rejected: Rejected) -> Option<Result<Incoming, Rejected>> {
        if rejected.kind.breaks_stream() {
            self.broken = true;
            self.buffer = BytesMut::new();
            self.pending = None;
        }
        Some(Err(rejected))
    }

    /// Skips keep-alives and cuts the header section, when it is complete.
    fn begin(&mut self) -> Result<Begun, Rejected> {
        while self.searched == 0 && self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
            if std::mem::take(&mut self.half_ping) {
                return Ok(Begun::KeepAlive(Incoming::Ping));
            }
            self.half_ping = true;
            // A CRLF with nothing behind it is an answer; if the rest of a ping follows later, the
            // ping counts too.
            if self.buffer.is_empty() {
                return Ok(Begun::KeepAlive(Incoming::Pong));
            }
        }
        if self.buffer.is_empty() || *self.buffer == b"\r"[..] {
            return Ok(Begun::Nothing);
        }
        self.half_ping = false;
        if !self.find_header_end().map_err(Rejected::silent)? {
            return Ok(Begun::Nothing);
        }
        self.searched = 0;
        let head = Head::parse(&self.buffer).map_err(Rejected::silent)?;
        let facts = Facts::gather(&head, head.text(&self.buffer));
        let length = match facts.content_length {
            Ok(Some(declared)) => usize::try_from(declared)
                .ok()
                .filter(|length| *length <= MAX_BODY)
                .ok_or(RejectKind::BodyTooLong),
            // RFC 3261 §18.3: on a stream Content-Length is not optional, as nothing else ends the
            // body.
            Ok(None) => Err(RejectKind::Missing(Name::ContentLength)),
            Err(kind) => Err(kind),
        };
        match length {
            Ok(body) => Ok(Begun::Pending(Pending { head, facts, body })),
            Err(kind) => {
                let answer = super::answer::stateless(kind, &head, head.text(&self.buffer));
                Err(Rejected { kind, answer })
            }
        }
    }

    /// Searches what is new for the blank line; true when it is there.
    fn find_header_end(&mut self) -> Result<bool, RejectKind> {
        let from = self.searched;
        for at in memchr::memchr_iter(b'\n', self.buffer.get(from..).unwrap_or_default())
            .map(|at| from + at)
        {
            if at == 0 || self.buffer.get(at - 1) != Some(&b'\r') {
                return Err(RejectKind::BareLineEnd);
            }
            if at >= 3 && self.buffer.get(at - 3..at - 1) == Some(b"\r\n") {
                return Ok(true);
            }
        }
        self.searched = self.buffer.len();
        if self.searched >= MAX_HEADER_SECTION {
            return Err(RejectKind::HeaderSectionTooLong);
        }
        Ok(false)
    }
}

/// What the front of the buffer is.
enum Begun {
    Pending(Pending),
    KeepAlive(Incoming),
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::{Incoming, RejectKind, StreamFramer};
    use crate::wire::{MAX_HEADER_SECTION, MAX_STREAM_BUFFER, Name};

    fn options(id: usize, body: &str) -> String {
        format!(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{id}\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn drain(framer: &mut StreamFramer) -> Vec<String> {
        std::iter::from_fn(|| framer.next())
            .map(|event| match event {
                Ok(Incoming::Message(message)) => {
                    format!("{}:{}", message.call_id(), message.body().len())
                }
                Ok(Incoming::Ping) => "ping".to_owned(),
                Ok(Incoming::Pong) => "pong".to_owned(),
                Err(rejected) => rejected.kind.to_string(),
            })
            .collect()
    }

    #[test]
    fn pipelined_messages_and_keep_alives_come_out_in_order() {
        let text = format!(
            "{}\r\n\r\n{}\r\n{}\r\n\r\n",
            options(1, "body"),
            options(2, ""),
            options(3, "\r\n\r\n")
        );
        let mut whole = StreamFramer::new();
        whole.push(text.as_bytes());
        assert_eq!(drain(&mut whole), ["1:4", "ping", "2:0", "3:4", "ping"]);
        let mut bytewise = StreamFramer::new();
        let mut events = Vec::new();
        for byte in text.as_bytes() {
            bytewise.push(&[*byte]);
            events.extend(drain(&mut bytewise));
        }
        // A CRLF that stands alone at its moment is taken for a pong, too; a ping is never missed.
        events.retain(|event| event != "pong");
        assert_eq!(events, ["1:4", "ping", "2:0", "3:4", "ping"]);
        assert!(!bytewise.is_partial() && !bytewise.is_broken());
    }

    #[test]
    fn a_refusal_that_keeps_the_framing_keeps_the_stream() {
        let mut framer = StreamFramer::new();
        framer.push(
            options(1, "x")
                .replace("CSeq: 1 OPTIONS", "CSeq: 1 INFO")
                .as_bytes(),
        );
        framer.push(options(2, "").as_bytes());
        assert_eq!(drain(&mut framer), ["CSeq method mismatch", "2:0"]);
    }

    #[test]
    fn what_hides_the_end_of_a_message_breaks_the_stream() {
        let no_length = options(1, "").replace("Content-Length: 0\r\n", "");
        let bad_length = options(1, "").replace("Content-Length: 0", "Content-Length: -1");
        let long_body = options(1, "").replace("Content-Length: 0", "Content-Length: 65537");
        let line_feeds = options(1, "").replace("\r\n", "\n");
        for (text, kind) in [
            (no_length, RejectKind::Missing(Name::ContentLength)),
            (bad_length, RejectKind::Malformed(Name::ContentLength)),
            (long_body, RejectKind::BodyTooLong),
            (line_feeds, RejectKind::BareLineEnd),
            (
                "x".repeat(MAX_HEADER_SECTION),
                RejectKind::HeaderSectionTooLong,
            ),
            (
                "y".repeat(MAX_STREAM_BUFFER + 1),
                RejectKind::StreamOverflow,
            ),
        ] {
            let mut framer = StreamFramer::new();
            framer.push(text.as_bytes());
            framer.push(options(2, "").as_bytes());
            assert_eq!(drain(&mut framer), [kind.to_string()]);
            assert!(framer.is_broken() && !framer.is_partial());
        }
    }
}
