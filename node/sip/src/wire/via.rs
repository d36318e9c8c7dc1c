//! One Via value: protocol, transport, sent-by and parameters.
//!
//! Owns: reading and exact printing of a via-parm. Never: decides where a response goes.
//! Source: RFC 3261 §20.42, §8.1.1.7; RFC 3581; RFC 5118 §4.5.

use std::net::IpAddr;
use std::str::FromStr;

use smol_str::SmolStr;

use super::{Host, Params, SyntaxError, lex};

/// The start of every branch that RFC 3261 elements make (RFC 3261 §8.1.1.7).
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

/// A Via value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Via {
    /// The transport as written (`UDP`, `TCP`, …).
    pub transport: SmolStr,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, when written.
    pub port: Option<u16>,
    /// The parameters, as written.
    pub params: Params,
}

impl Via {
    /// Reads one via-parm.
    ///
    /// Errors: `SyntaxError::Via` when the protocol is not three tokens that start with `SIP`,
    /// sent-by is malformed or a parameter is empty.
    pub fn parse(text: &[u8]) -> Result<Self, SyntaxError> {
        Self::parse_bytes(text).ok_or(SyntaxError::Via)
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&str> {
        self.params
            .get("branch")
            .filter(|branch| !branch.is_empty())
    }

    /// Whether the branch identifies a transaction by itself (RFC 3261 §17.2.3): the magic cookie
    /// and something after it (RFC 4475 §3.2.1 has the cookie alone).
    pub fn has_rfc3261_branch(&self) -> bool {
        self.branch()
            .and_then(|branch| branch.strip_prefix(MAGIC_COOKIE))
            .is_some_and(|id| !id.is_empty())
    }

    /// The `received` parameter; IPv6 with or without brackets.
    pub fn received(&self) -> Option<IpAddr> {
        self.params.get("received").and_then(Host::parse_received)
    }

    /// The `rport` parameter: `Some(None)` asks for it, `Some(Some(port))` carries it (RFC 3581
    /// §3).
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(|port| port.parse().ok())
    }

    fn parse_bytes(text: &[u8]) -> Option<Self> {
        let parts = Parts::of(text)?;
        let (host, port) = Host::parse_with_port(parts.sent_by)?;
        Some(Self {
            transport: SmolStr::new(lex::utf8(parts.transport)?),
            host,
            port,
            params: Params::parse(lex::utf8(parts.params)?)?,
        })
    }
}

impl FromStr for Via {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Self::parse(text.as_bytes())
    }
}

impl std::fmt::Display for Via {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)
    }
}

/// The parts of a Via value, cut but not read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) transport: &'a [u8],
    pub(crate) sent_by: &'a [u8],
    pub(crate) params: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Cuts `SIP / 2.0 / UDP host:port ;params`; any version passes, as its request is answered
    /// 505.
    pub(crate) fn of(text: &'a [u8]) -> Option<Self> {
        let (protocol, rest) = lex::cut(lex::trim(text), b'/')?;
        let (version, rest) = lex::cut(rest, b'/')?;
        if !lex::trim(protocol).eq_ignore_ascii_case(b"SIP") || !lex::is_token(lex::trim(version)) {
            return None;
        }
        let rest = lex::trim_start(rest);
        let end = rest.iter().position(|byte| !lex::is_token_byte(*byte))?;
        let transport = rest.get(..end).filter(|transport| !transport.is_empty())?;
        let [first, ..] = rest.get(end..)? else {
            return None;
        };
        if !lex::is_space(*first) {
            return None;
        }
        let rest = lex::trim(rest.get(end..)?);
        let params_at = memchr::memchr(b';', rest).unwrap_or(rest.len());
        let parts = Self {
            transport,
            sent_by: lex::trim(rest.get(..params_at)?),
            params: rest.get(params_at..)?,
        };
        (!parts.sent_by.is_empty() && lex::params_are_sound(parts.params)).then_some(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, Via};

    #[test]
    fn what_is_parsed_is_printed_exactly() {
        for text in [
            "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw",
            "SIP/2.0/TCP Host.Example.com:5060;rport;branch=z9hG4bK-.!%66*_+`'~;Unknown=\"a;b\"",
            "SIP/2.0/UDP [2001:db8::9:1]:6050;received=[2001:db8::9:255];branch=z9hG4bKas3-111",
            "SIP/2.0/UNKNOWN t4.example.com",
        ] {
            assert_eq!(
                Via::parse(text.as_bytes()).map(|via| via.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn white_space_is_allowed_round_every_separator() {
        let via: Via = "SIP  / 2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8"
            .parse()
            .unwrap();
        assert_eq!(via.host, Host::Name("spindle.example.com".into()));
        assert_eq!(
            (via.transport.as_str(), via.branch()),
            ("TCP", Some("z9hG4bK9ikj8"))
        );
    }

    #[test]
    fn received_is_read_with_and_without_brackets() {
        for text in ["[2001:db8::9:255]", "2001:db8::9:255"] {
            let via: Via = format!("SIP/2.0/UDP [2001:db8::9:1];received={text};rport=5061")
                .parse()
                .unwrap();
            assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
            assert_eq!(via.rport(), Some(Some(5061)));
        }
        let via: Via = "SIP/2.0/UDP h;rport;branch=z9hG4bK".parse().unwrap();
        assert_eq!((via.rport(), via.has_rfc3261_branch()), (Some(None), false));
    }

    #[test]
    fn malformed_values_are_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "HTTP/1.1/TCP h",
            "SIP/2.0 h",
            "SIP/2.0/UDP 192.0.2.15;;",
            "SIP/2.0/UDP ;x",
        ] {
            assert!(Via::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
