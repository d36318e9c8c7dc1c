//! The way of decisions to the disk, and back: nothing is answered, shown or commanded before the
//! commit of its status is flushed.
//!
//! Commits that move credits go one after the other for each organization, several transfers in one,
//! since each entry follows the one before it. All others go at once; the storage thread gathers
//! them into one flush.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler, Message, WeakAddr};
use shared::api::LedgerEntry;
use shared::id::{OrganizationId, RunId};
use shared::phase::RunStatus;
use tokio::sync::oneshot;

use super::coordinator::{CoordinatorActor, now};
use super::published::Figures;
use crate::core::ledger::Transfer;
use crate::core::record::RunRecord;
use crate::handle::RequestError;
use crate::store::{Commit, CommitError, keys};

/// Transfers of one organization on their way to the disk.
#[derive(Default)]
pub(super) struct Transfers {
    in_flight: bool,
    waiting: VecDeque<Movement>,
}

/// A transfer with all that is stored in the same commit.
pub(super) struct Movement {
    pub(super) transfer: Transfer,
    /// The run's record with it.
    pub(super) record: Option<Arc<RunRecord>>,
    /// The document that the record names.
    pub(super) document: Option<Arc<str>>,
    /// Who granted.
    pub(super) answer: Option<oneshot::Sender<Result<LedgerEntry, RequestError>>>,
}

impl Movement {
    /// An end goes before a full disk; a reservation must not.
    fn is_end(&self) -> bool {
        matches!(self.transfer, Transfer::Settle { .. })
    }
}

/// A commit of one run without a transfer was answered.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Stored {
    record: Arc<RunRecord>,
    result: Result<(), CommitError>,
}

/// A commit of transfers was answered.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Transferred {
    organization: OrganizationId,
    entries: Vec<LedgerEntry>,
    movements: Vec<Movement>,
    result: Result<(), CommitError>,
}

impl CoordinatorActor {
    /// Stores a run's record as it is now; `perform` goes on when it is on disk.
    pub(super) fn store(&mut self, run: RunId, address: &WeakAddr<Self>) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        live.backlog.commit_began();
        let record = Arc::new(live.record.clone());
        let document = live.document.clone();
        let status = record.status();
        let pays = live.limits.credits && record.reserved_endpoint_ms > 0;
        let transfer = match status {
            RunStatus::Queued if pays => Some(Transfer::Reserve(run)),
            _ if record.settled && record.accepted && pays => Some(Transfer::Settle {
                run,
                used: record.used_endpoint_ms.unwrap_or(0),
            }),
            _ => None,
        };
        match transfer {
            Some(transfer) => {
                let organization = record.organization;
                let is_reserve = matches!(transfer, Transfer::Reserve(_));
                self.transfer(
                    organization,
                    Movement {
                        transfer,
                        record: Some(record),
                        document: document.filter(|_| is_reserve),
                        answer: None,
                    },
                    address,
                );
            }
            None => self.store_alone(record, address),
        }
    }

    /// The end of a run that somebody knows of must be stored, however long it takes.
    fn must_be_stored(&self, record: &RunRecord) -> bool {
        let known = self.runs.get(&record.id).is_some_and(|live| live.is_stored);
        record.status().is_terminal() && known
    }

    fn store_alone(&self, record: Arc<RunRecord>, address: &WeakAddr<Self>) {
        let mut commit = Commit::new().put_run(Arc::clone(&record));
        if self.must_be_stored(&record) {
            commit = commit.urgent();
        }
        let address = address.clone();
        self.control.commit(commit, move |result| {
            if let Some(actor) = address.upgrade() {
                // Bounded: one for each commit.
                actor.do_send(Stored { record, result });
            }
        });
    }

    /// Puts a transfer behind those of its organization.
    pub(super) fn transfer(
        &mut self,
        organization: OrganizationId,
        movement: Movement,
        address: &WeakAddr<Self>,
    ) {
        let transfers = self.transfers.entry(organization).or_default();
        transfers.waiting.push_back(movement);
        self.send_transfers(organization, address);
    }

    fn send_transfers(&mut self, organization: OrganizationId, address: &WeakAddr<Self>) {
        let Some(transfers) = self.transfers.get_mut(&organization) else {
            return;
        };
        if transfers.in_flight {
            return;
        }
        // One kind in a commit: only ends may go to a full disk. Ends first.
        let ends = transfers.waiting.iter().any(Movement::is_end);
        let mut movements = Vec::new();
        let mut left = VecDeque::new();
        for movement in transfers.waiting.drain(..) {
            if movements.len() < TRANSFERS_MAX && movement.is_end() == ends {
                movements.push(movement);
            } else {
                left.push_back(movement);
            }
        }
        transfers.waiting = left;
        if movements.is_empty() {
            self.transfers.remove(&organization);
            return;
        }
        transfers.in_flight = true;
        let wanted: Vec<Transfer> = movements.iter().map(|m| m.transfer.clone()).collect();
        let entries = self.ledger.entries(now().unix_ms, organization, &wanted);
        let commit = commit_of(organization, &entries, &movements, ends);
        let address = address.clone();
        self.control.commit(commit, move |result| {
            if let Some(actor) = address.upgrade() {
                actor.do_send(Transferred {
                    organization,
                    entries,
                    movements,
                    result,
                });
            }
        });
    }

    /// Shows the stored figures of an organization.
    pub(super) fn publish(&self, organization: OrganizationId) {
        let (amounts, _) = self.ledger.stored(organization);
        let (runs, endpoints) = self.ledger.slots(organization);
        self.published.set_figures(
            organization,
            Figures {
                balance: amounts.balance(),
                runs,
                endpoints,
            },
        );
    }

    fn later(
        &self,
        context: &mut Context<Self>,
        movements: Vec<Movement>,
        organization: OrganizationId,
    ) {
        context.run_later(RETRY_AFTER, move |actor, context| {
            let address = context.address().downgrade();
            for movement in movements {
                actor.transfer(organization, movement, &address);
            }
        });
    }
}

impl Handler<Stored> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, stored: Stored, context: &mut Self::Context) {
        let address = context.address().downgrade();
        let Stored { record, result } = stored;
        match result {
            Ok(()) => self.stored(&record, &address),
            Err(error) => {
                if self.must_be_stored(&record) {
                    tracing::error!(run = %record.id, %error, "the end of a run is not stored yet");
                    context.run_later(RETRY_AFTER, move |actor, context| {
                        actor.store_alone(record, &context.address().downgrade());
                    });
                } else {
                    self.not_stored(&record, &error, &address);
                }
            }
        }
    }
}

impl Handler<Transferred> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, answer: Transferred, context: &mut Self::Context) {
        let address = context.address().downgrade();
        let organization = answer.organization;
        if let Some(transfers) = self.transfers.get_mut(&organization) {
            transfers.in_flight = false;
        }
        for id in answer
            .movements
            .iter()
            .filter_map(|m| m.transfer.grant_id())
        {
            self.granting.remove(id);
        }
        match answer.result {
            Ok(()) => {
                self.ledger.confirm(&answer.entries);
                self.publish(organization);
                for movement in answer.movements {
                    if let Some(record) = &movement.record {
                        self.stored(record, &address);
                    }
                    if let Some(waiting) = movement.answer {
                        let id = movement.transfer.grant_id();
                        let entry = answer.entries.iter().find(|entry| Some(&entry.id) == id);
                        // The entry is there: the commit had it.
                        let entry = entry.cloned().ok_or(RequestError::Gone);
                        let _ = waiting.send(entry);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%organization, %error, "a transfer of credits is not stored");
                let (ends, others): (Vec<_>, Vec<_>) =
                    answer.movements.into_iter().partition(Movement::is_end);
                for movement in others {
                    if let Some(record) = &movement.record {
                        self.not_stored(record, &error, &address);
                    }
                    if let Some(answer) = movement.answer {
                        let _ = answer.send(Err(refusal(&error)));
                    }
                }
                if !ends.is_empty() {
                    self.later(context, ends, organization);
                }
            }
        }
        self.send_transfers(organization, &address);
    }
}

/// All of it or nothing: the entries, each at its place and once, and the runs' records.
fn commit_of(
    organization: OrganizationId,
    entries: &[LedgerEntry],
    movements: &[Movement],
    ends: bool,
) -> Commit {
    let mut commit = Commit::new();
    for entry in entries {
        let place = keys::ledger(organization, entry.sequence);
        let id = keys::ledger_id(&entry.id);
        commit = commit
            .expect_absent(place.clone())
            .expect_absent(id.clone())
            .put(place, entry)
            .put(id, &entry.sequence);
    }
    for movement in movements {
        let Some(record) = &movement.record else {
            continue;
        };
        commit = commit.put_run(Arc::clone(record));
        if let Some(document) = &movement.document {
            commit = commit.put(
                keys::frozen(organization, &record.frozen),
                document.as_ref(),
            );
        }
    }
    if ends { commit.urgent() } else { commit }
}

/// A failed commit as a request's answer.
pub(super) fn refusal(error: &CommitError) -> RequestError {
    match error {
        CommitError::StorageFull => RequestError::StorageFull,
        CommitError::Conflict(_) | CommitError::Failed(_) => {
            RequestError::Storage(error.to_string())
        }
    }
}

/// Transfers in one commit.
const TRANSFERS_MAX: usize = 256;
/// The pause before the end of a run is handed to the storage again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
