//! The start: the books are read, and the runs that an earlier coordinator left alive are taken over
//! or ended.
//!
//! A run that all its nodes carry on without a coordinator is taken over (see `adopt`). The others end
//! FAILED with `coordinator_restart` and are settled once, to what they used up to the last second
//! that is stored: record and settlement are one commit, so a crash in here changes nothing or ends it
//! for good. Where a node that nobody hears may still call, the settlement waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use shared::api::LedgerEntry;
use shared::definition::Test;
use shared::id::{EndpointIndex, NodeId, RunId};
use shared::phase::RunStatus;
use shared::result::{Counts, StatusMove, Verdict};
use shared::units::Millis;

use super::adopt::{self, Adopted, Fate};
use super::audit::Replays;
use super::coordinator::now;
use super::drain;
use crate::core::accounts::AccountsInUse;
use crate::core::aggregate::Aggregate;
use crate::core::ledger::{Ledger, Transfer};
use crate::core::limits::Wanted;
use crate::core::record::RunRecord;
use crate::handle::CoordinatorConfig;
use crate::store::{Commit, Control, Meta, Reader, StoreError, keys};

/// What the start found.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(super) ledger: Ledger,
    pub(super) replays: Replays,
    pub(super) accounts: AccountsInUse,
    /// Nodes that an operator drained.
    pub(super) drained: BTreeSet<NodeId>,
    /// Runs that go on.
    pub(crate) adopted: Vec<Adopted>,
    /// Runs that have ended and still hold their slots.
    pub(super) unsettled: Vec<RunId>,
    /// Runs that were ended.
    pub(crate) ended: usize,
}

/// Reads the books, takes over what goes on, and ends what else was left alive.
///
/// Errors: where the control records cannot be read or written.
pub(crate) fn recover(
    meta: &Meta,
    control: &Control,
    config: &CoordinatorConfig,
) -> Result<Recovered, StoreError> {
    let mut recovered = Recovered::default();
    read(control, &mut recovered)?;
    recovered.drained = drain::stored(control)?;
    for record in control.runs().all(RunRecord::holds) {
        if record.status().is_terminal() {
            hold(meta, &record, &mut recovered);
            recovered.unsettled.push(record.id);
            continue;
        }
        match adopt::read(meta, &record, config) {
            Fate::GoesOn(adopted) => {
                hold(meta, &record, &mut recovered);
                recovered.adopted.push(*adopted);
            }
            Fate::Ends { is_silent } => {
                end(meta, control, is_silent, &record, &mut recovered)?;
                recovered.ended += 1;
            }
        }
    }
    meta.tidy_checkpoints(|run| recovered.adopted.iter().any(|adopted| adopted.run() == run));
    Ok(recovered)
}

/// Takes the slot, the credits and the accounts that a run has.
fn hold(meta: &Meta, record: &RunRecord, recovered: &mut Recovered) {
    recovered.ledger.adopt(
        record.organization,
        record.project,
        record.id,
        Wanted {
            endpoints: record.endpoints,
            duration: Millis(record.duration_ms),
        },
        record.reserved_endpoint_ms,
    );
    let began = record.began_unix_ms.unwrap_or(record.created_unix_ms);
    recovered
        .ledger
        .began(began, record.organization, record.id);
    match Reader::open(meta, record.id).and_then(|reader| reader.held()) {
        Ok(held) => {
            let planned_end = began.saturating_add(record.duration_ms);
            recovered
                .accounts
                .hold(record.id, held.accounts, planned_end);
        }
        Err(error) => {
            tracing::warn!(run = %record.id, %error, "the SIP accounts of a run cannot be read");
        }
    }
}

fn read(control: &Control, recovered: &mut Recovered) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let entries: Vec<(keys::Key, LedgerEntry)> =
            control.scan(&keys::ledgers(), after.as_ref(), ENTRIES_AT_ONCE)?;
        for (_, entry) in &entries {
            // An entry that does not follow is found by the audit, which stops new runs.
            recovered.ledger.restore(entry);
            let replay = recovered.replays.entry(entry.organization).or_default();
            replay.add(entry);
        }
        if entries.len() < ENTRIES_AT_ONCE {
            return Ok(());
        }
        after = entries.into_iter().next_back().map(|(key, _)| key);
    }
}

/// `is_silent`: no node can call for it any more, so that it is settled at once.
fn end(
    meta: &Meta,
    control: &Control,
    is_silent: bool,
    left: &RunRecord,
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    let at = now().unix_ms;
    let mut record = left.clone();
    record.history.push(StatusMove {
        status: RunStatus::Failed,
        at_unix_ms: at,
        reason: "coordinator_restart".to_owned(),
        sentence: "The coordinator ended while this run was going on; what was stored before is kept. Start it again.".to_owned(),
    });
    if record.status() == RunStatus::Failed && left.status() == RunStatus::Pending {
        // PENDING has no way to FAILED: it was never accepted.
        if let Some(last) = record.history.last_mut() {
            last.status = RunStatus::CannotRunForNow;
            last.sentence =
                "The coordinator ended while this run was being checked. Start it again."
                    .to_owned();
        }
    }
    record.ended_unix_ms = Some(at);
    record.verdict = Some(Verdict::Failed);
    if record.began_unix_ms.is_some() {
        let (elapsed_ms, counts) = measured(meta, &record);
        record.elapsed_ms = elapsed_ms;
        record.counts = counts;
    }
    let mut entries = Vec::new();
    if is_silent || !record.accepted {
        record.settle();
        if record.accepted {
            entries = settle(&record, record.used_endpoint_ms.unwrap_or(0), recovered);
        }
    } else {
        hold(meta, &record, recovered);
        recovered.unsettled.push(record.id);
    }
    let mut commit = Commit::new().urgent();
    for entry in &entries {
        let id = keys::ledger_id(&entry.id);
        let place = keys::ledger(entry.organization, entry.sequence);
        commit = commit
            .expect_absent(place.clone())
            .expect_absent(id.clone())
            .put(place, entry)
            .put(id, &entry.sequence);
    }
    let run = record.id;
    let (done, stored) = channel();
    control.commit(commit.put_run(Arc::new(record)), move |result| {
        // Nobody waits any more after the time limit.
        let _ = done.send(result);
    });
    match stored.recv_timeout(STORED_WITHIN) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            return Err(StoreError::Recovery {
                run,
                reason: error.to_string(),
            });
        }
        Err(_) => {
            return Err(StoreError::Recovery {
                run,
                reason: "the disk does not take it; make room on it".to_owned(),
            });
        }
    }
    recovered.ledger.confirm(&entries);
    for entry in &entries {
        let replay = recovered.replays.entry(entry.organization).or_default();
        replay.add(entry);
    }
    Ok(())
}

fn settle(record: &RunRecord, used: u64, recovered: &mut Recovered) -> Vec<LedgerEntry> {
    if record.reserved_endpoint_ms == 0 {
        return Vec::new();
    }
    let wanted = Wanted {
        endpoints: record.endpoints,
        duration: Millis(record.duration_ms),
    };
    recovered.ledger.adopt(
        record.organization,
        record.project,
        record.id,
        wanted,
        record.reserved_endpoint_ms,
    );
    let transfer = Transfer::Settle {
        run: record.id,
        used,
    };
    recovered
        .ledger
        .entries(now().unix_ms, record.organization, &[transfer])
}

/// Milliseconds up to the end of the last stored second, and the counts of the endpoints that had
/// reported. Nothing where the run's own storage cannot be read: it is kept, and settled to nothing.
fn measured(meta: &Meta, record: &RunRecord) -> (u64, Option<Counts>) {
    let read = || -> Result<(u64, Counts), StoreError> {
        let reader = Reader::open(meta, record.id)?;
        let seconds = reader.seconds_stored();
        let header = reader.header()?;
        Ok((
            u64::from(seconds).saturating_mul(1_000),
            counts(&reader, &header.test, record)?,
        ))
    };
    match read() {
        Ok((elapsed_ms, counts)) => (elapsed_ms, Some(counts)),
        Err(error) => {
            tracing::warn!(run = %record.id, %error, "what an unfinished run measured cannot be read");
            (0, None)
        }
    }
}

fn counts(reader: &Reader, test: &Test, record: &RunRecord) -> Result<Counts, StoreError> {
    let nobody: [NodeId; 0] = [];
    let mut aggregate = Aggregate::new(record.id, 0, test, &nobody);
    for endpoint in 0..test.endpoint_count() {
        if let Some(report) = reader.report(EndpointIndex(endpoint))? {
            aggregate.report(&report);
        }
    }
    Ok(aggregate.all_counts())
}

/// Entries read at once.
const ENTRIES_AT_ONCE: usize = 1_000;
/// An urgent commit goes before a full disk; where it still takes this long, people must help.
const STORED_WITHIN: Duration = Duration::from_secs(30);
