//! Where a request goes: the next hop of a URI and the route set of a dialog.
//!
//! Owns loose and strict routing. Never resolves a name: a host name leaves as it is.
//! Source: RFC 3261 §8.1.2, §12.2.1.1, §16.12.1; RFC 3263 §4.2 (default port).

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::ua::HostPort;
use crate::wire::{Host, Message, Name, NameAddr, Uri};

/// The host and port that a URI leads to; `None` for a URI without a host (`tel:`).
///
/// A `maddr` parameter stands in for the host (RFC 3261 §19.1.1). The `transport` parameter is left
/// to the agent's own transport.
pub(crate) fn next_hop(uri: &Uri) -> Option<HostPort> {
    let port = uri.port.unwrap_or(DEFAULT_PORT);
    let maddr = uri.params.get("maddr").and_then(Host::parse);
    match maddr.as_ref().unwrap_or(&uri.host) {
        Host::V4(address) => Some(HostPort::Ip(SocketAddr::new(IpAddr::V4(*address), port))),
        Host::V6(address) => Some(HostPort::Ip(SocketAddr::new(IpAddr::V6(*address), port))),
        Host::Name(name) if name.is_empty() => None,
        Host::Name(name) => Some(HostPort::Name(name.clone(), port)),
    }
}

/// The route set of a dialog, ready to print.
#[derive(Debug, Default)]
pub(crate) struct RouteSet {
    first: Option<Hop>,
    /// The Route lines; for a strict first hop without that hop, as it is the Request-URI then.
    lines: Box<[u8]>,
}

#[derive(Debug)]
struct Hop {
    host: HostPort,
    /// The Request-URI that a strict router wants to see (RFC 3261 §12.2.1.1).
    strict_uri: Option<SmolStr>,
}

/// A Record-Route that is longer than anything real, or that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadRoute;

impl RouteSet {
    /// The callee's route set: Record-Route of the request, in order (RFC 3261 §12.1.1).
    pub(crate) fn of_request(request: &Message) -> Result<Self, BadRoute> {
        Self::new(request.values(Name::RecordRoute))
    }

    /// The caller's route set: Record-Route of the response, reversed (RFC 3261 §12.1.2).
    pub(crate) fn of_response(response: &Message) -> Result<Self, BadRoute> {
        let routes: SmallVec<[&[u8]; 4]> = response.values(Name::RecordRoute).collect();
        Self::new(routes.into_iter().rev())
    }

    fn new<'a>(routes: impl Iterator<Item = &'a [u8]>) -> Result<Self, BadRoute> {
        let mut set = Self::default();
        let mut lines = Vec::new();
        for (index, route) in routes.enumerate() {
            if index == MAX_ROUTES {
                return Err(BadRoute);
            }
            if index == 0 {
                let uri = NameAddr::parse(route).map_err(|_| BadRoute)?.uri;
                let host = next_hop(&uri).ok_or(BadRoute)?;
                if !uri.is_loose_router() {
                    set.first = Some(Hop {
                        host,
                        strict_uri: Some(SmolStr::new(uri.to_string())),
                    });
                    continue;
                }
                set.first = Some(Hop {
                    host,
                    strict_uri: None,
                });
            }
            for part in [b"Route: ".as_slice(), route, b"\r\n"] {
                lines.extend_from_slice(part);
            }
        }
        set.lines = lines.into_boxed_slice();
        Ok(set)
    }

    /// The first hop's host; `None` without a route set.
    pub(crate) fn first_host(&self) -> Option<&HostPort> {
        self.first.as_ref().map(|hop| &hop.host)
    }

    /// The Request-URI: the remote target, or the strict first hop.
    pub(crate) fn request_uri<'a>(&'a self, target: &'a str) -> &'a str {
        self.first
            .as_ref()
            .and_then(|hop| hop.strict_uri.as_deref())
            .unwrap_or(target)
    }

    /// Appends the Route lines; behind a strict first hop the remote target comes last.
    pub(crate) fn print(&self, target: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lines);
        if self
            .first
            .as_ref()
            .is_some_and(|hop| hop.strict_uri.is_some())
        {
            for part in ["Route: <", target, ">\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
}

/// RFC 3263 §4.2: the port of SIP over UDP and TCP when none is written.
pub(crate) const DEFAULT_PORT: u16 = 5060;
/// No real path has more hops; the parser bounds their length.
const MAX_ROUTES: usize = 32;
