//! Where an answer goes.
//!
//! Owns RFC 3261 §18.2.2 with RFC 3581 §4. Never follows `maddr` of a Via: an answer goes only to
//! where its request came from, so that nobody can aim us at a third party.

use std::net::SocketAddr;

use super::{Destination, HostPort, Transport};
use crate::dialog::DEFAULT_PORT;
use crate::wire::Via;

/// The destination of answers to a request that came from `source`.
///
/// A stream: back on the same connection. A datagram: to the source address; with `rport` to the
/// source port, otherwise to the port of sent-by.
#[must_use]
pub fn answer_destination(via: &Via, source: SocketAddr, transport: Transport) -> Destination {
    let port = match transport {
        Transport::Udp if via.rport().is_none() => via.port.unwrap_or(DEFAULT_PORT),
        Transport::Udp | Transport::Tcp => source.port(),
    };
    Destination {
        host: HostPort::Ip(SocketAddr::new(source.ip(), port)),
        transport,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered_to(via: &str, transport: Transport) -> String {
        let source = "192.0.2.7:40000".parse().unwrap();
        answer_destination(&Via::parse(via.as_bytes()).unwrap(), source, transport)
            .host
            .to_string()
    }

    #[test]
    fn rport_leads_back_to_the_source_port() {
        let via = "SIP/2.0/UDP 10.0.0.1:5062;rport;branch=z9hG4bK1";
        assert_eq!(answered_to(via, Transport::Udp), "192.0.2.7:40000");
    }

    #[test]
    fn without_rport_the_port_of_sent_by_counts() {
        let via = "SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bK1";
        assert_eq!(answered_to(via, Transport::Udp), "192.0.2.7:5062");
        let via = "SIP/2.0/UDP host.example;branch=z9hG4bK1";
        assert_eq!(answered_to(via, Transport::Udp), "192.0.2.7:5060");
    }

    #[test]
    fn a_stream_answers_on_its_connection() {
        let via = "SIP/2.0/TCP 10.0.0.1:5062;branch=z9hG4bK1";
        assert_eq!(answered_to(via, Transport::Tcp), "192.0.2.7:40000");
    }
}
