//! The checks a user agent makes on a request before any dialog or transaction user sees it.
//!
//! Owns: method, Request-URI scheme, Require, body format, Accept, in the order of RFC 3261 §8.2.
//! Never: keeps state, so authentication, merged requests and dialogs are checked elsewhere.
//! Source: RFC 3261 §8.2, §8.1.3.3, §20.1.

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::{Message, Method, Name, lex, reason_phrase};

/// What a user agent (or the lab's registrar) takes.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities<'a> {
    /// Methods it serves; named in Allow.
    pub methods: &'a [Method],
    /// URI schemes it can be addressed by.
    pub schemes: &'a [&'a str],
    /// Option tags it supports (RFC 3261 §19.2).
    pub option_tags: &'a [&'a str],
    /// Body types it reads; named in Accept.
    pub content_types: &'a [&'a str],
}

/// A request that is answered with an error before it reaches a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub code: u16,
    /// The reason phrase.
    pub reason: &'static str,
    /// The header fields that the code asks for (Allow, Accept, Unsupported, Warning …).
    pub headers: SmallVec<[(Name, SmolStr); 1]>,
}

/// Checks a request against what is supported.
///
/// Errors: `Refusal` 501 (method unknown) or 405 (known, not allowed), 416, 420, 415, 406, in that
/// order. An ACK is never refused, as nothing answers it.
/// Bounds: no allocation when the request passes.
/// Source: RFC 3261 §8.2.1 to §8.2.3.
pub fn check_request(request: &Message, capabilities: &Capabilities<'_>) -> Result<(), Refusal> {
    let Some(method) = request.method() else {
        return Ok(());
    };
    if *method == Method::Ack {
        return Ok(());
    }
    if !capabilities.methods.contains(method) {
        let code = if matches!(method, Method::Other(_)) {
            501
        } else {
            405
        };
        let allow = join(capabilities.methods.iter().map(Method::as_str));
        return Err(Refusal::new(code, Name::Allow, allow));
    }
    let scheme = request
        .request_uri()
        .split_once(':')
        .map_or("", |(scheme, _)| scheme);
    if !capabilities
        .schemes
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme))
    {
        return Err(Refusal {
            code: 416,
            reason: reason_phrase(416),
            headers: SmallVec::new(),
        });
    }
    // RFC 3261 §8.2.2.3: Require in a CANCEL is ignored.
    if *method != Method::Cancel {
        check_require(request, capabilities)?;
    }
    check_body(request, capabilities)?;
    check_accept(request, method, capabilities)
}

/// Whether an endpoint may take this response: exactly one Via, its own (RFC 3261 §8.1.3.3).
pub fn response_is_for_endpoint(response: &Message) -> bool {
    response.via_count() == 1
}

impl Refusal {
    fn new(code: u16, name: Name, value: SmolStr) -> Self {
        Self {
            code,
            reason: reason_phrase(code),
            headers: SmallVec::from_iter([(name, value)]),
        }
    }
}

fn check_require(request: &Message, capabilities: &Capabilities<'_>) -> Result<(), Refusal> {
    let supported = |tag: &[u8]| {
        capabilities
            .option_tags
            .iter()
            .any(|known| known.as_bytes().eq_ignore_ascii_case(tag))
    };
    let mut unsupported = request
        .values(Name::Require)
        .filter(|tag| !supported(tag))
        .filter_map(lex::utf8)
        .peekable();
    if unsupported.peek().is_none() {
        return Ok(());
    }
    Err(Refusal::new(420, Name::Unsupported, join(unsupported)))
}

/// RFC 3261 §8.2.3: a body whose type or encoding is not understood is refused, unless it is marked
/// optional.
fn check_body(request: &Message, capabilities: &Capabilities<'_>) -> Result<(), Refusal> {
    if request.body().is_empty() || is_optional(request) {
        return Ok(());
    }
    let encoded = request
        .values(Name::ContentEncoding)
        .any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"));
    if encoded {
        return Err(Refusal::new(
            415,
            Name::AcceptEncoding,
            SmolStr::new_static("identity"),
        ));
    }
    match request.header(Name::ContentType) {
        Some(content_type) if !is_one_of(media_type(content_type), capabilities.content_types) => {
            Err(Refusal::new(
                415,
                Name::Accept,
                join(capabilities.content_types.iter().copied()),
            ))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_optional(request: &Message) -> bool {
    request
        .header(Name::ContentDisposition)
        .is_some_and(|value| {
            let params = value.get(media_type(value).len()..).unwrap_or_default();
            lex::param(params, b"handling")
                .flatten()
                .is_some_and(|handling| handling.eq_ignore_ascii_case(b"optional"))
        })
}

/// RFC 3261 §20.1: an INVITE whose Accept leaves out session descriptions cannot be answered with
/// one.
fn check_accept(
    request: &Message,
    method: &Method,
    capabilities: &Capabilities<'_>,
) -> Result<(), Refusal> {
    if *method != Method::Invite || request.header(Name::Accept).is_none() {
        return Ok(());
    }
    let taken = request.values(Name::Accept).any(|range| {
        let range = media_type(range);
        range == b"*/*"
            || range.eq_ignore_ascii_case(b"application/*")
            || is_one_of(range, capabilities.content_types)
    });
    if taken {
        return Ok(());
    }
    Err(Refusal::new(
        406,
        Name::Warning,
        SmolStr::new_static("399 carillon \"Accept leaves out application/sdp\""),
    ))
}

/// The `type/subtype` of a media type with parameters.
fn media_type(value: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    lex::trim_end(value.get(..end).unwrap_or_default())
}

fn is_one_of(media_type: &[u8], known: &[&str]) -> bool {
    known
        .iter()
        .any(|one| one.as_bytes().eq_ignore_ascii_case(media_type))
}

fn join<'a>(items: impl Iterator<Item = &'a str>) -> SmolStr {
    let mut joined = String::new();
    for item in items {
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(item);
    }
    SmolStr::from(joined)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Capabilities, check_request};
    use crate::wire::{Incoming, Message, Method};

    const AGENT: Capabilities<'static> = Capabilities {
        methods: &[Method::Invite, Method::Cancel],
        schemes: &["sip"],
        option_tags: &["timer", "100rel"],
        content_types: &["application/sdp"],
    };

    fn code(method: &str, uri: &str, lines: &str, body: &str) -> Option<u16> {
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 {method}\r\n{lines}\r\n{body}"
        );
        match Message::parse_datagram(Bytes::from(text)) {
            Ok(Incoming::Message(request)) => check_request(&request, &AGENT)
                .err()
                .map(|refusal| refusal.code),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn checks_follow_the_order_of_rfc_3261_8_2() {
        let require = "Require: timer, Nothing\r\n";
        assert_eq!(code("FOO", "tel:1", require, ""), Some(501));
        assert_eq!(code("INFO", "tel:1", require, ""), Some(405));
        assert_eq!(code("INVITE", "tel:1", require, ""), Some(416));
        assert_eq!(code("INVITE", "SIP:a@b", require, ""), Some(420));
        assert_eq!(
            code(
                "INVITE",
                "sip:a@b",
                "Require: TIMER\r\nRequire: 100rel\r\n",
                ""
            ),
            None
        );
        assert_eq!(code("CANCEL", "sip:a@b", require, ""), None);
        assert_eq!(code("ACK", "tel:1", require, "x"), None);
    }

    #[test]
    fn bodies_are_refused_by_type_and_encoding_unless_optional() {
        let invite = |lines: &str, body: &str| code("INVITE", "sip:a@b", lines, body);
        assert_eq!(invite("Content-Type: text/plain\r\n", "x"), Some(415));
        assert_eq!(invite("Content-Type: text/plain\r\n", ""), None);
        assert_eq!(invite("c: Application/SDP ; charset=utf-8\r\n", "x"), None);
        assert_eq!(invite("c: application/sdp\r\ne: gzip\r\n", "x"), Some(415));
        assert_eq!(invite("c: application/sdp\r\ne: identity\r\n", "x"), None);
        let optional = "c: text/plain\r\nContent-Disposition: render ; handling=Optional\r\n";
        assert_eq!(invite(optional, "x"), None);
        assert_eq!(invite("Accept: text/plain\r\n", ""), Some(406));
        assert_eq!(invite("Accept:\r\n", ""), Some(406));
        assert_eq!(
            invite("Accept: text/plain, application/*;q=0.1\r\n", ""),
            None
        );
    }
}
