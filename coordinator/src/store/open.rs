//! Opening a sled database with its known troubles in mind.
//!
//! A cut or stale snapshot makes sled 0.34.7 refuse to open for ever although the log is whole
//! (spacejam/sled#1527, #1533); without the snapshot it reads the log. Some damage makes it panic.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::StoreError;

/// Opens or makes the database at `path`.
///
/// Errors: [`StoreError::Locked`] where another process has it; else what to check.
pub(super) fn open(path: &Path) -> Result<sled::Db, StoreError> {
    fs::create_dir_all(path).map_err(|source| StoreError::Directory {
        path: path.to_owned(),
        source,
    })?;
    match attempt(path) {
        Err(StoreError::Locked { path }) => Err(StoreError::Locked { path }),
        Err(first) => {
            if remove_snapshots(path) {
                tracing::warn!(path = %path.display(), error = %first, "removed sled snapshots, reading the log instead");
                attempt(path)
            } else {
                Err(first)
            }
        }
        Ok(db) => Ok(db),
    }
}

fn attempt(path: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(path)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(CACHE)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    // sled panics on some damaged files; nothing of ours is inside, so nothing is left half-done.
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(error))) if is_lock(&error) => Err(StoreError::Locked {
            path: path.to_owned(),
        }),
        Ok(Err(source)) => Err(StoreError::Database {
            path: path.to_owned(),
            source,
        }),
        Err(_) => Err(StoreError::Damaged {
            path: path.to_owned(),
        }),
    }
}

/// sled wraps the refused lock into an error of kind `Other` with its own words.
fn is_lock(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::WouldBlock
        || error.to_string().contains("could not acquire lock")
}

/// Removes `snap.*` files; true where there was one.
fn remove_snapshots(path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(path) else {
        return false;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("snap."))
        .filter(|entry| fs::remove_file(entry.path()).is_ok())
        .count()
        > 0
}

/// Octets of page cache: runs are written once and read in order.
const CACHE: u64 = 16 << 20;
/// At most a second of frames is lost where the power goes.
const FLUSH_EVERY_MS: u64 = 1_000;
