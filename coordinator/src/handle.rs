//! What the rest of the program holds of a coordinator: submit, stop, watch, read. What only the
//! service asks for is in `control`.

mod control;
#[cfg(test)]
mod tests;

mod reads;

pub(crate) use reads::{Of, Rows};

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{Actor, Addr, Arbiter, AsyncContext, WeakAddr};
use shared::bus::Bus;
use shared::definition::Test;
use shared::id::{EndpointIndex, NodeId, RunId};
use shared::result::RunResult;
use shared::wire::Trace;
use thiserror::Error;

use crate::actor::{
    CoordinatorActor, Finished, Parts, Published, Shutdown, Stop, Submit, Trouble, recover,
};
use crate::core::plan::Plan;
use crate::core::run::StopCause;
use crate::live::{Board, LiveStream};
use crate::outward::Outward;
use crate::result;
use crate::store::{Control, Meta, Reader, StoreError, Writer};

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
    /// The node that lives in this process and ends with it: its runs are stopped at a shutdown and
    /// ended at the next start. Runs of other nodes live on. None: every node is another process.
    pub embedded: Option<NodeId>,
    /// Others listen on the bus: what runs and nodes do is published for them (docs/PROTOCOL.md).
    pub subscribers: bool,
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
            embedded: None,
            subscribers: false,
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

/// Makes ids differ from others of the same millisecond.
fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

/// A running coordinator. Clones are the same one.
#[derive(Clone)]
pub struct Handle {
    actor: Addr<CoordinatorActor>,
    board: Arc<Board>,
    published: Arc<Published>,
    control: Control,
    meta: Meta,
    bus: Arc<dyn Bus>,
    outward: Outward,
    version: Arc<str>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Starts a coordinator on an arbiter thread of its own. Must be called inside an actix system.
///
/// Runs that an earlier coordinator left alive on other machines are taken over where their nodes
/// still hold them; all others that it left alive are ended as FAILED.
/// Errors: [`StartError::Storage`] where the data directory cannot be used, with what to check.
pub fn start(config: CoordinatorConfig, bus: Arc<dyn Bus>) -> Result<Handle, StartError> {
    let storage = |error: StoreError| StartError::Storage(error.to_string());
    let (meta, epoch) = Meta::open(&config.data_dir).map_err(storage)?;
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
    let control = writer.control();
    let recovered = recover(&meta, &control, &config).map_err(storage)?;
    if recovered.ended > 0 {
        tracing::warn!(
            runs = recovered.ended,
            "runs of an earlier coordinator were ended"
        );
    }
    if !recovered.adopted.is_empty() {
        tracing::info!(
            runs = recovered.adopted.len(),
            "runs of an earlier coordinator go on where their nodes still hold them"
        );
    }
    let (board, published): (Arc<Board>, Arc<Published>) = Default::default();
    let outward = match config.subscribers {
        true => Outward::new(Arc::clone(&bus)),
        false => Outward::default(),
    };
    // Subscribed here, not on the arbiter: what a node says after this call is heard.
    let coordinator = CoordinatorActor::new(Parts {
        bus: Arc::clone(&bus),
        writer,
        plan: config.plan,
        cluster: meta.cluster(),
        epoch,
        starts_at_once: config.starts_at_once,
        outward: outward.clone(),
        embedded: config.embedded,
        board: Arc::clone(&board),
        published: Arc::clone(&published),
        recovered,
    });
    let arbiter = Arbiter::new();
    let actor = CoordinatorActor::start_in_arbiter(&arbiter.handle(), move |context| {
        let _ = address.set(context.address().downgrade());
        coordinator
    });
    Ok(Handle {
        actor,
        board,
        published,
        control,
        meta,
        bus,
        outward,
        version: config.version.into(),
    })
}

impl Handle {
    /// Submits a test as a new run of nobody's organization; that it is stored before this returns.
    ///
    /// Whatever is wrong with the test ends the run as CANNOT_RUN_FOR_NOW, not this call.
    /// Errors: [`RequestError::StorageFull`] where not even that can be stored.
    pub async fn submit(&self, test: Test) -> Result<RunId, RequestError> {
        let random = random();
        let (run, stored) = self
            .actor
            .send(Submit { test, random })
            .await
            .map_err(|_| RequestError::Gone)?;
        stored.await.map_err(|_| RequestError::Gone)??;
        Ok(run)
    }

    /// Asks a run to stop. A second call, or one after its end, changes nothing.
    pub async fn stop(&self, run: RunId, reason: StopReason) -> Result<(), RequestError> {
        let cause = match reason {
            StopReason::Interrupted => StopCause::Interrupted,
            StopReason::Requested => StopCause::Requested,
            StopReason::Shutdown => StopCause::Shutdown,
        };
        let known = self
            .actor
            .send(Stop { run, cause })
            .await
            .map_err(|_| RequestError::Gone)?;
        if known {
            Ok(())
        } else {
            Err(RequestError::UnknownRun(run))
        }
    }

    /// Starts nothing more, stops every live run, and returns once all is stored, or after
    /// `deadline`. True: everything ended.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let ended = async {
            let ended = self.actor.send(Shutdown).await.ok()?;
            ended.await.ok()?;
            // What the ends left in the storage thread's queue.
            self.actor.send(Finished).await.ok()?.await.ok()
        };
        matches!(tokio::time::timeout(deadline, ended).await, Ok(Some(())))
    }

    /// Goes once through the actor and the storage thread: that both move.
    ///
    /// Errors: one of them is gone. Where one stands still, this does not return.
    pub async fn beat(&self) -> Result<(), RequestError> {
        let gone = |_| RequestError::Gone;
        let answered = self.actor.send(Finished).await.map_err(gone)?;
        answered.await.map_err(|_| RequestError::Gone)
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
