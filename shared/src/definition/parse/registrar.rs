//! `[registrars.NAME]`.

use std::net::Ipv6Addr;

use super::super::mistake::{Mistakes, Spot};
use super::super::{Registrar, Transport};
use super::nearest::nearest;
use super::section::{Given, Named, Section};
use super::target::{HostFault, host_fault};
use crate::units::Millis;

/// A registrar with the places that cross checks point at.
pub(super) struct RegistrarDraft {
    pub(super) registrar: Registrar,
    /// Where the host it is reached at was written.
    pub(super) host_spot: Spot,
    pub(super) proxy_spot: Option<Spot>,
}

pub(super) fn read(named: Named<'_, '_>, mistakes: &mut Mistakes<'_>) -> RegistrarDraft {
    let Named { name, mut section } = named;
    let domain = host_of(&mut section, "domain", true, mistakes);
    let host = host_of(&mut section, "host", false, mistakes);
    let port = section.integer("port", 1, u32::from(u16::MAX), mistakes);
    let port = port.and_then(|given| u16::try_from(given.value).ok());
    let transport = transport(&mut section, mistakes);
    let proxy = section
        .text("outbound_proxy", mistakes)
        .and_then(|given| proxy(given, mistakes));
    let expires = section.duration("expires", EXPIRES_MIN, EXPIRES_MAX, mistakes);
    section.finish(mistakes);

    let host_spot = host
        .as_ref()
        .or(domain.as_ref())
        .map_or(name.spot, |given| given.spot.clone());
    let domain = domain.map_or_else(String::new, |given| given.value);
    let seconds = expires
        .map_or(EXPIRES_DEFAULT, |given| given.value)
        .0
        .div_ceil(1_000);
    RegistrarDraft {
        registrar: Registrar {
            name: name.value,
            host: host.map_or_else(|| domain.clone(), |given| given.value),
            domain,
            port: port.unwrap_or(SIP_PORT),
            transport: transport.map_or(Transport::Udp, |given| given.value),
            outbound_proxy: proxy.as_ref().map(|given| given.value.clone()),
            expires_s: u32::try_from(seconds).unwrap_or(u32::MAX),
        },
        host_spot,
        proxy_spot: proxy.map(|given| given.spot),
    }
}

/// `transport = "udp"`.
pub(super) fn transport(
    section: &mut Section<'_, '_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Given<Transport>> {
    let given = section.text("transport", mistakes)?;
    let value = match given.value.to_ascii_lowercase().as_str() {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" | "wss" | "ws" | "auto" => {
            let message = format!(
                "`{}` is not supported yet; write \"udp\" or \"tcp\"",
                given.value
            );
            mistakes.add(&given.spot, message);
            return None;
        }
        other => {
            let meant = nearest(other, ["udp", "tcp"]).unwrap_or("udp\" or \"tcp");
            let message = format!("`{}` is no transport; write \"{meant}\"", given.value);
            mistakes.add(&given.spot, message);
            return None;
        }
    };
    Some(Given {
        value,
        spot: given.spot,
    })
}

fn host_of(
    section: &mut Section<'_, '_>,
    key: &'static str,
    required: bool,
    mistakes: &mut Mistakes<'_>,
) -> Option<Given<String>> {
    let given = if required {
        section.required_text(key, "sip.example.com", mistakes)?
    } else {
        section.text(key, mistakes)?
    };
    if let Some(message) = host_message(key, &given.value) {
        mistakes.add(&given.spot, message);
        return None;
    }
    Some(given)
}

/// What is wrong with a host; none where nothing is.
pub(super) fn host_message(key: &str, text: &str) -> Option<String> {
    host_fault(text).map(|fault| match fault {
        HostFault::Port(host, port) => {
            format!("`{text}` holds a port; write {key} = \"{host}\" and port = {port}")
        }
        HostFault::Other(what) => format!("`{text}` is {what}; write {key} = \"sip.example.com\""),
    })
}

fn proxy(given: Given<String>, mistakes: &mut Mistakes<'_>) -> Option<Given<String>> {
    match proxy_value(&given.value) {
        Ok(value) => Some(Given {
            value,
            spot: given.spot,
        }),
        Err(message) => {
            mistakes.add(&given.spot, message);
            None
        }
    }
}

/// `host` or `host:port`, made `host:port`; or what is wrong with it.
pub(super) fn proxy_value(text: &str) -> Result<String, String> {
    match host_fault(text) {
        // Without brackets the port would read as a part of the address.
        None if text.parse::<Ipv6Addr>().is_ok() => Ok(format!("[{text}]:{SIP_PORT}")),
        None => Ok(format!("{text}:{SIP_PORT}")),
        Some(HostFault::Port(..)) => Ok(text.to_owned()),
        Some(HostFault::Other(_)) => Err(format!(
            "`{text}` is not host:port; write \"proxy.example.com:5060\""
        )),
    }
}

/// RFC 3261 §19.1.2: the default port of UDP and TCP.
pub(super) const SIP_PORT: u16 = 5060;
/// RFC 3261 §10.2 recommends an hour.
const EXPIRES_DEFAULT: Millis = Millis(3_600_000);
/// Below this a registration would be refreshed more often than the metrics are closed.
const EXPIRES_MIN: Millis = Millis(10_000);
const EXPIRES_MAX: Millis = Millis(86_400_000);
