//! URIs as SIP uses them: `sip:`, `sips:`, `tel:` and, opaque, all others.
//!
//! Owns: parsing and exact printing. Never: decodes escapes unasked (a `%00` stays `%00`), compares
//! or resolves.
//! Source: RFC 3261 §19.1, §25.1; RFC 3966; RFC 5118.

use std::str::FromStr;

use smol_str::SmolStr;

use super::{Host, Params, SyntaxError, lex};

/// The scheme of a URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other scheme, as written.
    Other(SmolStr),
}

impl Scheme {
    /// The scheme without its colon.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(scheme) => scheme,
        }
    }
}

/// A URI.
///
/// Shape: for `sip:` and `sips:` every field as named. For `tel:` the number is `user` and the host
/// an empty name; for any other scheme all that follows the colon is `user`. Printing gives back
/// the text that was parsed, but for the scheme (lower case) and an IP address (canonical form).
/// Bounds: short parts live inline, without allocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user part with its escapes, as written.
    pub user: Option<SmolStr>,
    /// The password, as written.
    pub password: Option<SmolStr>,
    /// The host.
    pub host: Host,
    /// The port, when written.
    pub port: Option<u16>,
    /// The parameters, as written.
    pub params: Params,
    /// What follows the `?`, as written and never applied.
    pub headers: Option<SmolStr>,
}

impl Uri {
    /// A `sip:` URI of a user at a host.
    pub fn sip(user: Option<&str>, host: Host, port: Option<u16>) -> Self {
        Self {
            scheme: Scheme::Sip,
            user: user.map(SmolStr::new),
            password: None,
            host,
            port,
            params: Params::default(),
            headers: None,
        }
    }

    /// Reads a URI; no white space around or inside.
    ///
    /// Errors: `SyntaxError::Uri` for a missing scheme, an unescaped `@` too many, a bad host, port
    /// or parameter.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        Self::parse_bytes(text.as_bytes()).ok_or(SyntaxError::Uri)
    }

    /// The user part with `%` escapes decoded once.
    ///
    /// Shape: octets, as `%00` or bad UTF-8 may come out; a `%` that starts no escape stays.
    pub fn user_decoded(&self) -> Vec<u8> {
        decode(self.user.as_deref().unwrap_or_default())
    }

    /// The `transport` parameter.
    pub fn transport(&self) -> Option<&str> {
        self.params.get("transport")
    }

    /// Whether this is a loose-routing URI (`lr`, RFC 3261 §19.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.params.has("lr")
    }

    pub(crate) fn parse_bytes(text: &[u8]) -> Option<Self> {
        if text
            .iter()
            .any(|byte| byte.is_ascii_whitespace() || matches!(byte, b'<' | b'>'))
        {
            return None;
        }
        let (scheme, rest) = lex::cut(text, b':')?;
        if scheme.eq_ignore_ascii_case(b"sip") {
            Self::parse_sip(Scheme::Sip, rest)
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            Self::parse_sip(Scheme::Sips, rest)
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            let number_end = memchr::memchr(b';', rest).unwrap_or(rest.len());
            let number = lex::utf8(rest.get(..number_end)?)?;
            let params = Params::parse(lex::utf8(rest.get(number_end..)?)?)?;
            (!number.is_empty()).then(|| Self {
                params,
                ..Self::opaque(Scheme::Tel, number)
            })
        } else {
            let sound = scheme.first().is_some_and(u8::is_ascii_alphabetic)
                && scheme
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
                && !rest.is_empty();
            let scheme = lex::utf8(scheme)?;
            sound.then_some(Self::opaque(
                Scheme::Other(SmolStr::new(scheme)),
                lex::utf8(rest)?,
            ))
        }
    }

    fn opaque(scheme: Scheme, rest: &str) -> Self {
        let host = Host::Name(SmolStr::default());
        Self {
            scheme,
            ..Self::sip(Some(rest), host, None)
        }
    }

    fn parse_sip(scheme: Scheme, rest: &[u8]) -> Option<Self> {
        // A user part may hold `;`, `?` and `/` (RFC 3261 §25.1 user-unreserved), so the `@` is
        // looked for first.
        let (user, password, rest) = match lex::cut(rest, b'@') {
            Some((info, rest)) => {
                let (user, password) = match lex::cut(info, b':') {
                    Some((user, password)) => (user, Some(SmolStr::new(lex::utf8(password)?))),
                    None => (info, None),
                };
                if user.is_empty() {
                    return None;
                }
                (Some(SmolStr::new(lex::utf8(user)?)), password, rest)
            }
            None => (None, None, rest),
        };
        let (rest, headers) = match lex::cut(rest, b'?') {
            Some((rest, headers)) => (rest, Some(SmolStr::new(lex::utf8(headers)?))),
            None => (rest, None),
        };
        let host_end = memchr::memchr(b';', rest).unwrap_or(rest.len());
        let (host, port) = Host::parse_with_port(rest.get(..host_end)?)?;
        let params = Params::parse(lex::utf8(rest.get(host_end..)?)?)?;
        Some(Self {
            scheme,
            user,
            password,
            host,
            port,
            params,
            headers,
        })
    }
}

impl FromStr for Uri {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Self::parse(text)
    }
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.scheme.as_str())?;
        f.write_str(":")?;
        let has_host = matches!(self.scheme, Scheme::Sip | Scheme::Sips);
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            if has_host {
                f.write_str("@")?;
            }
        }
        if has_host {
            self.host.fmt(f)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

fn decode(text: &str) -> Vec<u8> {
    let hex = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            plain.push(high << 4 | low);
            rest = after;
        } else {
            plain.push(*first);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{Host, Scheme, Uri};

    #[test]
    fn what_is_parsed_is_printed_exactly() {
        for text in [
            "sip:example.com",
            "sips:alice:pa$s@Example.COM:5061;Transport=TCP;lr?Subject=x&Route=%3Csip:a%3E",
            "sip:user;par=u%40example.net@example.com",
            "sip:sips%3Auser%40example.com@example.net",
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
            "sip:[2001:db8::10]:5070;lr",
            "sip:caller@[2001:db8::1]",
            "sip:null-%00-null@192.0.2.1",
            "tel:+1-201-555-0123;phone-context=example.com",
            "urn:service:sos",
            "soap.beep://192.0.2.103:3002",
            "sip:user@example.com?Route=%3Csip:example.com%3E",
        ] {
            assert_eq!(
                Uri::parse(text).map(|uri| uri.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn malformed_uris_are_refused() {
        for text in [
            "",
            "alan@jasomi.com",
            "sip:",
            "sip:@example.com",
            "sip:2001:db8::10",
            "sip:a@b@c",
            "sip:a@b:",
            "sip:a@b:70000",
            "sip:a@b;;",
            "sip:a b@c",
            "<sip:a@b>",
            "sip:[::1",
            "sip:a@[::1]x",
            "tel:",
            "1x:y",
            "sip:a@b:5o6o",
        ] {
            assert!(Uri::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_ambiguous_port_belongs_to_the_address_and_three_colons_are_two() {
        // RFC 5118 §4.3 and §4.10.
        let uri = Uri::parse("sip:[2001:db8::10:5070]").unwrap();
        assert_eq!(
            (uri.host, uri.port),
            (Host::V6("2001:db8::10:5070".parse().unwrap()), None)
        );
        let uri = Uri::parse("sip:user@[2001:db8:::192.0.2.1]").unwrap();
        assert_eq!(uri.host, Host::V6("2001:db8::192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn escapes_are_decoded_once() {
        let uri = Uri::parse("sip:%75se%72%00value%25%34%31%Z@h").unwrap();
        assert_eq!(uri.user_decoded(), b"user\0value%41%Z");
        let tel = Uri::parse("TEL:+1").unwrap();
        assert_eq!((tel.scheme, tel.user.as_deref()), (Scheme::Tel, Some("+1")));
    }
}
