//! The journal of one shard: numbers dialogs, gathers what is to be written, knows which records are
//! still needed, and when the file is worth writing anew.

use rustc_hash::FxHashMap;
use shared::definition::Network;

use super::record::{Record, put};

/// Where a record stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Octets before it.
    pub offset: u64,
    /// Its octets.
    pub length: u32,
}

/// A file below this is left as it is.
const COMPACT_MIN: u64 = 8 << 20;
/// A file is written anew when less than one part in this is still needed.
const COMPACT_SHARE: u64 = 4;
/// Octets of records that may wait for the next write: the ends of calls.
const LAZY_MAX: usize = 64 * 1024;
/// Different allow-lists that are kept; a shard has no more runs at once.
const NETWORKS_MAX: usize = 256;

/// The journal of one shard.
///
/// Bounds: a hundred octets of memory for each open call; the file holds at most four times what is
/// needed, or 8 MiB.
#[derive(Debug, Default)]
pub struct Book {
    next: u64,
    /// To be appended.
    waiting: Vec<u8>,
    /// It must be in the file before anything else happens.
    urgent: bool,
    /// Octets in the file and in `waiting`.
    size: u64,
    /// Octets that are still needed.
    needed: u64,
    open: FxHashMap<u64, Place>,
    networks: Vec<Vec<Network>>,
    /// Records that were too long to keep.
    refused: u64,
}

impl Book {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A run begins that may send to these networks (and to loopback).
    pub fn allow(&mut self, networks: &[Network]) {
        let known = networks.is_empty() || self.networks.iter().any(|list| list == networks);
        if !known && self.networks.len() < NETWORKS_MAX {
            let dialog = self.number();
            self.add(dialog, &Record::Networks(networks));
            self.networks.push(networks.to_vec());
        }
    }

    /// A number for a dialog.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The newest record of a dialog, which replaces the one before; it must be in the file before
    /// the message leaves.
    pub(super) fn add(&mut self, dialog: u64, record: &Record<'_>) {
        let before = self.waiting.len();
        if !put(&mut self.waiting, dialog, record) {
            self.refused += 1;
            return;
        }
        let length = self.waiting.len() - before;
        let place = Place {
            offset: self.size,
            length: u32::try_from(length).unwrap_or(u32::MAX),
        };
        self.size += length as u64;
        self.needed += length as u64;
        if let Some(old) = self.open.insert(dialog, place) {
            self.needed = self.needed.saturating_sub(u64::from(old.length));
        }
        self.urgent = true;
    }

    /// A dialog is over. This may wait: ending it once more harms nobody.
    pub(super) fn over(&mut self, dialog: u64) {
        let Some(old) = self.open.remove(&dialog) else {
            return;
        };
        self.needed = self.needed.saturating_sub(u64::from(old.length));
        let before = self.waiting.len();
        put(&mut self.waiting, dialog, &Record::Over);
        self.size += (self.waiting.len() - before) as u64;
        self.urgent |= self.waiting.len() > LAZY_MAX;
    }

    /// Whether [`Self::take`] must be written before the next message leaves.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// The octets to append; empty where there are none. If they could not be written give them back
    /// by [`Self::give_back`].
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        self.urgent = false;
        std::mem::take(&mut self.waiting)
    }

    /// Takes octets back that could not be written; they go with the next ones.
    pub fn give_back(&mut self, mut octets: Vec<u8>) {
        octets.append(&mut self.waiting);
        self.waiting = octets;
    }

    /// A buffer that was written, to be used again.
    pub fn reuse(&mut self, mut octets: Vec<u8>) {
        if self.waiting.is_empty() && octets.capacity() <= 2 * LAZY_MAX {
            octets.clear();
            self.waiting = octets;
        }
    }

    /// Octets that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The records that a new file would hold, in their order, where writing one is worth it; to be
    /// asked when nothing waits.
    #[must_use]
    pub fn worth_compacting(&self) -> Option<Vec<Place>> {
        let due = self.size > COMPACT_MIN && self.needed < self.size / COMPACT_SHARE;
        (due && self.waiting.is_empty()).then(|| {
            let mut places: Vec<Place> = self.open.values().copied().collect();
            places.sort_unstable();
            places
        })
    }

    /// The new file is in place: it holds exactly what [`Self::worth_compacting`] gave, one after
    /// the other.
    pub fn compacted(&mut self) {
        let mut dialogs: Vec<(Place, u64)> = self
            .open
            .iter()
            .map(|(dialog, place)| (*place, *dialog))
            .collect();
        dialogs.sort_unstable();
        let mut offset = 0;
        for (place, dialog) in dialogs {
            let length = place.length;
            self.open.insert(dialog, Place { offset, length });
            offset += u64::from(length);
        }
        self.size = offset;
        self.needed = offset;
    }

    /// Dialogs that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len().saturating_sub(self.networks.len())
    }

    /// Records that were too long to keep.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}
