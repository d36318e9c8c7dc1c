//! Hosts: an IPv4 address, an IPv6 address in brackets, or a name.
//!
//! Owns: reading `host[:port]`. Never: resolves a name.
//! Source: RFC 3261 §25.1 `hostport`; RFC 5118 §4.5 and §4.10.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use smol_str::SmolStr;

use super::lex;

/// Where a URI or a Via points.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; printed in brackets.
    V6(Ipv6Addr),
    /// A domain name, in the case it was written in; empty in a URI that has no host (`tel:`).
    Name(SmolStr),
}

impl Host {
    /// Reads a host; IPv6 with brackets only.
    ///
    /// Errors: `None` for octets that no host name has, or a bad address in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            return ipv6(inner).map(Self::V6);
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::V4(address));
        }
        let sound = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        sound.then(|| Self::Name(SmolStr::new(text)))
    }

    /// Reads an address as it stands in a `received` parameter: IPv4, IPv6 with or without
    /// brackets.
    pub fn parse_received(text: &str) -> Option<IpAddr> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        bare.parse().ok()
    }

    /// The address, when the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
            Self::Name(_) => None,
        }
    }

    /// Reads `host[:port]`.
    pub(crate) fn parse_with_port(text: &[u8]) -> Option<(Self, Option<u16>)> {
        let text = lex::utf8(lex::trim(text))?;
        let (host, port) = match text.strip_prefix('[') {
            Some(_) => {
                let close = text.find(']')?;
                (text.get(..=close)?, text.get(close + 1..)?.trim_start())
            }
            None => match text.find(':') {
                Some(colon) => (text.get(..colon)?.trim_end(), text.get(colon..)?),
                None => (text, ""),
            },
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => Some(u16::try_from(lex::digits(digits.trim_start().as_bytes())?).ok()?),
            None if port.is_empty() => None,
            None => return None,
        };
        Some((Self::parse(host)?, port))
    }
}

/// RFC 5118 §4.10: the RFC 3261 grammar lets three colons through; they are read as two.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| {
        text.contains(":::")
            .then(|| text.replacen(":::", "::", 1).parse().ok())
            .flatten()
    })
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl From<SocketAddr> for Host {
    fn from(address: SocketAddr) -> Self {
        address.ip().into()
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}
