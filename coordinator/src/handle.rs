//! What the rest of the program holds of a coordinator: submit, stop, watch, read.

use std::path::PathBuf;
use std::sync::Arc;

use shared::bus::Bus;
use shared::definition::Test;
use shared::id::{EndpointIndex, RunId};
use shared::result::{LiveUpdate, RunResult};
use shared::wire::Trace;
use thiserror::Error;
use tokio::sync::broadcast;

use crate::core::plan::Plan;

/// What a coordinator is started with.
#[derive(Clone, Debug)]
pub struct CoordinatorConfig {
    /// Where everything is kept: `meta/` and `runs/<run>/` below it. Made where it does not exist.
    pub data_dir: PathBuf,
    /// Limits of PRODUCT §4.
    pub plan: Plan,
    /// The program's version, for results.
    pub version: String,
}

/// Why a coordinator did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data directory cannot be made, opened or locked; the sentence says what to check.
    #[error("{0}")]
    Storage(String),
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// No such run.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// The run's data cannot be read or written.
    #[error("{0}")]
    Storage(String),
    /// The coordinator is gone or its mailbox is full.
    #[error("the coordinator does not answer")]
    Gone,
}

/// Who asked for a stop; decides the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A person at the terminal (Ctrl-C, SIGTERM): verdict `Interrupted`.
    Interrupted,
    /// A request: an intentional stop, judged by what was measured.
    Requested,
}

/// A running coordinator. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Handle;

/// Starts a coordinator on its own arbiter thread. Must be called inside an actix system.
///
/// Errors: [`StartError::Storage`] where the data directory cannot be used, with what to check.
pub fn start(config: CoordinatorConfig, bus: Arc<dyn Bus>) -> Result<Handle, StartError> {
    let _ = (config, bus);
    Err(StartError::Storage("not built yet".to_owned()))
}

impl Handle {
    /// Submits a test as a new run; PENDING is stored before this returns.
    pub async fn submit(&self, test: Test) -> Result<RunId, RequestError> {
        let _ = test;
        Err(RequestError::Gone)
    }

    /// Asks a run to stop. A second call, or one after its end, changes nothing.
    pub async fn stop(&self, run: RunId, reason: StopReason) -> Result<(), RequestError> {
        let _ = (run, reason);
        Err(RequestError::Gone)
    }

    /// Watches a run: first how it stands now, then each change.
    pub async fn subscribe(&self, run: RunId) -> Result<LiveStream, RequestError> {
        let _ = run;
        Err(RequestError::Gone)
    }

    /// Waits for a run's end and everything of it being stored.
    pub async fn finished(&self, run: RunId) -> Result<(), RequestError> {
        let _ = run;
        Err(RequestError::Gone)
    }

    /// Reads a run's result from storage; also while it runs (what is there so far).
    pub async fn result(
        &self,
        run: RunId,
        with_endpoints: bool,
    ) -> Result<RunResult, RequestError> {
        let _ = (run, with_endpoints);
        Err(RequestError::Gone)
    }

    /// Writes the whole result as JSON, endpoint by endpoint, without holding all of it in memory.
    pub async fn write_json(
        &self,
        run: RunId,
        out: Box<dyn std::io::Write + Send>,
    ) -> Result<(), RequestError> {
        let _ = (run, out);
        Err(RequestError::Gone)
    }

    /// The SIP trace of an endpoint, if one was kept.
    pub async fn trace(
        &self,
        run: RunId,
        endpoint: EndpointIndex,
    ) -> Result<Option<Trace>, RequestError> {
        let _ = (run, endpoint);
        Err(RequestError::Gone)
    }
}

/// A run's live updates.
#[derive(Debug)]
pub struct LiveStream {
    current: Option<LiveUpdate>,
    updates: broadcast::Receiver<LiveUpdate>,
    ended: bool,
    missed: u64,
}

impl LiveStream {
    /// The next update: at once how the run stands, then one a second and one at each change of
    /// status. None after the update with a terminal status.
    pub async fn next(&mut self) -> Option<LiveUpdate> {
        if self.ended {
            return None;
        }
        let update = match self.current.take() {
            Some(update) => update,
            None => self.wait().await?,
        };
        self.ended = update.status.is_terminal();
        Some(update)
    }

    /// Updates that a slow reader missed.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    async fn wait(&mut self) -> Option<LiveUpdate> {
        loop {
            match self.updates.recv().await {
                Ok(update) => return Some(update),
                Err(broadcast::error::RecvError::Lagged(count)) => self.missed += count,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
