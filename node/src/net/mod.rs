//! The node's edge to the kernel: media threads, SIP sockets, the target allow-list, descriptors.
//!
//! Nothing above this module opens a socket; nothing in it decides what a call does.

pub mod egress;
pub mod journal;
pub mod limits;
pub mod media;
pub mod reap;
#[cfg(test)]
pub(crate) mod scratch;
pub mod sip;
pub mod spill;
