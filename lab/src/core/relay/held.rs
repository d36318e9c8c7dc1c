//! Packets that wait: ordered by time, then by arrival.

use std::cmp::Ordering;
use std::time::Instant;

use super::port::{Due, Port};

/// A packet that waits for its successor to pass.
#[derive(Debug)]
pub(super) struct Swapping {
    /// Which swap of its media line.
    pub(super) number: u64,
    /// Before this it may not leave.
    pub(super) release: Instant,
    /// The packet.
    pub(super) due: Due,
}

/// Something that waits for its time.
#[derive(Debug)]
pub(super) struct Held {
    /// Its time.
    pub(super) at: Instant,
    /// Tells equals apart.
    pub(super) order: u64,
    /// What it is.
    pub(super) what: What,
}

/// What waits.
#[derive(Debug)]
pub(super) enum What {
    /// A packet.
    Packet(Due),
    /// The end of a swap whose successor did not come.
    GiveUp {
        /// The end it came from.
        port: Port,
        /// Which swap.
        number: u64,
    },
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
