//! The node's state folder: what must outlive the process. Without one nothing is written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shared::id::RunId;
use shared::wire::NodeCondition;

use super::node::NodeActor;
use crate::core::fence::Fence;
use crate::core::outbox;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the state folder {path} cannot be used: {source}")]
pub struct StateError {
    path: PathBuf,
    source: io::Error,
}

/// What the node keeps on disk.
#[derive(Debug)]
pub(super) struct State {
    folder: Option<PathBuf>,
    fence: Fence,
    trouble: Option<String>,
}

/// The newest coordinator that was obeyed.
const FENCE: &str = "fence";

impl State {
    /// Opens the folder, made where it is missing, and reads what a former life left.
    ///
    /// Errors: it cannot be made or read.
    pub(super) fn open(folder: Option<&Path>) -> Result<Self, StateError> {
        let mut state = Self {
            folder: folder.map(Path::to_path_buf),
            fence: Fence::default(),
            trouble: None,
        };
        if let Some(folder) = folder {
            let fail = |source| StateError {
                path: folder.to_path_buf(),
                source,
            };
            fs::create_dir_all(folder).map_err(fail)?;
            state.fence = read_fence(&folder.join(FENCE)).map_err(fail)?;
        }
        Ok(state)
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
        outbox::Limits {
            disk: 0,
            ..outbox::Limits::default()
        }
    }

    /// Lets go of what is kept of a run.
    pub(super) fn forget(&mut self, _run: RunId) {}
}

impl NodeActor {
    /// What the outboxes want of the disk.
    pub(super) fn disk(&mut self, _asked: outbox::Output) {}
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
