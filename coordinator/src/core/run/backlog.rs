//! The order in which what a run puts out is done: what was decided is on disk before what follows it
//! is done or told. What nodes are told waits for nothing.

use std::collections::VecDeque;

use super::{Output, Run};

/// What a run put out and what is not done yet, in its order.
///
/// Bounds: a run puts out one second's items at a time and moves at most five times; while a commit
/// is under way all of it waits.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    waiting: VecDeque<Output>,
    committing: bool,
}

impl Backlog {
    /// Takes over what the run put out. What is sent is given back, to be sent at once.
    #[must_use]
    pub(crate) fn take(&mut self, run: &mut Run) -> Vec<Output> {
        let mut sent = Vec::new();
        while let Some(output) = run.poll() {
            match &output {
                Output::Send(..) => sent.push(output),
                _ => self.waiting.push_back(output),
            }
        }
        sent
    }

    /// One more, behind all others.
    pub(crate) fn push(&mut self, output: Output) {
        self.waiting.push_back(output);
    }

    /// What is to be done next; none while a commit is under way, and where nothing is left.
    pub(crate) fn next(&mut self) -> Option<Output> {
        if self.committing {
            return None;
        }
        self.waiting.pop_front()
    }

    /// A commit of the run began: from now on all waits for it.
    pub(crate) fn commit_began(&mut self) {
        self.committing = true;
    }

    /// The commit ended, well or not.
    pub(crate) fn commit_ended(&mut self) {
        self.committing = false;
    }

    /// True while a commit is under way.
    pub(crate) fn is_committing(&self) -> bool {
        self.committing
    }

    /// True where nothing waits, whether or not a commit is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a further move of the status waits.
    pub(crate) fn has_move(&self) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|output| matches!(output, Output::Move(_)))
    }

    /// Whether something to be stored waits: how far the run is must not be written before it.
    pub(crate) fn has_record(&self) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|output| matches!(output, Output::Store(_)))
    }

    /// Forgets what was not done: the run cannot be stored.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}
