//! Which transaction a message belongs to.
//!
//! Owns the matching rules of RFC 3261 §17.1.3 and §17.2.3, with those for peers of RFC 2543, whose
//! branch says nothing. Deviates from RFC 3261 §17.2.3 for those: the To tag of their ACK is not
//! compared, as one agent sends one answer per INVITE.

use smol_str::{SmolStr, format_smolstr};

use crate::wire::{Host, Message, Method, Name, Via};

/// What a request and its repetitions, its ACK and its CANCEL have in common.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerKey {
    id: Id,
    method: Method,
}

#[derive(Debug, PartialEq, Eq)]
enum Id {
    /// The branch is unique for the one who is named as sent-by.
    Branch {
        branch: SmolStr,
        host: Host,
        port: Option<u16>,
    },
    /// RFC 2543: Request-URI, From tag, Call-ID, CSeq number and top Via together.
    Fields(SmolStr),
}

impl ServerKey {
    /// The key of a request with this top Via; an ACK has that of its INVITE.
    pub(crate) fn of(request: &Message, via: &Via) -> Self {
        let method = match request.method() {
            Some(Method::Ack) => Method::Invite,
            Some(method) => method.clone(),
            None => request.cseq().1.clone(),
        };
        Self {
            id: Id::of(request, via),
            method,
        }
    }

    /// The key of the INVITE that a CANCEL gives up (RFC 3261 §9.2).
    pub(crate) fn of_cancelled(cancel: &Message, via: &Via) -> Self {
        Self {
            id: Id::of(cancel, via),
            method: Method::Invite,
        }
    }
}

impl Id {
    fn of(request: &Message, via: &Via) -> Self {
        if via.has_rfc3261_branch()
            && let Some(branch) = via.branch()
        {
            return Self::Branch {
                branch: SmolStr::new(branch),
                host: via.host.clone(),
                port: via.port,
            };
        }
        let top = request.values(Name::Via).next().unwrap_or_default();
        Self::Fields(format_smolstr!(
            "{}\n{}\n{}\n{}\n{}",
            request.request_uri(),
            request.from_tag().unwrap_or_default(),
            request.call_id(),
            request.cseq().0,
            String::from_utf8_lossy(top),
        ))
    }
}
