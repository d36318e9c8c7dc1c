//! What every message must hold, whoever receives it.
//!
//! Owns: the mandatory header fields, their number, their ranges. Never: asks what a user agent
//! supports.
//! Source: RFC 3261 §8.1.1, §8.2, §18.3, §20; RFC 4475 §3.1.2, §3.3.

use super::head::{Head, Start};
use super::lex::{self, Span};
use super::{Host, MAX_VIA, Method, Name, RejectKind, Uri, name_addr, via};

/// What validation learned.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) call_id: Span,
    pub(crate) from_tag: Span,
    pub(crate) to_tag: Span,
    pub(crate) branch: Span,
    pub(crate) cseq: u32,
    pub(crate) cseq_method: Method,
    /// The declared body length, or what is wrong with it; kept apart because a stream is framed by
    /// it.
    pub(crate) content_length: Result<Option<u64>, RejectKind>,
    pub(crate) fault: Option<RejectKind>,
}

impl Facts {
    /// Checks the header section `text` that `head` indexes.
    ///
    /// Bounds: one pass over the index, no allocation but an unknown method longer than 23 octets.
    pub(crate) fn gather(head: &Head, text: &[u8]) -> Self {
        let mut facts = Self {
            call_id: Span::default(),
            from_tag: Span::default(),
            to_tag: Span::default(),
            branch: Span::default(),
            cseq: 0,
            cseq_method: Method::Ack,
            content_length: Ok(None),
            fault: head.fault,
        };
        if let Start::Request { uri, .. } = head.start
            && Uri::parse_bytes(uri.of(text)).is_none()
        {
            facts.note(RejectKind::RequestUri);
        }
        let is_request = matches!(head.start, Start::Request { .. });
        let mut seen = Seen::default();
        for line in &head.lines {
            let value = line.value.of(text);
            match line.name {
                Name::Via => facts.via(text, value, &mut seen),
                Name::From if facts.once(&mut seen.from, Name::From) => {
                    facts.from_tag = facts.address(text, value, Name::From)
                }
                Name::To if facts.once(&mut seen.to, Name::To) => {
                    facts.to_tag = facts.address(text, value, Name::To)
                }
                Name::CallId if facts.once(&mut seen.call_id, Name::CallId) => {
                    facts.call_id(text, value)
                }
                Name::CSeq if facts.once(&mut seen.cseq, Name::CSeq) => {
                    facts.cseq(&head.start, value)
                }
                Name::MaxForwards if facts.once(&mut seen.max_forwards, Name::MaxForwards) => {
                    facts.max_forwards(value);
                }
                Name::Contact if is_request => facts.contact(value),
                Name::ContentLength => facts.content_length(value),
                _ => {}
            }
        }
        for (name, there) in [
            (Name::Via, seen.vias > 0),
            (Name::From, seen.from),
            (Name::To, seen.to),
            (Name::CallId, seen.call_id),
            (Name::CSeq, seen.cseq),
        ] {
            if !there {
                facts.note(RejectKind::Missing(name));
            }
        }
        facts
    }

    /// Keeps the first fault only.
    fn note(&mut self, kind: RejectKind) {
        self.fault.get_or_insert(kind);
    }

    /// Whether this is the first line of its name; a second one is a fault (RFC 3261 §7.3.1).
    fn once(&mut self, seen: &mut bool, name: Name) -> bool {
        if std::mem::replace(seen, true) {
            self.note(RejectKind::Duplicate(name));
            return false;
        }
        true
    }

    fn via(&mut self, text: &[u8], value: &[u8], seen: &mut Seen) {
        seen.vias += 1;
        if seen.vias > MAX_VIA {
            self.note(RejectKind::TooManyVias);
        }
        if seen.vias > 1 {
            return;
        }
        let top = lex::Elements::of(value).next().unwrap_or_default();
        match via::Parts::of(top) {
            Some(parts)
                if lex::utf8(top).is_some() && Host::parse_with_port(parts.sent_by).is_some() =>
            {
                let branch = lex::param(parts.params, b"branch")
                    .flatten()
                    .unwrap_or_default();
                self.branch = Span::within(text, branch);
            }
            _ => self.note(RejectKind::Malformed(Name::Via)),
        }
    }

    /// Checks an address and finds its tag.
    fn address(&mut self, text: &[u8], value: &[u8], name: Name) -> Span {
        let Some(parts) = name_addr::Parts::of(value) else {
            self.note(RejectKind::Malformed(name));
            return Span::default();
        };
        let tag = lex::param(parts.params, b"tag")
            .flatten()
            .unwrap_or_default();
        if !tag.is_ascii() {
            self.note(RejectKind::Malformed(name));
        }
        Span::within(text, tag)
    }

    fn call_id(&mut self, text: &[u8], value: &[u8]) {
        if value.is_empty()
            || lex::utf8(value).is_none()
            || value.iter().any(|byte| lex::is_space(*byte))
        {
            self.note(RejectKind::Malformed(Name::CallId));
        }
        self.call_id = Span::within(text, value);
    }

    /// RFC 3261 §20.16: the number fits 32 bits and the method is that of the request line.
    fn cseq(&mut self, start: &Start, value: &[u8]) {
        let end = value
            .iter()
            .position(|byte| lex::is_space(*byte))
            .unwrap_or(value.len());
        let number = value
            .get(..end)
            .and_then(lex::digits)
            .and_then(|number| u32::try_from(number).ok());
        let token = lex::trim(value.get(end..).unwrap_or_default());
        let method = match start {
            Start::Request { method, .. } if method.as_str().as_bytes() == token => {
                Some(method.clone())
            }
            Start::Request { .. } | Start::Response { .. } => Method::from_token(token),
        };
        let (Some(number), Some(method)) = (number, method) else {
            self.note(RejectKind::Malformed(Name::CSeq));
            return;
        };
        if let Start::Request {
            method: requested, ..
        } = start
            && *requested != method
        {
            self.note(RejectKind::CSeqMismatch);
        }
        self.cseq = number;
        self.cseq_method = method;
    }

    /// RFC 3261 §20.22: 0 to 255.
    fn max_forwards(&mut self, value: &[u8]) {
        if lex::digits(value).is_none_or(|hops| hops > 255) {
            self.note(RejectKind::Malformed(Name::MaxForwards));
        }
    }

    fn contact(&mut self, value: &[u8]) {
        if value == b"*" {
            return;
        }
        if !lex::Elements::of(value).all(|one| name_addr::Parts::of(one).is_some()) {
            self.note(RejectKind::Malformed(Name::Contact));
        }
    }

    /// RFC 3261 §20.14: `1*DIGIT`; a repetition with the same number changes nothing, another
    /// number is an error.
    fn content_length(&mut self, value: &[u8]) {
        self.content_length = match (self.content_length, lex::digits(value)) {
            (Err(kind), _) => Err(kind),
            (Ok(_), None) => Err(RejectKind::Malformed(Name::ContentLength)),
            (Ok(Some(first)), Some(length)) if first != length => {
                Err(RejectKind::Duplicate(Name::ContentLength))
            }
            (Ok(_), Some(length)) => Ok(Some(length)),
        };
        if let Err(kind) = self.content_length {
            self.note(kind);
        }
    }
}

/// Which header fields have been met.
#[derive(Debug, Default)]
struct Seen {
    vias: usize,
    from: bool,
    to: bool,
    call_id: bool,
    cseq: bool,
    max_forwards: bool,
}
