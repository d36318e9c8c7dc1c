//! The run status machine: which moves are legal, and the history they leave.
//!
//! Source: PRODUCT §2. Nothing leaves a terminal status.
//!
//! ```text
//! from \ to    QUEUED  RUNNING  STOPPING  COMPLETED  FAILED  CANNOT_RUN_FOR_NOW
//! PENDING        x                 x                                 x
//! QUEUED                  x        x                    x            x
//! RUNNING                          x          x         x
//! STOPPING                                    x         x
//! ```

use shared::phase::RunStatus;
use shared::result::StatusMove;
use thiserror::Error;

use super::Now;

/// A run's status and how it came there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StatusMachine {
    history: Vec<StatusMove>,
    current: RunStatus,
}

/// A move that the table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a run cannot go from {from} to {to}")]
pub(crate) struct IllegalMove {
    from: RunStatus,
    to: RunStatus,
}

impl StatusMachine {
    /// Begins in PENDING.
    pub(crate) fn new(now: Now) -> Self {
        Self {
            current: RunStatus::Pending,
            history: vec![StatusMove {
                status: RunStatus::Pending,
                at_unix_ms: now.unix_ms,
                reason: "submitted".to_owned(),
                sentence: "The run was submitted and is being checked.".to_owned(),
            }],
        }
    }

    /// Goes on where a stored history ends; from PENDING where that is damaged.
    pub(crate) fn resume(history: &[StatusMove]) -> Self {
        Self {
            current: history
                .last()
                .map_or(RunStatus::Pending, |step| step.status),
            history: history.to_vec(),
        }
    }

    /// The status now.
    pub(crate) fn current(&self) -> RunStatus {
        self.current
    }

    /// The newest move.
    pub(crate) fn last(&self) -> StatusMove {
        // `new` puts the first move in and nothing takes one out.
        self.history.last().cloned().unwrap_or(StatusMove {
            status: self.current,
            at_unix_ms: 0,
            reason: String::new(),
            sentence: String::new(),
        })
    }

    /// Moves on, or says that the table does not allow it.
    pub(crate) fn go(
        &mut self,
        now: Now,
        to: RunStatus,
        reason: &str,
        sentence: String,
    ) -> Result<StatusMove, IllegalMove> {
        if !is_legal(self.current, to) {
            return Err(IllegalMove {
                from: self.current,
                to,
            });
        }
        self.current = to;
        let step = StatusMove {
            status: to,
            at_unix_ms: now.unix_ms,
            reason: reason.to_owned(),
            sentence,
        };
        self.history.push(step.clone());
        Ok(step)
    }
}

/// True for the moves of PRODUCT §2.
pub(crate) fn is_legal(from: RunStatus, to: RunStatus) -> bool {
    LEGAL.contains(&(from, to))
}

const LEGAL: [(RunStatus, RunStatus); 12] = {
    use RunStatus::{CannotRunForNow, Completed, Failed, Pending, Queued, Running, Stopping};
    [
        (Pending, Queued),
        (Pending, Stopping),
        (Pending, CannotRunForNow),
        (Queued, Running),
        (Queued, Stopping),
        (Queued, Failed),
        (Queued, CannotRunForNow),
        (Running, Stopping),
        (Running, Completed),
        (Running, Failed),
        (Stopping, Completed),
        (Stopping, Failed),
    ]
};

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const ALL: [RunStatus; 7] = [
        RunStatus::Pending,
        RunStatus::Queued,
        RunStatus::Running,
        RunStatus::Stopping,
        RunStatus::Completed,
        RunStatus::Failed,
        RunStatus::CannotRunForNow,
    ];

    fn now() -> Now {
        Now {
            instant: Instant::now(),
            unix_ms: 5,
        }
    }

    /// PRODUCT §2, "Legal moves", word for word.
    const PRODUCT: &[&[RunStatus]] = &[
        &[
            RunStatus::Pending,
            RunStatus::Queued,
            RunStatus::Running,
            RunStatus::Completed,
        ],
        &[
            RunStatus::Running,
            RunStatus::Stopping,
            RunStatus::Completed,
        ],
        &[RunStatus::Pending, RunStatus::CannotRunForNow],
        &[RunStatus::Queued, RunStatus::CannotRunForNow],
        &[RunStatus::Pending, RunStatus::Stopping],
        &[RunStatus::Queued, RunStatus::Stopping],
        &[RunStatus::Queued, RunStatus::Failed],
        &[RunStatus::Running, RunStatus::Failed],
        &[RunStatus::Stopping, RunStatus::Failed],
    ];

    #[test]
    fn exactly_the_moves_of_the_product_are_legal() {
        for from in ALL {
            for to in ALL {
                let wanted = PRODUCT
                    .iter()
                    .any(|path| path.windows(2).any(|step| step == [from, to]));
                assert_eq!(is_legal(from, to), wanted, "{from} to {to}");
            }
        }
    }

    #[test]
    fn nothing_leaves_a_terminal_status() {
        for from in ALL.into_iter().filter(|status| status.is_terminal()) {
            for to in ALL {
                assert!(!is_legal(from, to), "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_refused_move_changes_nothing_and_a_legal_one_is_remembered() {
        let mut status = StatusMachine::new(now());
        assert!(
            status
                .go(now(), RunStatus::Running, "started", String::new())
                .is_err()
        );
        assert_eq!(status.current(), RunStatus::Pending);
        let step = status
            .go(now(), RunStatus::Queued, "validated", "Fine.".to_owned())
            .unwrap();
        assert_eq!((step.at_unix_ms, step.reason.as_str()), (5, "validated"));
        assert_eq!(status.last(), step);
        assert_eq!(status.history.len(), 2);
    }
}
