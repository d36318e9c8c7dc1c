//! The words of the call table: a call's beginning, its callee, and orders to the relay.

use std::sync::Arc;

use super::super::relay::{Port, SessionId, Target};
use super::super::route::Flow;

/// What the relay has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MediaCommand {
    /// A new call.
    Open {
        /// Its number.
        id: SessionId,
        /// Its name.
        call_id: Arc<str>,
    },
    /// A media line gets its sockets: the pairs that begin at these even ports.
    Line {
        /// The call.
        id: SessionId,
        /// The media line, from 0.
        line: u8,
        /// Towards the caller.
        caller: u16,
        /// Towards the callee.
        callee: u16,
    },
    /// An end wants its packets here.
    Target {
        /// Call, line and end.
        port: Port,
        /// Addresses.
        target: Target,
    },
    /// The call is over; its sockets can go.
    Close {
        /// Its number.
        id: SessionId,
    },
}

/// Who is called, and where that end is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Callee {
    /// The Request-URI sent to it.
    pub(crate) uri: String,
    /// How it is reached.
    pub(crate) flow: Flow,
}

/// The first INVITE of a call, as far as the table needs it.
#[derive(Debug)]
pub(crate) struct Beginning<'a> {
    /// Call-ID.
    pub(crate) call_id: &'a str,
    /// Tag of From.
    pub(crate) caller_tag: &'a str,
    /// CSeq number.
    pub(crate) cseq: u32,
    /// How the caller is reached.
    pub(crate) caller: Flow,
    /// Where it goes.
    pub(crate) callee: Callee,
}
