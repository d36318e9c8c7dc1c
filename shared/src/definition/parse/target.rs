//! Whom a group calls: `calls = "sip:…"`, `calls = { group = "…" }`, `receives = true`; and hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::mistake::Mistakes;
use super::section::{Given, Section};

/// A target whose group is not looked up yet.
pub(super) enum TargetDraft {
    Uri {
        uri: Given<String>,
        host: String,
    },
    Group(Given<String>),
    Receives,
    Nobody,
    /// Given, but wrong; said already.
    Broken,
}

pub(super) fn read(
    section: &mut Section<'_, '_>,
    has_registrar: bool,
    mistakes: &mut Mistakes<'_>,
) -> TargetDraft {
    let receives = section.flag("receives", mistakes);
    let calls = section.take("calls");
    let Some(field) = calls else {
        return match receives {
            Some(true) => TargetDraft::Receives,
            None if section.has("receives") => TargetDraft::Broken,
            _ if has_registrar => TargetDraft::Nobody,
            _ => {
                let message = "does nothing; write calls = \"sip:…\", calls = { group = \"…\" } or \
                               receives = true, or give it a registrar to register at";
                mistakes.add(section.spot(), message);
                TargetDraft::Broken
            }
        };
    };
    if receives == Some(true) {
        let message = "a group calls or receives, not both; leave out `calls` or `receives`";
        mistakes.add(&field.spot, message);
        return TargetDraft::Broken;
    }
    if let Some(mut inner) = field.section() {
        let group = inner.required_text("group", "NAME", mistakes);
        inner.finish(mistakes);
        return group.map_or(TargetDraft::Broken, TargetDraft::Group);
    }
    let wanted = "\"sip:user@host\" or { group = \"NAME\" }";
    match field.text(wanted, mistakes) {
        Some(uri) => match uri_host(uri) {
            Ok(host) => TargetDraft::Uri {
                uri: field.given(uri.to_owned()),
                host,
            },
            Err(message) => {
                mistakes.add(&field.spot, message);
                TargetDraft::Broken
            }
        },
        None => TargetDraft::Broken,
    }
}

/// The host of a `sip:` URI, or what is wrong with the URI.
pub(super) fn uri_host(uri: &str) -> Result<String, String> {
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    match scheme.to_ascii_lowercase().as_str() {
        "sip" => {}
        "sips" => return Err("`sips:` needs TLS, which is not supported yet; write `sip:`".into()),
        "tel" => {
            return Err(format!("`tel:` names no host; write \"sip:{rest}@HOST\""));
        }
        _ => {
            return Err(format!(
                "`{uri}` is no SIP URI; write \"sip:user@host\", or {{ group = \"{uri}\" }} to call \
                 a group"
            ));
        }
    }
    let wrong =
        || format!("`{uri}` is no SIP URI; write \"sip:user@host\" or \"sip:user@host:port\"");
    let (user, after) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(user, after)| (Some(user), after));
    if user.is_some_and(|user| user.is_empty() || !user.chars().all(|c| is_user(c) || c == ':')) {
        return Err(wrong());
    }
    let authority = after.split([';', '?']).next().unwrap_or("");
    match host_fault(authority) {
        None => Ok(authority.to_owned()),
        Some(HostFault::Port(host, _)) => Ok(host),
        Some(HostFault::Other(_)) => Err(wrong()),
    }
}

/// Why a text is not a bare host.
pub(super) enum HostFault {
    /// It is a host with a port.
    Port(String, u16),
    /// What it is instead.
    Other(&'static str),
}

/// None where `text` is a host name, an IPv4 address or an IPv6 address (in brackets or not).
pub(super) fn host_fault(text: &str) -> Option<HostFault> {
    if text.parse::<Ipv6Addr>().is_ok() || is_host(text) {
        return None;
    }
    if text.contains("://") || text.starts_with("sip:") || text.starts_with("sips:") {
        return Some(HostFault::Other("a URI, not a host"));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if is_host(host) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Some(HostFault::Port(host.to_owned(), port)),
            _ => Some(HostFault::Other("not a host with a port")),
        },
        _ => Some(HostFault::Other("not a host name or IP address")),
    }
}

/// The address, where a host is one and not a name.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

/// Characters of a SIP user part, RFC 3261 §25.1: unreserved, user-unreserved, escapes.
pub(super) fn is_user(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/%#".contains(c)
}

/// What may stand in front of a port.
fn is_host(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok() || is_bracketed(text) || is_name(text)
}

fn is_bracketed(text: &str) -> bool {
    text.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
}

/// RFC 1123 §2.1, with underscores, which private names have.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
    };
    // An all-numeric last label is a mistyped IPv4 address, not a name.
    let last = text.rsplit('.').next().unwrap_or("");
    text.len() <= 253 && text.split('.').all(label) && !last.chars().all(|c| c.is_ascii_digit())
}
