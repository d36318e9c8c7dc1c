//! Non-INVITE client transaction (RFC 3261 §17.1.2).
//!
//! | state      | input    | action        | next       | timers              |
//! |------------|----------|---------------|------------|---------------------|
//! | (new)      | request  | send          | Trying     | E (udp), F          |
//! | Trying     | E        | send again    | Trying     | E doubled, up to T2 |
//! | Trying     | 1xx      | to user       | Proceeding |                     |
//! | Proceeding | E        | send again    | Proceeding | E = T2              |
//! | Proceeding | 1xx      | to user       | Proceeding |                     |
//! | both       | F, error | tell user     | Terminated |                     |
//! | both       | 200-699  | to user       | Completed  | K (0 on a stream)   |
//! | Completed  | any      | absorb        | Completed  |                     |
//! | Completed  | K        |               | Terminated |                     |

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::timer::{self, Timer, Timers};
use super::{Answer, Expiry};
use crate::ua::{Destination, Outbox, TimerConfig};

/// One request other than INVITE and ACK on its way.
#[derive(Debug)]
pub(crate) struct NonInviteClient {
    state: State,
    timers: Timers,
    to: Destination,
    bytes: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying { interval: Duration },
    Proceeding,
    Completed,
    Terminated,
}

impl NonInviteClient {
    /// Sends the request and enters Trying.
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
            timers.set(Timer::E, now, config.t1);
        }
        timers.set(Timer::F, now, timer::lifetime(config));
        Self {
            state: State::Trying {
                interval: config.t1,
            },
            timers,
            to,
            bytes,
        }
    }

    /// Takes an answer that matched, and says whether the user sees it.
    pub(crate) fn on_response(&mut self, now: Instant, config: &TimerConfig, code: u16) -> Answer {
        match (self.state, code) {
            (State::Trying { .. } | State::Proceeding, 100..=199) => {
                self.state = State::Proceeding;
                Answer::Deliver
            }
            (State::Trying { .. } | State::Proceeding, _) => {
                self.timers.stop_all();
                self.bytes = Bytes::new();
                if self.to.transport.is_reliable() {
                    self.state = State::Terminated;
                } else {
                    self.timers.set(Timer::K, now, config.t4);
                    self.state = State::Completed;
                }
                Answer::Deliver
            }
            (State::Completed, 200..=699) => Answer::Repeated,
            (State::Completed | State::Terminated, _) => Answer::Stray,
        }
    }

    /// Performs every timer that is due.
    pub(crate) fn on_timeout(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        out: &mut Outbox,
    ) -> Expiry {
        while let Some(due) = self.timers.take_due(now) {
            match (self.state, due) {
                (State::Trying { interval }, Timer::E) => {
                    out.transmit(&self.to, &self.bytes, true);
                    let interval = (interval * 2).min(config.t2);
                    self.timers.set(Timer::E, now, interval);
                    self.state = State::Trying { interval };
                }
                (State::Proceeding, Timer::E) => {
                    out.transmit(&self.to, &self.bytes, true);
                    self.timers.set(Timer::E, now, config.t2);
                }
                (State::Trying { .. } | State::Proceeding, Timer::F) => {
                    self.terminate();
                    return Expiry::NoAnswer;
                }
                (State::Completed, Timer::K) => self.terminate(),
                // Leaving a state stops its timers, so no other pair can arise.
                _ => {}
            }
        }
        Expiry::Nothing
    }

    /// Takes a transport failure; `true` if the user must hear of it.
    pub(crate) fn on_transport_error(&mut self) -> bool {
        let pending = self.is_pending();
        if pending {
            self.terminate();
        }
        pending
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
        matches!(self.state, State::Trying { .. } | State::Proceeding)
    }

    fn terminate(&mut self) {
        self.timers.stop_all();
        self.state = State::Terminated;
        self.bytes = Bytes::new();
    }
}
