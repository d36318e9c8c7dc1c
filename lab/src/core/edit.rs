//! Changes a proxy makes to a message, done on its octets: everything else stays as it came.
//!
//! Owns the walk over header lines (folds included) and the rebuilt octets. Decides nothing.
//! RFC 3261 §16.6, §16.7.

use bytes::Bytes;

/// What a request looks like when it leaves.
#[derive(Debug, Default)]
pub(crate) struct RequestEdit<'a> {
    /// A new Request-URI.
    pub(crate) uri: Option<&'a str>,
    /// Our Via value, put on top.
    pub(crate) via: &'a str,
    /// Our Record-Route value, put on top.
    pub(crate) record_route: Option<&'a str>,
    /// Parameters for the Via that was on top (`;received=…;rport=…`), RFC 3581 §4.
    pub(crate) stamp: Stamp,
    /// The Max-Forwards that leaves.
    pub(crate) max_forwards: u32,
    /// How many Route values go, from the top.
    pub(crate) drop_routes: usize,
    /// Takes the last Route value away (it became the Request-URI, RFC 3261 §16.4).
    pub(crate) drop_last_route: bool,
    /// Takes out Proxy-Authorization for this realm.
    pub(crate) consume_realm: Option<&'a str>,
    /// A new body.
    pub(crate) body: Option<&'a [u8]>,
}

/// What the top Via gets on arrival.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Value of `received`.
    pub(crate) received: Option<String>,
    /// Value of `rport`, where the sender asked for it.
    pub(crate) rport: Option<u16>,
}

/// Rebuilds a request. `None` where `raw` has no complete header section.
pub(crate) fn request(raw: &[u8], edit: &RequestEdit<'_>) -> Option<Bytes> {
    let (start, rest) = split_line(raw)?;
    let mut out = Vec::with_capacity(raw.len() + 256);
    start_line(&mut out, trim(start), edit.uri);
    push(&mut out, b"Via", edit.via.as_bytes());
    if let Some(value) = edit.record_route {
        push(&mut out, b"Record-Route", value.as_bytes());
    }
    push(
        &mut out,
        b"Max-Forwards",
        edit.max_forwards.to_string().as_bytes(),
    );
    let total_routes: usize = headers(rest)
        .filter(|h| h.is(b"route", b""))
        .map(|h| values(h.value).count())
        .sum();
    let keep_routes =
        edit.drop_routes..total_routes.saturating_sub(usize::from(edit.drop_last_route));
    let mut via_seen = false;
    let mut route = 0;
    for header in headers(rest) {
        if header.is(b"max-forwards", b"") || header.is(b"content-length", b"l") {
            continue;
        } else if header.is(b"via", b"v") && !via_seen {
            via_seen = true;
            push(&mut out, b"Via", &stamped(header.value, &edit.stamp));
        } else if header.is(b"route", b"") {
            for value in values(header.value) {
                if keep_routes.contains(&route) {
                    push(&mut out, b"Route", value);
                }
                route += 1;
            }
        } else if edit
            .consume_realm
            .is_some_and(|realm| credentials_for(&header, realm))
        {
            continue;
        } else {
            out.extend_from_slice(header.whole);
        }
    }
    finish(out, edit.body.unwrap_or(body(rest)?))
}

/// Rebuilds a response without its top Via value, with `new_body` in place of the old.
pub(crate) fn response(raw: &[u8], new_body: Option<&[u8]>) -> Option<Bytes> {
    let (start, rest) = split_line(raw)?;
    let mut out = Vec::with_capacity(raw.len() + 16);
    out.extend_from_slice(trim(start));
    out.extend_from_slice(b"\r\n");
    let mut popped = false;
    for header in headers(rest) {
        if header.is(b"content-length", b"l") {
            continue;
        } else if header.is(b"via", b"v") && !popped {
            popped = true;
            for value in values(header.value).skip(1) {
                push(&mut out, b"Via", value);
            }
        } else {
            out.extend_from_slice(header.whole);
        }
    }
    finish(out, new_body.unwrap_or(body(rest)?))
}

fn finish(mut out: Vec<u8>, body: &[u8]) -> Option<Bytes> {
    push(
        &mut out,
        b"Content-Length",
        body.len().to_string().as_bytes(),
    );
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Some(Bytes::from(out))
}

fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn start_line(out: &mut Vec<u8>, line: &[u8], uri: Option<&str>) {
    let mut fields = line.splitn(3, |octet| *octet == b' ');
    match (uri, fields.next(), fields.next(), fields.next()) {
        (Some(uri), Some(method), Some(_), Some(version)) => {
            out.extend_from_slice(method);
            out.push(b' ');
            out.extend_from_slice(uri.as_bytes());
            out.push(b' ');
            out.extend_from_slice(version);
        }
        _ => out.extend_from_slice(line),
    }
    out.extend_from_slice(b"\r\n");
}

/// The Via header's value with its first element stamped.
fn stamped(value: &[u8], stamp: &Stamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 48);
    for (index, element) in values(value).enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
            out.extend_from_slice(element);
            continue;
        }
        for (n, part) in element.split(|octet| *octet == b';').enumerate() {
            let name = part.split(|octet| *octet == b'=').next().unwrap_or(part);
            let replaced = (trim(name).eq_ignore_ascii_case(b"received")
                && stamp.received.is_some())
                || (trim(name).eq_ignore_ascii_case(b"rport") && stamp.rport.is_some());
            if replaced {
                continue;
            }
            if n > 0 {
                out.push(b';');
            }
            out.extend_from_slice(part);
        }
        if let Some(received) = &stamp.received {
            out.extend_from_slice(b";received=");
            out.extend_from_slice(received.as_bytes());
        }
        if let Some(rport) = stamp.rport {
            out.extend_from_slice(format!(";rport={rport}").as_bytes());
        }
    }
    out
}

fn credentials_for(header: &Header<'_>, realm: &str) -> bool {
    header.is(b"proxy-authorization", b"")
        && String::from_utf8_lossy(header.value).contains(&format!("realm=\"{realm}\""))
}

/// One header, over all of its folded lines.
struct Header<'a> {
    name: &'a [u8],
    value: &'a [u8],
    whole: &'a [u8],
}

impl Header<'_> {
    fn is(&self, long: &[u8], compact: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(long)
            || (!compact.is_empty() && self.name.eq_ignore_ascii_case(compact))
    }
}

/// The headers up to the empty line.
fn headers(rest: &[u8]) -> impl Iterator<Item = Header<'_>> {
    let mut left = Some(rest);
    std::iter::from_fn(move || {
        let from = left?;
        let (first, mut after) = split_line(from)?;
        if trim(first).is_empty() {
            left = None;
            return None;
        }
        while let Some((next, beyond)) = split_line(after)
            && next
                .first()
                .is_some_and(|octet| matches!(octet, b' ' | b'\t'))
            && !trim(next).is_empty()
        {
            after = beyond;
        }
        left = Some(after);
        let whole = from.get(..from.len() - after.len())?;
        let colon = whole
            .iter()
            .position(|octet| *octet == b':')
            .unwrap_or(whole.len());
        let (name, value) = whole.split_at(colon);
        Some(Header {
            name: trim(name),
            value: trim(value.get(1..).unwrap_or(b"")),
            whole,
        })
    })
}

/// Comma-separated values; commas in quotes and angle brackets do not separate.
fn values(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    value
        .split(move |octet| {
            let was_escaped = std::mem::take(&mut escaped);
            match octet {
                b'\\' if quoted && !was_escaped => escaped = true,
                b'"' if !was_escaped => quoted = !quoted,
                b'<' if !quoted => angle = true,
                b'>' if !quoted => angle = false,
                b',' => return !quoted && !angle,
                _ => {}
            }
            false
        })
        .map(trim)
}

/// The first line with its end, and what follows.
fn split_line(from: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = from.iter().position(|octet| *octet == b'\n')?;
    from.split_at_checked(end + 1)
}

fn body(rest: &[u8]) -> Option<&[u8]> {
    let mut left = rest;
    loop {
        let (line, after) = split_line(left)?;
        if trim(line).is_empty() {
            return Some(after);
        }
        left = after;
    }
}

fn trim(octets: &[u8]) -> &[u8] {
    octets.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:b@lab SIP/2.0\r\n\
        v: SIP/2.0/UDP 127.0.0.1:6000;rport;branch=z9hG4bKa, SIP/2.0/UDP x;branch=z9hG4bKb\r\n\
        Route: <sip:lab;lr>, <sip:next;lr>\r\nRoute: <sip:last>\r\n\
        Max-Forwards: 70\r\n\
        Subject: folded,\r\n  further\r\n\
        Proxy-Authorization: Digest username=\"a\", realm=\"lab\"\r\n\
        l: 4\r\n\r\nbody";

    fn text(bytes: Option<Bytes>) -> String {
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_request_is_changed_where_asked_and_nowhere_else() {
        let edit = RequestEdit {
            uri: Some("sip:b@127.0.0.1:7000"),
            via: "SIP/2.0/UDP lab;branch=z9hG4bKl",
            record_route: Some("<sip:lab;lr>"),
            stamp: Stamp {
                received: Some("127.0.0.1".into()),
                rport: Some(6000),
            },
            max_forwards: 69,
            drop_routes: 1,
            drop_last_route: false,
            consume_realm: Some("lab"),
            body: Some(b"longer"),
        };
        assert_eq!(
            text(request(INVITE.as_bytes(), &edit)),
            "INVITE sip:b@127.0.0.1:7000 SIP/2.0\r\n\
             Via: SIP/2.0/UDP lab;branch=z9hG4bKl\r\n\
             Record-Route: <sip:lab;lr>\r\n\
             Max-Forwards: 69\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:6000;branch=z9hG4bKa;received=127.0.0.1;rport=6000, \
             SIP/2.0/UDP x;branch=z9hG4bKb\r\n\
             Route: <sip:next;lr>\r\nRoute: <sip:last>\r\n\
             Subject: folded,\r\n  further\r\n\
             Content-Length: 6\r\n\r\nlonger"
        );
    }

    #[test]
    fn the_last_route_can_go() {
        let edit = RequestEdit {
            drop_last_route: true,
            ..RequestEdit::default()
        };
        let out = text(request(INVITE.as_bytes(), &edit));
        assert!(
            out.contains("Route: <sip:lab;lr>\r\nRoute: <sip:next;lr>\r\nSubject"),
            "{out}"
        );
        assert!(out.contains("Proxy-Authorization"), "{out}");
    }

    #[test]
    fn a_response_loses_one_via_value() {
        let raw = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP lab;branch=z9hG4bKl, SIP/2.0/UDP x\r\n\
                   Via: SIP/2.0/UDP y\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(
            text(response(raw.as_bytes(), None)),
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x\r\nVia: SIP/2.0/UDP y\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn rubbish_never_panics() {
        for len in 0..INVITE.len() {
            let mut raw = INVITE.as_bytes().to_vec();
            let _ = request(&raw[..len], &RequestEdit::default());
            raw[len] ^= 0x80;
            let _ = response(&raw, None);
            let _ = request(&raw, &RequestEdit::default());
        }
    }
}
