//! SIP without sockets: messages on the wire, digest authentication, transactions, dialogs and the
//! user agent.
//!
//! Owns: what RFC 3261 says about octets, state and time. Every core has one shape: `handle(now,
//! input)`, then `poll()` until it is `None`, then wait until `next_deadline()`. One input, drain
//! everything, then the next.
//! Never: opens a socket, reads a clock, starts a task or looks into a body.
//! Source: RFC 3261 and the documents each module names.

pub mod digest;
pub mod farewell;
pub mod wire;

mod dialog;
mod registration;
mod session;
mod transaction;
pub mod ua;
