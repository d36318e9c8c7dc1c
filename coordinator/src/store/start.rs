//! How a data folder is opened: its lock, the checks of what is found, the count of starts.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use shared::wire::ClusterId;

use super::health::Gauges;
use super::open::{self, Kind, UNLOCK_TRIES, UNLOCK_WAIT};
use super::state::State;
use super::watermark::{self, Watermark};
use super::{StoreError, database, remove};

/// The control database while it is open.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) db: sled::Db,
    pub(super) control: sled::Tree,
    /// The log, for what sled's flush leaves to the system: its length and the disk's cache.
    pub(super) log: File,
}

/// What a start gives.
pub(super) struct Started {
    pub(super) database: Database,
    pub(super) watermark: Watermark,
    pub(super) epoch: u64,
    pub(super) cluster: ClusterId,
    /// Directories of runs whose deletion a crash interrupted.
    pub(super) deleted: Vec<PathBuf>,
}

/// As [`start`], which sled may panic in on a damaged database.
pub(super) fn guarded_start(
    directory: &Path,
    path: &Path,
    gauges: &Gauges,
) -> Result<Started, StoreError> {
    let start = AssertUnwindSafe(|| start(directory, path, gauges));
    catch_unwind(start).unwrap_or_else(|_| {
        Err(StoreError::Damaged {
            path: path.to_owned(),
            why: "reading it broke down".to_owned(),
        })
    })
}

/// Everything of the start that needs room on the disk.
fn start(directory: &Path, path: &Path, gauges: &Gauges) -> Result<Started, StoreError> {
    let before = fs::metadata(path.join("db")).map_or(0, |log| log.len());
    let (database, repaired) = open_control(path)?;
    if let Some(repaired) = repaired {
        gauges.repaired(&repaired);
    }
    let failed = super::database(path);
    let epoch = database.db.get(EPOCH).map_err(&failed)?;
    let epoch = epoch.and_then(|octets| Some(u64::from_be_bytes(*octets.first_chunk()?)));
    if epoch.is_none() && before > FIRST_START_MAX {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            why: "its log is not empty, and nothing of it can be read".to_owned(),
        });
    }
    let watermark = Watermark::open(path).map_err(sled::Error::Io);
    let watermark = watermark.map_err(&failed)?;
    check(&database.control, &watermark, path)?;
    let deleted = remove::finish(&directory.join(RUNS), &database.control, path)?;
    let epoch = epoch.map_or(1, |epoch| epoch.saturating_add(1));
    let inserted = database.db.insert(EPOCH, &epoch.to_be_bytes());
    inserted.map_err(&failed)?;
    let cluster = database.db.get(CLUSTER).map_err(&failed)?;
    let cluster = cluster.and_then(|octets| Some(u64::from_be_bytes(*octets.first_chunk()?)));
    let cluster = match cluster {
        Some(cluster) => cluster,
        None => {
            let made = new_cluster().map_err(sled::Error::Io).map_err(&failed)?;
            let inserted = database.db.insert(CLUSTER, &made.to_be_bytes());
            inserted.map_err(&failed)?;
            made
        }
    };
    database.db.flush().map_err(&failed)?;
    let synced = database.log.sync_data().map_err(sled::Error::Io);
    synced.map_err(&failed)?;
    Ok(Started {
        database,
        watermark,
        epoch,
        cluster: ClusterId(cluster),
        deleted,
    })
}

/// A random number that is not 0, which stands for none.
fn new_cluster() -> std::io::Result<u64> {
    let mut octets = [0; 8];
    getrandom::fill(&mut octets).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(u64::from_be_bytes(octets).max(1))
}

/// For a repair: nothing is missing that was there.
fn is_sound(db: &sled::Db, path: &Path) -> bool {
    let (Ok(control), Ok(watermark)) = (db.open_tree(CONTROL), Watermark::open(path)) else {
        return false;
    };
    matches!(db.get(EPOCH), Ok(Some(_))) && check(&control, &watermark, path).is_ok()
}

/// Refuses a database that is not as its newest commit left it.
pub(super) fn check(
    control: &sled::Tree,
    watermark: &Watermark,
    path: &Path,
) -> Result<(), StoreError> {
    let read = || -> sled::Result<(State, bool)> {
        let state = State::read(control)?;
        Ok((state, state.holds(control)?))
    };
    let damaged = |why: &str| StoreError::Damaged {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    // Reading everything meets every damaged page.
    let (state, holds) = read().map_err(|error| damaged(&error.to_string()))?;
    if let Some(known) = watermark.read().filter(|known| *known > state.number) {
        return Err(StoreError::Lost {
            path: path.to_owned(),
            lost: known - state.number,
            mark: watermark::path(path),
        });
    }
    if holds {
        Ok(())
    } else {
        Err(damaged("records are missing, or older than they were"))
    }
}

pub(super) fn open_control(path: &Path) -> Result<(Database, Option<String>), StoreError> {
    let mut tries = 0;
    let opened = loop {
        match open::open(path, Kind::Control, &|db| is_sound(db, path)) {
            // Ours is the folder's lock; sled's is let go of a moment after its last use.
            Err(StoreError::Locked { .. }) if tries < UNLOCK_TRIES => {
                tries += 1;
                std::thread::park_timeout(UNLOCK_WAIT);
            }
            other => break other?,
        }
    };
    let control = opened.db.open_tree(CONTROL).map_err(database(path))?;
    let log = File::open(path.join("db")).map_err(|source| StoreError::Directory {
        path: path.to_owned(),
        source,
    })?;
    let database = Database {
        db: opened.db,
        control,
        log,
    };
    Ok((database, opened.repaired))
}

/// Takes the folder for this process.
pub(super) fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| StoreError::Directory {
            path: path.clone(),
            source,
        })?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked {
            path: directory.to_owned(),
        }),
        Err(error) => Err(StoreError::Directory {
            path,
            source: error.into(),
        }),
    }
}

/// Octets of a log in which a first start may have died before it wrote anything: two segments.
const FIRST_START_MAX: u64 = 256 << 10;
const EPOCH: &[u8] = b"epoch";
const CLUSTER: &[u8] = b"cluster";
const CONTROL: &str = "control";
/// Databases of the runs.
pub(super) const RUNS: &str = "runs";
