//! A run in the actor's hands: its core, its record, and what waits for a commit.

use std::sync::Arc;

use shared::definition::Test;
use shared::phase::RunStatus;
use shared::result::StatusMove;
use shared::wire::Problem;
use tokio::sync::oneshot;

use super::update::Parked;
use crate::core::limits::{Limits, Wanted};
use crate::core::record::RunRecord;
use crate::core::request::GroupPool;
use crate::core::run::{Backlog, Output, Run};
use crate::handle::RequestError;
use crate::live::Shown;

/// What is answered to who started a run.
pub(crate) type Started = Result<Arc<RunRecord>, RequestError>;

/// A run and who watches it.
pub(super) struct LiveRun {
    /// None once it has ended: only the record is needed then.
    pub(super) core: Option<Run>,
    /// As it is to be stored next.
    pub(super) record: RunRecord,
    /// None for a run that was refused at once: nobody can have watched it.
    pub(super) shown: Option<Arc<Shown>>,
    /// As it is frozen, for what subscribers are told; none before it is QUEUED.
    pub(super) test: Option<Arc<Test>>,
    pub(super) limits: Limits,
    pub(super) pools: Vec<GroupPool>,
    /// What the saved test already said against itself when it was made ready.
    pub(super) found: Vec<Problem>,
    /// The frozen document; taken by the acceptance.
    pub(super) document: Option<Arc<str>>,
    /// What the core put out and what is not done yet.
    pub(super) backlog: Backlog,
    /// Some commit of it is on disk.
    pub(super) is_stored: bool,
    /// Its terminal record is on disk.
    pub(super) has_ended: bool,
    pub(super) waiting: Vec<Waiting>,
    /// Changes of its label that wait for the commit under way.
    pub(super) parked: Vec<Parked>,
}

/// Somebody who started a run and has no answer yet.
pub(super) struct Waiting {
    /// Also PENDING will do, as long as it is stored.
    pub(super) any_status: bool,
    pub(super) answer: oneshot::Sender<Started>,
}

impl LiveRun {
    /// The status that is decided; it may not be stored yet.
    pub(super) fn status(&self) -> RunStatus {
        let decided = self.core.as_ref().map(Run::status);
        decided.unwrap_or_else(|| self.record.status())
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            endpoints: self.record.endpoints,
            duration: shared::units::Millis(self.record.duration_ms),
        }
    }

    /// Takes over what the core put out. What is sent is given back: it waits for no commit.
    pub(super) fn take_outputs(&mut self) -> Vec<Output> {
        let core = self.core.as_mut();
        core.map_or_else(Vec::new, |core| self.backlog.take(core))
    }

    /// Takes a move into the record. `is_released`: nothing of the run lives on any node any more.
    pub(super) fn moved(&mut self, step: &StatusMove, is_released: bool) {
        self.record.moved(step);
        if step.status.is_terminal() && is_released {
            self.record.settle();
        }
    }

    /// Answers everyone who waits for what is stored now.
    pub(super) fn answer(&mut self, stored: &Arc<RunRecord>) {
        let decided = stored.status() != RunStatus::Pending;
        for waiting in std::mem::take(&mut self.waiting) {
            if decided || waiting.any_status {
                // Who asked may have given up.
                let _ = waiting.answer.send(Ok(Arc::clone(stored)));
            } else {
                self.waiting.push(waiting);
            }
        }
    }

    /// Nothing of it is stored: tells everyone who waits why.
    pub(super) fn refuse(&mut self, error: &RequestError) {
        for waiting in std::mem::take(&mut self.waiting) {
            let _ = waiting.answer.send(Err(error.clone()));
        }
    }
}
