//! INVITE server transaction (RFC 3261 §17.2.1 with RFC 6026 §7.1).
//!
//! | state      | input        | action               | next       | timers            |
//! |------------|--------------|----------------------|------------|-------------------|
//! | (new)      | INVITE       | to user              | Proceeding | Trying (200 ms)   |
//! | Proceeding | Trying       | send 100             | Proceeding |                   |
//! | Proceeding | INVITE       | last 1xx again       | Proceeding |                   |
//! | Proceeding | 1xx of user  | send                 | Proceeding |                   |
//! | Proceeding | 2xx of user  | send                 | Accepted   | L                 |
//! | Proceeding | 300-699      | send                 | Completed  | G (udp), H        |
//! | Completed  | INVITE, G    | send again           | Completed  | G doubled, to T2  |
//! | Completed  | ACK          |                      | Confirmed  | I (0 on a stream) |
//! | Completed  | H            |                      | Terminated |                   |
//! | Confirmed  | ACK, INVITE  | absorb               | Confirmed  |                   |
//! | Confirmed  | I            |                      | Terminated |                   |
//! | Accepted   | INVITE       | absorb               | Accepted   |                   |
//! | Accepted   | 2xx of user  | send                 | Accepted   |                   |
//! | Accepted   | ACK          | to user              | Accepted   |                   |
//! | Accepted   | L            |                      | Terminated |                   |
//!
//! A transport error changes nothing here: G and the user's own repetition of a 2xx try again, and
//! H or the missing ACK ends it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::timer::{self, TRYING_AFTER, Timer, Timers};
use crate::ua::{Destination, Outbox, TimerConfig};

/// One INVITE received.
#[derive(Debug)]
pub(crate) struct InviteServer {
    state: State,
    timers: Timers,
    to: Destination,
    /// The last 1xx or the 300-699; before either the 100 that Timer Trying sends.
    response: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `sent` tells whether `response` has left already.
    Proceeding {
        sent: bool,
    },
    Completed {
        interval: Duration,
    },
    Confirmed,
    Accepted,
    Terminated,
}

impl InviteServer {
    /// Enters Proceeding; `trying` is the 100 in case the user is slow.
    pub(crate) fn start(now: Instant, to: Destination, trying: Bytes) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Trying, now, TRYING_AFTER);
        Self {
            state: State::Proceeding { sent: false },
            timers,
            to,
            response: trying,
        }
    }

    /// Takes the same INVITE again.
    pub(crate) fn on_repeated_invite(&mut self, out: &mut Outbox) {
        match self.state {
            State::Proceeding { sent } => {
                self.timers.stop(Timer::Trying);
                self.state = State::Proceeding { sent: true };
                out.transmit(&self.to, &self.response, sent);
            }
            State::Completed { .. } => out.transmit(&self.to, &self.response, true),
            // RFC 6026 §7.1: the user repeats its 2xx by its own timer.
            State::Accepted => {}
            State::Confirmed | State::Terminated => {}
        }
    }

    /// Takes an ACK with this transaction's branch; `true` if it is for the user (2xx).
    pub(crate) fn on_ack(&mut self, now: Instant, config: &TimerConfig) -> bool {
        match self.state {
            State::Completed { .. } => {
                self.timers.stop_all();
                self.response = Bytes::new();
                if self.to.transport.is_reliable() {
                    self.state = State::Terminated;
                } else {
                    self.timers.set(Timer::I, now, config.t4);
                    self.state = State::Confirmed;
                }
                false
            }
            State::Accepted => true,
            State::Proceeding { .. } | State::Confirmed | State::Terminated => false,
        }
    }

    /// Sends an answer of the user. A final answer after the final answer is dropped.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        code: u16,
        bytes: Bytes,
        out: &mut Outbox,
    ) {
        let State::Proceeding { .. } = self.state else {
            return;
        };
        out.transmit(&self.to, &bytes, false);
        self.timers.stop_all();
        match code {
            100..=199 => {
                self.state = State::Proceeding { sent: true };
                self.response = bytes;
            }
            200..=299 => {
                self.timers.set(Timer::L, now, timer::lifetime(config));
                self.state = State::Accepted;
                self.response = Bytes::new();
            }
            _ => {
                if !self.to.transport.is_reliable() {
                    self.timers.set(Timer::G, now, config.t1);
                }
                self.timers.set(Timer::H, now, timer::lifetime(config));
                self.state = State::Completed {
                    interval: config.t1,
                };
                self.response = bytes;
            }
        }
    }

    /// Performs every timer that is due.
    pub(crate) fn on_timeout(&mut self, now: Instant, config: &TimerConfig, out: &mut Outbox) {
        while let Some(due) = self.timers.take_due(now) {
            match (self.state, due) {
                (State::Proceeding { .. }, Timer::Trying) => {
                    out.transmit(&self.to, &self.response, false);
                    self.state = State::Proceeding { sent: true };
                }
                (State::Completed { interval }, Timer::G) => {
                    out.transmit(&self.to, &self.response, true);
                    let interval = (interval * 2).min(config.t2);
                    self.timers.set(Timer::G, now, interval);
                    self.state = State::Completed { interval };
                }
                (State::Completed { .. }, Timer::H)
                | (State::Confirmed, Timer::I)
                | (State::Accepted, Timer::L) => {
                    self.timers.stop_all();
                    self.state = State::Terminated;
                    self.response = Bytes::new();
                }
                // Leaving a state stops its timers, so no other pair can arise.
                _ => {}
            }
        }
    }

    pub(crate) fn destination(&self) -> &Destination {
        &self.to
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Whether no final answer was sent yet.
    pub(crate) fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }
}
