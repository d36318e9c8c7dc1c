//! The one thread that writes: everything in the order in which it was decided.
//!
//! The order is a promise: a status is on disk before anyone hears of it, because what announces it
//! (`Then`) waits behind it in the same queue. sled blocks; so this is a thread of its own, fed by a
//! bounded queue that holds the coordinator back when the disk is slow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use shared::definition::Test;
use shared::id::RunId;
use shared::result::StatusMove;

use super::{Control, Meta, RunStore, StoreError};
use crate::core::run::Record;

/// What the thread is asked to do.
pub(crate) enum Command {
    /// Make the run's database and store its frozen test.
    Create(RunId, Box<Test>),
    /// Store and flush a status.
    Move(RunId, StatusMove),
    /// Store something measured.
    Record(RunId, Record),
    /// Do this once everything before it is done.
    Then(Box<dyn FnOnce() + Send>),
}

/// The sending end. The thread ends when the last one is dropped and the queue is empty.
#[derive(Debug)]
pub(crate) struct Writer {
    meta: Meta,
    commands: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `on_error` hears of each run whose records can no longer be stored, once.
    pub(crate) fn start(
        meta: Meta,
        on_error: Box<dyn Fn(RunId, StoreError) + Send>,
    ) -> Result<Self, StoreError> {
        let (commands, queue) = sync_channel(QUEUE);
        let kept = meta.clone();
        let thread = std::thread::Builder::new()
            .name("carillon-store".to_owned())
            .spawn(move || Thread::new(meta, on_error).run(&queue))
            .map_err(|_| StoreError::Gone)?;
        Ok(Self {
            meta: kept,
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// The handle of the control records.
    pub(crate) fn control(&self) -> Control {
        Control::new(self.meta.clone())
    }

    /// Appends a command; waits while the queue is full.
    ///
    /// Errors: [`StoreError::Gone`] where the thread has ended.
    pub(crate) fn push(&self, command: Command) -> Result<(), StoreError> {
        let commands = self.commands.as_ref().ok_or(StoreError::Gone)?;
        commands.send(command).map_err(|_| StoreError::Gone)
    }
}

impl Drop for Writer {
    /// Everything that was pushed is written before this returns.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the storage thread broke down");
        }
    }
}

struct Thread {
    meta: Meta,
    on_error: Box<dyn Fn(RunId, StoreError) + Send>,
    /// Live runs; `None` where storing has failed and was told.
    live: BTreeMap<RunId, Option<Arc<RunStore>>>,
}

impl Thread {
    fn new(meta: Meta, on_error: Box<dyn Fn(RunId, StoreError) + Send>) -> Self {
        Self {
            meta,
            on_error,
            live: BTreeMap::new(),
        }
    }

    fn run(mut self, queue: &Receiver<Command>) {
        while let Ok(command) = queue.recv() {
            match command {
                Command::Create(run, test) => {
                    let store = self.meta.create(run).and_then(|store| {
                        store.put_test(&test)?;
                        Ok(store)
                    });
                    let store = self.told(run, store);
                    self.live.insert(run, store);
                }
                Command::Move(run, step) => self.step(run, &step),
                Command::Record(run, record) => {
                    self.with(run, |store| store.put_record(&record));
                }
                Command::Then(action) => action(),
            }
        }
    }

    fn step(&mut self, run: RunId, step: &StatusMove) {
        let meta = self.meta.clone();
        self.with(run, |store| {
            store.put_move(step)?;
            meta.list(run, step.status)
        });
        if step.status.is_terminal() {
            self.live.remove(&run);
        }
    }

    fn with(&mut self, run: RunId, action: impl FnOnce(&RunStore) -> Result<(), StoreError>) {
        let Some(Some(store)) = self.live.get(&run) else {
            return;
        };
        let result = action(store);
        if self.told(run, result).is_none() {
            self.live.insert(run, None);
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
