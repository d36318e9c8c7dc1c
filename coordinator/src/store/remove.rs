//! Removing runs' directories: renamed first, so that a crash leaves a deletion half done for the
//! next start to finish, never a run half there.

use std::fs;
use std::path::{Path, PathBuf};

use shared::id::RunId;

use super::state::{Stage, State};
use super::{StoreError, database, keys};

/// Marks a run's directory as deleted; none where it has no directory.
pub(super) fn mark(runs: &Path, run: RunId) -> std::io::Result<Option<PathBuf>> {
    let to = runs.join(format!("{DELETED}{run}"));
    match fs::rename(runs.join(run.to_string()), &to) {
        Ok(()) => Ok(Some(to)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the mark back: the record could not be deleted.
pub(super) fn unmark(runs: &Path, run: RunId) {
    let from = runs.join(format!("{DELETED}{run}"));
    if let Err(error) = fs::rename(from, runs.join(run.to_string())) {
        tracing::error!(%run, %error, "the directory of a run that was not deleted cannot be named back");
    }
}

/// Removes a marked directory on a thread of its own: large ones take a while.
///
/// What cannot be removed now is removed at the next start.
pub(super) fn in_background(path: PathBuf) {
    let failed = |path: &Path, error: &std::io::Error| {
        tracing::warn!(path = %path.display(), %error, "a deleted run's directory stays until the next start");
    };
    let shown = path.clone();
    let spawned = std::thread::Builder::new()
        .name("carillon-remove".to_owned())
        .spawn(move || {
            if let Err(error) = fs::remove_dir_all(&path) {
                failed(&path, &error);
            }
        });
    if let Err(error) = spawned {
        failed(&shown, &error);
    }
}

/// Finishes the deletions that a crash interrupted: deletes the records, returns the directories.
///
/// On disk after the caller's flush.
pub(super) fn finish(
    runs: &Path,
    control: &sled::Tree,
    path: &Path,
) -> Result<Vec<PathBuf>, StoreError> {
    let Ok(entries) = fs::read_dir(runs) else {
        // There are no runs yet.
        return Ok(Vec::new());
    };
    let mut marked = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix(DELETED)) else {
            continue;
        };
        marked.push((name.parse::<RunId>().ok(), entry.path()));
    }
    if marked.is_empty() {
        return Ok(Vec::new());
    }
    let gone: Vec<RunId> = marked.iter().filter_map(|(run, _)| *run).collect();
    let deleted = delete_records(control, &gone);
    deleted.map_err(database(path))?;
    Ok(marked.into_iter().map(|(_, path)| path).collect())
}

fn delete_records(control: &sled::Tree, gone: &[RunId]) -> sled::Result<()> {
    let mut stage = Stage::after(control, State::read(control)?);
    for entry in control.scan_prefix(keys::runs()).keys() {
        let key = entry?;
        let run = key.last_chunk().map(|id| RunId(u64::from_be_bytes(*id)));
        if run.is_some_and(|run| gone.contains(&run)) {
            stage.delete(&key)?;
        }
    }
    stage.apply().map(|_| ())
}

const DELETED: &str = ".deleted-";
