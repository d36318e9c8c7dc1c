//! Who may begin next: at most so many runs are in preparation at once, the others wait in the order
//! of their acceptance.
//!
//! Bounds: everyone in it has a slot of its organization's plan, and the coordinator has a bound of
//! its own on live runs.

use std::collections::{BTreeSet, VecDeque};

use shared::id::RunId;

/// The runs between their acceptance and RUNNING.
#[derive(Debug)]
pub(crate) struct StartQueue {
    at_once: usize,
    preparing: BTreeSet<RunId>,
    waiting: VecDeque<RunId>,
}

impl StartQueue {
    /// `at_once` runs are prepared at once; 0 counts as 1.
    pub(crate) fn new(at_once: u32) -> Self {
        Self {
            at_once: usize::try_from(at_once).unwrap_or(usize::MAX).max(1),
            preparing: BTreeSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A run was accepted. A second call changes nothing.
    pub(crate) fn enter(&mut self, run: RunId) {
        if !self.preparing.contains(&run) && !self.waiting.contains(&run) {
            self.waiting.push_back(run);
        }
    }

    /// A run is RUNNING or has ended; true where it was in here.
    pub(crate) fn leave(&mut self, run: RunId) -> bool {
        if self.preparing.remove(&run) {
            return true;
        }
        let before = self.waiting.len();
        self.waiting.retain(|waiting| *waiting != run);
        self.waiting.len() < before
    }

    /// The next run that may be prepared, which takes its start slot. Call until none.
    pub(crate) fn grant(&mut self) -> Option<RunId> {
        if self.preparing.len() >= self.at_once {
            return None;
        }
        let run = self.waiting.pop_front()?;
        self.preparing.insert(run);
        Some(run)
    }

    /// Those who wait, the next one first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = RunId> {
        self.waiting.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(queue: &mut StartQueue) -> Vec<u64> {
        std::iter::from_fn(|| queue.grant())
            .map(|run| run.0)
            .collect()
    }

    #[test]
    fn starts_are_granted_in_order_and_so_many_at_once() {
        let mut queue = StartQueue::new(2);
        for run in [5, 3, 9, 1, 5, 3] {
            queue.enter(RunId(run));
        }
        assert_eq!(grants(&mut queue), [5, 3]);
        queue.enter(RunId(5));
        assert_eq!(queue.waiting().collect::<Vec<_>>(), [RunId(9), RunId(1)]);
        assert!(queue.leave(RunId(3)));
        assert_eq!(grants(&mut queue), [9]);
        assert!(!queue.leave(RunId(3)), "once");
        assert!(queue.leave(RunId(1)), "stopped while it waited");
        assert!(queue.leave(RunId(5)) && queue.leave(RunId(9)));
        assert_eq!(grants(&mut queue), Vec::<u64>::new());
    }

    #[test]
    fn nobody_is_stuck_where_none_may_start_at_once() {
        let mut queue = StartQueue::new(0);
        queue.enter(RunId(1));
        assert_eq!(grants(&mut queue), [1]);
    }
}
