//! Prints requests from parts that are ready to copy.
//!
//! Owns the order of the lines: start line, Via, Max-Forwards, Route, From, To, Call-ID, CSeq, then
//! everything else. `transaction::derive` relies on it. Source: RFC 3261 §7.1, §8.1.1, RFC 3581.

use std::io::Write as _;

use bytes::Bytes;

use super::{Transport, UaConfig};
use crate::dialog::Dialog;
use crate::wire::Method;

/// The lines that are the same in every message of one agent.
#[derive(Debug)]
pub(crate) struct Letterhead {
    via: Box<str>,
    from: Box<str>,
    route: Box<str>,
    contact: Box<str>,
    user_agent: Box<str>,
}

impl Letterhead {
    pub(crate) fn new(config: &UaConfig) -> Self {
        let (token, local) = (config.transport.via_token(), config.local);
        let parameter = match config.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
        };
        let user_agent = match config.user_agent.as_str() {
            "" => String::new(),
            name => format!("User-Agent: {}\r\n", one_line(name)),
        };
        let from = match &config.display {
            Some(display) => format!("{} <{}>", quoted(display), address_of_record(config)),
            None => format!("<{}>", address_of_record(config)),
        };
        let route = match &config.outbound_proxy {
            // RFC 3261 §8.1.2: a pre-loaded route of one loose router.
            Some(proxy) => format!("Route: <sip:{proxy}{parameter};lr>\r\n"),
            None => String::new(),
        };
        Self {
            // `rport`: the answer comes back to where the request came from (RFC 3581 §3).
            via: format!("Via: SIP/2.0/{token} {local};rport;branch=").into(),
            contact: format!(
                "<sip:{}@{local}{parameter}>",
                one_line(&config.contact_user)
            )
            .into(),
            from: from.into(),
            route: route.into(),
            user_agent: user_agent.into(),
        }
    }

    /// From's value without its tag.
    pub(crate) fn sender(&self) -> &str {
        &self.from
    }

    /// The Route line of requests outside a dialog; empty without an outbound proxy.
    pub(crate) fn route(&self) -> &[u8] {
        self.route.as_bytes()
    }

    /// Contact's value: where requests of a dialog, and calls, reach this agent.
    pub(crate) fn contact(&self) -> &str {
        &self.contact
    }
}

/// A request being printed.
#[derive(Debug)]
pub(crate) struct RequestText<'a> {
    letterhead: &'a Letterhead,
    text: Vec<u8>,
}

impl<'a> RequestText<'a> {
    /// Prints start line, Via and Max-Forwards.
    pub(crate) fn new(
        letterhead: &'a Letterhead,
        method: &Method,
        request_uri: &str,
        branch: &str,
    ) -> Self {
        let text = Vec::with_capacity(USUAL_LENGTH);
        let mut request = Self { letterhead, text };
        for part in [method.as_str(), " ", request_uri, " SIP/2.0\r\n"] {
            request.push(part);
        }
        for part in [&letterhead.via, branch, "\r\nMax-Forwards: 70\r\n"] {
            request.push(part);
        }
        request
    }

    /// Prints the head of a request within a dialog, up to CSeq (RFC 3261 §12.2.1.1).
    pub(crate) fn in_dialog(
        letterhead: &'a Letterhead,
        dialog: &Dialog,
        method: &Method,
        branch: &str,
        cseq: u32,
    ) -> Self {
        let mut request = Self::new(letterhead, method, dialog.request_uri(), branch);
        dialog.print_routes(&mut request.text);
        request.raw(dialog.identity()).cseq(cseq, method)
    }

    /// Prints ready lines.
    pub(crate) fn raw(mut self, lines: &[u8]) -> Self {
        self.text.extend_from_slice(lines);
        self
    }

    /// Prints one line.
    pub(crate) fn line(mut self, name: &str, value: &str) -> Self {
        for part in [name, ": ", value, "\r\n"] {
            self.push(part);
        }
        self
    }

    /// Prints CSeq.
    pub(crate) fn cseq(mut self, number: u32, method: &Method) -> Self {
        // Writing to a Vec cannot fail.
        let _ = write!(self.text, "CSeq: {number} {method}\r\n");
        self
    }

    /// Prints our Contact.
    pub(crate) fn contact(self) -> Self {
        let contact = self.letterhead.contact();
        self.line("Contact", contact)
    }

    /// Prints User-Agent, Content-Type and Content-Length, and the body.
    pub(crate) fn finish(mut self, body: Option<&[u8]>) -> Bytes {
        self.push(&self.letterhead.user_agent);
        let body = body.unwrap_or_default();
        if !body.is_empty() {
            self.push("Content-Type: ");
            self.push(BODY_TYPE);
            self.push("\r\n");
        }
        let _ = write!(self.text, "Content-Length: {}\r\n\r\n", body.len());
        self.text.extend_from_slice(body);
        Bytes::from(self.text)
    }

    fn push(&mut self, part: &str) {
        self.text.extend_from_slice(part.as_bytes());
    }
}

/// `sip:user@domain`.
pub(crate) fn address_of_record(config: &UaConfig) -> String {
    format!(
        "sip:{}@{}",
        one_line(&config.user),
        one_line(&config.domain)
    )
}

/// A quoted-string (RFC 3261 §25.1).
fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        one_line(text).replace('\\', "\\\\").replace('"', "\\\"")
    )
}

/// A name out of a test file must not be able to add header lines.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The type of every body of this agent: an offer or an answer of RFC 3264, opaque here.
pub(crate) const BODY_TYPE: &str = "application/sdp";
/// Room for an INVITE with a short offer; a longer request just reallocates.
const USUAL_LENGTH: usize = 1024;
