//! What a node keeps until the coordinator has stored it: the numbered items of all its runs.
//!
//! A pure core. Each run's items are one sequence without a hole: the oldest are in memory, from
//! where alone they are sent; what memory has no room for waits behind them on disk, in the same
//! order. Items below `stored_to` are let go; the others are sent again when the way may have lost
//! them. Nothing is dropped in silence: past the last bound the run must end, and says why.
//!
//! Shape: an input ([`Outboxes::push`], [`Outboxes::acknowledged`], …), then [`Outboxes::poll`]
//! until `None`, then [`Outboxes::timeout`] at [`Outboxes::next_deadline`]. What the disk answers
//! comes before the next poll.
//! Source: DESIGN 9; reliability §5 rows 10, 22 and 23.

mod queue;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::id::RunId;
use shared::wire::{Item, Report, encode, encoded_len};

use self::queue::Queue;

/// No item was acknowledged for this long while some wait: they are sent again.
pub const RESEND_AFTER: Duration = Duration::from_secs(3);
/// A bus that refused an item is tried again after this.
pub const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The bounds of all outboxes of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Items of one run that are sent and not yet acknowledged.
    pub window_items: usize,
    /// Octets of the same; one item always goes.
    pub window_octets: usize,
    /// Octets in memory, all runs together; each run may have 256 KiB more, or one item.
    pub memory: usize,
    /// Octets on disk, all runs together; 0: no disk.
    pub disk: u64,
    /// Octets past `memory` or `disk` that a run which must end has for its end: endpoint reports
    /// and the last word.
    pub reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window_items: 16_384,
            window_octets: 16 << 20,
            memory: 32 << 20,
            disk: 1 << 30,
            reserve: 64 << 20,
        }
    }
}

impl Limits {
    /// Octets that come back from disk at once.
    fn load(&self) -> usize {
        (self.memory / 8).min(LOAD_MAX)
    }
}

/// Octets that come back from disk at once, at most: they are read while calls go on.
const LOAD_MAX: usize = 1 << 20;

/// What the shell must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Publish it; if the bus refuses it, say so by [`Outboxes::refused`].
    Send(Box<Item>),
    /// Append it to the run's file. If that fails give it back by [`Outboxes::spill_failed`].
    Spill {
        /// The run.
        run: RunId,
        /// Its number; they come in order.
        sequence: u64,
        /// The item in its envelope.
        octets: Bytes,
    },
    /// Read the oldest items of the run's file and let the file forget them; answer by
    /// [`Outboxes::loaded`] or [`Outboxes::load_failed`].
    Load {
        /// The run.
        run: RunId,
        /// At least one item, further ones while all have no more octets than this.
        octets: usize,
    },
    /// Remove the run's file: the run is forgotten, or the file cannot be read.
    Forget {
        /// The run.
        run: RunId,
    },
    /// There is no room left: the run must be ended, for this reason. Said once; its frames and
    /// traces are refused from now on, the reports of its end are not.
    Full {
        /// The run.
        run: RunId,
        /// A sentence for people.
        reason: String,
    },
}

/// Why a report is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Nobody opened this run, or it is forgotten.
    #[error("the run is not known to the outbox")]
    UnknownRun,
    /// The run must end for want of room, and this is not of its end.
    #[error("there is no room for more of this run")]
    Full,
    /// It is larger than a message may be.
    #[error("the report is larger than a message may be")]
    TooLarge,
}

/// What happened since the start, all runs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reports taken.
    pub pushed: u64,
    /// Items given to the bus, repetitions included.
    pub sent: u64,
    /// Of these, the ones that were sent before.
    pub resent: u64,
    /// Items that the coordinator has stored.
    pub stored: u64,
    /// Items that went to disk.
    pub spilled: u64,
    /// Items that came back from disk.
    pub loaded: u64,
    /// Reports refused: of an unknown run, for want of room, too large.
    pub refused: u64,
    /// Acknowledgements of items that were never sent: not obeyed.
    pub bogus: u64,
    /// Runs that had to end for want of room or because the disk failed.
    pub full: u64,
}

/// The outboxes of all runs of one node life.
#[derive(Debug)]
pub struct Outboxes {
    limits: Limits,
    runs: BTreeMap<RunId, Queue>,
    /// Runs whose files are to be removed.
    to_remove: Vec<RunId>,
    used: Used,
    counts: Counts,
    /// The bus refused; nothing leaves before.
    blocked_until: Option<Instant>,
    /// The run that had its turn last: none starves the others.
    turn: Option<RunId>,
    /// The disk failed; it is not asked again in this life.
    disk_broken: bool,
}

/// Octets that are taken, all runs together.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    memory: usize,
    disk: u64,
}

impl Outboxes {
    /// Empty ones.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            runs: BTreeMap::new(),
            to_remove: Vec::new(),
            used: Used::default(),
            counts: Counts::default(),
            blocked_until: None,
            turn: None,
            disk_broken: false,
        }
    }

    /// Opens a run's outbox; one that is open stays as it is.
    pub fn open(&mut self, run: RunId, run_epoch: u64) {
        let limits = &self.limits;
        self.runs
            .entry(run)
            .or_insert_with(|| Queue::new(run_epoch, limits));
    }

    /// Numbers a report and keeps it until it is stored.
    ///
    /// Errors: see [`PushError`]; each is counted.
    pub fn push(&mut self, run: RunId, report: Report) -> Result<u64, PushError> {
        let pushed = self.try_push(run, report);
        match pushed {
            Ok(_) => self.counts.pushed += 1,
            Err(_) => self.counts.refused += 1,
        }
        pushed
    }

    fn try_push(&mut self, run: RunId, report: Report) -> Result<u64, PushError> {
        let limits = self.limits;
        let queue = self.runs.get_mut(&run).ok_or(PushError::UnknownRun)?;
        if queue.is_full() && !is_of_the_end(&report) {
            return Err(PushError::Full);
        }
        let sequence = queue.next();
        let item = Item {
            run,
            run_epoch: queue.run_epoch(),
            sequence,
            report,
        };
        let octets = encoded_len(&item).map_err(|_| PushError::TooLarge)?;
        let reserve = if queue.is_full() { limits.reserve } else { 0 };
        let in_order = !queue.is_spilling();
        if in_order && self.used.memory + octets <= limits.memory {
            queue.keep(Box::new(item), octets);
            self.used.memory += octets;
            return Ok(sequence);
        }
        let has_disk = limits.disk > 0 && !self.disk_broken;
        if has_disk && self.used.disk + octets as u64 <= limits.disk + reserve {
            queue.spill(encode(&item).map_err(|_| PushError::TooLarge)?);
            self.used.disk += octets as u64;
            self.counts.spilled += 1;
            return Ok(sequence);
        }
        if queue.set_full(full_reason(&limits, self.disk_broken)) {
            self.counts.full += 1;
            return self.try_push(run, item.report);
        }
        // The end of a run that has no disk any more.
        if has_disk || (self.used.memory + octets) as u64 > limits.memory as u64 + reserve {
            return Err(PushError::Full);
        }
        self.used.memory += octets;
        match in_order {
            true => queue.keep(Box::new(item), octets),
            false => queue.keep_behind(encode(&item).map_err(|_| PushError::TooLarge)?),
        }
        Ok(sequence)
    }

    /// The coordinator has stored every item of the run below `stored_to`.
    pub fn acknowledged(&mut self, now: Instant, run: RunId, stored_to: u64) {
        let Some(queue) = self.runs.get_mut(&run) else {
            return;
        };
        match queue.stored(now, stored_to, &self.limits) {
            Some((items, octets)) => {
                self.counts.stored += items;
                self.used.memory = self.used.memory.saturating_sub(octets);
            }
            None => self.counts.bogus += 1,
        }
    }

    /// The way to the coordinator is a new one, or the coordinator is: all that is not stored is sent
    /// again, now.
    pub fn reconnected(&mut self) {
        self.blocked_until = None;
        for queue in self.runs.values_mut() {
            queue.resend(&self.limits);
        }
    }

    /// The bus refused an item that [`Output::Send`] gave: it and what follows waits a while.
    pub fn refused(&mut self, now: Instant, run: RunId, sequence: u64) {
        if let Some(queue) = self.runs.get_mut(&run) {
            queue.back_to(sequence);
        }
        self.blocked_until = Some(now + RETRY_AFTER);
    }

    /// An item could not be written: the disk is given up, what was meant for it stays in memory, and
    /// the runs that need it must end.
    pub fn spill_failed(&mut self, run: RunId, octets: Bytes, error: &str) {
        self.disk_broken = true;
        if let Some(queue) = self.runs.get_mut(&run) {
            queue.unspill(octets);
        }
        let reason = format!("what the coordinator has not stored yet cannot be kept: {error}");
        for queue in self.runs.values_mut().filter(|queue| queue.is_spilling()) {
            let moved = queue.give_up_disk();
            self.used.disk = self.used.disk.saturating_sub(moved as u64);
            self.used.memory += moved;
            self.counts.full += u64::from(queue.set_full(reason.clone()));
        }
    }

    /// What [`Output::Load`] asked for, oldest first, each in its envelope.
    pub fn loaded(&mut self, run: RunId, items: &[Bytes]) {
        let Some(queue) = self.runs.get_mut(&run) else {
            return;
        };
        let waiting = queue.waiting();
        let (octets, wrong) = queue.loaded(items);
        debug_assert_eq!(waiting, queue.waiting(), "loading moves items only");
        self.counts.loaded += items.len() as u64;
        self.used.disk = self.used.disk.saturating_sub(octets as u64);
        self.used.memory += octets;
        if let Some(error) = wrong {
            self.load_failed(run, &error);
        }
    }

    /// What is on disk cannot be read any more: items are lost, the run must end and says so.
    pub fn load_failed(&mut self, run: RunId, error: &str) {
        let Some(queue) = self.runs.get_mut(&run) else {
            return;
        };
        let lost = queue.lose_disk(self.disk_broken);
        self.to_remove.push(run);
        self.used.disk = self.used.disk.saturating_sub(lost);
        let reason =
            format!("measurements that waited on disk for the coordinator are lost: {error}");
        self.counts.full += u64::from(queue.set_full(reason));
    }

    /// Lets everything of a run go.
    pub fn forget(&mut self, run: RunId) {
        if let Some(queue) = self.runs.remove(&run) {
            self.used.memory = self.used.memory.saturating_sub(queue.memory());
            self.used.disk = self.used.disk.saturating_sub(queue.disk());
            if queue.touched_disk() {
                self.to_remove.push(run);
            }
        }
    }

    /// Time has passed: items that nobody acknowledged for [`RESEND_AFTER`] are sent again.
    pub fn timeout(&mut self, now: Instant) {
        if self.blocked_until.is_some_and(|until| until <= now) {
            self.blocked_until = None;
        }
        for queue in self.runs.values_mut() {
            queue.timeout(now, &self.limits);
        }
    }

    /// The next thing to do, in order; runs take turns.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        if let Some(run) = self.to_remove.pop() {
            return Some(Output::Forget { run });
        }
        if let Some(output) = self.work() {
            return Some(output);
        }
        if self.blocked_until.is_some() {
            return None;
        }
        let after = self
            .turn
            .map_or(RunId(0), |run| RunId(run.0.wrapping_add(1)));
        let ready = |(run, queue): (&RunId, &Queue)| queue.can_send(&self.limits).then_some(*run);
        let run = (self.runs.range(after..).find_map(ready))
            .or_else(|| self.runs.range(..after).find_map(ready))?;
        self.turn = Some(run);
        let (item, again) = self.runs.get_mut(&run)?.send(now)?;
        self.counts.sent += 1;
        self.counts.resent += u64::from(again);
        Some(Output::Send(item))
    }

    /// What has to do with the disk, and runs that must end.
    fn work(&mut self) -> Option<Output> {
        for (run, queue) in &mut self.runs {
            let run = *run;
            if let Some(reason) = queue.take_reason() {
                return Some(Output::Full { run, reason });
            }
            if self.disk_broken {
                queue.promote();
            } else if let Some((sequence, octets)) = queue.take_spill() {
                return Some(Output::Spill {
                    run,
                    sequence,
                    octets,
                });
            }
            let room = self.limits.memory.saturating_sub(self.used.memory);
            if let Some(octets) = queue.ask_load(room, &self.limits) {
                return Some(Output::Load { run, octets });
            }
        }
        None
    }

    /// When [`Self::timeout`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let queues = self.runs.values().filter_map(Queue::next_deadline);
        queues.chain(self.blocked_until).min()
    }

    /// The number that the run's next item will have; none where it is not open.
    #[must_use]
    pub fn next_item(&self, run: RunId) -> Option<u64> {
        self.runs.get(&run).map(Queue::next)
    }

    /// Items of the run that are not known to be stored.
    #[must_use]
    pub fn waiting(&self, run: RunId) -> u64 {
        self.runs.get(&run).map_or(0, Queue::waiting)
    }

    /// Octets in memory and on disk.
    #[must_use]
    pub fn octets(&self) -> (usize, u64) {
        (self.used.memory, self.used.disk)
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// Whether a report belongs to a run's end, so that it is taken while there is any room at all.
fn is_of_the_end(report: &Report) -> bool {
    match report {
        Report::Endpoint(_) | Report::Tells(_) | Report::Ended { .. } => true,
        Report::Frame(_) | Report::Trace(_) | Report::Status(_) | Report::Prepared { .. } => false,
    }
}

fn full_reason(limits: &Limits, broken: bool) -> String {
    let memory = limits.memory >> 20;
    match (limits.disk >> 20, broken) {
        (0, _) => format!(
            "the coordinator stores nothing and {memory} MiB of measurements wait in memory; \
             without a state directory there is no room for more"
        ),
        (_, true) => format!(
            "the coordinator stores nothing, {memory} MiB of measurements wait in memory and the \
             state directory cannot be written"
        ),
        (disk, false) => format!(
            "the coordinator stores nothing and {disk} MiB of measurements wait in the state \
             directory, which is the most that is allowed"
        ),
    }
}
