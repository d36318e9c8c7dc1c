//! What the rest of the program holds of a coordinator: submit, stop, watch, read.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix::{Actor, Addr, Arbiter, AsyncContext, WeakAddr};
use shared::api::{self, Balance, Checked, LedgerEntry, UpdateRun, Usage};
use shared::bus::Bus;
use shared::definition::Test;
use shared::id::{EndpointIndex, OrganizationId, RunId};
use shared::result::RunResult;
use shared::wire::Trace;
use thiserror::Error;

use crate::actor::{CoordinatorActor, Finished, Stop, Submit, Trouble};
use crate::core::audit::AuditReport;
use crate::core::plan::Plan;
use crate::core::record::RunRecord;
use crate::core::request::StartRequest;
use crate::live::{Board, LiveStream, Shown, Update};
use crate::result;
use crate::store::{Meta, Reader, StoreError, Writer};

/// What a coordinator is started with.
#[derive(Clone, Debug)]
pub struct CoordinatorConfig {
    /// Where everything is kept: `meta/` and `runs/<run>/` below it. Made where it does not exist.
    pub data_dir: PathBuf,
    /// Limits of PRODUCT §4.
    pub plan: Plan,
    /// The program's version, for results.
    pub version: String,
    /// Runs that are prepared at once; further ones wait in the queue. At least 1.
    pub starts_at_once: u32,
}

impl CoordinatorConfig {
    /// Everything at its default.
    #[must_use]
    pub fn new(data_dir: PathBuf, version: &str) -> Self {
        Self {
            data_dir,
            plan: Plan::default(),
            version: version.to_owned(),
            starts_at_once: STARTS_AT_ONCE,
        }
    }
}

/// Runs that are prepared at once where nothing else is said.
pub const STARTS_AT_ONCE: u32 = 2;

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
    /// The disk is full: nothing new can be stored (HTTP 507).
    #[error(
        "the disk under the data directory is full; nothing new can be stored until there is room"
    )]
    StorageFull,
    /// The object is not as the caller saw it last.
    #[error("it has changed since; its revision is {current}")]
    RevisionMismatch {
        /// The revision now.
        current: u64,
    },
    /// The coordinator is shutting down and starts nothing.
    #[error("the coordinator is shutting down")]
    ShuttingDown,
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
    /// The coordinator is shutting down.
    Shutdown,
}

fn not_yet() -> RequestError {
    RequestError::Storage("not yet".to_owned())
}

/// A running coordinator. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Handle {
    actor: Addr<CoordinatorActor>,
    board: Arc<Board>,
    meta: Meta,
    version: Arc<str>,
}

/// Starts a coordinator on an arbiter thread of its own. Must be called inside an actix system.
///
/// Runs that an earlier coordinator left alive in the data directory are ended as FAILED.
/// Errors: [`StartError::Storage`] where the data directory cannot be used, with what to check.
pub fn start(config: CoordinatorConfig, bus: Arc<dyn Bus>) -> Result<Handle, StartError> {
    let storage = |error: StoreError| StartError::Storage(error.to_string());
    let (meta, epoch) = Meta::open(&config.data_dir).map_err(storage)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let orphans = meta
        .end_orphans(since.map_or(0, crate::core::millis))
        .map_err(storage)?;
    if orphans > 0 {
        tracing::warn!(orphans, "runs of an earlier coordinator were ended");
    }
    // The writer tells the actor of errors, and the actor owns the writer: the address comes later.
    let address: Arc<OnceLock<WeakAddr<CoordinatorActor>>> = Arc::default();
    let tell = Arc::clone(&address);
    let writer = Writer::start(
        meta.clone(),
        Box::new(move |run, error| {
            if let Some(actor) = tell.get().and_then(WeakAddr::upgrade) {
                // Bounded: once for each run.
                actor.do_send(Trouble::storage(run, error.to_string()));
            }
        }),
    )
    .map_err(storage)?;
    // Subscribed here, not on the arbiter: what a node says after this call is heard.
    let board = Arc::new(Board::default());
    let coordinator = CoordinatorActor::new(bus, writer, config.plan, epoch, Arc::clone(&board));
    let arbiter = Arbiter::new();
    let actor = CoordinatorActor::start_in_arbiter(&arbiter.handle(), move |context| {
        let _ = address.set(context.address().downgrade());
        coordinator
    });
    Ok(Handle {
        actor,
        board,
        meta,
        version: config.version.into(),
    })
}

impl Handle {
    /// Submits a test as a new run; PENDING is stored before this returns.
    ///
    /// Whatever is wrong with the test ends the run as CANNOT_RUN_FOR_NOW, not this call.
    pub async fn submit(&self, test: Test) -> Result<RunId, RequestError> {
        let random = RandomState::new().build_hasher().finish();
        let (run, stored) = self
            .actor
            .send(Submit {
                test,
                random: random as u32,
            })
            .await
            .map_err(|_| RequestError::Gone)?;
        stored.await.map_err(|_| RequestError::Gone)?;
        Ok(run)
    }

    /// Asks a run to stop. A second call, or one after its end, changes nothing.
    pub async fn stop(&self, run: RunId, reason: StopReason) -> Result<(), RequestError> {
        let interrupted = reason == StopReason::Interrupted;
        let known = self
            .actor
            .send(Stop { run, interrupted })
            .await
            .map_err(|_| RequestError::Gone)?;
        if known {
            Ok(())
        } else {
            Err(RequestError::UnknownRun(run))
        }
    }

    /// Starts a run of a saved test: answers once it has left PENDING, or after 2 s, with all of it
    /// stored and flushed. What the limits or anything else forbid is a run that ended
    /// CANNOT_RUN_FOR_NOW, not an error.
    ///
    /// Errors: [`RequestError::StorageFull`] where it cannot be stored.
    pub(crate) async fn start_run(
        &self,
        request: StartRequest,
    ) -> Result<Arc<RunRecord>, RequestError> {
        let _ = request;
        Err(not_yet())
    }

    /// Everything that would speak against a run now; nothing is stored or reserved.
    pub(crate) async fn check(&self, request: StartRequest) -> Result<Checked, RequestError> {
        let _ = request;
        Err(not_yet())
    }

    /// Changes what people say about a run; with `revision`, only where it is still that one.
    ///
    /// The only way to change a record of a run: one that lives is in the actor's hands.
    pub(crate) async fn update_run(
        &self,
        run: RunId,
        change: UpdateRun,
        revision: Option<u64>,
    ) -> Result<Arc<RunRecord>, RequestError> {
        let _ = (run, change, revision);
        Err(not_yet())
    }

    /// How a live run stands now; none where it has ended or is unknown. Never waits.
    pub(crate) fn live(&self, run: RunId) -> Option<Arc<Update>> {
        let latest = self.board.get(run)?.latest()?;
        (!latest.live.status.is_terminal()).then_some(latest)
    }

    /// The place of a run among those that wait for a start slot, from 1. Never waits.
    pub(crate) fn queue_position(&self, run: RunId) -> Option<u32> {
        let _ = run;
        None
    }

    /// Adds credits. `id`: 32 hexadecimal digits; a second call with it is answered as the first.
    pub(crate) async fn grant(
        &self,
        organization: OrganizationId,
        endpoint_ms: u64,
        note: String,
        id: String,
    ) -> Result<LedgerEntry, RequestError> {
        let _ = (organization, endpoint_ms, note, id);
        Err(not_yet())
    }

    /// An organization's credits; nothing where it has no entry. Never waits.
    pub(crate) fn balance(&self, organization: OrganizationId) -> Balance {
        let _ = organization;
        Balance::default()
    }

    /// What an organization's live runs use; the limits are its plan's. Never waits.
    pub(crate) fn usage(&self, organization: OrganizationId, plan: &api::Plan) -> Usage {
        let _ = organization;
        Usage {
            concurrent_runs: 0,
            concurrent_runs_limit: plan.concurrent_runs_per_organization,
            concurrent_endpoints: 0,
            concurrent_endpoints_limit: plan.concurrent_endpoints,
        }
    }

    /// Checks every invariant of the books now, against what is stored.
    pub(crate) async fn audit(&self) -> Result<AuditReport, RequestError> {
        Err(not_yet())
    }

    /// Every node that ever reported, by name.
    pub(crate) async fn nodes(&self) -> Result<Vec<api::Node>, RequestError> {
        Err(not_yet())
    }

    /// Starts nothing more, stops every live run, and returns once all is stored, or after
    /// `deadline`. True: everything ended.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let _ = deadline;
        false
    }

    /// Watches a run of this coordinator: first how it stands now, then each change.
    #[allow(
        clippy::unused_async,
        reason = "callers await it; nothing has to be asked any more"
    )]
    pub async fn subscribe(&self, run: RunId) -> Result<LiveStream, RequestError> {
        let shown = self.board.get(run).ok_or(RequestError::UnknownRun(run))?;
        Ok(LiveStream::new(&shown))
    }

    /// What watchers see of a run that is in memory.
    pub(crate) fn shown(&self, run: RunId) -> Option<Arc<Shown>> {
        self.board.get(run)
    }

    /// What watchers see of all runs in memory.
    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    /// Waits for a run's end and everything of it being stored.
    pub async fn finished(&self, run: RunId) -> Result<(), RequestError> {
        let mut live = self.subscribe(run).await?;
        while live.next().await.is_some() {}
        if !live.ended() {
            return Err(RequestError::Gone);
        }
        let stored = self
            .actor
            .send(Finished)
            .await
            .map_err(|_| RequestError::Gone)?;
        stored.await.map_err(|_| RequestError::Gone)
    }

    /// Reads a run's result from storage; also while it runs (what is stored so far).
    ///
    /// Bounds: with endpoints, all their seconds are held at once; prefer [`Self::write_json`] for
    /// large runs.
    pub async fn result(
        &self,
        run: RunId,
        with_endpoints: bool,
    ) -> Result<RunResult, RequestError> {
        let version = Arc::clone(&self.version);
        self.read(move |meta| result::read(meta, run, &version, with_endpoints))
            .await
    }

    /// Writes the whole result as JSON, endpoint by endpoint, without holding all of it in memory.
    pub async fn write_json(
        &self,
        run: RunId,
        mut out: Box<dyn std::io::Write + Send>,
    ) -> Result<(), RequestError> {
        let version = Arc::clone(&self.version);
        self.read(move |meta| result::write_json(meta, run, &version, out.as_mut()))
            .await
    }

    /// Reads the SIP trace of an endpoint, if one was kept.
    pub async fn trace(
        &self,
        run: RunId,
        endpoint: EndpointIndex,
    ) -> Result<Option<Trace>, RequestError> {
        self.read(move |meta| {
            Reader::open(meta, run)
                .and_then(|reader| reader.trace(endpoint))
                .map_err(|error| result::told(run, error))
        })
        .await
    }

    /// sled blocks, so it is read on a thread for that.
    async fn read<T: Send + 'static>(
        &self,
        action: impl FnOnce(&Meta) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, RequestError> {
        let meta = self.meta.clone();
        tokio::task::spawn_blocking(move || action(&meta))
            .await
            .map_err(|error| RequestError::Storage(format!("reading broke down: {error}")))?
    }
}
