//! RTCP: a bounds check, reading, writing, and when to send.
//!
//! Owns: octets and intervals. Never: what a report means for a stream (that is `stream`).
//! Source: RFC 3550 §6; RFC 3611; RFC 5506 for what may stand alone.

mod check;
mod interval;
mod read;
mod write;

pub use check::{Malformed, check};
pub use interval::Interval;
pub use read::{Item, read};
pub use write::{Bye, OwnReport, Reference, write};

#[cfg(test)]
mod tests;
