//! Which destinations packets may be sent to (DESIGN 12): default deny.
//!
//! Pure: no socket, no resolver. It is asked for every destination that a test, SIP, SDP or DNS
//! hands us, not only for the URI in the test, and it counts what it refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use shared::definition::Network;

/// The allow-list of one run.
///
/// Shape: loopback is always allowed, besides it what the operator listed. Multicast, broadcast,
/// link-local and unspecified addresses and port 0 are refused even where a listed network holds them.
/// Bounds: O(networks) per check, no allocation unless it refuses.
#[derive(Debug)]
pub struct Egress {
    networks: Vec<Network>,
    refused: [AtomicU64; EgressKind::COUNT],
}

/// What the packet would carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressKind {
    /// A SIP message.
    Sip,
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
}

impl EgressKind {
    const COUNT: usize = 3;

    fn index(self) -> usize {
        match self {
            Self::Sip => 0,
            Self::Rtp => 1,
            Self::Rtcp => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sip => "SIP",
            Self::Rtp => "RTP",
            Self::Rtcp => "RTCP",
        }
    }
}

/// A destination that must not be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} must not be sent to {address}: {}", kind.name(), why.sentence())]
pub struct Refused {
    /// Where it would have gone.
    pub address: SocketAddr,
    /// What it would have carried.
    pub kind: EgressKind,
    /// The rule it broke.
    pub why: RefusedWhy,
}

/// The rule a destination broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedWhy {
    /// In no listed network.
    NotListed,
    /// One to many: never a test's target.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `169.254.0.0/16` or `fe80::/10`.
    LinkLocal,
    /// `0.0.0.0` or `::`.
    Unspecified,
    /// Port 0 names no socket.
    PortZero,
}

impl RefusedWhy {
    fn sentence(self) -> &'static str {
        match self {
            Self::NotListed => "it is in none of the networks of allow_targets",
            Self::Multicast => "it is a multicast address",
            Self::Broadcast => "it is the broadcast address",
            Self::LinkLocal => "it is a link-local address",
            Self::Unspecified => "it is the unspecified address",
            Self::PortZero => "port 0 names no socket",
        }
    }
}

impl Egress {
    /// Makes the allow-list of these networks and loopback.
    #[must_use]
    pub fn new(networks: &[Network]) -> Self {
        Self {
            networks: networks.to_vec(),
            refused: Default::default(),
        }
    }

    /// Says whether a packet may go to `address`.
    ///
    /// # Errors
    /// [`Refused`] with the rule; it is also counted under its kind.
    pub fn permit(&self, address: SocketAddr, kind: EgressKind) -> Result<(), Refused> {
        let Some(why) = self.verdict(address) else {
            return Ok(());
        };
        if let Some(count) = self.refused.get(kind.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Err(Refused { address, kind, why })
    }

    /// How many destinations of this kind were refused so far.
    #[must_use]
    pub fn refused(&self, kind: EgressKind) -> u64 {
        self.refused
            .get(kind.index())
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn verdict(&self, address: SocketAddr) -> Option<RefusedWhy> {
        // An IPv4-mapped address reaches the IPv4 host, so it is judged as that.
        let ip = address.ip().to_canonical();
        if let Some(why) = never(ip) {
            return Some(why);
        }
        if address.port() == 0 {
            return Some(RefusedWhy::PortZero);
        }
        let listed = ip.is_loopback() || self.networks.iter().any(|net| net.contains(ip));
        (!listed).then_some(RefusedWhy::NotListed)
    }
}

/// Addresses that no list can allow.
fn never(ip: IpAddr) -> Option<RefusedWhy> {
    if ip.is_unspecified() {
        return Some(RefusedWhy::Unspecified);
    }
    if ip.is_multicast() {
        return Some(RefusedWhy::Multicast);
    }
    match ip {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some(RefusedWhy::Broadcast),
        IpAddr::V4(v4) if v4.is_link_local() => Some(RefusedWhy::LinkLocal),
        IpAddr::V6(v6) if link_local_v6(v6) => Some(RefusedWhy::LinkLocal),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

// RFC 4291 §2.5.6: fe80::/10.
fn link_local_v6(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str, prefix: u8) -> Network {
        Network {
            address: text.parse().unwrap(),
            prefix,
        }
    }

    fn why(egress: &Egress, address: &str) -> Option<RefusedWhy> {
        egress
            .permit(address.parse().unwrap(), EgressKind::Rtp)
            .err()
            .map(|refused| refused.why)
    }

    #[test]
    fn loopback_needs_no_entry_and_all_else_does() {
        let egress = Egress::new(&[]);
        assert_eq!(why(&egress, "127.0.0.1:5060"), None);
        assert_eq!(why(&egress, "127.9.9.9:5060"), None);
        assert_eq!(why(&egress, "[::1]:5060"), None);
        assert_eq!(why(&egress, "[::ffff:127.0.0.1]:5060"), None);
        for address in ["10.0.0.1:5060", "8.8.8.8:53", "[2001:db8::1]:5060"] {
            assert_eq!(why(&egress, address), Some(RefusedWhy::NotListed));
        }
    }

    #[test]
    fn listed_networks_are_allowed_to_their_edges() {
        let egress = Egress::new(&[net("10.1.0.0", 16), net("2001:db8::", 32)]);
        assert_eq!(why(&egress, "10.1.0.1:4000"), None);
        assert_eq!(why(&egress, "10.1.255.255:4000"), None);
        assert_eq!(why(&egress, "[::ffff:10.1.2.3]:4000"), None);
        assert_eq!(why(&egress, "10.2.0.0:4000"), Some(RefusedWhy::NotListed));
        assert_eq!(why(&egress, "[2001:db8:ffff::1]:4000"), None);
        assert_eq!(
            why(&egress, "[2001:db9::1]:4000"),
            Some(RefusedWhy::NotListed)
        );
    }

    #[test]
    fn one_to_many_and_local_only_addresses_are_refused_even_when_listed() {
        let egress = Egress::new(&[net("0.0.0.0", 0), net("::", 0)]);
        assert_eq!(why(&egress, "8.8.8.8:4000"), None);
        assert_eq!(why(&egress, "0.0.0.0:4000"), Some(RefusedWhy::Unspecified));
        assert_eq!(why(&egress, "[::]:4000"), Some(RefusedWhy::Unspecified));
        assert_eq!(why(&egress, "224.0.0.1:4000"), Some(RefusedWhy::Multicast));
        assert_eq!(why(&egress, "[ff02::1]:4000"), Some(RefusedWhy::Multicast));
        assert_eq!(
            why(&egress, "255.255.255.255:4000"),
            Some(RefusedWhy::Broadcast)
        );
        assert_eq!(
            why(&egress, "169.254.169.254:80"),
            Some(RefusedWhy::LinkLocal)
        );
        assert_eq!(why(&egress, "[fe80::1]:4000"), Some(RefusedWhy::LinkLocal));
        assert_eq!(
            why(&egress, "[::ffff:169.254.169.254]:80"),
            Some(RefusedWhy::LinkLocal)
        );
        assert_eq!(why(&egress, "8.8.8.8:0"), Some(RefusedWhy::PortZero));
    }

    #[test]
    fn refusals_are_counted_by_kind_and_say_what_to_list() {
        let egress = Egress::new(&[]);
        let refused = egress
            .permit("10.0.0.1:5060".parse().unwrap(), EgressKind::Sip)
            .unwrap_err();
        assert_eq!(egress.refused(EgressKind::Sip), 1);
        assert_eq!(egress.refused(EgressKind::Rtp), 0);
        assert_eq!(
            refused.to_string(),
            "SIP must not be sent to 10.0.0.1:5060: it is in none of the networks of allow_targets"
        );
    }
}
