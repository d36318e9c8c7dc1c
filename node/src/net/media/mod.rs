//! The media engine: dedicated OS threads that carry RTP and RTCP (DESIGN 1).
//!
//! Owns the sockets, ports and the 1 ms tick; every decision about a packet's content and every
//! figure is `media::stream::Stream`'s. RTP never passes through a mailbox: an endpoint reserves a
//! port, starts a stream, and hears once a second what came of it.
//!
//! ```text
//! endpoint ── reserve/start/redirect/stop ──► ShardMedia ──bounded channel──► Worker (one thread)
//! node     ◄── MediaReport (bounded channel) ─────────────────────────────────┘  Wheel, Demux, Clock
//! ```

mod clock;
mod control;
mod demux;
mod engine;
mod entry;
pub mod measure;
mod own;
mod ports;
mod report;
mod reserve;
mod shard;
mod shared_port;
mod socket;
pub mod sys;
pub mod time;
mod tools;
mod wheel;
mod worker;

#[cfg(test)]
mod tests;

pub use engine::{Engine, EngineConfig, EngineError};
pub use report::{MediaReport, MediaSecond, StreamId, TroubleWhat};
pub use reserve::{Reservation, ReserveError};
pub use shard::{Busy, RedirectSpec, ShardMedia, StartError, StartSpec};
pub use wheel::PTIMES_MS;
