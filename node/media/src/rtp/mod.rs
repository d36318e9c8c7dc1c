//! RTP packets: what is RTP at all, and a bounds check before the `rtp` crate reads a header.
//!
//! Owns: `classify`, the bounds check, the sender's packets. Never: statistics (that is `quality`).
//! Source: RFC 3550 §5.1, §5.3.1; RFC 5761 §4; RFC 8285 §4.

mod check;
mod sender;

pub use check::{Class, Malformed, Received, classify, read};
pub use sender::{Anchor, HEADER_LENGTH, Sender, SenderStart, Sent};
