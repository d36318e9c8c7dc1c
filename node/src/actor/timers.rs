//! One timer queue for all endpoints of a run on a shard, instead of a runtime timer for each
//! retransmission.

use std::collections::BTreeSet;
use std::time::Instant;

use rustc_hash::FxHashMap;

/// Deadlines by endpoint: exactly one entry for each endpoint that has one. A heap would keep every
/// replaced deadline until its time, and a refresh is due in an hour.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Instant, u32)>,
    armed: FxHashMap<u32, Instant>,
}

impl Timers {
    /// Arms (or clears) the endpoint's deadline in place of its last one.
    pub(super) fn arm(&mut self, slot: u32, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.armed.insert(slot, at),
            None => self.armed.remove(&slot),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, slot));
        }
        if let Some(at) = at {
            self.queue.insert((at, slot));
        }
    }

    /// The next endpoint whose deadline has come, with that deadline; it is no longer armed then.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(u32, Instant)> {
        let (at, slot) = self.queue.first().copied().filter(|(at, _)| *at <= now)?;
        self.queue.remove(&(at, slot));
        self.armed.remove(&slot);
        Some((slot, at))
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

    #[test]
    fn a_deadline_that_comes_and_goes_leaves_nothing_behind() {
        let start = Instant::now();
        let hour = start + Duration::from_secs(3_600);
        let mut timers = Timers::default();
        for ms in 0..10_000 {
            timers.arm(1, Some(start + Duration::from_millis(ms)));
            timers.arm(1, Some(hour));
        }
        assert_eq!((timers.queue.len(), timers.armed.len()), (1, 1));
    }
}
