//! One timer queue for all endpoints of a run on a shard, instead of a runtime timer for each
//! retransmission.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use rustc_hash::FxHashMap;

/// Deadlines by endpoint: at most one is armed for each, earlier ones replace later ones.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BinaryHeap<Reverse<(Instant, u32)>>,
    armed: FxHashMap<u32, Instant>,
}

impl Timers {
    /// Arms (or clears) the endpoint's deadline.
    pub(super) fn arm(&mut self, slot: u32, at: Option<Instant>) {
        match at {
            None => {
                self.armed.remove(&slot);
            }
            Some(at) => {
                let before = self.armed.insert(slot, at);
                // An entry for a time that no longer holds is skipped when it comes up; a new
                // one is needed only where the queue has none at or before the new time.
                if before != Some(at) {
                    self.queue.push(Reverse((at, slot)));
                }
            }
        }
    }

    /// The next endpoint whose deadline has come, with that deadline; it is no longer armed then.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(u32, Instant)> {
        while let Some(Reverse((at, slot))) = self.queue.peek().copied() {
            if at > now {
                return None;
            }
            self.queue.pop();
            if self.armed.get(&slot) == Some(&at) {
                self.armed.remove(&slot);
                return Some((slot, at));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_the_newest_deadline_of_an_endpoint_fires() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.arm(1, Some(at(10)));
        timers.arm(1, Some(at(30)));
        timers.arm(2, Some(at(20)));
        timers.arm(3, Some(at(5)));
        timers.arm(3, None);
        assert_eq!(timers.pop_due(at(25)), Some((2, at(20))));
        assert_eq!(timers.pop_due(at(25)), None);
        assert_eq!(timers.pop_due(at(30)), Some((1, at(30))));
        assert_eq!(timers.pop_due(at(99)), None);
    }
}
