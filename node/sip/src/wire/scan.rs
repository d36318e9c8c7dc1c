//! A look into a message in place, to find whom it is for.
//!
//! Owns: the four things demultiplexing needs, found without building a `Message`. Never:
//! validates; what it cannot read at a glance (folded lines, no such header) is `None` and takes
//! the full parser.
//! Source: RFC 3261 §17.1.3, §17.2.3, §18.

use super::{MAX_HEADER_SECTION, lex, name_addr, via};

/// What a glance at a message shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan<'a> {
    /// The first line.
    pub start: ScanStart<'a>,
    /// The Call-ID.
    pub call_id: &'a str,
    /// The branch of the topmost Via; empty when it has none.
    pub branch: &'a str,
    /// The method of CSeq.
    pub cseq_method: &'a str,
}

/// The first line of a scanned message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanStart<'a> {
    /// A request.
    Request {
        /// The method token.
        method: &'a str,
        /// The Request-URI, not checked.
        uri: &'a str,
    },
    /// A response with its status code.
    Response(u16),
}

impl<'a> Scan<'a> {
    /// Glances at a datagram.
    ///
    /// Errors: `None` when it is no SIP message, or one that needs the full parser.
    /// Bounds: stops at the header it needs last, at most `MAX_HEADER_SECTION` octets; no
    /// allocation.
    pub fn of(datagram: &'a [u8]) -> Option<Self> {
        let mut lines = Lines {
            rest: datagram.get(..MAX_HEADER_SECTION).unwrap_or(datagram),
        };
        let first = loop {
            match lines.next()? {
                [] => {}
                line => break line,
            }
        };
        let start = start(first)?;
        let (mut call_id, mut branch, mut cseq_method) = (None, None, None);
        while call_id.is_none() || branch.is_none() || cseq_method.is_none() {
            let line = lines.next()?;
            let [initial, ..] = line else { return None };
            if !matches!(initial, b'C' | b'c' | b'V' | b'v' | b'I' | b'i') {
                continue;
            }
            let (name, value) = lex::cut(line, b':')?;
            let (name, value) = (lex::trim_end(name), lex::trim(value));
            if is(name, b"call-id", b"i") {
                call_id = call_id.or(Some(lex::utf8(lines.whole(value)?)?));
            } else if is(name, b"via", b"v") && branch.is_none() {
                let top = lex::Elements::of(lines.whole(value)?).next()?;
                let found = lex::param(via::Parts::of(top)?.params, b"branch").flatten();
                branch = Some(lex::utf8(found.unwrap_or_default())?);
            } else if name.eq_ignore_ascii_case(b"cseq") {
                let (_, method) = lex::cut(lines.whole(value)?, b' ')?;
                cseq_method = cseq_method.or(Some(lex::utf8(lex::trim(method))?));
            }
        }
        Some(Self {
            start,
            call_id: call_id?,
            branch: branch?,
            cseq_method: cseq_method?,
        })
    }

    /// The user part of the Request-URI, escapes kept: it carries an endpoint's index where a peer
    /// dials our Contact.
    pub fn request_user(&self) -> Option<&'a str> {
        let ScanStart::Request { uri, .. } = self.start else {
            return None;
        };
        user_of(uri)
    }
}

/// The user part of the address that a To or Contact value holds, without building a `NameAddr`.
pub fn address_user(value: &[u8]) -> Option<&str> {
    lex::utf8(name_addr::Parts::of(value)?.uri).and_then(user_of)
}

fn user_of(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once(':')?;
    let (info, _) = rest.split_once('@')?;
    Some(info.split_once(':').map_or(info, |(user, _)| user))
}

fn start(line: &[u8]) -> Option<ScanStart<'_>> {
    if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
        let code = rest
            .get(..3)
            .and_then(lex::digits)
            .and_then(|code| u16::try_from(code).ok())?;
        return matches!(rest.get(3), None | Some(b' ')).then_some(ScanStart::Response(code));
    }
    let rest = line.strip_suffix(b" SIP/2.0")?;
    let (method, uri) = lex::cut(rest, b' ')?;
    Some(ScanStart::Request {
        method: lex::utf8(method)?,
        uri: lex::utf8(uri)?,
    })
}

fn is(name: &[u8], long: &[u8], compact: &[u8]) -> bool {
    name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(compact)
}

/// The lines of a header section, as they stand.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let at = memchr::memchr(b'\n', self.rest)?;
        let line = self.rest.get(..at)?.strip_suffix(b"\r")?;
        self.rest = self.rest.get(at + 1..)?;
        Some(line)
    }

    /// The value, unless the next line continues it.
    fn whole<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        (!matches!(self.rest.first(), Some(b' ' | b'\t'))).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Scan, ScanStart, address_user};

    const INVITE: &str = "INVITE sip:e17@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP h;rport;branch=z9hG4bKe17\r\n\
        Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: e17-1@h\r\nCSeq: 1 INVITE\r\n\r\n";

    #[test]
    fn a_glance_finds_what_routing_needs() {
        let scan = Scan::of(INVITE.as_bytes()).unwrap();
        assert_eq!(
            scan.start,
            ScanStart::Request {
                method: "INVITE",
                uri: "sip:e17@192.0.2.1:5060"
            }
        );
        assert_eq!(
            (scan.call_id, scan.branch, scan.cseq_method),
            ("e17-1@h", "z9hG4bKe17", "INVITE")
        );
        assert_eq!(scan.request_user(), Some("e17"));
        assert_eq!(address_user(b"\"x\" <sip:e17:pw@h;lr>;q=1"), Some("e17"));
    }

    #[test]
    fn compact_names_and_responses_are_seen() {
        let text = "\r\nSIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP h;branch=z9hG4bKx, SIP/2.0/UDP i;branch=y\r\ni : q\r\nCSeq: 7 BYE\r\n\r\n";
        let scan = Scan::of(text.as_bytes()).unwrap();
        assert_eq!(
            scan,
            Scan {
                start: ScanStart::Response(180),
                call_id: "q",
                branch: "z9hG4bKx",
                cseq_method: "BYE"
            }
        );
    }

    #[test]
    fn what_needs_the_parser_is_left_to_it() {
        for text in [
            "",
            "\r\n\r\n",
            "hello",
            &INVITE.replace("Call-ID: ", "Call-ID:\r\n "),
            &INVITE.replace("Call-ID", "X"),
        ] {
            assert_eq!(Scan::of(text.as_bytes()), None, "{text}");
        }
    }
}
