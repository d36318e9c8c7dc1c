//! How storage fares: what `/readyz` and `/metrics` show of it. Never decides anything.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How storage fares at one instant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StorageHealth {
    /// Octets that this process may still write on the data folder's file system; 0 where that is
    /// not known yet.
    pub(crate) free_octets: u64,
    /// True: only ends of runs are stored.
    pub(crate) full: bool,
    /// What was repaired at the start, for people; none where nothing was.
    pub(crate) repaired: Option<String>,
    /// Commands that wait for the storage thread.
    pub(crate) queue_depth: usize,
    /// Ends that wait for room on a full disk.
    pub(crate) pending_ends: usize,
    /// Time of the flushes since the start.
    pub(crate) flushes: FlushHistogram,
    /// Time of the checkpoints of live runs since the start, the flush of their records included.
    pub(crate) checkpoints: FlushHistogram,
    /// Commits that were refused, and records that were dropped, since the start.
    pub(crate) refused: Refused,
}

/// What was refused since the start, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Commits: a guard did not hold.
    pub(crate) conflicts: u64,
    /// Commits: the disk was full.
    pub(crate) commits_full: u64,
    /// Commits: the queue was full.
    pub(crate) commits_queue: u64,
    /// Commits: any other reason.
    pub(crate) commits_failed: u64,
    /// Records of runs that were not stored because of a full disk or an error before.
    pub(crate) records: u64,
    /// Times the database had to be opened anew after an error of the disk.
    pub(crate) reopened: u64,
}

/// Flushes by how long they took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlushHistogram {
    /// Flushes that took at most [`FLUSH_BOUNDS_US`] of the same place (and more than the one
    /// before); the last one: longer than all.
    pub(crate) counts: [u64; FLUSH_BOUNDS_US.len() + 1],
    /// Microseconds of all together.
    pub(crate) sum_us: u64,
}

impl FlushHistogram {
    fn add(&mut self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = FLUSH_BOUNDS_US.partition_point(|bound| *bound < took);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum_us = self.sum_us.saturating_add(took);
    }
}

/// Upper bounds of the histogram's buckets, microseconds.
pub(crate) const FLUSH_BOUNDS_US: [u64; 12] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_000_000,
];

/// The counters themselves, shared by the storage thread and those who ask.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub(super) free: AtomicU64,
    pub(super) full: AtomicBool,
    pub(super) queued: AtomicUsize,
    pub(super) pending: AtomicUsize,
    pub(super) conflicts: AtomicU64,
    pub(super) commits_full: AtomicU64,
    pub(super) commits_queue: AtomicU64,
    pub(super) commits_failed: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) reopened: AtomicU64,
    repaired: Mutex<Option<String>>,
    flushes: Mutex<FlushHistogram>,
    checkpoints: Mutex<FlushHistogram>,
}

impl Gauges {
    /// Counts one more.
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A flush took so long.
    pub(super) fn flushed(&self, took: Duration) {
        let mut flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
        flushes.add(took);
    }

    /// A checkpoint took so long, with the flush before it.
    pub(super) fn checkpointed(&self, took: Duration) {
        let checkpoints = self.checkpoints.lock();
        checkpoints
            .unwrap_or_else(PoisonError::into_inner)
            .add(took);
    }

    /// Something was repaired; the sentences of several are joined.
    pub(super) fn repaired(&self, what: &str) {
        let mut repaired = self.repaired.lock().unwrap_or_else(PoisonError::into_inner);
        match repaired.as_mut() {
            // Bounded: databases that are repaired later are told in the log.
            Some(before) if before.len() < REPAIRED_MAX => {
                before.push(' ');
                before.push_str(what);
            }
            Some(_) => {}
            None => *repaired = Some(what.to_owned()),
        }
    }

    /// As it is now.
    pub(super) fn health(&self) -> StorageHealth {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let repaired = self.repaired.lock().unwrap_or_else(PoisonError::into_inner);
        let flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpoints = self.checkpoints.lock();
        let checkpoints = checkpoints.unwrap_or_else(PoisonError::into_inner);
        StorageHealth {
            free_octets: read(&self.free),
            full: self.full.load(Ordering::Relaxed),
            repaired: repaired.clone(),
            queue_depth: self.queued.load(Ordering::Relaxed),
            pending_ends: self.pending.load(Ordering::Relaxed),
            flushes: flushes.clone(),
            checkpoints: checkpoints.clone(),
            refused: Refused {
                conflicts: read(&self.conflicts),
                commits_full: read(&self.commits_full),
                commits_queue: read(&self.commits_queue),
                commits_failed: read(&self.commits_failed),
                records: read(&self.records),
                reopened: read(&self.reopened),
            },
        }
    }
}

/// Octets of what is told of repairs.
const REPAIRED_MAX: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flush_is_in_one_bucket() {
        let gauges = Gauges::default();
        for us in [0, 100, 101, 2_000_000, 2_000_001] {
            gauges.flushed(Duration::from_micros(us));
        }
        let flushes = gauges.health().flushes;
        assert_eq!(flushes.counts.iter().sum::<u64>(), 5);
        assert_eq!((flushes.counts[0], flushes.counts[1]), (2, 1));
        assert_eq!((flushes.counts[11], flushes.counts[12]), (1, 1));
        assert_eq!(flushes.sum_us, 4_000_202);
    }
}
