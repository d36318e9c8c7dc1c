//! The handle of the control records: what the rest of the coordinator reads and changes them with.
//!
//! Reading is direct, and never shows what is not on disk yet. Every change goes through the storage
//! thread.

use std::ops::Bound;
use std::sync::mpsc::TrySendError;

use serde::de::DeserializeOwned;
use shared::api::Retention;
use shared::id::{OrganizationId, ProjectId, RunId};
use shared::wire::decode;
use tokio::sync::oneshot;

use super::commit::{Commit, CommitError};
use super::health::{Gauges, StorageHealth};
use super::index::RunIndex;
use super::keys::Key;
use super::meta::torn;
use super::packed::{self, Unpacked};
use super::writer::{Command, Queue};
use super::{Meta, StoreError, retention};

/// The control records. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    meta: Meta,
    queue: Queue,
}

/// Why a run was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeleteError {
    /// No such run of that organization.
    #[error("there is no such run")]
    Unknown,
    /// It has not ended, or a lost node may still call for it.
    #[error("the run has not ended, or ended seconds ago with a node lost; stop it first, or wait")]
    Live,
    /// It could not be stored.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Records with their keys.
type Rows<T> = Vec<(Key, T)>;

impl Control {
    pub(super) fn new(meta: Meta, queue: Queue) -> Self {
        Self { meta, queue }
    }

    /// Reads a record, and its octets for [`Guard::Unchanged`](super::commit::Guard).
    ///
    /// Blocks for a flush where the record is just being changed: milliseconds, at most 2 s.
    /// Errors: where the database cannot be read, or nobody can tell on a full disk whether a change
    /// of the record is stored.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        key: &Key,
    ) -> Result<Option<(T, Vec<u8>)>, StoreError> {
        for _ in 0..READ_TRIES {
            let read = self.meta.with_control(|tree| {
                let value = tree.get(key)?;
                value.map(|v| packed::unpack(tree, key, &v)).transpose()
            })?;
            let settled = self.meta.unflushed().is_settled(key);
            if !settled.ok_or(StoreError::Reopening)? {
                continue;
            }
            match read {
                None => return Ok(None),
                Some(Unpacked::Whole(octets)) => return Ok(Some((read_record(&octets)?, octets))),
                // Replaced while it was read, and flushed since; or damaged.
                Some(Unpacked::Torn) => {}
            }
        }
        Err(torn("the control plane"))
    }

    /// Reads records whose keys begin with a prefix, in the order of their keys, from the first one
    /// past `after`.
    pub(crate) fn scan<T: DeserializeOwned>(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Rows<T>, StoreError> {
        self.rows(prefix, |tree| {
            let from = after.unwrap_or(prefix).max(prefix).clone();
            let from = match after {
                Some(_) => Bound::Excluded(from),
                None => Bound::Included(from),
            };
            let range = tree.range::<Key, _>((from, Bound::Unbounded));
            take(tree, range, prefix, limit)
        })
    }

    /// As [`Self::scan`] from the end: the last one before `before` comes first.
    pub(crate) fn scan_back<T: DeserializeOwned>(
        &self,
        prefix: &Key,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Rows<T>, StoreError> {
        self.rows(prefix, |tree| {
            let end = match (before, past(prefix)) {
                (Some(before), _) => Bound::Excluded(before.clone()),
                (None, Some(past)) => Bound::Excluded(past),
                (None, None) => Bound::Unbounded,
            };
            let range = tree.range::<Key, _>((Bound::Unbounded, end));
            take(tree, range.rev(), prefix, limit)
        })
    }

    /// How many records have a prefix, at most `limit`.
    #[cfg(test)]
    pub(crate) fn count(&self, prefix: &Key, limit: usize) -> Result<usize, StoreError> {
        for _ in 0..READ_TRIES {
            let count = self.meta.with_control(|tree| {
                let keys = tree.scan_prefix(prefix).keys().take(limit);
                keys.map(|key| key.map(|_| 1)).sum::<sled::Result<usize>>()
            })?;
            let settled = self.meta.unflushed().is_prefix_settled(prefix);
            if settled.ok_or(StoreError::Reopening)? {
                return Ok(count);
            }
        }
        Err(StoreError::Reopening)
    }

    /// Changes records. `done` is called on the storage thread once all of it is on disk, or with
    /// why nothing of it is; it must neither block nor push to the storage thread.
    ///
    /// Where the queue is full, `done` is called at once on this thread, except for urgent commits:
    /// these wait for their place. Where the storage thread has ended, it is dropped uncalled.
    pub(crate) fn commit(
        &self,
        commit: Commit,
        done: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) {
        let urgent = commit.urgent;
        let command = Command::Commit(commit, Box::new(done));
        if urgent {
            // Gone: the answer's owner learns of it by the drop.
            let _ = self.queue.push(command);
            return;
        }
        if let Err(TrySendError::Full(Command::Commit(_, done))) = self.queue.offer(command) {
            Gauges::count(&self.meta.gauges().commits_queue);
            done(Err(CommitError::Failed(QUEUE_FULL.to_owned())));
        }
    }

    /// As [`Self::commit`], awaited.
    pub(crate) async fn committed(&self, commit: Commit) -> Result<(), CommitError> {
        let (sender, answer) = oneshot::channel();
        self.commit(commit, move |result| {
            // Whoever waited may have given up.
            let _ = sender.send(result);
        });
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// The runs in memory.
    pub(crate) fn runs(&self) -> &RunIndex {
        self.meta.runs()
    }

    /// Deletes a run that has ended: its record, its place in the index, its directory.
    ///
    /// On disk before the answer, but for the directory's content, which is removed in the
    /// background (a crash in between is finished at the next start). Ledger entries stay.
    pub(crate) async fn delete_run(
        &self,
        organization: OrganizationId,
        run: RunId,
    ) -> Result<(), DeleteError> {
        let mut answers = self.delete_runs(organization, vec![run]).await?;
        answers.pop().unwrap_or_else(|| Err(gone().into()))
    }

    /// Deletes what a project's retention no longer keeps; answers how many runs went.
    ///
    /// Errors: the first one of storage; runs that were deleted before it stay deleted.
    pub(crate) async fn apply_retention(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        retention: Retention,
        now_unix_ms: u64,
    ) -> Result<usize, CommitError> {
        let runs = self.runs().of_project(organization, project);
        let runs = runs.iter().map(AsRef::as_ref);
        let gone = retention::expired(runs, retention, now_unix_ms);
        let mut deleted = 0;
        for some in gone.chunks(DELETE_AT_ONCE) {
            for answer in self.delete_runs(organization, some.to_vec()).await? {
                match answer {
                    Ok(()) => deleted += 1,
                    Err(DeleteError::Commit(error)) => return Err(error),
                    // Deleted by someone else meanwhile; an ended run never lives again.
                    Err(DeleteError::Unknown | DeleteError::Live) => {}
                }
            }
        }
        Ok(deleted)
    }

    /// How storage fares.
    pub(crate) fn health(&self) -> StorageHealth {
        self.meta.gauges().health()
    }

    async fn delete_runs(
        &self,
        organization: OrganizationId,
        runs: Vec<RunId>,
    ) -> Result<Vec<Result<(), DeleteError>>, CommitError> {
        let (sender, answer) = oneshot::channel();
        let done = Box::new(move |answers| {
            // Whoever waited may have given up.
            let _ = sender.send(answers);
        });
        match self.queue.offer(Command::Delete(organization, runs, done)) {
            Ok(()) => answer.await.map_err(|_| gone()),
            Err(TrySendError::Full(_)) => {
                Gauges::count(&self.meta.gauges().commits_queue);
                Err(CommitError::Failed(QUEUE_FULL.to_owned()))
            }
            Err(TrySendError::Disconnected(_)) => Err(gone()),
        }
    }

    /// Reads until what was read is on disk; the last time with the storage thread held off, since a
    /// busy prefix is always changing.
    fn rows<T: DeserializeOwned>(
        &self,
        prefix: &Key,
        read: impl Fn(&sled::Tree) -> sled::Result<Vec<(Key, Unpacked)>>,
    ) -> Result<Rows<T>, StoreError> {
        for turn in 0..SCAN_TRIES {
            let last = turn + 1 == SCAN_TRIES;
            let held = match last {
                true => Some(self.meta.unflushed().hold().ok_or(StoreError::Reopening)?),
                false => None,
            };
            let rows = self.meta.with_control(&read)?;
            let whole = |(_, row): &(Key, Unpacked)| *row != Unpacked::Torn;
            if held.is_none() {
                let settled = self.meta.unflushed().is_prefix_settled(prefix);
                if !settled.ok_or(StoreError::Reopening)? || !rows.iter().all(whole) {
                    continue;
                }
            }
            let read = rows.into_iter().map(|(key, row)| match row {
                Unpacked::Whole(octets) => Ok((key, read_record(&octets)?)),
                Unpacked::Torn => Err(torn("the control plane")),
            });
            return read.collect();
        }
        Err(StoreError::Reopening)
    }
}

fn take(
    tree: &sled::Tree,
    range: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
    prefix: &Key,
    limit: usize,
) -> sled::Result<Vec<(Key, Unpacked)>> {
    let mut rows = Vec::new();
    for entry in range.take(limit) {
        let (key, value) = entry?;
        if !key.starts_with(prefix) {
            break;
        }
        let record = packed::unpack(tree, &key, &value)?;
        rows.push((key.to_vec(), record));
    }
    Ok(rows)
}

/// The first key past all that begin with a prefix; none where there is none.
fn past(prefix: &Key) -> Option<Key> {
    let mut past = prefix.clone();
    while let Some(last) = past.pop() {
        if last < u8::MAX {
            past.push(last + 1);
            return Some(past);
        }
    }
    None
}

fn read_record<T: DeserializeOwned>(octets: &[u8]) -> Result<T, StoreError> {
    decode(octets).map_err(|source| StoreError::Record {
        what: "the control plane",
        source,
    })
}

fn gone() -> CommitError {
    CommitError::Failed(StoreError::Gone.to_string())
}

const QUEUE_FULL: &str = "the storage has too much to write; try again in a moment";
/// Times a record is read that changes under the reader.
const READ_TRIES: u32 = 16;
/// Times a range is read; the last one with the storage thread held off.
const SCAN_TRIES: u32 = 3;
/// Runs of one deletion: the thread does nothing else meanwhile.
const DELETE_AT_ONCE: usize = 200;
