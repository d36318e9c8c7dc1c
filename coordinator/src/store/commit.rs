//! A commit: what must hold, and what is then written, all of it or nothing.

use std::sync::Arc;

use serde::Serialize;
use shared::id::{OrganizationId, RunId};
use shared::wire::encode;
use thiserror::Error;

use super::keys::{self, Key};
use crate::core::record::RunRecord;

/// A condition, checked on the storage thread right before the writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// No record has the key.
    Absent(Key),
    /// A record has it.
    Present(Key),
    /// The record has these octets, as `Control::get` gave them.
    Unchanged(Key, Vec<u8>),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// The record of the key becomes these octets (an envelope).
    Put(Key, Vec<u8>),
    /// The key has no record any more; nothing where it had none.
    Delete(Key),
}

/// Why a commit changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CommitError {
    /// The guard of this number (from 0) does not hold.
    #[error("another change came first (guard {0})")]
    Conflict(usize),
    /// The disk is full; only ends of runs are stored. See `Commit::urgent`.
    #[error(
        "the disk is full: make room on the file system of the data folder; runs that have not begun are refused until then"
    )]
    StorageFull,
    /// It could not be stored, or the queue is full; the sentence says which.
    #[error("{0}")]
    Failed(String),
}

/// One atomic change of the control records. Of several writes of one key, the last one counts.
///
/// Bounds: [`WRITES_MAX`] writes; more is `Failed`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commit {
    pub(crate) guards: Vec<Guard>,
    pub(crate) writes: Vec<Write>,
    /// Goes before a full disk and a full queue: ends and settlements of runs.
    pub(super) urgent: bool,
    /// What the index of runs shows after the flush.
    pub(super) runs: Vec<RunChange>,
    /// A record could not be encoded.
    pub(super) broken: Option<String>,
}

/// A change of the index of runs.
#[derive(Clone, Debug)]
pub(crate) enum RunChange {
    /// New or changed.
    Put(Arc<RunRecord>),
    /// Gone.
    Delete(OrganizationId, RunId),
}

impl Commit {
    /// Without guards and writes.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Writes a record.
    #[must_use]
    pub(crate) fn put<T: Serialize + ?Sized>(mut self, key: Key, record: &T) -> Self {
        match encode(record) {
            Ok(octets) => self.writes.push(Write::Put(key, octets.to_vec())),
            Err(error) => self.broken = Some(format!("a record cannot be stored: {error}")),
        }
        self
    }

    /// Deletes a record, if there is one.
    #[must_use]
    pub(crate) fn delete(mut self, key: Key) -> Self {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Writes a run's record; the index shows it after the flush.
    #[must_use]
    pub(crate) fn put_run(mut self, record: Arc<RunRecord>) -> Self {
        self = self.put(keys::run(record.organization, record.id), &*record);
        self.runs.push(RunChange::Put(record));
        self
    }

    /// Deletes a run's record; the index forgets it after the flush. Its directory stays.
    #[must_use]
    pub(super) fn delete_run(mut self, organization: OrganizationId, run: RunId) -> Self {
        self = self.delete(keys::run(organization, run));
        self.runs.push(RunChange::Delete(organization, run));
        self
    }

    /// Only where no record has the key.
    #[must_use]
    pub(crate) fn expect_absent(mut self, key: Key) -> Self {
        self.guards.push(Guard::Absent(key));
        self
    }

    /// Only where a record has the key.
    #[must_use]
    pub(crate) fn expect_present(mut self, key: Key) -> Self {
        self.guards.push(Guard::Present(key));
        self
    }

    /// Only where the record is as it was read.
    #[must_use]
    pub(crate) fn expect_unchanged(mut self, key: Key, octets: Vec<u8>) -> Self {
        self.guards.push(Guard::Unchanged(key, octets));
        self
    }

    /// Runs whose records it changes.
    pub(super) fn changed_runs(&self) -> impl Iterator<Item = RunId> {
        self.runs.iter().map(|change| match change {
            RunChange::Put(record) => record.id,
            RunChange::Delete(_, run) => *run,
        })
    }

    /// Octets of all records, for the room on the disk.
    pub(super) fn octets(&self) -> u64 {
        let octets = self.writes.iter().map(|write| match write {
            Write::Put(key, octets) => key.len() + octets.len(),
            Write::Delete(_) => 0,
        });
        octets.sum::<usize>() as u64
    }

    /// The end of a run, its settlement, or what makes room (a deletion): stored also on a full
    /// disk, waits for its place in a full queue, and is tried again until it is stored.
    #[must_use]
    pub(crate) fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }
}

/// Writes of one commit: an import of 100,000 accounts with three records each.
pub(crate) const WRITES_MAX: usize = 400_000;
