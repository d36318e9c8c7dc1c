//! What the service manager is told (`sd_notify(3)`): ready, how it stands, that it lives, that it
//! stops.
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is told. The watchdog is fed only where the
//! caller has seen the service's own loops move: a timer that fires proves nothing about them.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The way to the service manager.
#[derive(Debug, Default)]
pub(super) struct Manager {
    status: String,
    failed: bool,
}

impl Manager {
    /// The service serves.
    pub(super) fn ready(&mut self, status: &str) {
        status.clone_into(&mut self.status);
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// How it stands; told where it changed.
    pub(super) fn status(&mut self, status: &str) {
        if self.status != status {
            status.clone_into(&mut self.status);
            self.tell(&[NotifyState::Status(status)]);
        }
    }

    /// It begins to stop.
    pub(super) fn stopping(&mut self, status: &str) {
        status.clone_into(&mut self.status);
        self.tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// It needs so long from now until it says so again.
    pub(super) fn extend(&mut self, by: Duration) {
        let by = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::ExtendTimeoutUsec(by)]);
    }

    /// Its loops move.
    pub(super) fn alive(&mut self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    fn tell(&mut self, what: &[NotifyState<'_>]) {
        match sd_notify::notify(what) {
            Ok(()) => self.failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(%error, "the service manager cannot be told how the service stands");
                }
            }
        }
    }
}

/// When the watchdog is to be fed.
#[derive(Debug)]
pub(super) struct Watchdog {
    every: Option<Duration>,
    next: Instant,
}

impl Watchdog {
    /// As the service manager asks for it; without one it is never due.
    pub(super) fn from_environment(now: Instant) -> Self {
        Self::new(sd_notify::watchdog_enabled(), now)
    }

    fn new(limit: Option<Duration>, now: Instant) -> Self {
        // Thrice within the limit: one late round is no reason to be killed.
        let every = limit
            .filter(|limit| !limit.is_zero())
            .map(|limit| limit / 3);
        Self {
            every,
            next: now + every.unwrap_or_default(),
        }
    }

    /// Whether the loops are to be looked at now. Where they have not moved, it stays due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.every.is_some() && now >= self.next
    }

    /// It was fed.
    pub(super) fn fed(&mut self, now: Instant) {
        self.next = now + self.every.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_due_thrice_within_its_limit_until_it_is_fed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(15)), start);
        assert!(!watchdog.is_due(at(4)));
        assert!(watchdog.is_due(at(5)));
        assert!(watchdog.is_due(at(6)), "it stays due until it is fed");
        watchdog.fed(at(6));
        assert!(!watchdog.is_due(at(10)));
        assert!(watchdog.is_due(at(11)));
        assert!(!Watchdog::new(None, start).is_due(at(1_000)));
    }
}
