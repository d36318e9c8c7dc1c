//! Keys that are changed in memory and not on disk: readers wait for these, and only for these.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::keys::Key;

/// The keys of the group that the storage thread works on.
#[derive(Debug, Default)]
pub(super) struct Unflushed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    keys: BTreeSet<Key>,
    /// Groups that were flushed, or rolled back.
    groups: u64,
    /// Readers that no group may begin under.
    holds: usize,
}

/// No group begins while this lives.
#[derive(Debug)]
pub(super) struct Hold<'a>(&'a Unflushed);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.lock().holds -= 1;
        self.0.changed.notify_all();
    }
}

impl Unflushed {
    /// Keys that are about to be changed. The first ones of a group wait for those who hold it.
    pub(super) fn add(&self, keys: impl IntoIterator<Item = Key>) {
        let mut state = self.lock();
        if state.keys.is_empty() {
            let waited = self.changed.wait_while(state, |state| state.holds > 0);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.keys.extend(keys);
    }

    /// Waits for the end of the group and keeps the next one from beginning: for a long read that
    /// would else be repeated for ever. None where the disk hangs.
    pub(super) fn hold(&self) -> Option<Hold<'_>> {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, WAIT_MAX, |state| !state.keys.is_empty());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.keys.is_empty() {
            return None;
        }
        state.holds += 1;
        Some(Hold(self))
    }

    /// The group is on disk, or undone.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.keys.clear();
        state.groups += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Call after reading: true where what was read is on disk. Otherwise waits until it is, or
    /// undone, and answers false: read again. None where that takes too long: the disk hangs or is
    /// full.
    pub(super) fn is_settled(&self, key: &Key) -> Option<bool> {
        self.settled(|keys| keys.contains(key))
    }

    /// As [`Self::is_settled`] for all keys that begin with a prefix.
    pub(super) fn is_prefix_settled(&self, prefix: &Key) -> Option<bool> {
        self.settled(|keys| {
            let next = keys.range::<Key, _>(prefix..).next();
            next.is_some_and(|key| key.starts_with(prefix))
        })
    }

    fn settled(&self, changing: impl Fn(&BTreeSet<Key>) -> bool) -> Option<bool> {
        let state = self.lock();
        if !changing(&state.keys) {
            return Some(true);
        }
        let group = state.groups;
        let waited = self
            .changed
            .wait_timeout_while(state, WAIT_MAX, |state| state.groups == group);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (state.groups != group).then_some(false)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longest wait for one flush.
const WAIT_MAX: Duration = Duration::from_secs(2);
