//! The list of runs of the command line, in a tree of its own, until their records replace it.

use serde::{Deserialize, Serialize};
use shared::id::RunId;
use shared::phase::RunStatus;
use shared::result::StatusMove;
use shared::wire::{decode, encode};

use super::{Meta, StoreError};

/// A run in the list of runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Listed {
    status: RunStatus,
}

fn record(source: shared::wire::EnvelopeError) -> StoreError {
    StoreError::Record {
        what: "the list of runs",
        source,
    }
}

impl Meta {
    /// Keeps a run's newest status in the list; on disk when this returns.
    pub(super) fn list(&self, run: RunId, status: RunStatus) -> Result<(), StoreError> {
        let octets = encode(&Listed { status }).map_err(record)?;
        self.with_listed(|runs| {
            runs.insert(run.0.to_be_bytes(), octets.as_ref())
                .map(|_| ())
        })?;
        self.flush_listed()
    }

    /// Ends the runs that an earlier coordinator left alive: their nodes' orders died with it.
    /// Returns how many.
    pub(crate) fn end_orphans(&self, unix_ms: u64) -> Result<usize, StoreError> {
        let entries = self.with_listed(|runs| runs.iter().collect::<sled::Result<Vec<_>>>())?;
        let mut ended = 0;
        for (key, value) in entries {
            let listed: Listed = decode(&value).map_err(record)?;
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
            let store = self.run(run)?;
            store.put_move(&step)?;
            store.flush()?;
            self.list(run, RunStatus::Failed)?;
            ended += 1;
        }
        Ok(ended)
    }
}
