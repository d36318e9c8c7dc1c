//! The node's state folder: what must outlive the process. Without one nothing is written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shared::wire::{LifeId, NodeCondition};

use super::node::{NodeActor, now};
use crate::core::fence::Fence;
use crate::core::node::{DiskEvent, Input};
use crate::core::outbox;
use crate::net::journal::{JournalFile, LockError, StateLock};
use crate::net::reap::{Inheritance, ReapError};
use crate::net::spill::Spill;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process lives in it, or it cannot be made.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What former lives left cannot be read.
    #[error(transparent)]
    Reap(#[from] ReapError),
    /// Something in it cannot be made or read.
    #[error("the state folder {path} cannot be used: {source}")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// What the node keeps on disk.
#[derive(Debug)]
pub(super) struct State {
    folder: Option<PathBuf>,
    fence: Fence,
    trouble: Option<String>,
    spill: Option<Spill>,
    /// Calls that former lives left open, until [`Self::inheritance`] takes them.
    inheritance: Option<Inheritance>,
    _lock: Option<StateLock>,
}

/// The newest coordinator that was obeyed.
const FENCE: &str = "fence";

impl State {
    /// Opens the folder for this life, made where it is missing, and reads what former ones left.
    ///
    /// Errors: it cannot be made or read, or a process lives in it.
    pub(super) fn open(folder: Option<&Path>, life: LifeId) -> Result<Self, StateError> {
        let mut state = Self {
            folder: folder.map(Path::to_path_buf),
            fence: Fence::default(),
            trouble: None,
            spill: None,
            inheritance: None,
            _lock: None,
        };
        if let Some(folder) = folder {
            let fail = |source| StateError::Unusable {
                path: folder.to_path_buf(),
                source,
            };
            state._lock = Some(StateLock::take(folder)?);
            state.fence = read_fence(&folder.join(FENCE)).map_err(fail)?;
            state.inheritance = Some(Inheritance::of(folder)?);
            state.spill = Some(Spill::open(folder, life).map_err(fail)?);
        }
        Ok(state)
    }

    /// Calls that former lives left open.
    pub(super) fn inheritance(&mut self) -> Option<Inheritance> {
        self.inheritance.take()
    }

    /// The journal of a shard's calls; none without a folder.
    ///
    /// Errors: it cannot be made.
    pub(super) fn journal(
        &self,
        life: LifeId,
        shard: usize,
    ) -> Result<Option<JournalFile>, StateError> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let file = JournalFile::create(folder, life, shard);
        file.map(Some).map_err(|source| StateError::Unusable {
            path: folder.clone(),
            source,
        })
    }

    /// What a former life obeyed.
    pub(super) fn fence(&self) -> Fence {
        self.fence
    }

    /// Keeps the fence, on disk before this returns. A disk that fails is the node's error: a former
    /// coordinator could command its next life.
    pub(super) fn keep_fence(&mut self, fence: Fence) {
        self.fence = fence;
        let Some(folder) = &self.folder else { return };
        match write_whole(folder, FENCE, fence.to_text().as_bytes()) {
            Ok(()) => self.trouble = None,
            Err(error) => {
                tracing::error!(%error, folder = %folder.display(), "the fence cannot be kept");
                self.trouble = Some(format!("cannot write to {}: {error}", folder.display()));
            }
        }
    }

    /// How an operator makes the node follow an older coordinator.
    pub(super) fn fence_hint(&self) -> String {
        match &self.folder {
            Some(folder) => format!(
                "to follow it all the same, stop the node, remove {} and start it",
                folder.join(FENCE).display()
            ),
            None => "to follow it all the same, start the node anew".to_owned(),
        }
    }

    /// Whether the node can work.
    pub(super) fn condition(&self) -> NodeCondition {
        match &self.trouble {
            Some(trouble) => NodeCondition::Error(trouble.clone()),
            None => NodeCondition::Online,
        }
    }

    /// Bounds of the outboxes: without a folder there is no disk.
    pub(super) fn limits(&self) -> outbox::Limits {
        let limits = outbox::Limits::default();
        outbox::Limits {
            disk: if self.spill.is_some() { limits.disk } else { 0 },
            ..limits
        }
    }

    /// What the outboxes want of the disk; the answer goes to the core before it is polled again.
    fn disk(&mut self, asked: outbox::Output) -> Option<DiskEvent> {
        let spill = self.spill.as_mut()?;
        match asked {
            outbox::Output::Spill { run, octets, .. } => {
                let error = spill.append(run, &octets).err()?.to_string();
                Some(DiskEvent::SpillFailed { run, octets, error })
            }
            outbox::Output::Load { run, octets } => Some(match spill.take(run, octets) {
                Ok(items) => DiskEvent::Loaded { run, items },
                Err(error) => {
                    let error = error.to_string();
                    DiskEvent::LoadFailed { run, error }
                }
            }),
            outbox::Output::Forget { run } => {
                spill.forget(run);
                None
            }
            outbox::Output::Send(_) | outbox::Output::Full { .. } => None,
        }
    }
}

impl NodeActor {
    /// Performs what the outboxes want of the disk.
    pub(super) fn disk(&mut self, asked: outbox::Output) {
        if let Some(event) = self.state.disk(asked) {
            self.core.handle(now(), Input::Disk(event));
        }
    }
}

/// A missing file is a node that has obeyed nobody; an unreadable one may hide whom it obeyed.
fn read_fence(path: &Path) -> io::Result<Fence> {
    match fs::read_to_string(path) {
        Ok(text) => Fence::from_text(&text).ok_or_else(|| {
            let what = format!("{} is damaged; remove it to start without", path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Fence::default()),
        Err(error) => Err(error),
    }
}

/// Replaces a file as a whole: after a crash it is the old one or the new one.
fn write_whole(folder: &Path, name: &str, octets: &[u8]) -> io::Result<()> {
    let fresh = folder.join(format!("{name}.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&fresh, folder.join(name))?;
    File::open(folder)?.sync_all()
}
