//! The four transaction machines and the table that holds those of one agent.
//!
//! Owns retransmission, absorption and matching. Never knows what a request is for: an [`Owner`] is
//! handed back with every answer. Source: RFC 3261 §17, RFC 6026.

mod client;
mod client_invite;
pub(crate) mod derive;
mod key;
mod server;
mod server_invite;
mod table;
pub(crate) mod timer;

pub(crate) use key::ServerKey;
pub(crate) use table::{Outgoing, Received, Table, TransactionId};

use crate::ua::CallRef;

/// Who asked for a request, and so who takes its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The registration.
    Registration,
    /// An OPTIONS outside any call.
    Options,
    /// A call.
    Call(CallRef, Purpose),
}

/// What a call's request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The INVITE that makes the call.
    Invite,
    /// Giving that INVITE up.
    Cancel,
    /// Ending the call.
    Bye,
    /// Ending a dialog that the call does not want: a late or forked 2xx.
    StrayBye,
    /// Offering a changed session.
    Reinvite,
    /// Acknowledging a reliable provisional answer.
    Prack,
}

/// What a client machine makes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The user takes it.
    Deliver,
    /// The machine absorbed a repeated final answer.
    Repeated,
    /// It comes too late or makes no sense in this state; ignored.
    Stray,
}

/// What time did to a client machine, for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Nothing the user must hear of.
    Nothing,
    /// Timer B or F: no final answer; the transaction is over.
    NoAnswer,
    /// Timer C: the peer rang too long; the transaction goes on until the user cancels it.
    RangTooLong,
}
