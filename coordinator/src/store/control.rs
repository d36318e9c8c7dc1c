//! The handle of the control records: what the rest of the coordinator reads and changes them with.
//!
//! Reading is direct, and never shows what is not on disk yet. Every change goes through the storage
//! thread.

use serde::de::DeserializeOwned;
use shared::api::Retention;
use shared::id::{OrganizationId, ProjectId, RunId};

use super::commit::{Commit, CommitError};
use super::health::StorageHealth;
use super::index::RunIndex;
use super::keys::Key;
use super::{Meta, StoreError};

/// The control records. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    meta: Meta,
}

/// Why a run was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeleteError {
    /// No such run of that organization.
    #[error("there is no such run")]
    Unknown,
    /// It has not ended.
    #[error("the run has not ended; stop it first")]
    Live,
    /// It could not be stored.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Control {
    pub(super) fn new(meta: Meta) -> Self {
        Self { meta }
    }

    /// Reads a record, and its octets for [`Guard::Unchanged`](super::commit::Guard).
    ///
    /// Blocks for a flush where the record is just being changed: milliseconds.
    /// Errors: where the database cannot be read, or is being opened anew after a full disk.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        key: &Key,
    ) -> Result<Option<(T, Vec<u8>)>, StoreError> {
        let _ = key;
        Err(StoreError::Gone)
    }

    /// Reads records whose keys begin with a prefix, in the order of their keys, from the first one
    /// past `after`.
    pub(crate) fn scan<T: DeserializeOwned>(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, T)>, StoreError> {
        let _ = (prefix, after, limit);
        Err(StoreError::Gone)
    }

    /// As [`Self::scan`] from the end: the last one before `before` comes first.
    pub(crate) fn scan_back<T: DeserializeOwned>(
        &self,
        prefix: &Key,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, T)>, StoreError> {
        let _ = (prefix, before, limit);
        Err(StoreError::Gone)
    }

    /// How many records have a prefix, at most `limit`.
    pub(crate) fn count(&self, prefix: &Key, limit: usize) -> Result<usize, StoreError> {
        let _ = (prefix, limit);
        Err(StoreError::Gone)
    }

    /// Changes records. `done` is called on the storage thread once all of it is on disk, or with
    /// why nothing of it is; it must not block.
    ///
    /// Where the queue is full, `done` is called at once, except for urgent commits: these wait for
    /// their place.
    pub(crate) fn commit(
        &self,
        commit: Commit,
        done: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) {
        let _ = commit;
        done(Err(CommitError::Failed("not yet".to_owned())));
    }

    /// As [`Self::commit`], awaited.
    pub(crate) async fn committed(&self, commit: Commit) -> Result<(), CommitError> {
        let _ = commit;
        Err(CommitError::Failed("not yet".to_owned()))
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
        let _ = (organization, run);
        Err(DeleteError::Unknown)
    }

    /// Deletes what a project's retention no longer keeps; answers how many runs went.
    pub(crate) async fn apply_retention(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        retention: Retention,
        now_unix_ms: u64,
    ) -> Result<usize, CommitError> {
        let _ = (organization, project, retention, now_unix_ms);
        Err(CommitError::Failed("not yet".to_owned()))
    }

    /// How storage fares.
    pub(crate) fn health(&self) -> StorageHealth {
        super::health::Gauges::default().health()
    }
}
