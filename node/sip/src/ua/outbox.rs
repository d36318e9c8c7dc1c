//! The queue of outputs that `poll` drains.
//!
//! Owns the order of what leaves. Bounded by what one input can cause: every input is drained before
//! the next, so its length is bounded by the tables' bounds.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Destination, Event, Output};

/// Outputs in the order in which they arose.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
}

impl Outbox {
    /// Queues one message; the octets are shared, not copied.
    pub(crate) fn transmit(&mut self, to: &Destination, bytes: &Bytes, retransmission: bool) {
        self.queue.push_back(Output::Transmit {
            to: to.clone(),
            bytes: bytes.clone(),
            retransmission,
        });
    }

    /// Queues one event.
    pub(crate) fn event(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    /// Queues a sentence for people.
    pub(crate) fn warn(&mut self, text: String) {
        self.event(Event::Warning { text });
    }

    /// Queues a note of a message that fits nothing.
    pub(crate) fn unexpected(&mut self, what: String) {
        self.event(Event::Unexpected { what });
    }

    /// Takes the oldest output.
    pub(crate) fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > KEPT_SLOTS {
            self.queue = VecDeque::new();
        }
        output
    }
}

/// An idle agent keeps no larger queue than this; a burst's memory goes back.
const KEPT_SLOTS: usize = 4;
