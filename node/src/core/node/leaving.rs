//! The node's way out: drained by a signal, or displaced by a newer process of its name.

use shared::wire::{EndCause, LEASE_GRACE, LEASE_TTL};

use super::{Exit, NodeCore, Output};
use crate::core::desired::StopKind;

/// How far the leaving is.
#[derive(Debug)]
pub(super) struct Leaving {
    why: Exit,
    /// When calls are ended that have not ended by themselves; none once they were told to.
    ends_calls_at_us: Option<u64>,
    /// When it leaves whatever is left.
    leaves_at_us: Option<u64>,
}

/// Items that nobody stores this long after the last run's end do not hold a drain up.
const STORED_WAIT_US: u64 = LEASE_TTL.as_micros() as u64;
/// A fenced stop takes no longer.
const FENCED_WAIT_US: u64 = (LEASE_TTL.as_micros() + LEASE_GRACE.as_micros()) as u64;

impl Leaving {
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let wanted = [self.ends_calls_at_us, self.leaves_at_us];
        wanted.into_iter().flatten().min()
    }
}

impl NodeCore {
    /// Takes no new run, ends the others in time, then leaves.
    pub(super) fn drain(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        let wait_us = u64::try_from(self.drain_wait.as_micros()).unwrap_or(u64::MAX);
        self.leaving = Some(Leaving {
            why: Exit::Drained,
            ends_calls_at_us: Some(self.now.boot_us.saturating_add(wait_us)),
            leaves_at_us: None,
        });
        self.renew_soon();
    }

    /// Another process has the name: nothing is sent any more but what ends calls.
    pub(super) fn displaced(&mut self) {
        self.lease.revoke();
        self.leaving = Some(Leaving {
            why: Exit::Displaced,
            ends_calls_at_us: None,
            leaves_at_us: Some(self.now.boot_us.saturating_add(FENCED_WAIT_US)),
        });
        self.stop_all(EndCause::LeaseLost, StopKind::Fenced);
    }

    /// True while it takes new runs.
    pub(super) fn takes_runs(&self) -> bool {
        self.leaving.is_none() && !self.drained_above
    }

    /// Goes on with the leaving, if there is one.
    pub(super) fn leave(&mut self) {
        let now_us = self.now.boot_us;
        let Some(leaving) = self.leaving.as_mut() else {
            return;
        };
        let why = leaving.why;
        if leaving.ends_calls_at_us.is_some_and(|at| at <= now_us) {
            leaving.ends_calls_at_us = None;
            self.stop_all(EndCause::Drained, StopKind::Whole);
        }
        let over = self.runs.values().all(|run| run.core.is_ended());
        let stored =
            why == Exit::Displaced || self.runs.keys().all(|run| self.outbox.waiting(*run) == 0);
        let Some(leaving) = self.leaving.as_mut() else {
            return;
        };
        if over && leaving.leaves_at_us.is_none() {
            leaving.leaves_at_us = Some(now_us.saturating_add(STORED_WAIT_US));
        }
        let late = leaving.leaves_at_us.is_some_and(|at| at <= now_us);
        if over && stored || late {
            self.put(Output::Exit(why));
            self.exited = true;
        }
    }

    /// Ends every run.
    pub(super) fn stop_all(&mut self, cause: EndCause, kind: StopKind) {
        let runs: Vec<_> = self.runs.keys().copied().collect();
        for run in runs {
            self.with_run(run, |core| core.stop(cause, kind));
        }
    }
}
