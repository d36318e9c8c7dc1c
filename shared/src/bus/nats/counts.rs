//! What a bus counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What came and went since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatsCounts {
    /// Messages written to the connection.
    pub published: u64,
    /// Refused by `publish`: no connection, no room, or larger than the server lets through.
    pub refused: u64,
    /// Taken by `publish`, then thrown away because the connection broke.
    pub lost: u64,
    /// Messages heard and put into a queue.
    pub received: u64,
    /// Messages heard that a full queue refused.
    pub overflow: u64,
    /// Large messages of which a part never came.
    pub incomplete: u64,
    /// Subjects that the server did not allow us.
    pub denied: u64,
    /// Attempts to connect that failed.
    pub failed_attempts: u64,
}

/// The same, as it is counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    published: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
    received: AtomicU64,
    overflow: AtomicU64,
    incomplete: AtomicU64,
    denied: AtomicU64,
    failed_attempts: AtomicU64,
}

/// A method for each counter that adds to it and tells what it was before.
macro_rules! adders {
    ($($name:ident),+ $(,)?) => {
        impl Counters {
            $(pub(super) fn $name(&self, more: u64) -> u64 {
                self.$name.fetch_add(more, Ordering::Relaxed)
            })+

            pub(super) fn read(&self) -> NatsCounts {
                NatsCounts {
                    $($name: self.$name.load(Ordering::Relaxed),)+
                }
            }
        }
    };
}

adders! {
    published,
    refused,
    lost,
    received,
    overflow,
    incomplete,
    denied,
    failed_attempts,
}
