//! The bus between coordinator and nodes: subjects, octets, nothing else. In one process
//! ([`LocalBus`]) or over NATS (feature `nats`), in the same shape.
//!
//! A bus never waits for a slow subscriber and never loses in silence: each subscription has a
//! bounded queue, a full one refuses the newest message, and both the publisher (in [`Published`])
//! and the subscriber (in [`Subscription::refused`]) can count it. Telemetry may live with that;
//! whoever publishes commands or frames must look at the answer.

mod local;
#[cfg(feature = "nats")]
mod nats;
mod subject;
mod subscription;

pub use local::LocalBus;
#[cfg(feature = "nats")]
pub use nats::{BusError, NatsBus, NatsConfig, NatsCounts, NatsState, make_nkey};
pub use subject::{is_token, matches, token};
pub use subscription::{Offered, Queue, Subscription};

use bytes::Bytes;

/// A message as it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusMessage {
    /// The subject it was published on.
    pub subject: String,
    /// The payload.
    pub payload: Bytes,
}

/// What became of a published message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a refused command or frame must not be lost in silence"]
pub struct Published {
    /// Subscriptions that took it; over a network 1 where it goes to the server, whoever hears it.
    pub delivered: u32,
    /// Subscriptions whose queue was full; over a network 1 where there is no connection or no room.
    pub refused: u32,
}

/// Subjects and octets between processes. Object-safe: hold it as `Arc<dyn Bus>`.
pub trait Bus: Send + Sync + 'static {
    /// Hands the payload to every subscription whose pattern matches. Never waits.
    fn publish(&self, subject: &str, payload: Bytes) -> Published;

    /// Listens on a pattern with NATS' wildcards: `*` is one token, a last `>` is one or more.
    ///
    /// Bounds: at most `capacity` messages wait; a further one is refused and counted.
    fn subscribe(&self, pattern: &str, capacity: usize) -> Subscription;

    /// True where what is published goes out now, and what others publish comes in.
    fn is_connected(&self) -> bool {
        true
    }

    /// How often a connection came up. Each one past the first may have lost messages on either side
    /// of it: what must arrive is sent again.
    fn connections(&self) -> u64 {
        1
    }
}

/// Queue of a coordinator for reports: 10,000 endpoints end at one instant, each with a report and a
/// trace, beside frames of ten nodes.
pub const REPORTS_CAPACITY: usize = 65_536;

/// Queue of a node for commands: each carries the whole desired state, so a few suffice.
pub const COMMANDS_CAPACITY: usize = 256;
