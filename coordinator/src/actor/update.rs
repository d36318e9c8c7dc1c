//! Changes of what people say about a run: its label and its pin.
//!
//! A record is stored whole, so a change must neither undo a status that is on its way to the disk
//! nor another change: it waits for the one and builds on the other.

use std::sync::Arc;

use actix::{AsyncContext, Handler, Message, MessageResult, WeakAddr};
use shared::api::UpdateRun;
use shared::id::RunId;
use tokio::sync::oneshot;

use super::commit::refusal;
use super::coordinator::CoordinatorActor;
use super::live_run::Started;
use crate::core::record::RunRecord;
use crate::handle::RequestError;
use crate::store::{Commit, keys};

/// Change what people say about a run.
#[derive(Message)]
#[rtype(result = "oneshot::Receiver<Started>")]
pub(crate) struct Update {
    /// Which.
    pub(crate) run: RunId,
    /// What.
    pub(crate) change: UpdateRun,
    /// Only where it is still this revision.
    pub(crate) revision: Option<u64>,
}

/// A change that waits for a commit of its run.
pub(super) struct Parked {
    update: Update,
    answer: oneshot::Sender<Started>,
}

/// A change was stored or refused.
#[derive(Message)]
#[rtype(result = "()")]
struct Updated(Arc<RunRecord>);

impl Handler<Update> for CoordinatorActor {
    type Result = MessageResult<Update>;

    fn handle(&mut self, update: Update, context: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        let parked = Parked { update, answer };
        self.update(parked, &context.address().downgrade());
        MessageResult(answered)
    }
}

impl Handler<Updated> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, updated: Updated, _: &mut Self::Context) {
        let run = updated.0.id;
        let newest = self.updating.get(&run);
        if newest.is_some_and(|newest| newest.revision == updated.0.revision) {
            self.updating.remove(&run);
        }
    }
}

impl CoordinatorActor {
    /// Makes a change now, or after the commit that is under way.
    pub(super) fn update(&mut self, parked: Parked, address: &WeakAddr<Self>) {
        let run = parked.update.run;
        let mut live = self.runs.get_mut(&run).filter(|live| live.core.is_some());
        if let Some(live) = live.as_mut()
            && live.backlog.is_committing()
        {
            if live.parked.len() < PARKED_MAX {
                live.parked.push(parked);
            } else {
                let _ = parked.answer.send(Err(RequestError::Gone));
            }
            return;
        }
        let Parked { update, answer } = parked;
        let stored = match &live {
            Some(live) => Some(live.record.clone()),
            None => {
                let newest = self.updating.get(&run).cloned();
                let newest = newest.or_else(|| self.control.runs().find(run));
                newest.map(|record| (*record).clone())
            }
        };
        let Some(mut record) = stored else {
            let _ = answer.send(Err(RequestError::UnknownRun(run)));
            return;
        };
        let current = record.revision;
        if update.revision.is_some_and(|seen| seen != current) {
            let _ = answer.send(Err(RequestError::RevisionMismatch { current }));
            return;
        }
        if let Some(label) = update.change.label {
            record.label = label;
        }
        if let Some(pinned) = update.change.pinned {
            record.pinned = pinned;
        }
        record.revision = current.saturating_add(1);
        if let Some(live) = live {
            live.record = record.clone();
        }
        let record = Arc::new(record);
        self.updating.insert(run, Arc::clone(&record));
        // Not where it was deleted meanwhile.
        let commit = Commit::new()
            .expect_present(keys::run(record.organization, run))
            .put_run(Arc::clone(&record));
        let address = address.clone();
        self.control.commit(commit, move |result| {
            let stored = result.map(|()| Arc::clone(&record));
            // Whoever asked may have given up.
            let _ = answer.send(stored.map_err(|error| refusal(&error)));
            if let Some(actor) = address.upgrade() {
                actor.do_send(Updated(record));
            }
        });
    }
}

/// Changes of one run that wait for its commit.
const PARKED_MAX: usize = 64;
