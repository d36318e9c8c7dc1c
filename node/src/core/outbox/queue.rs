//! The items of one run: the oldest in memory, the rest on disk.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use shared::wire::{Item, decode};

use super::{Limits, RESEND_AFTER};

/// One run's items, oldest first: `head` in memory, from where they are sent; `written` on disk;
/// `tail` on its way to disk, or in memory for good where the disk failed.
#[derive(Debug)]
pub(super) struct Queue {
    run_epoch: u64,
    head: VecDeque<Kept>,
    written: u64,
    tail: VecDeque<Bytes>,
    /// The number of the oldest item in `head`: all below are stored.
    stored: u64,
    /// Items of `head` that are under way, and their octets.
    in_flight: usize,
    in_flight_octets: usize,
    /// One past the highest number that ever left: nothing above can be stored.
    ever_sent: u64,
    /// Octets of `head`, and of `tail` where the disk failed.
    memory: usize,
    /// Octets on disk or on their way there.
    disk: u64,
    loading: bool,
    touched_disk: bool,
    /// Since when nothing was acknowledged although something is under way.
    quiet_since: Option<Instant>,
    /// Items that may be under way: few after a silence, doubled by each acknowledgement.
    window: usize,
    full: bool,
    reason: Option<String>,
}

#[derive(Debug)]
struct Kept {
    item: Box<Item>,
    octets: usize,
}

/// Items under way after a silence: enough to learn that the way is open again.
const PROBE: usize = 256;
/// After a silence octets under way are bounded by this part of the window.
const PROBE_PART: usize = 8;

impl Queue {
    pub(super) fn new(run_epoch: u64, limits: &Limits) -> Self {
        Self {
            run_epoch,
            head: VecDeque::new(),
            written: 0,
            tail: VecDeque::new(),
            stored: 0,
            in_flight: 0,
            in_flight_octets: 0,
            ever_sent: 0,
            memory: 0,
            disk: 0,
            loading: false,
            touched_disk: false,
            quiet_since: None,
            window: limits.window_items,
            full: false,
            reason: None,
        }
    }

    pub(super) fn run_epoch(&self) -> u64 {
        self.run_epoch
    }

    /// The number of the next item.
    pub(super) fn next(&self) -> u64 {
        self.stored + self.waiting()
    }

    /// Items that are not stored.
    pub(super) fn waiting(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64 + self.written
    }

    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn disk(&self) -> u64 {
        self.disk
    }

    /// Whether a new item must go behind others that are not in memory's order.
    pub(super) fn is_spilling(&self) -> bool {
        self.written > 0 || !self.tail.is_empty()
    }

    pub(super) fn touched_disk(&self) -> bool {
        self.touched_disk
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// The run must end; `true` the first time.
    pub(super) fn set_full(&mut self, reason: String) -> bool {
        let first = !self.full;
        if first {
            self.full = true;
            self.reason = Some(reason);
        }
        first
    }

    pub(super) fn take_reason(&mut self) -> Option<String> {
        self.reason.take()
    }

    /// Takes the next item into memory, in order.
    pub(super) fn keep(&mut self, item: Box<Item>, octets: usize) {
        self.memory += octets;
        self.head.push_back(Kept { item, octets });
    }

    /// Takes the next item for the disk.
    pub(super) fn spill(&mut self, octets: Bytes) {
        self.disk += octets.len() as u64;
        self.touched_disk = true;
        self.tail.push_back(octets);
    }

    /// Takes the next item for memory, behind what is on disk.
    pub(super) fn keep_behind(&mut self, octets: Bytes) {
        self.memory += octets.len();
        self.tail.push_back(octets);
    }

    /// What is to be written next.
    pub(super) fn take_spill(&mut self) -> Option<(u64, Bytes)> {
        let sequence = self.stored + self.head.len() as u64 + self.written;
        let octets = self.tail.pop_front()?;
        self.written += 1;
        Some((sequence, octets))
    }

    /// The item that was to be written last could not be.
    pub(super) fn unspill(&mut self, octets: Bytes) {
        self.written = self.written.saturating_sub(1);
        self.tail.push_front(octets);
    }

    /// The disk is not written any more: what waits for it stays in memory. Gives the octets that
    /// moved.
    pub(super) fn give_up_disk(&mut self) -> usize {
        let octets = self.tail.iter().map(Bytes::len).sum();
        self.disk = self.disk.saturating_sub(octets as u64);
        self.memory += octets;
        octets
    }

    /// Without anything on disk, what waited behind it is in order.
    pub(super) fn promote(&mut self) {
        if self.written > 0 {
            return;
        }
        while let Some(octets) = self.tail.pop_front() {
            let sequence = self.stored + self.head.len() as u64;
            match decode::<Item>(&octets) {
                Ok(mut item) => {
                    item.sequence = sequence;
                    let (item, octets) = (Box::new(item), octets.len());
                    self.head.push_back(Kept { item, octets });
                }
                // We encoded it ourselves.
                Err(error) => {
                    self.memory = self.memory.saturating_sub(octets.len());
                    tracing::error!(%error, "an item of the outbox cannot be read");
                }
            }
        }
    }

    /// Octets to ask of the disk, with `room` octets free in memory. A run that has nothing in memory
    /// is given some past the bound: else others could starve it.
    pub(super) fn ask_load(&mut self, room: usize, limits: &Limits) -> Option<usize> {
        let load = limits.load();
        if self.written == 0 || self.loading || (room < load && !self.head.is_empty()) {
            return None;
        }
        self.loading = true;
        Some(if room < load { load / 4 } else { load })
    }

    /// Takes items from disk; gives the octets of those that fit, and what is wrong with the others.
    pub(super) fn loaded(&mut self, items: &[Bytes]) -> (usize, Option<String>) {
        self.loading = false;
        if items.is_empty() && self.written > 0 {
            return (0, Some("the file is shorter than it was".to_owned()));
        }
        let mut taken = 0;
        for octets in items {
            let expected = self.stored + self.head.len() as u64;
            let item = match decode::<Item>(octets) {
                Ok(item) if item.sequence == expected && self.written > 0 => item,
                Ok(item) => {
                    let found = item.sequence;
                    let error = format!("item {found} stands where {expected} should");
                    return (taken, Some(error));
                }
                Err(error) => return (taken, Some(error.to_string())),
            };
            let octets = octets.len();
            taken += octets;
            self.written -= 1;
            self.memory += octets;
            self.disk = self.disk.saturating_sub(octets as u64);
            let item = Box::new(item);
            self.head.push_back(Kept { item, octets });
        }
        (taken, None)
    }

    /// Gives up what is on disk. Its numbers never left, so what follows takes them. Gives the octets.
    pub(super) fn lose_disk(&mut self, disk_broken: bool) -> u64 {
        self.loading = false;
        self.written = 0;
        let coming = match disk_broken {
            true => 0,
            false => self.tail.iter().map(Bytes::len).sum::<usize>() as u64,
        };
        let lost = self.disk.saturating_sub(coming);
        self.disk = coming;
        lost
    }

    /// Whether an item may leave now.
    pub(super) fn can_send(&self, limits: &Limits) -> bool {
        let Some(next) = self.head.get(self.in_flight) else {
            return false;
        };
        let octets = match self.window < limits.window_items {
            true => limits.window_octets / PROBE_PART,
            false => limits.window_octets,
        };
        self.in_flight == 0
            || (self.in_flight < self.window && self.in_flight_octets + next.octets <= octets)
    }

    /// The next item to send, and whether it was sent before.
    pub(super) fn send(&mut self, now: Instant) -> Option<(Box<Item>, bool)> {
        let kept = self.head.get(self.in_flight)?;
        let sequence = kept.item.sequence;
        self.in_flight += 1;
        self.in_flight_octets += kept.octets;
        let again = sequence < self.ever_sent;
        self.ever_sent = self.ever_sent.max(sequence + 1);
        self.quiet_since.get_or_insert(now);
        Some((kept.item.clone(), again))
    }

    /// The item of this number and what follows did not leave.
    pub(super) fn back_to(&mut self, sequence: u64) {
        while self.in_flight > 0 && self.stored + self.in_flight as u64 > sequence {
            self.in_flight -= 1;
            let octets = self.head.get(self.in_flight).map_or(0, |kept| kept.octets);
            self.in_flight_octets = self.in_flight_octets.saturating_sub(octets);
        }
        if self.in_flight == 0 {
            self.quiet_since = None;
        }
    }

    /// Lets go what is stored; gives the number of items and octets, none for numbers that never left.
    pub(super) fn stored(
        &mut self,
        now: Instant,
        stored_to: u64,
        limits: &Limits,
    ) -> Option<(u64, usize)> {
        if stored_to > self.ever_sent {
            return None;
        }
        let (mut items, mut octets) = (0, 0);
        while self.stored < stored_to {
            let kept = self.head.pop_front()?;
            self.stored += 1;
            items += 1;
            octets += kept.octets;
            if self.in_flight > 0 {
                self.in_flight -= 1;
                self.in_flight_octets = self.in_flight_octets.saturating_sub(kept.octets);
            }
        }
        self.memory = self.memory.saturating_sub(octets);
        if items > 0 {
            self.window = self.window.saturating_mul(2).min(limits.window_items);
            self.quiet_since = (self.in_flight > 0).then_some(now);
        }
        if self.head.is_empty() && self.head.capacity() > KEPT_SLOTS {
            self.head = VecDeque::new();
        }
        Some((items, octets))
    }

    /// Sends all again.
    pub(super) fn resend(&mut self, limits: &Limits) {
        self.back_to(0);
        self.window = limits.window_items;
    }

    /// Sends all again after a silence, a few at first.
    pub(super) fn timeout(&mut self, now: Instant, limits: &Limits) {
        if self.next_deadline().is_some_and(|at| at <= now) {
            self.back_to(0);
            self.window = PROBE.min(limits.window_items);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.quiet_since.map(|since| since + RESEND_AFTER)
    }
}

/// An empty queue keeps no more places than this.
const KEPT_SLOTS: usize = 64;
