//! An answer that is repeated until the peer acknowledges it: a 2xx to INVITE until its ACK
//! (RFC 3261 §13.3.1.4), a reliable 1xx until its PRACK (RFC 3262 §3).
//!
//! Owns when to repeat and when to give up, over every transport: a proxy on the way may change it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::transaction::timer;
use crate::ua::{Destination, Outbox, TimerConfig};

/// One answer that awaits its acknowledgement.
#[derive(Debug)]
pub(crate) struct Repeat {
    bytes: Bytes,
    to: Destination,
    since: Instant,
    next: Instant,
    interval: Duration,
    longest: Duration,
    give_up: Instant,
}

/// What time did to a [`Repeat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It goes on.
    Waiting,
    /// 64*T1 passed without an acknowledgement.
    Exhausted,
}

impl Repeat {
    /// A 2xx that was sent at `now`: T1, doubled up to T2.
    pub(crate) fn answer(
        now: Instant,
        config: &TimerConfig,
        to: Destination,
        bytes: Bytes,
    ) -> Self {
        Self::new(now, config, config.t2, to, bytes)
    }

    /// A reliable 1xx that was sent at `now`: T1, doubled without a cap (RFC 3262 §3).
    pub(crate) fn provisional(
        now: Instant,
        config: &TimerConfig,
        to: Destination,
        bytes: Bytes,
    ) -> Self {
        Self::new(now, config, timer::lifetime(config), to, bytes)
    }

    fn new(
        now: Instant,
        config: &TimerConfig,
        longest: Duration,
        to: Destination,
        bytes: Bytes,
    ) -> Self {
        Self {
            bytes,
            to,
            since: now,
            next: now + config.t1,
            interval: config.t1,
            longest,
            give_up: now + timer::lifetime(config),
        }
    }

    /// Sends it again when that is due.
    pub(crate) fn on_timeout(&mut self, now: Instant, out: &mut Outbox) -> Patience {
        if now >= self.give_up {
            return Patience::Exhausted;
        }
        if now >= self.next {
            out.transmit(&self.to, &self.bytes, true);
            self.interval = (self.interval * 2).min(self.longest);
            self.next = now + self.interval;
        }
        Patience::Waiting
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        self.next.min(self.give_up)
    }

    /// How long ago it was first sent.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}
