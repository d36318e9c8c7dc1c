//! The lease: until when this node may call, and the guard that every sender asks.
//!
//! A lease lasts [`LEASE_TTL`] from the *sending* of the renewal that it answers, on `CLOCK_BOOTTIME`,
//! which goes on while a machine is suspended. Each lease that runs out ends a *generation*: what was
//! started in it is never permitted again, whatever lease comes later. A process that was stopped for
//! a minute finds that out at its first look, not by a timer that may come too late.
//! Source: DESIGN 10.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::wire::{LEASE_TTL, RENEW_EVERY};

/// [`LEASE_TTL`] in microseconds.
const TTL_US: u64 = LEASE_TTL.as_micros() as u64;
/// [`RENEW_EVERY`] in microseconds.
const RENEW_EVERY_US: u64 = RENEW_EVERY.as_micros() as u64;
/// Least time between two renewals, however many reasons there are: a flood of hellos or ends must
/// not become a flood of renewals.
const RENEW_GAP_US: u64 = 50_000;

/// What all senders of a node share. Atomics only: it is asked before every packet.
#[derive(Debug, Default)]
pub struct LeaseGuard {
    /// Of what is permitted now. Starts at 0, with a lease that has run out.
    generation: AtomicU64,
    /// `CLOCK_BOOTTIME` in microseconds.
    until_us: AtomicU64,
}

impl LeaseGuard {
    /// What is started now belongs to this generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// True while the lease of this generation lasts. Who first finds that it has run out ends the
    /// generation: no later lease revives it.
    #[must_use]
    pub fn permits(&self, generation: u64, now_boot_us: u64) -> bool {
        if self.generation() != generation {
            return false;
        }
        if now_boot_us < self.until_us.load(Ordering::Acquire) {
            return true;
        }
        self.end(generation);
        false
    }

    /// Takes a lease whose renewal was sent at `sent_boot_us`. One that has run out already changes
    /// nothing; one that comes after the former ran out begins a new generation.
    pub fn renew(&self, sent_boot_us: u64, now_boot_us: u64) {
        let until = sent_boot_us.saturating_add(TTL_US);
        if until <= now_boot_us {
            return;
        }
        let generation = self.generation();
        if now_boot_us >= self.until_us.load(Ordering::Acquire) {
            self.end(generation);
        }
        self.until_us.fetch_max(until, Ordering::AcqRel);
    }

    /// Ends what is permitted now, at once: another process has this node's name.
    pub fn revoke(&self) {
        self.until_us.store(0, Ordering::Release);
        self.end(self.generation());
    }

    /// Of several that find it out, one moves the generation on.
    fn end(&self, generation: u64) {
        let next = generation.wrapping_add(1);
        // Where another was first the generation is over either way.
        let _first =
            self.generation
                .compare_exchange(generation, next, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// Leave to send, for what was started in one generation. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Permit(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Never,
    Always,
    While(Arc<LeaseGuard>, u64),
}

impl Permit {
    /// Nothing was started yet.
    #[must_use]
    pub fn never() -> Self {
        Self(Kind::Never)
    }

    /// For what needs no lease: measuring ourselves on loopback, tests and benches of the engine.
    #[must_use]
    pub fn always() -> Self {
        Self(Kind::Always)
    }

    /// While the lease of this generation lasts.
    #[must_use]
    pub fn of(guard: Arc<LeaseGuard>, generation: u64) -> Self {
        Self(Kind::While(guard, generation))
    }

    /// Whether something may be sent now.
    #[must_use]
    pub fn allows(&self, now_boot_us: u64) -> bool {
        match &self.0 {
            Kind::Never => false,
            Kind::Always => true,
            Kind::While(guard, generation) => guard.permits(*generation, now_boot_us),
        }
    }
}

/// When to renew, and whether a lease is held.
#[derive(Debug)]
pub struct LeaseCore {
    guard: Arc<LeaseGuard>,
    /// The generation that is permitted; none while there is no lease.
    live: Option<u64>,
    until_us: u64,
    /// The newest renewal that was sent.
    sent_us: Option<u64>,
    /// The newest renewal that was answered.
    answered_us: Option<u64>,
    renew_at_us: u64,
}

impl LeaseCore {
    /// No lease; the first renewal is due at once.
    #[must_use]
    pub fn new(guard: Arc<LeaseGuard>) -> Self {
        Self {
            guard,
            live: None,
            until_us: 0,
            sent_us: None,
            answered_us: None,
            renew_at_us: 0,
        }
    }

    /// Looks whether the lease has run out; true the first time that it has.
    #[must_use]
    pub fn is_lost(&mut self, now_boot_us: u64) -> bool {
        let Some(generation) = self.live else {
            return false;
        };
        let lost = !self.guard.permits(generation, now_boot_us);
        if lost {
            self.live = None;
        }
        lost
    }

    /// The generation of what is started now; none without a lease.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.live
    }

    /// When the newest renewal was sent; none before the first.
    #[must_use]
    pub fn newest_sent(&self) -> Option<u64> {
        self.sent_us
    }

    /// True where an answer to this renewal is news: the renewal was sent, and no answer to it or to
    /// a later one has come before.
    #[must_use]
    pub fn is_news(&self, renewal_boot_us: u64) -> bool {
        let sent = self.sent_us.is_some_and(|sent| renewal_boot_us <= sent);
        let new = self.answered_us.is_none_or(|seen| renewal_boot_us > seen);
        sent && new
    }

    /// An answer to this renewal was read.
    pub fn answered(&mut self, renewal_boot_us: u64) {
        self.answered_us = Some(renewal_boot_us);
    }

    /// The lease was granted. True where there was none before.
    pub fn granted(&mut self, renewal_boot_us: u64, now_boot_us: u64) -> bool {
        self.guard.renew(renewal_boot_us, now_boot_us);
        self.until_us = self.until_us.max(renewal_boot_us.saturating_add(TTL_US));
        let generation = self.guard.generation();
        if self.live.is_some() || !self.guard.permits(generation, now_boot_us) {
            return false;
        }
        self.live = Some(generation);
        true
    }

    /// Another process has the name: the lease is over.
    pub fn revoke(&mut self) {
        self.guard.revoke();
        self.live = None;
    }

    /// There is news to tell: renew soon.
    pub fn renew_soon(&mut self, now_boot_us: u64) {
        let earliest = match self.sent_us {
            Some(sent) => now_boot_us.max(sent.saturating_add(RENEW_GAP_US)),
            None => now_boot_us,
        };
        self.renew_at_us = self.renew_at_us.min(earliest);
    }

    /// True where a renewal is due; it is then taken as sent now.
    #[must_use]
    pub fn renews(&mut self, now_boot_us: u64) -> bool {
        if now_boot_us < self.renew_at_us {
            return false;
        }
        self.sent_us = Some(now_boot_us);
        self.renew_at_us = now_boot_us.saturating_add(RENEW_EVERY_US);
        true
    }

    /// When it wants to be looked at next.
    #[must_use]
    pub fn next_deadline(&self) -> u64 {
        match self.live {
            Some(_) => self.renew_at_us.min(self.until_us),
            None => self.renew_at_us,
        }
    }
}

#[cfg(test)]
mod tests;
