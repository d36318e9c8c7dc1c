//! A SIP message: its octets and an index into them.
//!
//! Owns: parsing a datagram, and views of header fields without copying. Never: changes an octet;
//! the typed rsip model is made only when asked for.
//! Source: RFC 3261 §7, §18.3.

use std::borrow::Cow;

use bytes::Bytes;
use smol_str::SmolStr;

use super::head::{Head, Line, Start};
use super::lex::{self, Elements, Span};
use super::validate::Facts;
use super::{
    Host, MAX_BODY, MAX_DATAGRAM, Method, Name, Params, RejectKind, Rejected, Via, answer,
};

/// What a datagram or a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A message.
    Message(Message),
    /// CRLFCRLF: a keep-alive; a stream answers it with CRLF, a datagram is ignored (RFC 5626
    /// §3.5.1).
    Ping,
    /// CRLF: the answer to a ping.
    Pong,
}

/// A request or a response that passed the checks every receiver makes.
///
/// Shape: the octets from the start line to the end of the body, shared, and an index of the header
/// lines. The mandatory header fields are there, single and well-formed; every other value is as it
/// came.
/// Bounds: one allocation for the index, two more when a header line is folded; all limits of this
/// module hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    raw: Bytes,
    unfolded: Option<Box<[u8]>>,
    start: Start,
    lines: Vec<Line>,
    body_start: usize,
    call_id: Span,
    from_tag: Span,
    to_tag: Span,
    branch: Span,
    cseq: u32,
    cseq_method: Method,
}

impl Message {
    /// Reads one datagram.
    ///
    /// Shape: leading CRLFs are skipped; octets after Content-Length are cut off; without
    /// Content-Length the body is the rest (RFC 3261 §18.3).
    /// Errors: `Rejected`, with a stateless answer where one can be made.
    /// Bounds: linear in the datagram. Never panics.
    pub fn parse_datagram(datagram: Bytes) -> Result<Incoming, Rejected> {
        if datagram.len() > MAX_DATAGRAM {
            return Err(Rejected::silent(RejectKind::DatagramTooLong));
        }
        let mut skipped = 0;
        while datagram.get(skipped..skipped + 2) == Some(b"\r\n") {
            skipped += 2;
        }
        if skipped == datagram.len() {
            return match skipped {
                0 => Err(Rejected::silent(RejectKind::Empty)),
                2 => Ok(Incoming::Pong),
                _ => Ok(Incoming::Ping),
            };
        }
        let raw = datagram.slice(skipped..);
        let head = Head::parse(&raw).map_err(Rejected::silent)?;
        let facts = Facts::gather(&head, head.text(&raw));
        let available = raw.len() - head.end;
        let length = match facts.content_length {
            Ok(None) if available > MAX_BODY => Err(RejectKind::BodyTooLong),
            Ok(None) => Ok(available),
            Ok(Some(declared)) => match usize::try_from(declared) {
                Ok(declared) if declared <= available && declared <= MAX_BODY => Ok(declared),
                Ok(_) | Err(_) => Err(RejectKind::BodyTooShort),
            },
            Err(kind) => Err(kind),
        };
        Self::assemble(raw, head, facts, length).map(Incoming::Message)
    }

    /// Puts a message together once its body length is known; `raw` starts at the start line and
    /// may be longer.
    pub(crate) fn assemble(
        raw: Bytes,
        head: Head,
        facts: Facts,
        body_length: Result<usize, RejectKind>,
    ) -> Result<Self, Rejected> {
        let body_length = match (facts.fault, body_length) {
            (None, Ok(length)) => length,
            (Some(kind), _) | (None, Err(kind)) => {
                let answer = answer::stateless(kind, &head, head.text(&raw));
                return Err(Rejected { kind, answer });
            }
        };
        let end = raw.len().min(head.end + body_length);
        Ok(Self {
            raw: raw.slice(..end),
            unfolded: head.unfolded,
            start: head.start,
            lines: head.lines,
            body_start: head.end,
            call_id: facts.call_id,
            from_tag: facts.from_tag,
            to_tag: facts.to_tag,
            branch: facts.branch,
            cseq: facts.cseq,
            cseq_method: facts.cseq_method,
        })
    }

    /// Whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &str {
        match self.start {
            Start::Request { uri, .. } => self.str_of(uri),
            Start::Response { .. } => "",
        }
    }

    /// The status code of a response, 100 to 699.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { code, .. } => Some(code),
        }
    }

    /// The reason phrase of a response, octets that are not UTF-8 replaced; empty for a request.
    pub fn reason(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.reason_bytes())
    }

    /// The reason phrase of a response as it came.
    pub fn reason_bytes(&self) -> &[u8] {
        match self.start {
            Start::Request { .. } => &[],
            Start::Response { reason, .. } => reason.of(self.text()),
        }
    }

    /// The value of the first line called `name`, unfolded and trimmed.
    pub fn header(&self, name: Name) -> Option<&[u8]> {
        self.lines(name).next()
    }

    /// Like `header`, when the value is UTF-8.
    pub fn header_str(&self, name: Name) -> Option<&str> {
        self.header(name).and_then(lex::utf8)
    }

    /// The value of the first line with this name as text, in any case; compact forms are not
    /// looked up.
    pub fn header_named(&self, name: &str) -> Option<&[u8]> {
        let text = self.text();
        self.lines
            .iter()
            .find(|line| {
                line.name_span
                    .of(text)
                    .eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|line| line.value.of(text))
    }

    /// The values of all lines called `name`, in order, each uncut.
    pub fn lines(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        let text = self.text();
        self.lines
            .iter()
            .filter(move |line| line.name == name)
            .map(move |line| line.value.of(text))
    }

    /// The comma-separated values of all lines called `name`, in order; quotes and `<>` are
    /// respected.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.lines(name).flat_map(Elements::of)
    }

    /// All header lines in order: the name, its spelling and the value.
    pub fn all_lines(&self) -> impl Iterator<Item = (Name, &[u8], &[u8])> {
        let text = self.text();
        self.lines
            .iter()
            .map(move |line| (line.name, line.name_span.of(text), line.value.of(text)))
    }

    /// The value of a header that is a single number (Expires, Min-Expires, RSeq …), any parameters
    /// left out.
    ///
    /// Errors: `None` when absent or not `1*DIGIT`; a number past `u32` counts as `u32::MAX`.
    pub fn number(&self, name: Name) -> Option<u32> {
        let value = self.header(name)?;
        let end = value
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(value.len());
        let digits = value.get(..end).filter(|digits| !digits.is_empty())?;
        Some(
            lex::digits(digits)
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(u32::MAX),
        )
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        self.str_of(self.call_id)
    }

    /// The CSeq number and method.
    pub fn cseq(&self) -> (u32, &Method) {
        (self.cseq, &self.cseq_method)
    }

    /// The tag of From; `None` when absent or empty (RFC 2543 peers).
    pub fn from_tag(&self) -> Option<&str> {
        (!self.from_tag.is_empty()).then(|| self.str_of(self.from_tag))
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&str> {
        (!self.to_tag.is_empty()).then(|| self.str_of(self.to_tag))
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Via {
        // Parsing checked it, so the value given for a failure is never seen.
        self.values(Name::Via)
            .next()
            .and_then(|value| Via::parse(value).ok())
            .unwrap_or(Via {
                transport: SmolStr::new_static("UDP"),
                host: Host::Name(SmolStr::default()),
                port: None,
                params: Params::default(),
            })
    }

    /// The number of Via values.
    pub fn via_count(&self) -> usize {
        self.values(Name::Via).count()
    }

    /// The branch of the topmost Via.
    pub fn branch(&self) -> Option<&str> {
        (!self.branch.is_empty()).then(|| self.str_of(self.branch))
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        self.raw.get(self.body_start..).unwrap_or_default()
    }

    /// The body, sharing the message's octets.
    pub fn body_bytes(&self) -> Bytes {
        self.raw.slice(self.body_start.min(self.raw.len())..)
    }

    /// The Content-Type as written, parameters included.
    pub fn content_type(&self) -> Option<&str> {
        self.header_str(Name::ContentType)
    }

    /// The octets as received, from the start line to the end of the body.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    fn text(&self) -> &[u8] {
        self.unfolded.as_deref().unwrap_or(&self.raw)
    }

    fn str_of(&self, span: Span) -> &str {
        lex::utf8(span.of(self.text())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
