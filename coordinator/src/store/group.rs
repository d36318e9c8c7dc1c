//! Group commit: applies commits one after another, flushes them together, then answers all.
//!
//! Each batch carries its number. Where a flush fails nobody knows what of the group is on disk; the
//! database is then opened anew, and the number found there tells: commits up to it are on disk, the
//! others are applied again in their order. Nothing is answered before that is known.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::commit::{Commit, CommitError, Guard, RunChange, WRITES_MAX, Write};
use super::health::Gauges;
use super::keys::{KEY_MAX, Key, PART};
use super::packed::{self, Unpacked};
use super::space::Room;
use super::state::{Stage, State};
use super::{Meta, StoreError};
use crate::core::record::RunRecord;
use crate::failpoint::{self, failpoint};

/// Hears how a commit went, on the storage thread.
pub(super) type Done = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// A commit on its way.
pub(super) struct Waiting {
    /// Its place among all effects.
    order: u64,
    commit: Commit,
    done: Done,
    /// Applied, perhaps on disk: under this number.
    applied: Option<u64>,
    /// How it failed on the disk before.
    failed: Option<CommitError>,
    /// How often.
    failures: u32,
}

/// What happens after the flush, in the order of the commands.
enum Effect {
    Stored(Waiting),
    Refused(u64, Done, CommitError),
    Then(u64, Box<dyn FnOnce() + Send>),
}

/// The storage thread's commits.
pub(super) struct Commits {
    meta: Meta,
    /// The tree after the newest commit.
    state: State,
    /// Effects so far.
    orders: u64,
    effects: Vec<Effect>,
    /// What to undo and try again, oldest first.
    held: VecDeque<Waiting>,
    /// Why the database must be opened anew.
    broken: Option<StoreError>,
}

/// Why a commit was not applied.
enum Refusal {
    Now(CommitError),
    Broken(StoreError),
}

impl Commits {
    pub(super) fn new(meta: Meta) -> Result<Self, StoreError> {
        Ok(Self {
            state: meta.with_control(State::read)?,
            meta,
            orders: 0,
            effects: Vec::new(),
            held: VecDeque::new(),
            broken: None,
        })
    }

    /// Applies a commit; it is answered by [`Self::flush`].
    pub(super) fn take(&mut self, commit: Commit, done: Done, room: Room) {
        let waiting = Waiting {
            order: self.next_order(),
            commit,
            done,
            applied: None,
            failed: None,
            failures: 0,
        };
        let gauges = self.meta.gauges();
        if !waiting.commit.urgent && !room.takes(waiting.commit.octets()) {
            Gauges::count(&gauges.commits_full);
            let refused = Effect::Refused(waiting.order, waiting.done, CommitError::StorageFull);
            self.effects.push(refused);
        } else if self.broken.is_some() || !self.held.is_empty() {
            self.hold(waiting);
        } else {
            self.apply(waiting);
        }
    }

    /// Applies and flushes one commit at once, after everything before it was flushed. None: it may
    /// be on disk or not, and only the next opening tells.
    pub(super) fn now(&mut self, commit: Commit) -> Option<Result<(), CommitError>> {
        let (sender, answer) = std::sync::mpsc::channel();
        let done = Box::new(move |result| {
            // None hears it where it comes later.
            let _ = sender.send(result);
        });
        let order = self.next_order();
        self.apply(Waiting {
            order,
            commit,
            done,
            applied: None,
            failed: None,
            // Not tried again: whoever asked is told now.
            failures: FAILURES_MAX,
        });
        self.flush();
        answer.try_recv().ok()
    }

    /// Does something after the flush of everything before it.
    pub(super) fn then(&mut self, action: Box<dyn FnOnce() + Send>) {
        let order = self.next_order();
        self.effects.push(Effect::Then(order, action));
    }

    /// True where applying more makes no sense before [`Self::flush`].
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Puts the group on disk and answers it; returns the runs that have ended with it.
    ///
    /// What a failing disk leaves undone is tried again at once, so that what stands behind it in
    /// the queue still comes after it; then it is held, and the others are answered.
    pub(super) fn flush(&mut self) -> Vec<Arc<RunRecord>> {
        for left in (0..FLUSH_TRIES).rev() {
            self.flush_once();
            let Some(error) = self.broken.take() else {
                break;
            };
            self.undo(&error);
            if left == 0 || self.held.is_empty() {
                break;
            }
            self.apply_held();
        }
        if !self.is_uncertain() {
            self.meta.unflushed().clear();
        }
        self.answer()
    }

    fn flush_once(&mut self) {
        let stored = |effect: &Effect| matches!(effect, Effect::Stored(_));
        if self.broken.is_some() || !self.effects.iter().any(stored) {
            return;
        }
        let with_runs = self.effects.iter().any(Effect::has_runs);
        if with_runs {
            failpoint(failpoint::BEFORE_FLUSH);
        }
        if let Err(error) = self.meta.flush(self.state) {
            self.broken = Some(error);
        } else if with_runs {
            failpoint(failpoint::AFTER_FLUSH);
        }
    }

    /// Tries again what could not be stored, where there may be room for it.
    pub(super) fn retry(&mut self, room: Room) {
        if self.meta.is_suspect() || self.is_uncertain() {
            self.reopen(room);
        }
        self.apply_held();
    }

    fn apply_held(&mut self) {
        if self.meta.is_suspect() || self.is_uncertain() {
            return;
        }
        while self.broken.is_none()
            && let Some(waiting) = self.held.pop_front()
        {
            self.apply(waiting);
        }
        self.count_held();
    }

    /// The thread ends: what is not stored never will be.
    pub(super) fn close(mut self) {
        for waiting in self.held.drain(..) {
            let gone = StoreError::Gone.to_string();
            (waiting.done)(Err(CommitError::Failed(gone)));
        }
    }

    fn apply(&mut self, mut waiting: Waiting) {
        let has_runs = !waiting.commit.runs.is_empty();
        if has_runs {
            failpoint(failpoint::BEFORE_COMMIT_APPLY);
        }
        match self.write(&waiting.commit) {
            Ok(number) => {
                if has_runs {
                    failpoint(failpoint::AFTER_COMMIT_APPLY);
                }
                waiting.applied = Some(number);
                self.effects.push(Effect::Stored(waiting));
            }
            Err(Refusal::Now(error)) => {
                let gauges = self.meta.gauges();
                Gauges::count(match error {
                    CommitError::Conflict(_) => &gauges.conflicts,
                    CommitError::StorageFull => &gauges.commits_full,
                    CommitError::Failed(_) => &gauges.commits_failed,
                });
                self.effects
                    .push(Effect::Refused(waiting.order, waiting.done, error));
            }
            Err(Refusal::Broken(error)) => {
                // A part of it may be in memory: only opening anew tells and undoes.
                waiting.applied = Some(self.state.number + 1);
                self.broken = Some(error);
                self.effects.push(Effect::Stored(waiting));
            }
        }
    }

    fn write(&mut self, commit: &Commit) -> Result<u64, Refusal> {
        check(commit).map_err(Refusal::Now)?;
        let failing = self
            .meta
            .with_control(|tree| failing_guard(tree, &commit.guards))
            .map_err(Refusal::Broken)?;
        if let Some(guard) = failing {
            return Err(Refusal::Now(CommitError::Conflict(guard)));
        }
        // A key that is written twice is as it was written last.
        let mut writes: BTreeMap<&Key, Option<&[u8]>> = BTreeMap::new();
        for write in &commit.writes {
            match write {
                Write::Put(key, octets) => writes.insert(key, Some(octets)),
                Write::Delete(key) => writes.insert(key, None),
            };
        }
        let unflushed = self.meta.unflushed();
        unflushed.add(writes.keys().map(|key| (*key).clone()));
        let applied = self.meta.with_control(|tree| {
            let mut stage = Stage::after(tree, self.state);
            for (key, octets) in writes {
                match octets {
                    Some(octets) => stage.put(key, octets)?,
                    None => stage.delete(key)?,
                }
            }
            stage.apply()
        });
        self.state = applied.map_err(Refusal::Broken)?;
        Ok(self.state.number)
    }

    /// The group is not, or not surely, on disk.
    fn undo(&mut self, error: &StoreError) {
        tracing::error!(%error, "the control records could not be stored; the database is opened anew");
        if error.is_full() {
            self.meta.space().run_out(0);
        }
        let mut group = Vec::new();
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Stored(waiting) => group.push(waiting),
                other => self.effects.push(other),
            }
        }
        // They were before those that were held meanwhile.
        for mut waiting in group.into_iter().rev() {
            waiting.failures += 1;
            waiting.failed = Some(match error.is_full() {
                true => CommitError::StorageFull,
                false => CommitError::Failed(error.to_string()),
            });
            self.held.push_front(waiting);
        }
        let room = self.meta.space().look();
        self.reopen(room);
    }

    /// Opens the database anew and finds out what is on disk.
    fn reopen(&mut self, room: Room) {
        // Opening writes. While there is no room for that, the old one may still be read.
        if room.free < REOPEN_FLOOR {
            self.count_held();
            return;
        }
        let mut opened = self.meta.reopen();
        if matches!(opened, Err(StoreError::Full)) && self.meta.space().free_for_start() {
            opened = self.meta.reopen();
        }
        let stored = opened.and_then(|()| self.meta.with_control(State::read));
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, "the control database cannot be opened; it is tried again");
                self.count_held();
                return;
            }
        };
        self.state = stored;
        self.meta.unflushed().clear();
        for mut waiting in std::mem::take(&mut self.held) {
            match waiting.applied.take() {
                Some(number) if number <= stored.number => {
                    self.effects.push(Effect::Stored(waiting))
                }
                Some(_) if waiting.is_hopeless() => self.refuse_failed(waiting),
                _ => self.held.push_back(waiting),
            }
        }
        self.count_held();
    }

    /// Keeps a commit until the database is usable again.
    fn hold(&mut self, waiting: Waiting) {
        if self.held.len() < HELD_MAX && waiting.commit.urgent {
            self.held.push_back(waiting);
            return self.count_held();
        }
        Gauges::count(&self.meta.gauges().commits_failed);
        let error = StoreError::Reopening.to_string();
        let refused = Effect::Refused(waiting.order, waiting.done, CommitError::Failed(error));
        self.effects.push(refused);
    }

    fn answer(&mut self) -> Vec<Arc<RunRecord>> {
        let mut effects = std::mem::take(&mut self.effects);
        effects.sort_by_key(Effect::order);
        let changes = effects.iter().flat_map(|effect| match effect {
            Effect::Stored(waiting) => waiting.commit.runs.clone(),
            _ => Vec::new(),
        });
        let changes: Vec<RunChange> = changes.collect();
        let ended = changes.iter().filter_map(|change| match change {
            RunChange::Put(record) if record.status().is_terminal() => Some(Arc::clone(record)),
            _ => None,
        });
        let ended = ended.collect();
        self.meta.runs().apply(changes);
        for effect in effects {
            match effect {
                Effect::Stored(waiting) => (waiting.done)(Ok(())),
                Effect::Refused(_, done, error) => done(Err(error)),
                Effect::Then(_, action) => action(),
            }
        }
        ended
    }

    fn refuse_failed(&mut self, waiting: Waiting) {
        let gauges = self.meta.gauges();
        let error = waiting.failed.unwrap_or(CommitError::StorageFull);
        Gauges::count(match error {
            CommitError::StorageFull => &gauges.commits_full,
            _ => &gauges.commits_failed,
        });
        self.effects
            .push(Effect::Refused(waiting.order, waiting.done, error));
    }

    /// Nobody knows whether some of what is held is on disk.
    fn is_uncertain(&self) -> bool {
        self.held.iter().any(|held| held.applied.is_some())
    }

    fn next_order(&mut self) -> u64 {
        self.orders += 1;
        self.orders
    }

    fn count_held(&self) {
        let held = self.held.len();
        let pending = &self.meta.gauges().pending;
        pending.store(held, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Waiting {
    /// Ends wait for room as long as it takes. What else was in a group that failed is tried once
    /// more, so that those behind it find what they were built upon.
    fn is_hopeless(&self) -> bool {
        let full = self.failed == Some(CommitError::StorageFull);
        match self.commit.urgent {
            true => !full && self.failures > FAILURES_MAX,
            false => self.failures > 1,
        }
    }
}

impl Effect {
    fn order(&self) -> u64 {
        match self {
            Self::Stored(waiting) => waiting.order,
            Self::Refused(order, ..) | Self::Then(order, _) => *order,
        }
    }

    fn has_runs(&self) -> bool {
        matches!(self, Self::Stored(waiting) if !waiting.commit.runs.is_empty())
    }
}

/// What can be said against a commit without the database.
fn check(commit: &Commit) -> Result<(), CommitError> {
    if let Some(broken) = &commit.broken {
        return Err(CommitError::Failed(broken.clone()));
    }
    if commit.writes.len() > WRITES_MAX {
        let count = commit.writes.len();
        let told = format!("{count} records at once are more than {WRITES_MAX}");
        return Err(CommitError::Failed(told));
    }
    let bad = |write: &&Write| {
        let (Write::Put(key, _) | Write::Delete(key)) = write;
        key.len() > KEY_MAX || key.first().is_none_or(|kind| *kind >= PART)
    };
    match commit.writes.iter().find(bad) {
        Some(_) => Err(CommitError::Failed(
            "a record's key is not usable".to_owned(),
        )),
        None => Ok(()),
    }
}

/// The first guard that does not hold.
fn failing_guard(tree: &sled::Tree, guards: &[Guard]) -> sled::Result<Option<usize>> {
    for (number, guard) in guards.iter().enumerate() {
        let holds = match guard {
            Guard::Absent(key) => !tree.contains_key(key)?,
            Guard::Present(key) => tree.contains_key(key)?,
            Guard::Unchanged(key, octets) => match tree.get(key)? {
                Some(value) => match packed::unpack(tree, key, &value)? {
                    Unpacked::Whole(now) => now == *octets,
                    Unpacked::Torn => false,
                },
                None => false,
            },
        };
        if !holds {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Commits that wait for room: the ends of all runs there can be, and what is done about them.
const HELD_MAX: usize = 4_096;
/// Tries of a group before the others are answered.
const FLUSH_TRIES: u32 = 2;
/// Tries of an end that fails for another reason than room.
const FAILURES_MAX: u32 = 20;
/// Free octets below which opening anew is not tried: two segments of the log.
const REOPEN_FLOOR: u64 = 256 << 10;
