//! Storage: the only place that knows sled.
//!
//! `<data-dir>/meta` is one small database (the runs and the start counter) that is open as long as
//! the coordinator lives, so its lock keeps a second coordinator out. `<data-dir>/runs/<run>` is a
//! database of its own for each run: damage is confined to one run, deleting is removing a directory.
//! Values stay below 7 KiB, metrics are stored by columns (DESIGN 7, reference measurements of sled).

mod block;
mod checkpoint;
mod column;
mod commit;
mod control;
mod delete;
mod group;
mod health;
mod index;
pub(crate) mod keys;
mod meta;
mod open;
mod packed;
mod pages;
mod parts;
mod read;
mod remove;
mod retention;
mod run;
mod snapshots;
mod space;
mod start;
mod state;
mod unflushed;
mod watermark;
mod writer;

pub(crate) use commit::{Commit, CommitError};
pub(crate) use control::{Control, DeleteError};
pub(crate) use health::{FLUSH_BOUNDS_US, FlushHistogram, StorageHealth};
pub(crate) use index::{RunCursor, RunIndex, RunQuery, RunSort};
pub(crate) use keys::Key;
pub(crate) use meta::Meta;
pub(crate) use pages::{Series, Window};
pub(crate) use read::{Header, Reader};
pub(crate) use run::{Held, RunStore};
pub(crate) use writer::{Command, Writer};

use std::path::PathBuf;

use shared::wire::EnvelopeError;
use thiserror::Error;

/// What can go wrong with storage.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// Another process holds the database.
    #[error(
        "{path} is in use by another carillon process; wait for it to end, or give another --data-dir"
    )]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// A directory cannot be made or read.
    #[error("{path}: {source}; check that the directory may be written and the disk has room")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// sled cannot open or use the database.
    #[error(
        "the database {path} cannot be used: {source}; check the disk, or move the directory away to start anew"
    )]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        source: sled::Error,
    },
    /// The files themselves are bad, and no repair helped.
    #[error(
        "the database {path} is damaged beyond repair ({why}); bring back a copy of the directory, or move it away to start without it"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// Records that were on disk are gone.
    #[error(
        "the database {path} has lost its newest {lost} changes, though they were stored; bring back a copy of the directory, or remove {mark} to start without them"
    )]
    Lost {
        /// Which.
        path: PathBuf,
        /// How many commits.
        lost: u64,
        /// What to remove to go on.
        mark: PathBuf,
    },
    /// No room on the disk.
    #[error(
        "storage_full: the disk under the data folder is full; make room on that file system, everything is stored again by itself then"
    )]
    Full,
    /// The control database is closed after an error of the disk.
    #[error("the storage is being opened anew after an error of the disk; try again in a moment")]
    Reopening,
    /// A record cannot be written or read.
    #[error("a stored record of {what} cannot be read: {source}")]
    Record {
        /// Of what.
        what: &'static str,
        /// Why.
        source: EnvelopeError,
    },
    /// A record's parts are incomplete or cannot be decompressed.
    #[error("a stored record of {what} is damaged: {source}")]
    Parts {
        /// Of what.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A run of an earlier coordinator cannot be ended.
    #[error("run {run}, which an earlier coordinator left alive, cannot be ended: {reason}")]
    Recovery {
        /// Which.
        run: shared::id::RunId,
        /// Why.
        reason: String,
    },
    /// There is no such run.
    #[error("there is no such run")]
    UnknownRun,
    /// The writer's thread is gone.
    #[error("the storage thread has ended")]
    Gone,
}

impl StoreError {
    /// True where there is no room on the disk.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Full)
    }
}

/// sled's own errors on one database.
pub(crate) fn database(path: &std::path::Path) -> impl Fn(sled::Error) -> StoreError + '_ {
    |source| {
        if space::sled_is_full(&source) {
            return StoreError::Full;
        }
        StoreError::Database {
            path: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests;
