//! `allow_targets = ["10.0.0.0/8"]`: destinations besides loopback that may be sent to.

use std::net::IpAddr;
use std::str::FromStr;

use super::super::Network;
use super::super::mistake::Mistakes;
use super::section::Section;

pub(super) fn read(root: &mut Section<'_, '_>, mistakes: &mut Mistakes<'_>) -> Vec<Network> {
    let Some(field) = root.take("allow_targets") else {
        return Vec::new();
    };
    let mut networks = Vec::new();
    for text in field
        .texts("[\"10.0.0.0/8\"]", mistakes)
        .unwrap_or_default()
    {
        match text.value.parse() {
            Ok(network) => networks.push(network),
            Err(message) => mistakes.add(&text.spot, message),
        }
    }
    networks
}

impl FromStr for Network {
    /// A sentence that says what would be right.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        network(text)
    }
}

fn network(text: &str) -> Result<Network, String> {
    let wrong =
        || format!("`{text}` is no network; write an address and a prefix, such as \"10.0.0.0/8\"");
    let (address, prefix) = text
        .split_once('/')
        .map_or((text, None), |(a, p)| (a, Some(p)));
    let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => longest,
        Some(prefix) => prefix.trim().parse::<u8>().map_err(|_| wrong())?,
    };
    if prefix > longest {
        return Err(format!(
            "`/{prefix}` is too long; the prefix is 0 to {longest}"
        ));
    }
    let start = masked(address, prefix);
    if start != address {
        return Err(format!(
            "`{text}` is inside a network, not one; write \"{start}/{prefix}\""
        ));
    }
    Ok(Network { address, prefix })
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    }
}
