//! The timers of RFC 3261 §17 (table 4) and RFC 6026 §8 as a table of deadlines.
//!
//! Owns when something is due, never what is done then. Each transaction has one table.

use std::time::{Duration, Instant};

use crate::ua::TimerConfig;

/// One timer of a transaction, by the RFC's letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// When to send INVITE again: T1, then doubled (§17.1.1.2).
    A,
    /// When to give up an INVITE without any answer, or one without a final answer after its
    /// CANCEL: 64*T1 (§17.1.1.2, §9.1).
    B,
    /// When to give up an INVITE that rings: a proxy's timer of §16.6, here the caller's bound.
    C,
    /// When to stop absorbing repeated 300-699 answers to INVITE: 64*T1, 0 on a stream (§17.1.1.2).
    D,
    /// When to send a non-INVITE request again: T1, doubled up to T2 (§17.1.2.2).
    E,
    /// When to give up a non-INVITE request: 64*T1 (§17.1.2.2).
    F,
    /// When to send a 300-699 answer to INVITE again: T1, doubled up to T2 (§17.2.1).
    G,
    /// When to give up waiting for the ACK: 64*T1 (§17.2.1).
    H,
    /// When to stop absorbing repeated ACKs: T4, 0 on a stream (§17.2.1).
    I,
    /// When to stop absorbing a repeated non-INVITE request: 64*T1, 0 on a stream (§17.2.2).
    J,
    /// When to stop absorbing a repeated answer to a non-INVITE request: T4, 0 on a stream
    /// (§17.1.2.2).
    K,
    /// When to stop absorbing INVITEs after a 2xx was sent: 64*T1 (RFC 6026 §7.1).
    L,
    /// When to stop passing 2xx answers up: 64*T1 (RFC 6026 §7.2).
    M,
    /// When to send 100 because the user is slow: 200 ms (§17.2.1).
    Trying,
}

impl Timer {
    /// Every timer, in the order of its slot.
    const ALL: [Self; 14] = [
        Self::A,
        Self::B,
        Self::C,
        Self::D,
        Self::E,
        Self::F,
        Self::G,
        Self::H,
        Self::I,
        Self::J,
        Self::K,
        Self::L,
        Self::M,
        Self::Trying,
    ];
}

/// The deadlines of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: [Option<Instant>; Timer::ALL.len()],
}

impl Timers {
    /// Arms a timer `after` from `now`; an armed timer is moved.
    pub(crate) fn set(&mut self, timer: Timer, now: Instant, after: Duration) {
        self.deadlines[timer as usize] = Some(now + after);
    }

    /// Disarms one timer.
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    /// Disarms all.
    pub(crate) fn stop_all(&mut self) {
        self.deadlines = [None; Timer::ALL.len()];
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.deadlines.iter().flatten().min().copied()
    }

    /// Disarms and returns the earliest timer that is due by `now`.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let due = Timer::ALL
            .into_iter()
            .filter_map(|timer| self.deadlines[timer as usize].map(|at| (at, timer)))
            .filter(|(at, _)| *at <= now)
            .min_by_key(|(at, _)| *at)
            .map(|(_, timer)| timer)?;
        self.stop(due);
        Some(due)
    }
}

/// How long a transaction lives without an answer, and a 2xx without an ACK: 64*T1.
pub(crate) fn lifetime(config: &TimerConfig) -> Duration {
    config.t1 * 64
}

/// How long a UAS may be silent before 100 must be sent (RFC 3261 §17.2.1).
pub(crate) const TRYING_AFTER: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timer_has_its_own_slot() {
        for (slot, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, slot, "{timer:?}");
        }
    }

    #[test]
    fn due_timers_come_earliest_first_and_once() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set(Timer::B, start, Duration::from_secs(32));
        timers.set(Timer::A, start, Duration::from_millis(500));
        assert_eq!(timers.next(), Some(start + Duration::from_millis(500)));
        assert_eq!(timers.take_due(start), None);
        let late = start + Duration::from_secs(60);
        assert_eq!(timers.take_due(late), Some(Timer::A));
        assert_eq!(timers.take_due(late), Some(Timer::B));
        assert_eq!(timers.take_due(late), None);
        assert_eq!(timers.next(), None);
    }
}
