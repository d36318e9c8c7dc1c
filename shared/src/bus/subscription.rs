//! The receiving end: a bounded queue between any thread that publishes and one task that reads.
//!
//! Uses std only (a lock held for a push or a pop, and a waker), so that `shared` needs no runtime.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::BusMessage;

/// Bounded queue of one subscription; the bus keeps it and offers messages to it.
#[derive(Debug)]
pub struct Queue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<BusMessage>,
    waker: Option<Waker>,
    refused: u64,
    closed: bool,
}

/// What a queue did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It waits for the reader.
    Taken,
    /// The queue was full.
    Refused,
    /// The reader is gone.
    Gone,
}

impl Queue {
    /// A queue and its reading end. A capacity of 0 is taken as 1.
    #[must_use]
    pub fn new(capacity: usize) -> (Arc<Self>, Subscription) {
        let queue = Arc::new(Self {
            capacity: capacity.max(1),
            state: Mutex::default(),
        });
        let subscription = Subscription {
            queue: Arc::clone(&queue),
        };
        (queue, subscription)
    }

    /// Appends a message, or refuses it where the queue is full. Never waits.
    pub fn offer(&self, message: BusMessage) -> Offered {
        let waker = {
            let mut state = self.lock();
            if state.closed {
                return Offered::Gone;
            }
            if state.messages.len() >= self.capacity {
                state.refused += 1;
                return Offered::Refused;
            }
            state.messages.push_back(message);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Offered::Taken
    }

    /// Nothing more will come: the reader gets what waits, then the end.
    pub fn close(&self) {
        let waker = {
            let mut state = self.lock();
            state.closed = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// True where the reader is gone or the bus said the end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// A reader or publisher that panicked cannot leave half a push behind, so its lock is usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading end of a subscription. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<Queue>,
}

impl Subscription {
    /// Waits for the next message; none once the bus is gone and the queue is empty.
    pub async fn next(&mut self) -> Option<BusMessage> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Self::next`], for hand-written streams.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<BusMessage>> {
        let mut state = self.queue.lock();
        if let Some(message) = state.messages.pop_front() {
            return Poll::Ready(Some(message));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// The next message, if one waits.
    pub fn try_next(&mut self) -> Option<BusMessage> {
        self.queue.lock().messages.pop_front()
    }

    /// Messages that found the queue full since the beginning.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.queue.lock().refused
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        state.messages.clear();
    }
}
