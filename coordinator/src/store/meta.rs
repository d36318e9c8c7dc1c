//! The data folder: its lock, the control database, the runs in memory, and the run databases that
//! are open. Readers go through here directly; only the storage thread writes.
//!
//! The control database can be opened anew while readers go on: after an error of the disk, sled
//! refuses everything until then.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use shared::id::RunId;
use shared::wire::{ClusterId, decode};

use super::checkpoint::{self, Checkpoints};
use super::commit::RunChange;
use super::health::Gauges;
use super::keys;
use super::packed::{self, Unpacked};
use super::space::{Probe, Space};
use super::start::{Database, RUNS, Started, check, guarded_start, lock, open_control};
use super::state::State;
use super::unflushed::Unflushed;
use super::watermark::Watermark;
use super::{RunIndex, RunStore, StoreError, database, remove};

/// The data folder, locked for this process. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    path: PathBuf,
    cluster: ClusterId,
    epoch: u64,
    /// Held for the life of this value: the database itself may be closed and opened again.
    _lock: File,
    watermark: Watermark,
    /// A test has this many flushes fail.
    #[cfg(test)]
    failing: std::sync::atomic::AtomicU32,
    database: RwLock<Option<Database>>,
    /// A reader met an error of the disk: the storage thread opens the database anew.
    suspect: AtomicBool,
    unflushed: Unflushed,
    index: RunIndex,
    gauges: Arc<Gauges>,
    space: Mutex<Space>,
    open: Mutex<BTreeMap<RunId, Arc<RunStore>>>,
}

impl Meta {
    /// Opens or makes a data folder, counts this start, and returns the count: the epoch.
    ///
    /// On a full disk the ballast is given up for it. Deletions that a crash interrupted are finished.
    /// Errors: [`StoreError::Locked`] where another coordinator has it open, at once.
    pub(crate) fn open(directory: &Path) -> Result<(Self, u64), StoreError> {
        Self::open_with(directory, None)
    }

    /// As [`Self::open`], with another way to ask for the free octets.
    pub(super) fn open_with(
        directory: &Path,
        probe: Option<Probe>,
    ) -> Result<(Self, u64), StoreError> {
        let failed = |source| StoreError::Directory {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let lock = lock(directory)?;
        let gauges = Arc::new(Gauges::default());
        let mut space = Space::new(directory, Arc::clone(&gauges), probe);
        let path = directory.join("meta");
        let started = match guarded_start(directory, &path, &gauges) {
            Err(StoreError::Full) if space.free_for_start() => {
                tracing::warn!("the disk is full: the ballast is given up to start");
                guarded_start(directory, &path, &gauges)?
            }
            other => other?,
        };
        let Started {
            database,
            watermark,
            epoch,
            cluster,
            deleted,
        } = started;
        space.look();
        let meta = Self {
            inner: Arc::new(Inner {
                directory: directory.to_owned(),
                path,
                cluster,
                epoch,
                _lock: lock,
                watermark,
                #[cfg(test)]
                failing: std::sync::atomic::AtomicU32::new(0),
                database: RwLock::new(Some(database)),
                suspect: AtomicBool::new(false),
                unflushed: Unflushed::default(),
                index: RunIndex::default(),
                gauges,
                space: Mutex::new(space),
                open: Mutex::default(),
            }),
        };
        for path in deleted {
            remove::in_background(path);
        }
        meta.fill_index()?;
        Ok((meta, epoch))
    }

    /// Reads every run's record into the index.
    ///
    /// Errors: the first record that cannot be read; a start without it would forget a run.
    fn fill_index(&self) -> Result<(), StoreError> {
        let records = self.with_control(|tree| {
            let mut records = Vec::new();
            for entry in tree.scan_prefix(keys::runs()) {
                let (key, value) = entry?;
                records.push(packed::unpack(tree, &key, &value)?);
            }
            Ok(records)
        })?;
        let mut changes = Vec::with_capacity(records.len());
        for record in records {
            let Unpacked::Whole(octets) = record else {
                return Err(torn("a run"));
            };
            let record = decode(&octets).map_err(|source| StoreError::Record {
                what: "a run",
                source,
            })?;
            changes.push(RunChange::Put(Arc::new(record)));
        }
        self.inner.index.apply(changes);
        Ok(())
    }

    /// Reads the control records. What an action sees may not be on disk yet: see [`Self::unflushed`].
    ///
    /// Errors: [`StoreError::Reopening`] while the database is being opened anew.
    pub(super) fn with_control<T>(
        &self,
        action: impl FnOnce(&sled::Tree) -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        let database = self.inner.database.read();
        let database = database.unwrap_or_else(PoisonError::into_inner);
        let control = &database.as_ref().ok_or(StoreError::Reopening)?.control;
        // sled panics on some damaged pages; a reader must not take its thread with it.
        let result = catch_unwind(AssertUnwindSafe(|| action(control)));
        let result = result.map_err(|_| StoreError::Damaged {
            path: self.inner.path.clone(),
            why: "reading it broke down".to_owned(),
        })?;
        result.map_err(|source| {
            if matches!(source, sled::Error::Io(_)) {
                self.inner.suspect.store(true, Ordering::Relaxed);
            }
            self.database_error(source)
        })
    }

    /// Returns once everything written to the control records is on disk. `newest`: what it is
    /// after the newest commit.
    pub(super) fn flush(&self, newest: State) -> Result<(), StoreError> {
        #[cfg(test)]
        if self.fails_for_a_test() {
            return Err(StoreError::Full);
        }
        let began = std::time::Instant::now();
        let database = self.inner.database.read();
        let database = database.unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Reopening)?;
        database
            .db
            .flush()
            .map_err(|source| self.database_error(source))?;
        // sled asks the system to write the pages; a power cut wants the file's length as well.
        database
            .log
            .sync_data()
            .map_err(|source| self.database_error(sled::Error::Io(source)))?;
        self.inner.watermark.write(newest.number);
        self.inner.gauges.flushed(began.elapsed());
        Ok(())
    }

    /// Has the next flushes fail as on a full disk.
    #[cfg(test)]
    pub(super) fn fail_flushes(&self, count: u32) {
        self.inner.failing.store(count, Ordering::SeqCst);
    }

    #[cfg(test)]
    fn fails_for_a_test(&self) -> bool {
        let failing = &self.inner.failing;
        let less = |count: u32| count.checked_sub(1);
        let counted = failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        counted.is_ok()
    }

    /// Closes the control database and opens it again, as after a crash: what was flushed is there.
    ///
    /// Errors: it stays closed; call again.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let database = self.inner.database.write();
        let mut database = database.unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = database.take() {
            Gauges::count(&self.inner.gauges.reopened);
            // Closing flushes, which panics on a disk that fails.
            if catch_unwind(AssertUnwindSafe(|| drop(old))).is_err() {
                tracing::error!("closing the control database broke down");
            }
        }
        let opened = open_control(&self.inner.path)?;
        check(&opened.0.control, &self.inner.watermark, &self.inner.path)?;
        if let Some(repaired) = &opened.1 {
            self.inner.gauges.repaired(repaired);
        }
        *database = Some(opened.0);
        self.inner.suspect.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// True where a reader met an error of the disk, or the database is closed.
    pub(super) fn is_suspect(&self) -> bool {
        let database = self.inner.database.read();
        let closed = database.unwrap_or_else(PoisonError::into_inner).is_none();
        closed || self.inner.suspect.load(Ordering::Relaxed)
    }

    /// What is applied and not on disk.
    pub(super) fn unflushed(&self) -> &Unflushed {
        &self.inner.unflushed
    }

    /// Counters and gauges.
    pub(super) fn gauges(&self) -> &Gauges {
        &self.inner.gauges
    }

    /// The room on the file system.
    pub(super) fn space(&self) -> MutexGuard<'_, Space> {
        let space = self.inner.space.lock();
        space.unwrap_or_else(PoisonError::into_inner)
    }

    /// The runs in memory.
    pub(crate) fn runs(&self) -> &RunIndex {
        &self.inner.index
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

    /// Closes a run's database for those who come; who reads it now reads to the end.
    pub(super) fn close(&self, run: RunId) {
        self.lock().remove(&run);
    }

    /// Where a run's database is.
    pub(super) fn run_path(&self, run: RunId) -> PathBuf {
        self.runs_path().join(run.to_string())
    }

    /// Which database this is: made at its first start, and never changed.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.inner.cluster
    }

    /// How often this database was opened, this time included.
    pub(crate) fn epoch(&self) -> u64 {
        self.inner.epoch
    }

    /// How far a run was when it was last written down; none where it never was.
    pub(crate) fn checkpoint(&self, run: RunId) -> Result<Option<Vec<u8>>, StoreError> {
        checkpoint::read(&self.live_path(), run)
    }

    /// Removes the checkpoints of runs that do not need one.
    pub(crate) fn tidy_checkpoints(&self, needed: impl Fn(RunId) -> bool) {
        checkpoint::tidy(&self.live_path(), needed);
    }

    /// The files for a live run's checkpoints.
    pub(super) fn checkpoints(&self, run: RunId) -> Result<Checkpoints, StoreError> {
        Checkpoints::open(&self.live_path(), run)
    }

    /// A run has ended.
    pub(super) fn remove_checkpoints(&self, run: RunId) {
        checkpoint::remove(&self.live_path(), run);
    }

    fn live_path(&self) -> PathBuf {
        self.inner.directory.join(LIVE)
    }

    /// Where all runs' databases are.
    pub(super) fn runs_path(&self) -> PathBuf {
        self.inner.directory.join(RUNS)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Arc<RunStore>>> {
        let open = self.inner.open.lock();
        open.unwrap_or_else(PoisonError::into_inner)
    }

    fn database_error(&self, source: sled::Error) -> StoreError {
        database(&self.inner.path)(source)
    }
}

/// A record whose parts do not fit each other.
pub(super) fn torn(what: &'static str) -> StoreError {
    StoreError::Parts {
        what,
        source: std::io::Error::other("its parts do not fit each other"),
    }
}

/// Checkpoints of live runs.
const LIVE: &str = "live";
/// Databases that stay open for readers; the oldest run's that nobody uses is closed for a new one.
const OPEN_RUNS_MAX: usize = 32;
