//! INVITE client transaction (RFC 3261 §17.1.1 with RFC 6026 §7.2).
//!
//! | state      | input         | action               | next       | timers      |
//! |------------|---------------|----------------------|------------|-------------|
//! | (new)      | INVITE        | send                 | Calling    | A (udp), B  |
//! | Calling    | A             | send again           | Calling    | A doubled   |
//! | Calling    | B, error      | tell user            | Terminated |             |
//! | Calling    | 1xx           | to user              | Proceeding | C           |
//! | Proceeding | 1xx           | to user              | Proceeding |             |
//! | Proceeding | C             | tell user (it CANCELs) | Proceeding |           |
//! | Proceeding | cancelled     |                      | Proceeding | B           |
//! | Proceeding | B             | tell user            | Terminated |             |
//! | both       | 2xx           | to user (it ACKs)    | Accepted   | M           |
//! | both       | 300-699       | ACK, to user         | Completed  | D           |
//! | Completed  | 300-699       | ACK again            | Completed  |             |
//! | Completed  | D, error      | (error: tell user)   | Terminated |             |
//! | Accepted   | 2xx           | to user (it ACKs)    | Accepted   |             |
//! | Accepted   | M             |                      | Terminated |             |
//!
//! Timer C is the caller's own bound on ringing; B after a CANCEL is RFC 3261 §9.1.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::derive;
use super::timer::{self, Timer, Timers};
use super::{Answer, Expiry};
use crate::ua::{Destination, Outbox, TimerConfig};
use crate::wire::Message;

/// One INVITE on its way.
#[derive(Debug)]
pub(crate) struct InviteClient {
    state: State,
    timers: Timers,
    to: Destination,
    /// The INVITE until a final answer, then the ACK of a 300-699; empty after a 2xx.
    bytes: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calling { interval: Duration },
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

impl InviteClient {
    /// Sends the INVITE and enters Calling.
    pub(crate) fn start(
        now: Instant,
        config: &TimerConfig,
        to: Destination,
        bytes: Bytes,
        out: &mut Outbox,
    ) -> Self {
        out.transmit(&to, &bytes, false);
        let mut timers = Timers::default();
        if !to.transport.is_reliable() {
            timers.set(Timer::A, now, config.t1);
        }
        timers.set(Timer::B, now, timer::lifetime(config));
        Self {
            state: State::Calling {
                interval: config.t1,
            },
            timers,
            to,
            bytes,
        }
    }

    /// Takes an answer that matched, and says whether the user sees it.
    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        response: &Message,
        out: &mut Outbox,
    ) -> Answer {
        let code = response.status().unwrap_or(0);
        match (self.state, code) {
            (State::Calling { .. }, 100..=199) => {
                self.timers.stop_all();
                self.timers.set(Timer::C, now, config.ringing);
                self.state = State::Proceeding;
                Answer::Deliver
            }
            (State::Proceeding, 100..=199) => Answer::Deliver,
            (State::Calling { .. } | State::Proceeding, 200..=299) => {
                self.timers.stop_all();
                self.timers.set(Timer::M, now, timer::lifetime(config));
                self.state = State::Accepted;
                self.bytes = Bytes::new();
                Answer::Deliver
            }
            (State::Calling { .. } | State::Proceeding, 300..=699) => {
                self.complete(now, config, response, out);
                Answer::Deliver
            }
            (State::Completed, 300..=699) => {
                out.transmit(&self.to, &self.bytes, true);
                Answer::Repeated
            }
            (State::Accepted, 200..=299) => Answer::Deliver,
            // RFC 3261 §17.1.1.2: Completed takes no other class, Accepted none but 2xx (a late
            // 18x, or a 300-699 of another branch of a fork).
            (State::Completed | State::Accepted | State::Terminated, _) => Answer::Stray,
            // The parser admits 100 to 699 only.
            (State::Calling { .. } | State::Proceeding, _) => Answer::Stray,
        }
    }

    fn complete(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        response: &Message,
        out: &mut Outbox,
    ) {
        self.timers.stop_all();
        self.bytes = derive::ack_of_failure(&self.bytes, response);
        out.transmit(&self.to, &self.bytes, false);
        if self.to.transport.is_reliable() {
            self.state = State::Terminated;
        } else {
            self.timers.set(Timer::D, now, timer::lifetime(config));
            self.state = State::Completed;
        }
    }

    /// Performs every timer that is due.
    pub(crate) fn on_timeout(&mut self, now: Instant, out: &mut Outbox) -> Expiry {
        while let Some(due) = self.timers.take_due(now) {
            match (self.state, due) {
                (State::Calling { interval }, Timer::A) => {
                    out.transmit(&self.to, &self.bytes, true);
                    let interval = interval * 2;
                    self.timers.set(Timer::A, now, interval);
                    self.state = State::Calling { interval };
                }
                (State::Calling { .. } | State::Proceeding, Timer::B) => {
                    self.terminate();
                    return Expiry::NoAnswer;
                }
                (State::Proceeding, Timer::C) => return Expiry::RangTooLong,
                (State::Completed, Timer::D) | (State::Accepted, Timer::M) => self.terminate(),
                // Leaving a state stops its timers, so no other pair can arise.
                _ => {}
            }
        }
        Expiry::Nothing
    }

    /// Takes a transport failure; `true` if the user must hear of it.
    pub(crate) fn on_transport_error(&mut self) -> bool {
        match self.state {
            State::Calling { .. } | State::Proceeding => {
                self.terminate();
                true
            }
            // The outcome is known; the failed ACK will be asked for again if it matters.
            State::Completed | State::Accepted | State::Terminated => false,
        }
    }

    /// The CANCEL for this INVITE, if one may be sent now (RFC 3261 §9.1: only after a
    /// provisional answer); from now on a final answer is awaited for 64*T1 only.
    pub(crate) fn cancel(&mut self, now: Instant, config: &TimerConfig) -> Option<Bytes> {
        if self.state != State::Proceeding {
            return None;
        }
        self.timers.stop(Timer::C);
        self.timers.set(Timer::B, now, timer::lifetime(config));
        Some(derive::cancel(&self.bytes))
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

    /// Whether a final answer is still awaited.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding)
    }

    fn terminate(&mut self) {
        self.timers.stop_all();
        self.state = State::Terminated;
        self.bytes = Bytes::new();
    }
}
