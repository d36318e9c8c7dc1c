//! Deleting runs on the storage thread: the directory is marked, the record deleted and flushed, then
//! the directory removed. A crash in between is finished at the next start (`remove`).

use std::collections::BTreeSet;

use shared::id::{OrganizationId, RunId};

use super::commit::{Commit, CommitError};
use super::group::Commits;
use super::{DeleteError, Meta, keys, remove};
use crate::core::record::RunRecord;
use crate::failpoint::{self, failpoint};

/// Deletes ended runs of an organization that hold nothing any more; answers for each of them.
pub(super) fn runs(
    meta: &Meta,
    commits: &mut Commits,
    organization: OrganizationId,
    runs: &[RunId],
) -> Vec<Result<(), DeleteError>> {
    let mut answers: Vec<Result<(), DeleteError>> = Vec::with_capacity(runs.len());
    let mut going: Vec<(usize, RunId, Option<std::path::PathBuf>)> = Vec::new();
    let mut commit = Commit::new();
    let mut frozen = BTreeSet::new();
    let folder = meta.runs_path();
    for (place, run) in runs.iter().enumerate() {
        let marked = deletable(meta, organization, *run).and_then(|record| {
            meta.close(*run);
            let marked = remove::mark(&folder, *run);
            let marked = marked.map_err(|error| CommitError::Failed(error.to_string()))?;
            Ok((record, marked))
        });
        match marked {
            Ok((record, marked)) => {
                commit = commit.delete_run(organization, *run);
                frozen.insert(record.frozen);
                going.push((place, *run, marked));
                answers.push(Ok(()));
            }
            Err(error) => answers.push(Err(error)),
        }
    }
    if going.is_empty() {
        return answers;
    }
    for sha256 in unused(meta, organization, frozen, &going) {
        commit = commit.delete(keys::frozen(organization, &sha256));
    }
    let stored = commits.now(commit);
    if stored == Some(Ok(())) {
        failpoint(failpoint::AFTER_DELETE_RECORD);
    }
    for (place, run, marked) in going {
        match (&stored, marked) {
            (Some(Ok(())), Some(path)) => remove::in_background(path),
            (Some(Ok(())), None) => {}
            (failed, marked) => {
                // Where nobody knows, the mark stays: the next start finishes the deletion.
                if marked.is_some() && failed.is_some() {
                    remove::unmark(&folder, run);
                }
                let error = match failed {
                    Some(Err(error)) => error.clone(),
                    _ => CommitError::StorageFull,
                };
                if let Some(answer) = answers.get_mut(place) {
                    *answer = Err(error.into());
                }
            }
        }
    }
    answers
}

fn deletable(
    meta: &Meta,
    organization: OrganizationId,
    run: RunId,
) -> Result<std::sync::Arc<RunRecord>, DeleteError> {
    let record = meta.runs().get(organization, run);
    let record = record.ok_or(DeleteError::Unknown)?;
    if record.holds() {
        Err(DeleteError::Live)
    } else {
        Ok(record)
    }
}

/// Frozen tests that no run needs once these are gone.
fn unused(
    meta: &Meta,
    organization: OrganizationId,
    mut frozen: BTreeSet<[u8; 32]>,
    going: &[(usize, RunId, Option<std::path::PathBuf>)],
) -> BTreeSet<[u8; 32]> {
    let going: BTreeSet<RunId> = going.iter().map(|(_, run, _)| *run).collect();
    for run in meta.runs().of(organization) {
        if !going.contains(&run.id) {
            frozen.remove(&run.frozen);
        }
    }
    frozen.remove(&[0; 32]);
    frozen
}
