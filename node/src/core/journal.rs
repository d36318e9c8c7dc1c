//! The journal of live dialogs: what a process leaves behind so that the next one can end the calls
//! that it could not.
//!
//! A [`Watch`] beside each endpoint looks at the SIP messages that leave and arrive and puts into the
//! shard's [`Book`] what ending each call would take: of an INVITE the lines that its CANCEL repeats,
//! before it leaves; of a 2xx the dialog. Never a secret: credentials stand behind CSeq, where what
//! is kept of a message ends. [`read`] takes a file of the book back, torn or not.
//!
//! Pure: the shell writes [`Book::take`]'s octets to a file before it lets a message go.
//! Source: reliability §2.1 (c) and §5 row 2.

mod book;
mod glance;
mod record;
#[cfg(test)]
mod tests;
mod watch;

use std::net::SocketAddr;

use sip::ua::Destination;

pub use book::{Book, Place};
pub(crate) use glance::glance;
pub use record::{Contents, read};
pub use watch::Watch;

/// The way of a call's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Our address, as bound.
    pub local: SocketAddr,
    /// Where our last request (or answer) of the call went.
    pub to: Destination,
}

/// A call that was open when its process died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCall {
    /// Where its messages go.
    pub leg: Leg,
    /// How far it was.
    pub stage: Stage,
}

/// How far an open call was, and what ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// We called and had no final answer: CANCEL.
    Inviting {
        /// The INVITE up to its CSeq.
        invite: Vec<u8>,
    },
    /// We acknowledged a 2xx: BYE.
    Confirmed {
        /// The ACK up to its CSeq.
        ack: Vec<u8>,
        /// CSeq of the BYE.
        next_cseq: u32,
    },
    /// We were called and let it ring: a final answer.
    Ringing {
        /// Our answer up to its To.
        response: Vec<u8>,
    },
    /// We were called and answered: BYE.
    Answered {
        /// What the dialog needs of the INVITE.
        invite: Vec<u8>,
        /// Our tag.
        local_tag: String,
    },
}
