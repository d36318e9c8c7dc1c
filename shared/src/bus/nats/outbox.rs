//! What waits to be written: bounded, and shut while there is no connection.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

/// Messages that wait, at most.
const MESSAGES_MAX: usize = 65_536;
/// Octets that wait, at most; a message that finds it empty is taken whatever its length.
const OCTETS_MAX: usize = 128 << 20;
/// Messages that are handed on at once: what may be lost, unseen, when a connection breaks.
const BATCH: usize = 64;
/// Octets that are handed on at once.
const BATCH_OCTETS: usize = 4 << 20;

/// A message on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) payload: Bytes,
}

/// Between any thread that publishes and the one that writes.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    settled: Condvar,
    /// There is something to do for who writes.
    pub(super) work: Notify,
}

#[derive(Debug, Default)]
struct State {
    is_open: bool,
    waiting: VecDeque<Outgoing>,
    octets: usize,
    /// Taken, not yet known to be written.
    taken: usize,
}

impl Outbox {
    /// Takes a message in; false where there is no connection or no room. Never waits.
    pub(super) fn push(&self, subject: &str, payload: Bytes) -> bool {
        {
            let mut state = self.lock();
            let has_room = state.waiting.is_empty()
                || (state.waiting.len() < MESSAGES_MAX
                    && state.octets.saturating_add(payload.len()) <= OCTETS_MAX);
            if !state.is_open || !has_room {
                return false;
            }
            state.octets += payload.len();
            state.waiting.push_back(Outgoing {
                subject: subject.to_owned(),
                payload,
            });
        }
        self.work.notify_one();
        true
    }

    /// The next messages to write, in their order; empty where none waits.
    pub(super) fn take(&self) -> Vec<Outgoing> {
        let mut state = self.lock();
        let mut batch = Vec::new();
        let mut octets = 0;
        while batch.len() < BATCH && octets < BATCH_OCTETS {
            let Some(message) = state.waiting.pop_front() else {
                break;
            };
            octets += message.payload.len();
            batch.push(message);
        }
        state.octets -= octets;
        state.taken = batch.len();
        batch
    }

    /// What was taken is written.
    pub(super) fn written(&self) {
        self.lock().taken = 0;
        self.settled.notify_all();
    }

    /// There is a connection.
    pub(super) fn open(&self) {
        self.lock().is_open = true;
    }

    /// There is none: what waits is thrown away, so that nothing is delivered late. Tells how many.
    pub(super) fn shut(&self) -> u64 {
        let lost = {
            let mut state = self.lock();
            state.is_open = false;
            state.octets = 0;
            let lost = state.waiting.len() + state.taken;
            state.waiting.clear();
            state.taken = 0;
            lost
        };
        self.settled.notify_all();
        lost as u64
    }

    /// Waits until all that was taken in is written; false at the deadline or without a connection.
    pub(super) fn wait_written(&self, within: Duration) -> bool {
        let busy =
            |state: &mut State| state.is_open && (state.taken > 0 || !state.waiting.is_empty());
        let waited = self.settled.wait_timeout_while(self.lock(), within, busy);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_open && !timeout.timed_out()
    }

    /// A holder that panicked cannot leave half a push behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_connection_nothing_is_taken_and_nothing_is_kept() {
        let outbox = Outbox::default();
        assert!(!outbox.push("a", Bytes::new()));
        outbox.open();
        for _ in 0..=BATCH {
            assert!(outbox.push("a", Bytes::from_static(b"x")));
        }
        assert_eq!(outbox.take().len(), BATCH);
        assert_eq!(outbox.shut(), BATCH as u64 + 1);
        assert!(!outbox.push("a", Bytes::new()));
        outbox.open();
        assert!(outbox.take().is_empty());
        assert_eq!(outbox.lock().octets, 0);
    }

    #[test]
    fn a_full_one_refuses_by_messages_and_by_octets() {
        let outbox = Outbox::default();
        outbox.open();
        let taken = (0..MESSAGES_MAX + 5)
            .filter(|_| outbox.push("a", Bytes::new()))
            .count();
        assert_eq!(taken, MESSAGES_MAX);
        outbox.shut();
        outbox.open();
        let large = Bytes::from(vec![0; OCTETS_MAX / 2 + 1]);
        assert!(outbox.push("a", large.clone()));
        assert!(!outbox.push("a", large.clone()));
        assert_eq!(outbox.take().len(), 1);
        assert!(outbox.push("a", large));
    }

    #[test]
    fn written_means_all_of_it() {
        let outbox = Outbox::default();
        assert!(!outbox.wait_written(Duration::ZERO), "no connection");
        outbox.open();
        assert!(outbox.wait_written(Duration::ZERO));
        assert!(outbox.push("a", Bytes::new()));
        assert!(!outbox.wait_written(Duration::ZERO));
        assert_eq!(outbox.take().len(), 1);
        assert!(!outbox.wait_written(Duration::ZERO));
        outbox.written();
        assert!(outbox.wait_written(Duration::ZERO));
    }
}
