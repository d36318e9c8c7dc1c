//! The data directory: which runs there are, the start counter, and the runs that are open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use shared::id::RunId;
use shared::phase::RunStatus;
use shared::result::StatusMove;
use shared::wire::{decode, encode};

use super::{RunIndex, RunStore, StoreError, database, open};

/// The data directory, locked for this process. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    path: PathBuf,
    db: sled::Db,
    runs: sled::Tree,
    index: RunIndex,
    open: Mutex<BTreeMap<RunId, Arc<RunStore>>>,
}

/// A run in the list of runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Listed {
    status: RunStatus,
}

impl Meta {
    /// Opens or makes a data directory, counts this start, and returns the count: the epoch.
    ///
    /// Errors: [`StoreError::Locked`] where another coordinator has it open.
    pub(crate) fn open(directory: &Path) -> Result<(Self, u64), StoreError> {
        let path = directory.join("meta");
        let db = open::open(&path)?;
        let runs = db.open_tree("runs").map_err(database(&path))?;
        let before = db.get(EPOCH).map_err(database(&path))?;
        let epoch = before
            .and_then(|octets| Some(u64::from_be_bytes(*octets.first_chunk()?)))
            .map_or(1, |epoch| epoch.saturating_add(1));
        db.insert(EPOCH, &epoch.to_be_bytes())
            .map_err(database(&path))?;
        db.flush().map_err(database(&path))?;
        let meta = Self {
            inner: Arc::new(Inner {
                directory: directory.to_owned(),
                path,
                db,
                runs,
                index: RunIndex::default(),
                open: Mutex::default(),
            }),
        };
        Ok((meta, epoch))
    }

    /// Makes a new run's database.
    pub(super) fn create(&self, run: RunId) -> Result<Arc<RunStore>, StoreError> {
        let mut open = self.lock();
        // Two readers may both find the run closed; sled opens a directory only once.
        if let Some(store) = open.get(&run) {
            return Ok(Arc::clone(store));
        }
        let idle = |store: &Arc<RunStore>| Arc::strong_count(store) == 1;
        while open.len() >= OPEN_RUNS_MAX {
            let Some(oldest) = open
                .iter()
                .find_map(|(run, store)| idle(store).then_some(*run))
            else {
                break;
            };
            open.remove(&oldest);
        }
        let store = Arc::new(RunStore::open(&self.run_path(run))?);
        open.insert(run, Arc::clone(&store));
        Ok(store)
    }

    /// The database of a run that exists.
    ///
    /// Errors: [`StoreError::UnknownRun`] where it does not.
    pub(crate) fn run(&self, run: RunId) -> Result<Arc<RunStore>, StoreError> {
        if let Some(store) = self.lock().get(&run) {
            return Ok(Arc::clone(store));
        }
        if !self.run_path(run).is_dir() {
            return Err(StoreError::UnknownRun);
        }
        self.create(run)
    }

    /// Keeps a run's newest status in the list; on disk when this returns.
    pub(super) fn list(&self, run: RunId, status: RunStatus) -> Result<(), StoreError> {
        let octets = encode(&Listed { status }).map_err(|source| StoreError::Record {
            what: "the list of runs",
            source,
        })?;
        self.inner
            .runs
            .insert(run.0.to_be_bytes(), octets.as_ref())
            .and_then(|_| self.inner.db.flush())
            .map_err(database(&self.inner.path))?;
        Ok(())
    }

    /// Ends the runs that an earlier coordinator left alive: their nodes' orders died with it.
    /// Returns how many.
    pub(crate) fn end_orphans(&self, unix_ms: u64) -> Result<usize, StoreError> {
        let mut ended = 0;
        for entry in &self.inner.runs {
            let (key, value) = entry.map_err(database(&self.inner.path))?;
            let listed: Listed = decode(&value).map_err(|source| StoreError::Record {
                what: "the list of runs",
                source,
            })?;
            let Some(id) = key.first_chunk() else {
                continue;
            };
            let run = RunId(u64::from_be_bytes(*id));
            if listed.status.is_terminal() {
                continue;
            }
            let step = StatusMove {
                status: RunStatus::Failed,
                at_unix_ms: unix_ms,
                reason: "coordinator_restart".to_owned(),
                sentence: "The coordinator ended while this run was going on; what was stored before is kept. Start it again.".to_owned(),
            };
            self.run(run)?.put_move(&step)?;
            self.list(run, RunStatus::Failed)?;
            ended += 1;
        }
        Ok(ended)
    }

    /// The runs in memory.
    pub(crate) fn runs(&self) -> &RunIndex {
        &self.inner.index
    }

    fn run_path(&self, run: RunId) -> PathBuf {
        self.inner.directory.join("runs").join(run.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Arc<RunStore>>> {
        self.inner
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

const EPOCH: &[u8] = b"epoch";
/// Databases that stay open for readers; the oldest run's that nobody uses is closed for a new one.
const OPEN_RUNS_MAX: usize = 32;
