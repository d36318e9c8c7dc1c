//! The one thread that writes: everything in the order in which it was decided.
//!
//! The order is a promise: a status is on disk before anyone hears of it, because what announces it
//! (`Then`, or a commit's own answer) comes after the flush of its group. sled blocks; so this is a
//! thread of its own, fed by a bounded queue that holds the coordinator back when the disk is slow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::definition::Test;
use shared::id::{OrganizationId, RunId};

use super::checkpoint::Checkpoints;
use super::commit::Commit;
use super::group::{Commits, Done};
use super::health::Gauges;
use super::space::Room;
use super::{Control, DeleteError, Held, Meta, RunStore, StoreError, delete};
use crate::core::run::Record;
use crate::failpoint::{self, failpoint};

/// What the thread is asked to do.
pub(crate) enum Command {
    /// Make the run's database and store its frozen test and what it holds.
    Create(RunId, Box<Test>, Box<Held>),
    /// Go on with a run of an earlier coordinator.
    Adopt(RunId),
    /// Store something measured.
    Record(RunId, Record),
    /// Store how far a run is, with everything of it that came before; say so once all is on disk.
    /// Where it fails, nothing is said but to `on_error`.
    Checkpoint(RunId, Bytes, Written),
    /// Change control records; see `Control::commit`.
    Commit(Commit, Done),
    /// Delete runs of an organization; see `Control::delete_run`.
    Delete(OrganizationId, Vec<RunId>, Deleted),
    /// Do this once everything before it is done.
    Then(Box<dyn FnOnce() + Send>),
    /// The writer was dropped.
    Close,
}

/// Hears that a checkpoint is on disk.
pub(crate) type Written = Box<dyn FnOnce() + Send>;

/// Hears how a deletion went: for each run, in their order.
pub(crate) type Deleted = Box<dyn FnOnce(Vec<Result<(), DeleteError>>) + Send>;

/// The sending end, of which there may be many.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    commands: SyncSender<Command>,
    meta: Meta,
}

impl Queue {
    /// Appends a command; waits while the queue is full.
    pub(super) fn push(&self, command: Command) -> Result<(), StoreError> {
        let queued = &self.meta.gauges().queued;
        queued.fetch_add(1, Ordering::Relaxed);
        self.commands.send(command).map_err(|_| {
            queued.fetch_sub(1, Ordering::Relaxed);
            StoreError::Gone
        })
    }

    /// Appends a command where there is room; else gives it back.
    #[allow(
        clippy::result_large_err,
        reason = "the command itself comes back, on a full queue only"
    )]
    pub(super) fn offer(&self, command: Command) -> Result<(), TrySendError<Command>> {
        let queued = &self.meta.gauges().queued;
        queued.fetch_add(1, Ordering::Relaxed);
        self.commands.try_send(command).inspect_err(|_| {
            queued.fetch_sub(1, Ordering::Relaxed);
        })
    }
}

/// The thread's owner: it ends when this is dropped and the queue is empty.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Queue,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `on_error` hears of each run whose records can no longer be stored, once.
    pub(crate) fn start(
        meta: Meta,
        on_error: Box<dyn Fn(RunId, StoreError) + Send>,
    ) -> Result<Self, StoreError> {
        let (commands, queue) = sync_channel(QUEUE);
        let thread = Thread::new(meta.clone(), on_error)?;
        let thread = std::thread::Builder::new()
            .name("carillon-store".to_owned())
            .spawn(move || thread.run(&queue))
            .map_err(|_| StoreError::Gone)?;
        Ok(Self {
            queue: Queue { commands, meta },
            thread: Some(thread),
        })
    }

    /// The handle of the control records; useless once this is dropped.
    pub(crate) fn control(&self) -> Control {
        Control::new(self.queue.meta.clone(), self.queue.clone())
    }

    /// Appends a command; waits while the queue is full.
    ///
    /// Errors: [`StoreError::Gone`] where the thread has ended.
    pub(crate) fn push(&self, command: Command) -> Result<(), StoreError> {
        self.queue.push(command)
    }
}

impl Drop for Writer {
    /// Everything that was pushed is written before this returns.
    fn drop(&mut self) {
        // An error: the thread has ended by itself.
        let _ = self.queue.push(Command::Close);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the storage thread broke down");
        }
    }
}

/// A run whose records are stored.
struct Live {
    /// None where storing has failed and was told.
    store: Option<Arc<RunStore>>,
    /// Opened with the first one.
    checkpoints: Option<Checkpoints>,
    /// To be written with this group, and who hears of it.
    next: Option<(Bytes, Vec<Written>)>,
    /// Something of it is not flushed.
    dirty: bool,
    /// There is no room for its records, and that was told.
    refusing: bool,
}

impl Live {
    fn new(store: Option<Arc<RunStore>>) -> Self {
        Self {
            store,
            checkpoints: None,
            next: None,
            dirty: false,
            refusing: false,
        }
    }
}

struct Thread {
    meta: Meta,
    on_error: Box<dyn Fn(RunId, StoreError) + Send>,
    live: BTreeMap<RunId, Live>,
    /// Runs to flush with this group.
    must: BTreeSet<RunId>,
    /// Checkpoints that are on disk and not told.
    written: Vec<Written>,
    commits: Commits,
    room: Room,
}

impl Thread {
    fn new(
        meta: Meta,
        on_error: Box<dyn Fn(RunId, StoreError) + Send>,
    ) -> Result<Self, StoreError> {
        let room = meta.space().look();
        Ok(Self {
            commits: Commits::new(meta.clone())?,
            meta,
            on_error,
            live: BTreeMap::new(),
            must: BTreeSet::new(),
            written: Vec::new(),
            room,
        })
    }

    fn run(mut self, queue: &Receiver<Command>) {
        let mut open = true;
        while open {
            let first = match queue.recv_timeout(TICK) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.room = self.meta.space().look();
            self.commits.retry(self.room);
            let mut next = first;
            let mut taken = 0;
            while let Some(command) = next.take() {
                self.meta.gauges().queued.fetch_sub(1, Ordering::Relaxed);
                open &= self.take(command);
                taken += 1;
                if taken < GROUP_MAX && open && !self.commits.is_broken() {
                    next = queue.try_recv().ok();
                }
            }
            self.flush();
        }
        self.commits.close();
    }

    /// False: the writer was dropped.
    fn take(&mut self, command: Command) -> bool {
        match command {
            Command::Create(run, test, held) => self.create(run, &test, &held),
            Command::Adopt(run) => {
                let store = self.told(run, self.meta.run(run));
                self.live.insert(run, Live::new(store));
            }
            Command::Checkpoint(run, checkpoint, written) => {
                self.checkpoint(run, checkpoint, written);
            }
            Command::Record(run, record) => self.record(run, &record),
            Command::Commit(commit, done) => {
                self.before(&commit);
                self.commits.take(commit, done, self.room);
            }
            Command::Delete(organization, runs, done) => {
                // What came before decides whether they have ended.
                self.flush();
                let answers = delete::runs(&self.meta, &mut self.commits, organization, &runs);
                done(answers);
            }
            Command::Then(action) => self.commits.then(action),
            Command::Close => return false,
        }
        true
    }

    /// Ends the group: runs first, so that no status is on disk without what it speaks of.
    fn flush(&mut self) {
        for run in std::mem::take(&mut self.must) {
            self.flush_run(run);
        }
        for ended in self.commits.flush() {
            if self.live.remove(&ended.id).is_some() {
                self.meta.remove_checkpoints(ended.id);
            }
        }
        for written in self.written.drain(..) {
            written();
        }
    }

    /// Flushes the databases of the runs that a commit speaks of.
    fn before(&mut self, commit: &Commit) {
        let runs: Vec<RunId> = commit.changed_runs().collect();
        for run in runs {
            let waits = |live: &Live| live.dirty || live.next.is_some();
            if self.live.get(&run).is_some_and(waits) {
                self.flush_run(run);
            }
        }
    }

    fn flush_run(&mut self, run: RunId) {
        let began = Instant::now();
        self.with(run, |store| store.flush());
        let Some(live) = self.live.get_mut(&run) else {
            return;
        };
        live.dirty = false;
        let Some((checkpoint, heard)) = live.next.take() else {
            return;
        };
        if live.store.is_none() {
            return;
        }
        failpoint(failpoint::BEFORE_CHECKPOINT);
        if let Err(error) = self.write(run, &checkpoint) {
            self.failed(run, error);
            return;
        }
        failpoint(failpoint::AFTER_CHECKPOINT);
        self.meta.gauges().checkpointed(began.elapsed());
        self.written.extend(heard);
    }

    fn write(&mut self, run: RunId, checkpoint: &[u8]) -> Result<(), StoreError> {
        let Some(live) = self.live.get_mut(&run) else {
            return Ok(());
        };
        let files = match &mut live.checkpoints {
            Some(files) => files,
            none => none.insert(self.meta.checkpoints(run)?),
        };
        files.write(checkpoint)
    }

    fn checkpoint(&mut self, run: RunId, checkpoint: Bytes, written: Written) {
        let Some(live) = self.live.get_mut(&run) else {
            return;
        };
        // Without room, or after an error: the run ends by that, and nobody is told of anything.
        if live.store.is_none() || !self.room.records {
            return;
        }
        let mut heard = live.next.take().map_or_else(Vec::new, |(_, heard)| heard);
        heard.push(written);
        live.next = Some((checkpoint, heard));
        self.must.insert(run);
    }

    fn create(&mut self, run: RunId, test: &Test, held: &Held) {
        let store = if self.room.records {
            self.meta.create(run).and_then(|store| {
                store.put_test(test)?;
                store.put_held(held)?;
                Ok(store)
            })
        } else {
            Err(StoreError::Full)
        };
        let store = self.told(run, store);
        self.must.insert(run);
        let live = Live {
            dirty: true,
            ..Live::new(store)
        };
        self.live.insert(run, live);
    }

    fn record(&mut self, run: RunId, record: &Record) {
        let Some(live) = self.live.get_mut(&run) else {
            return;
        };
        // The summary is small, the last, and what a stopped run is judged by.
        if !self.room.records && !matches!(record, Record::Summary(_)) {
            Gauges::count(&self.meta.gauges().records);
            let first = !std::mem::replace(&mut live.refusing, true);
            if first && live.store.is_some() {
                self.told::<()>(run, Err(StoreError::Full));
            }
            return;
        }
        if live.store.is_none() {
            Gauges::count(&self.meta.gauges().records);
            return;
        }
        live.dirty = true;
        failpoint(failpoint::BEFORE_REPORT_STORE);
        self.with(run, |store| store.put_record(record));
        failpoint(failpoint::AFTER_REPORT_STORE);
    }

    fn with(&mut self, run: RunId, action: impl FnOnce(&RunStore) -> Result<(), StoreError>) {
        let Some(live) = self.live.get_mut(&run) else {
            return;
        };
        let Some(store) = &live.store else {
            return;
        };
        if let Err(error) = action(store) {
            self.failed(run, error);
        }
    }

    fn failed(&mut self, run: RunId, error: StoreError) {
        let Some(live) = self.live.get_mut(&run) else {
            return;
        };
        live.store = None;
        let refusing = live.refusing;
        // sled refuses everything after an error of the disk: readers open it anew.
        self.meta.close(run);
        if refusing {
            tracing::error!(%run, %error, "storing failed again");
        } else {
            self.told::<()>(run, Err(error));
        }
    }

    /// Tells of an error; the run's further records are dropped, since the run ends FAILED.
    fn told<T>(&self, run: RunId, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::error!(%run, %error, "storing failed");
                (self.on_error)(run, error);
                None
            }
        }
    }
}

/// Commands waiting: the ends of 10,000 endpoints with their traces at one instant.
const QUEUE: usize = 32_768;
/// Commands of one group: none waits for more than these before its flush.
const GROUP_MAX: usize = 1_024;
/// How often the disk is looked at where nothing is asked.
const TICK: Duration = Duration::from_secs(1);
