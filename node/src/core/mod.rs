//! What a node decides, without a clock, socket, task or lock of its own: endpoint script, group
//! pacing and pairing, the lease, what is wanted against what runs, and the meter that closes each second.

pub mod clock;
pub mod desired;
pub mod endpoint;
pub mod fence;
pub mod group;
pub mod journal;
pub mod layout;
pub mod lease;
pub mod meter;
pub mod node;
pub mod outbox;
pub mod quality;
pub mod reap;
pub mod trace;
