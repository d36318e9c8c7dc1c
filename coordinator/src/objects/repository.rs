//! What all kinds of objects share: reading records, committing, names, revisions, retries.
//!
//! Owns the way in which a change is made race-free: read, decide, commit with guards on what was
//! read, and once more from the start where another change came first.

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::id::OrganizationId;

use super::{ObjectError, Objects};
use crate::store::keys::{self, NameKind};
use crate::store::{Commit, CommitError, Key, StoreError};

/// What every call of this module answers.
pub(super) type Answer<T> = Result<T, ObjectError>;

/// A record that has a name and a revision.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// Among which names its own is unique.
    const KIND: NameKind;
    fn id(&self) -> u64;
    fn name(&self) -> &str;
}

/// A record as it was read, with its octets for the guard.
pub(super) struct Read<T> {
    pub(super) record: T,
    pub(super) octets: Vec<u8>,
}

/// Where a name has to be unique.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) organization: OrganizationId,
    /// The project, or 0.
    pub(super) parent: u64,
}

impl Owner {
    /// Plans and organizations.
    pub(super) const INSTALLATION: Self = Self {
        organization: OrganizationId(0),
        parent: 0,
    };
}

/// Why an attempt ended without a result.
pub(super) enum Stop {
    /// Another change came first: begin anew.
    Again,
    Error(ObjectError),
}

impl From<ObjectError> for Stop {
    fn from(error: ObjectError) -> Self {
        Self::Error(error)
    }
}

impl From<StoreError> for ObjectError {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl Objects {
    /// A record, if there is one.
    pub(super) fn find<T: DeserializeOwned>(&self, key: &Key) -> Answer<Option<Read<T>>> {
        let found = self.inner.control.get::<T>(key)?;
        Ok(found.map(|(record, octets)| Read { record, octets }))
    }

    /// A record that has to be there.
    pub(super) fn read<T: DeserializeOwned>(&self, key: &Key) -> Answer<Read<T>> {
        self.find(key)?.ok_or(ObjectError::NotFound)
    }

    /// The first `most` records below a prefix, in the order of their keys.
    pub(super) fn all<T: DeserializeOwned>(&self, prefix: &Key, most: usize) -> Answer<Vec<T>> {
        let found = self.inner.control.scan::<T>(prefix, None, most)?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// Commits, flushed when this returns.
    pub(super) async fn commit(&self, commit: Commit) -> Result<(), Stop> {
        match self.inner.control.committed(commit).await {
            Ok(()) => Ok(()),
            Err(CommitError::Conflict(_)) => Err(Stop::Again),
            Err(CommitError::StorageFull) => Err(ObjectError::StorageFull.into()),
            Err(CommitError::Failed(why)) => Err(ObjectError::Storage(why).into()),
        }
    }

    /// Repeats a step while other changes come first.
    ///
    /// Bounds: [`ATTEMPTS`]; one of any number of contenders succeeds in each round.
    pub(super) async fn attempt<T>(&self, step: impl AsyncFn() -> Result<T, Stop>) -> Answer<T> {
        for _ in 0..ATTEMPTS {
            match step().await {
                Ok(value) => return Ok(value),
                Err(Stop::Again) => {}
                Err(Stop::Error(error)) => return Err(error),
            }
        }
        let why = format!("other changes came first {ATTEMPTS} times");
        Err(ObjectError::Storage(why))
    }

    /// Makes a record with its name, beside what `commit` already has.
    pub(super) async fn insert<T: Record>(
        &self,
        commit: Commit,
        key: Key,
        owner: Owner,
        record: &T,
    ) -> Result<(), Stop> {
        let name = self.free_name(owner, record)?;
        let commit = commit
            .expect_absent(key.clone())
            .expect_absent(name.clone())
            .put(key, record)
            .put(name, &record.id());
        self.commit(commit).await
    }

    /// Puts `new` in the place of `old`, with its new name where that changed.
    pub(super) async fn replace<T: Record>(
        &self,
        mut commit: Commit,
        key: Key,
        owner: Owner,
        old: Read<T>,
        new: &T,
    ) -> Result<(), Stop> {
        if old.record.name() != new.name() {
            let name = self.free_name(owner, new)?;
            commit = commit
                .expect_absent(name.clone())
                .delete(name_key(owner, &old.record))
                .put(name, &new.id());
        }
        let commit = commit
            .expect_unchanged(key.clone(), old.octets)
            .put(key, new);
        self.commit(commit).await
    }

    /// Deletes a record and its name. Deleting makes room, so it also works on a full disk.
    pub(super) async fn remove<T: Record>(
        &self,
        commit: Commit,
        key: Key,
        owner: Owner,
        old: Read<T>,
    ) -> Result<(), Stop> {
        let commit = commit
            .expect_unchanged(key.clone(), old.octets)
            .delete(name_key(owner, &old.record))
            .delete(key)
            .urgent();
        self.commit(commit).await
    }

    /// Refuses one more object than a parent may have.
    pub(super) fn room(
        &self,
        kind: NameKind,
        owner: Owner,
        what: &'static str,
        limit: usize,
    ) -> Answer<()> {
        let prefix = keys::names(kind, owner.organization, owner.parent);
        if self.all::<u64>(&prefix, limit)?.len() >= limit {
            return Err(ObjectError::TooMany { what, limit });
        }
        Ok(())
    }

    fn free_name<T: Record>(&self, owner: Owner, record: &T) -> Answer<Key> {
        let name = name_key(owner, record);
        let holder = self.find::<u64>(&name)?;
        if holder.is_some_and(|holder| holder.record != record.id()) {
            return Err(ObjectError::NameTaken { field: "name" });
        }
        Ok(name)
    }
}

fn name_key<T: Record>(owner: Owner, record: &T) -> Key {
    keys::name(T::KIND, owner.organization, owner.parent, record.name())
}

/// Refuses a change of something that the caller has read at another revision.
pub(super) fn unchanged(expected: Option<u64>, current: u64) -> Answer<()> {
    match expected {
        Some(expected) if expected != current => Err(ObjectError::RevisionMismatch { current }),
        _ => Ok(()),
    }
}

/// Rounds that a change may lose against others: more than requests that one server takes at once.
const ATTEMPTS: u32 = 2_000;
