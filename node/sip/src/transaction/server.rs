//! Non-INVITE server transaction (RFC 3261 §17.2.2).
//!
//! | state      | input           | action           | next       | timers            |
//! |------------|-----------------|------------------|------------|-------------------|
//! | (new)      | request         | to user          | Trying     |                   |
//! | Trying     | request         | absorb           | Trying     |                   |
//! | Trying     | 200-699 of user | send             | Completed  | J (0 on a stream) |
//! | Completed  | request         | final again      | Completed  |                   |
//! | Completed  | J               |                  | Terminated |                   |
//!
//! The RFC's Proceeding is absent: RFC 4320 §4.1 forbids a 1xx to a non-INVITE request before
//! Timer E reaches T2, and this agent has answered by then.

use std::time::Instant;

use bytes::Bytes;

use super::timer::{self, Timer, Timers};
use crate::ua::{Destination, Outbox, TimerConfig};

/// One request other than INVITE and ACK received.
#[derive(Debug)]
pub(crate) struct NonInviteServer {
    state: State,
    timers: Timers,
    to: Destination,
    response: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying,
    Completed,
    Terminated,
}

impl NonInviteServer {
    /// Enters Trying.
    pub(crate) fn start(to: Destination) -> Self {
        Self {
            state: State::Trying,
            timers: Timers::default(),
            to,
            response: Bytes::new(),
        }
    }

    /// Takes the same request again.
    pub(crate) fn on_repeated_request(&mut self, out: &mut Outbox) {
        match self.state {
            State::Completed => out.transmit(&self.to, &self.response, true),
            State::Trying | State::Terminated => {}
        }
    }

    /// Sends the final answer of the user; a second one is dropped.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        bytes: Bytes,
        out: &mut Outbox,
    ) {
        if self.state != State::Trying {
            return;
        }
        out.transmit(&self.to, &bytes, false);
        if self.to.transport.is_reliable() {
            self.state = State::Terminated;
        } else {
            self.timers.set(Timer::J, now, timer::lifetime(config));
            self.state = State::Completed;
            self.response = bytes;
        }
    }

    /// Performs Timer J when it is due.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        if self.timers.take_due(now) == Some(Timer::J) {
            self.state = State::Terminated;
            self.response = Bytes::new();
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Whether no final answer was sent yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.state == State::Trying
    }
}
