//! What a node decides, without a clock, socket, task or lock of its own: endpoint script, group
//! pacing and pairing, desired share against running, and the meter that closes each second.

pub mod desired;
pub mod endpoint;
pub mod group;
pub mod layout;
pub mod meter;
pub mod outbox;
pub mod quality;
pub mod trace;
