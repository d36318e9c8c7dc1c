//! Dialogs: identity, sequence numbers, route set, remote target.
//!
//! Owns what requests within a dialog share. Never sends anything and never knows why a request is
//! made. Source: RFC 3261 §12.

mod route;

use smol_str::SmolStr;

pub(crate) use route::{BadRoute, DEFAULT_PORT, RouteSet, next_hop};

use crate::ua::HostPort;
use crate::wire::{Message, Name, NameAddr, Uri};

/// One dialog, early or confirmed; which of both, the call that owns it knows.
#[derive(Debug)]
pub(crate) struct Dialog {
    call_id: SmolStr,
    local_tag: SmolStr,
    /// Empty for a peer of RFC 2543 that sends none (RFC 3261 §12.1.1).
    remote_tag: SmolStr,
    /// The From, To and Call-ID lines of our requests.
    identity: Box<[u8]>,
    route: RouteSet,
    target: SmolStr,
    target_host: HostPort,
    local_cseq: u32,
    remote_cseq: Option<u32>,
}

/// Why a message cannot make a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialogError {
    /// Neither Contact nor the URI to fall back on leads to a host.
    #[error("Contact that leads nowhere")]
    Target,
    /// Record-Route cannot be read.
    #[error("Record-Route that cannot be read")]
    Route,
}

impl From<BadRoute> for DialogError {
    fn from(BadRoute: BadRoute) -> Self {
        Self::Route
    }
}

/// Where a request stands in the peer's numbering (RFC 3261 §12.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Higher than all before; gaps are allowed.
    InOrder,
    /// Lower than one before: answered 500.
    OutOfOrder,
}

impl Dialog {
    /// The caller's dialog from a 1xx or 2xx to its INVITE (RFC 3261 §12.1.2).
    ///
    /// `request_uri` stands in for a Contact that the peer forgot.
    pub(crate) fn of_response(response: &Message, request_uri: &str) -> Result<Self, DialogError> {
        let (target, target_host) = contact(response).map_or_else(|| fallback(request_uri), Ok)?;
        let (cseq, _) = response.cseq();
        Ok(Self {
            call_id: SmolStr::new(response.call_id()),
            local_tag: SmolStr::new(response.from_tag().unwrap_or_default()),
            remote_tag: SmolStr::new(response.to_tag().unwrap_or_default()),
            identity: identity(response, Name::From, Name::To, None),
            route: RouteSet::of_response(response)?,
            target,
            target_host,
            local_cseq: cseq,
            remote_cseq: None,
        })
    }

    /// The callee's dialog from an INVITE (RFC 3261 §12.1.1).
    pub(crate) fn of_request(request: &Message, local_tag: SmolStr) -> Result<Self, DialogError> {
        let (target, target_host) = contact(request).ok_or(DialogError::Target)?;
        let (cseq, _) = request.cseq();
        Ok(Self {
            call_id: SmolStr::new(request.call_id()),
            remote_tag: SmolStr::new(request.from_tag().unwrap_or_default()),
            identity: identity(request, Name::To, Name::From, Some(&local_tag)),
            local_tag,
            route: RouteSet::of_request(request)?,
            target,
            target_host,
            local_cseq: 0,
            remote_cseq: Some(cseq),
        })
    }

    /// Whether a request from the peer belongs to this dialog (RFC 3261 §12.2.2).
    pub(crate) fn owns_request(&self, request: &Message) -> bool {
        self.call_id == request.call_id()
            && request.to_tag() == Some(self.local_tag.as_str())
            && self.has_remote_tag(request.from_tag())
    }

    /// Whether the peer's tag is this one; a peer without a tag matches a dialog without one.
    pub(crate) fn has_remote_tag(&self, tag: Option<&str>) -> bool {
        self.remote_tag == tag.unwrap_or_default()
    }

    /// Takes the number of a request of the peer.
    pub(crate) fn receive(&mut self, cseq: u32) -> Order {
        match self.remote_cseq {
            Some(last) if cseq <= last => Order::OutOfOrder,
            Some(_) | None => {
                self.remote_cseq = Some(cseq);
                Order::InOrder
            }
        }
    }

    /// The number of our next request.
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.wrapping_add(1);
        self.local_cseq
    }

    /// Takes over the sequence of the dialog that this one replaces.
    pub(crate) fn continue_cseq(&mut self, other: &Self) {
        self.local_cseq = self.local_cseq.max(other.local_cseq);
    }

    /// Takes the Contact of a target refresh request or its 2xx (RFC 3261 §12.2.1.2, §12.2.2); a
    /// message without a usable Contact changes nothing.
    pub(crate) fn refresh_target(&mut self, message: &Message) {
        if let Some((target, host)) = contact(message) {
            self.target = target;
            self.target_host = host;
        }
    }

    pub(crate) fn remote_tag(&self) -> &SmolStr {
        &self.remote_tag
    }

    pub(crate) fn local_tag(&self) -> &SmolStr {
        &self.local_tag
    }

    /// The Request-URI of our next request.
    pub(crate) fn request_uri(&self) -> &str {
        self.route.request_uri(&self.target)
    }

    /// Where our next request goes.
    pub(crate) fn next_hop(&self) -> &HostPort {
        self.route.first_host().unwrap_or(&self.target_host)
    }

    /// Appends the Route lines.
    pub(crate) fn print_routes(&self, out: &mut Vec<u8>) {
        self.route.print(&self.target, out);
    }

    /// The From, To and Call-ID lines.
    pub(crate) fn identity(&self) -> &[u8] {
        &self.identity
    }
}

/// The first Contact's URI and where it leads.
fn contact(message: &Message) -> Option<(SmolStr, HostPort)> {
    let uri = NameAddr::parse(message.values(Name::Contact).next()?)
        .ok()?
        .uri;
    let host = next_hop(&uri)?;
    Some((SmolStr::new(uri.to_string()), host))
}

fn fallback(request_uri: &str) -> Result<(SmolStr, HostPort), DialogError> {
    let uri = Uri::parse(request_uri).map_err(|_| DialogError::Target)?;
    let host = next_hop(&uri).ok_or(DialogError::Target)?;
    Ok((SmolStr::new(request_uri), host))
}

/// Our From is the message's `local` header, our To its `remote` one, octet by octet; a callee adds
/// its own tag.
fn identity(message: &Message, local: Name, remote: Name, tag: Option<&str>) -> Box<[u8]> {
    let value = |name| message.header(name).unwrap_or_default();
    let (tag_name, tag) = tag.map_or(("", ""), |tag| (";tag=", tag));
    let parts: [&[u8]; 9] = [
        b"From: ",
        value(local),
        tag_name.as_bytes(),
        tag.as_bytes(),
        b"\r\nTo: ",
        value(remote),
        b"\r\nCall-ID: ",
        message.call_id().as_bytes(),
        b"\r\n",
    ];
    parts.concat().into_boxed_slice()
}
