//! Where a message goes: what is ours, and which address a URI means.
//!
//! Pure functions over URIs and the lab's own address. The lab resolves no names: a URI without
//! an IP address leads nowhere. RFC 3261 §16.4, §16.5, §18.2.2.

use std::net::{IpAddr, SocketAddr};

use sip::wire::{Host, Uri};

/// How a peer is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    /// The peer's address.
    pub(crate) peer: SocketAddr,
    /// Over which transport.
    pub(crate) via: Channel,
}

/// UDP, or a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Channel {
    /// A datagram from the lab's socket.
    Udp,
    /// The connection with this number, or any connection with the peer where it is gone.
    Tcp(u64),
    /// Any connection with the peer; a new one where there is none.
    AnyTcp,
}

impl Flow {
    /// A datagram peer.
    pub(crate) fn udp(peer: SocketAddr) -> Self {
        Self {
            peer,
            via: Channel::Udp,
        }
    }

    /// Messages on this flow need no retransmission.
    pub(crate) fn is_tcp(&self) -> bool {
        self.via != Channel::Udp
    }
}

/// What the lab answers for.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    /// Its SIP address.
    pub(crate) address: SocketAddr,
    /// Its names, realm included.
    pub(crate) domains: Vec<String>,
}

impl Own {
    /// The URI names this lab (and not an endpoint on the same host).
    pub(crate) fn is_own(&self, uri: &Uri) -> bool {
        let here = self.address.port();
        match &uri.host {
            Host::Name(name) => {
                uri.port.is_none_or(|port| port == here)
                    && self
                        .domains
                        .iter()
                        .any(|domain| domain.eq_ignore_ascii_case(name))
            }
            // An address without a port is the domain part of an address of record: endpoints
            // on the lab's host always name theirs.
            host => {
                host.address() == Some(self.address.ip())
                    && uri.port.is_none_or(|port| port == here)
            }
        }
    }

    /// The URI is exactly what the lab puts into Record-Route.
    pub(crate) fn is_own_route(&self, uri: &Uri) -> bool {
        uri.user.is_none() && self.is_own(uri)
    }
}

/// The address that a URI means; `None` for names, which the lab does not resolve.
pub(crate) fn destination(uri: &Uri) -> Option<Flow> {
    let ip: IpAddr = uri.host.address()?;
    let tcp = uri
        .transport()
        .is_some_and(|transport| transport.eq_ignore_ascii_case("tcp"));
    let peer = SocketAddr::new(ip, uri.port.unwrap_or(DEFAULT_PORT));
    Some(Flow {
        peer,
        via: if tcp { Channel::AnyTcp } else { Channel::Udp },
    })
}

/// RFC 3261 §19.1.2.
pub(crate) const DEFAULT_PORT: u16 = 5060;

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        Own {
            address: "127.0.0.1:5070".parse().unwrap(),
            domains: vec!["lab.carillon".to_owned()],
        }
    }

    fn uri(text: &str) -> Uri {
        Uri::parse(text).unwrap()
    }

    #[test]
    fn the_lab_knows_its_names_and_leaves_others_theirs() {
        for text in [
            "sip:a@127.0.0.1:5070",
            "sip:a@127.0.0.1",
            "sip:a@LAB.carillon",
            "sip:127.0.0.1:5070;lr",
        ] {
            assert!(own().is_own(&uri(text)), "{text}");
        }
        for text in [
            "sip:a@127.0.0.1:6000",
            "sip:a@127.0.0.2:5070",
            "sip:a@elsewhere",
        ] {
            assert!(!own().is_own(&uri(text)), "{text}");
        }
        assert!(own().is_own_route(&uri("sip:127.0.0.1:5070;lr")));
        assert!(!own().is_own_route(&uri("sip:a@127.0.0.1:5070")));
    }

    #[test]
    fn destinations_are_addresses() {
        let found = destination(&uri("sip:a@127.0.0.1:6000;transport=TCP")).unwrap();
        assert_eq!((found.peer.port(), found.via), (6000, Channel::AnyTcp));
        assert_eq!(
            destination(&uri("sip:a@[::1]")).unwrap().peer,
            "[::1]:5060".parse().unwrap()
        );
        assert_eq!(destination(&uri("sip:a@host")), None);
    }
}
