//! The address of From, To, Contact, Route and Record-Route: display name, URI and header
//! parameters.
//!
//! Owns: name-addr and addr-spec with parameters. Never: follows what it reads.
//! Source: RFC 3261 §20.10, §25.1; RFC 4475 §3.1.1.6, §3.1.2.13, §3.1.2.14.

use std::str::FromStr;

use smol_str::SmolStr;

use super::{Params, SyntaxError, Uri, lex};

/// A display name, a URI and header parameters.
///
/// Shape: a bare addr-spec has `bracketed` false and its parameters are header parameters (RFC 3261
/// §20.10).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameAddr {
    /// The display name as written, quotes included.
    pub display: Option<SmolStr>,
    /// The URI.
    pub uri: Uri,
    /// Whether the URI stood in `<>`.
    pub bracketed: bool,
    /// The header parameters, as written.
    pub params: Params,
}

impl NameAddr {
    /// An address in `<>` without display name and parameters.
    pub fn new(uri: Uri) -> Self {
        Self {
            display: None,
            uri,
            bracketed: true,
            params: Params::default(),
        }
    }

    /// Reads one address.
    ///
    /// Errors: `SyntaxError::NameAddr` for an open quote or bracket, an empty parameter or a URI
    /// that is none.
    pub fn parse(text: &[u8]) -> Result<Self, SyntaxError> {
        Self::parse_bytes(text).ok_or(SyntaxError::NameAddr)
    }

    /// The `tag` parameter; `None` when absent or empty.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The display name with quotes and quoted-pairs resolved.
    pub fn display_name(&self) -> Option<String> {
        self.display
            .as_ref()
            .map(|raw| String::from_utf8_lossy(&lex::unquote(raw.as_bytes())).into_owned())
    }

    fn parse_bytes(text: &[u8]) -> Option<Self> {
        let parts = Parts::of(text)?;
        let display = match parts.display {
            [] => None,
            display => Some(SmolStr::new(lex::utf8(display)?)),
        };
        Some(Self {
            display,
            uri: Uri::parse_bytes(parts.uri)?,
            bracketed: parts.bracketed,
            params: Params::parse(lex::utf8(parts.params)?)?,
        })
    }
}

impl FromStr for NameAddr {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Self::parse(text.as_bytes())
    }
}

impl std::fmt::Display for NameAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.bracketed {
            return write!(f, "{}{}", self.uri, self.params);
        }
        if let Some(display) = &self.display {
            write!(f, "{display} ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// The parts of an address, cut but not read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) display: &'a [u8],
    pub(crate) uri: &'a [u8],
    pub(crate) params: &'a [u8],
    bracketed: bool,
}

impl<'a> Parts<'a> {
    /// Cuts an address; `None` when quotes or brackets do not close, or a parameter is empty.
    pub(crate) fn of(text: &'a [u8]) -> Option<Self> {
        let text = lex::trim(text);
        let display_end = match text.first()? {
            b'"' => closing_quote(text)? + 1,
            _ => 0,
        };
        let rest = text.get(display_end..)?;
        let parts = match memchr::memchr(b'<', rest) {
            Some(open) => {
                let (uri, params) = lex::cut(rest.get(open + 1..)?, b'>')?;
                let display = lex::trim(text.get(..display_end + open)?);
                // RFC 4475 §3.1.2.14: white space inside the brackets is ignored. A display name
                // that should have been quoted is taken as it is (§3.1.2.15).
                Self {
                    display,
                    uri: lex::trim(uri),
                    params: lex::trim(params),
                    bracketed: true,
                }
            }
            None if display_end == 0 => {
                // RFC 3261 §20.10: without brackets what follows the first `;` belongs to the
                // header, not the URI.
                let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
                let uri = lex::trim(rest.get(..end)?);
                Self {
                    display: &[],
                    uri,
                    params: lex::trim(rest.get(end..)?),
                    bracketed: false,
                }
            }
            None => return None,
        };
        let sound = !parts.uri.is_empty()
            && !parts
                .display
                .get(display_end..)
                .unwrap_or_default()
                .contains(&b'"')
            && lex::params_are_sound(parts.params);
        sound.then_some(parts)
    }
}

/// The position of the quote that closes the quoted string at the start of `text`.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate().skip(1) {
        if escaped {
            escaped = false;
        } else if byte == b'"' {
            return Some(at);
        } else {
            escaped = byte == b'\\';
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::NameAddr;

    #[test]
    fn what_is_parsed_is_printed_exactly() {
        for text in [
            "<sip:alice@example.com>;tag=1",
            "sip:alice@example.com;tag=1",
            "\"A, \\\"B\\\" <c>\" <sip:alice@example.com;lr>;Tag=1;x=\"y;z\"",
            "T. Watson <sip:t.watson@example.org>",
            "<sip:b@192.0.2.9>;+sip.instance=\"<urn:uuid:00000000>\";expires=60;q=0.3",
            "\"\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}\" <sip:a@[2001:db8::1]:5060>",
            "<tel:+12025550123>",
        ] {
            assert_eq!(
                NameAddr::parse(text.as_bytes()).map(|address| address.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn parameters_outside_brackets_belong_to_the_header() {
        // RFC 4475 §3.3.12 and §3.3.13.
        let header: NameAddr = "sip:+19725552222@gw1.example.net;unknownparam"
            .parse()
            .unwrap();
        assert!(header.params.has("unknownparam") && header.uri.params.is_empty());
        let uri: NameAddr = "<sip:+19725552222@gw1.example.net;unknownparam>"
            .parse()
            .unwrap();
        assert!(uri.params.is_empty() && uri.uri.params.has("unknownparam"));
    }

    #[test]
    fn white_space_and_missing_white_space_are_tolerated() {
        let address: NameAddr = "caller<sip:caller@example.com>;  tag = 98asjd8"
            .parse()
            .unwrap();
        assert_eq!(
            (address.display_name().as_deref(), address.tag()),
            (Some("caller"), Some("98asjd8"))
        );
        let address: NameAddr = "\"Watson, Thomas\" < sip:t.watson@example.org >"
            .parse()
            .unwrap();
        assert_eq!(address.uri.to_string(), "sip:t.watson@example.org");
        let address: NameAddr =
            "\"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com> ; tag = 98asjd8"
                .parse()
                .unwrap();
        assert_eq!(address.display_name().as_deref(), Some("J Rosenberg \\\""));
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "",
            "\"Mr. J. User <sip:j.user@example.com>",
            "<sip:a@b",
            "\"Joe\" <sip:joe@example.org>;;;;",
            "<>",
            "\"x\"",
            "\"x\" sip:a@b",
            "a \"b\" <sip:a@b>;x=\"",
            "<sip:a@b>tag=1",
        ] {
            assert!(NameAddr::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
