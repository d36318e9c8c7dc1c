//! The start: the books are read, and the runs that an earlier coordinator left alive are ended.
//!
//! Their nodes' orders died with it. Each ends FAILED with `coordinator_restart` and is settled once,
//! to what it used up to the last second that is stored: its record and its settlement are one commit,
//! so a crash in here changes nothing or ends it for good.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use shared::api::LedgerEntry;
use shared::definition::Test;
use shared::id::{EndpointIndex, NodeId};
use shared::phase::RunStatus;
use shared::result::{Counts, StatusMove, Verdict};
use shared::units::Millis;

use super::audit::Replays;
use super::coordinator::now;
use super::drain;
use crate::core::aggregate::Aggregate;
use crate::core::ledger::{Ledger, Transfer};
use crate::core::limits::Wanted;
use crate::core::record::RunRecord;
use crate::store::{Commit, Control, Meta, Reader, StoreError, keys};

/// What the start found.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(super) ledger: Ledger,
    pub(super) replays: Replays,
    /// Nodes that an operator drained.
    pub(super) drained: BTreeSet<NodeId>,
    /// Runs that were ended.
    pub(crate) ended: usize,
}

/// Reads the books and ends what was left alive.
///
/// Errors: where the control records cannot be read or written.
pub(crate) fn recover(meta: &Meta, control: &Control, epoch: u64) -> Result<Recovered, StoreError> {
    let mut recovered = Recovered::default();
    read(control, &mut recovered)?;
    recovered.drained = drain::stored(control)?;
    let left = control.runs().all(|record| !record.status().is_terminal());
    for record in left {
        end(meta, control, epoch, &record, &mut recovered)?;
        recovered.ended += 1;
    }
    Ok(recovered)
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

fn end(
    meta: &Meta,
    control: &Control,
    epoch: u64,
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
    record.settled = true;
    if record.began_unix_ms.is_some() {
        let (elapsed_ms, counts) = measured(meta, epoch, &record);
        record.elapsed_ms = elapsed_ms;
        record.counts = counts;
    }
    let mut commit = Commit::new().urgent();
    let mut entries = Vec::new();
    if record.accepted {
        let span = record.elapsed_ms.min(record.duration_ms);
        let used = u64::from(record.endpoints).saturating_mul(span);
        let used = used.min(record.reserved_endpoint_ms);
        record.used_endpoint_ms = Some(used);
        entries = settle(&record, used, recovered);
    }
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
fn measured(meta: &Meta, epoch: u64, record: &RunRecord) -> (u64, Option<Counts>) {
    let read = || -> Result<(u64, Counts), StoreError> {
        let reader = Reader::open(meta, record.id)?;
        let seconds = reader.seconds_stored();
        let header = reader.header()?;
        Ok((
            u64::from(seconds).saturating_mul(1_000),
            counts(&reader, epoch, &header.test, record)?,
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

fn counts(
    reader: &Reader,
    epoch: u64,
    test: &Test,
    record: &RunRecord,
) -> Result<Counts, StoreError> {
    let nobody: [NodeId; 0] = [];
    let mut aggregate = Aggregate::new(record.id, epoch, test, &nobody);
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
