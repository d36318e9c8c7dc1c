//! Printing requests and responses.
//!
//! Owns: one growing buffer per message, header fields in the order they are given, Content-Length
//! last and right.
//! Never: reformats a value. The one octet it refuses to write is a line end inside a value, which
//! becomes SP: a name out of a test file must not be able to add header fields.
//! Source: RFC 3261 §7, §8.1.1, §8.2.6, §12.1.1, §18.2.1; RFC 3581 §4.

use std::io::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;

use super::{Host, Message, Method, Name, lex};

/// Writes a request.
///
/// Shape: `new`, header fields in order, at most one `body`, `finish`.
/// Bounds: one allocation for a usual message.
#[derive(Debug)]
pub struct RequestWriter<'b> {
    out: Vec<u8>,
    body: Option<(&'b str, &'b [u8])>,
}

impl<'b> RequestWriter<'b> {
    /// Starts a request with its Request-Line.
    pub fn new(method: &Method, uri: &str) -> Self {
        let mut out = Vec::with_capacity(USUAL_MESSAGE);
        out.extend_from_slice(method.as_str().as_bytes());
        out.push(b' ');
        put_value(&mut out, uri.as_bytes());
        out.extend_from_slice(b" SIP/2.0\r\n");
        Self { out, body: None }
    }

    /// Adds a header line; for `Name::Other` use `header_raw`.
    #[must_use]
    pub fn header(mut self, name: Name, value: impl AsRef<[u8]>) -> Self {
        put_line(&mut self.out, name.as_str().as_bytes(), value.as_ref());
        self
    }

    /// Adds a header line under any name, spelt as given.
    #[must_use]
    pub fn header_raw(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        put_line(&mut self.out, name.as_bytes(), value.as_ref());
        self
    }

    /// Adds a header line that is printed by `Display`.
    #[must_use]
    pub fn header_display(mut self, name: Name, value: impl std::fmt::Display) -> Self {
        put_display(&mut self.out, name, &value);
        self
    }

    /// Adds `CSeq: number method`.
    #[must_use]
    pub fn cseq(mut self, number: u32, method: &Method) -> Self {
        self.out.extend_from_slice(b"CSeq: ");
        put_number(&mut self.out, u64::from(number));
        self.out.push(b' ');
        self.out.extend_from_slice(method.as_str().as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn body(mut self, content_type: &'b str, body: &'b [u8]) -> Self {
        self.body = Some((content_type, body));
        self
    }

    /// Ends the message.
    pub fn finish(self) -> Bytes {
        finish(self.out, self.body)
    }
}

/// Writes a response to a request.
///
/// Shape: Via, From, Call-ID, CSeq and To are copied first (RFC 3261 §8.2.6.2); then as
/// `RequestWriter`.
#[derive(Debug)]
pub struct ResponseWriter<'b> {
    out: Vec<u8>,
    /// Where the To line's CRLF stands, while a tag may still be added.
    to_end: Option<usize>,
    body: Option<(&'b str, &'b [u8])>,
}

impl<'b> ResponseWriter<'b> {
    /// Starts the response `code reason` to `request`.
    pub fn to(request: &Message, code: u16, reason: &str) -> Self {
        Self::start(request, None, code, reason)
    }

    /// Like `to`, and notes in the topmost Via where the request came from: `received` when the
    /// address differs from sent-by or `rport` was asked for (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn to_source(request: &Message, source: SocketAddr, code: u16, reason: &str) -> Self {
        Self::start(request, Some(source), code, reason)
    }

    fn start(request: &Message, source: Option<SocketAddr>, code: u16, reason: &str) -> Self {
        let mut out = Vec::with_capacity(USUAL_MESSAGE);
        out.extend_from_slice(b"SIP/2.0 ");
        put_number(&mut out, u64::from(code));
        out.push(b' ');
        put_value(&mut out, reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        let mut vias = request.lines(Name::Via);
        if let Some(source) = source
            && let Some(top) = vias.next()
        {
            put_top_via(&mut out, top, source);
        }
        for via in vias {
            put_line(&mut out, b"Via", via);
        }
        for name in [Name::From, Name::CallId, Name::CSeq, Name::To] {
            if let Some(value) = request.header(name) {
                put_line(&mut out, name.as_str().as_bytes(), value);
            }
        }
        let to_end = request
            .to_tag()
            .is_none()
            .then(|| out.len().saturating_sub(2));
        Self {
            out,
            to_end,
            body: None,
        }
    }

    /// Adds the tag of To; nothing happens when the request already carried one.
    #[must_use]
    pub fn to_tag(mut self, tag: &str) -> Self {
        if let Some(at) = self.to_end.take() {
            self.out.splice(at..at, [b";tag=", tag.as_bytes()].concat());
        }
        self
    }

    /// Copies all Record-Route lines of the request, in order (RFC 3261 §12.1.1).
    #[must_use]
    pub fn record_route(mut self, request: &Message) -> Self {
        for value in request.lines(Name::RecordRoute) {
            put_line(&mut self.out, b"Record-Route", value);
        }
        self
    }

    /// Adds a header line; for `Name::Other` use `header_raw`.
    #[must_use]
    pub fn header(mut self, name: Name, value: impl AsRef<[u8]>) -> Self {
        put_line(&mut self.out, name.as_str().as_bytes(), value.as_ref());
        self
    }

    /// Adds a header line under any name, spelt as given.
    #[must_use]
    pub fn header_raw(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        put_line(&mut self.out, name.as_bytes(), value.as_ref());
        self
    }

    /// Adds a header line that is printed by `Display`.
    #[must_use]
    pub fn header_display(mut self, name: Name, value: impl std::fmt::Display) -> Self {
        put_display(&mut self.out, name, &value);
        self
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn body(mut self, content_type: &'b str, body: &'b [u8]) -> Self {
        self.body = Some((content_type, body));
        self
    }

    /// Ends the message.
    pub fn finish(self) -> Bytes {
        finish(self.out, self.body)
    }
}

/// Appends `name: value` and CRLF.
pub(crate) fn put_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    put_value(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a decimal number.
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64) {
    if number >= 10 {
        put_number(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}

/// Appends a value; a CR or LF in it is written as SP.
fn put_value(out: &mut Vec<u8>, value: &[u8]) {
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        out.extend_from_slice(value);
    } else {
        out.extend(value.iter().map(|byte| {
            if matches!(byte, b'\r' | b'\n') {
                b' '
            } else {
                *byte
            }
        }));
    }
}

fn put_display(out: &mut Vec<u8>, name: Name, value: &dyn std::fmt::Display) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    let from = out.len();
    // Writing to a Vec does not fail; a Display that reports an error leaves the value as far as it
    // got.
    let _written = write!(out, "{value}");
    for byte in out
        .iter_mut()
        .skip(from)
        .filter(|byte| matches!(byte, b'\r' | b'\n'))
    {
        *byte = b' ';
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the topmost Via line with `received` and `rport` filled in; further values of the line
/// follow unchanged.
fn put_top_via(out: &mut Vec<u8>, line: &[u8], source: SocketAddr) {
    let top_end = lex::find_top(line, b',')
        .ok()
        .flatten()
        .unwrap_or(line.len());
    let (top, rest) = (
        line.get(..top_end).unwrap_or_default(),
        line.get(top_end..).unwrap_or_default(),
    );
    let Ok(mut via) = super::Via::parse(top) else {
        put_line(out, b"Via", line);
        return;
    };
    let wants_rport = via.params.has("rport");
    if wants_rport || via.host != Host::from(source) {
        if wants_rport {
            via.params.set("rport", Some(&source.port().to_string()));
        }
        via.params.set("received", Some(&source.ip().to_string()));
        out.extend_from_slice(b"Via: ");
        let _written = write!(out, "{via}");
        put_value(out, rest);
        out.extend_from_slice(b"\r\n");
    } else {
        put_line(out, b"Via", line);
    }
}

fn finish(mut out: Vec<u8>, body: Option<(&str, &[u8])>) -> Bytes {
    let body = match body {
        Some((content_type, body)) => {
            put_line(&mut out, b"Content-Type", content_type.as_bytes());
            body
        }
        None => &[],
    };
    out.extend_from_slice(b"Content-Length: ");
    put_number(&mut out, body.len() as u64);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
    Bytes::from(out)
}

/// Room for a usual INVITE with SDP, octets.
const USUAL_MESSAGE: usize = 1024;

#[cfg(test)]
mod tests;
