//! Starting and stopping a node: its media engine, its signalling threads and its actor.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Arbiter, AsyncContext};
use shared::bus::Bus;
use shared::id::NodeId;
use shared::wire::LifeId;
use tokio::sync::watch;

use super::former::Former;
use super::node::{Drain, FromEngine, MAILBOX, NodeActor, Parts, Shutdown};
use super::shard::ShardActor;
use super::state::{State, StateError};
use crate::beats::{Beat, Beats};
use crate::core::lease::LeaseGuard;
use crate::core::node::{NodeCore, NodeCoreConfig};
use crate::net::journal::Journal;
use crate::net::limits;
use crate::net::media::time::boottime_us;
use crate::net::media::{Engine, EngineConfig, EngineError};

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its name.
    pub node: NodeId,
    /// Its region; blank where there is none.
    pub region: String,
    /// The local address for SIP and RTP; unspecified: the one that routes to the target.
    pub address: IpAddr,
    /// UDP ports for RTP and RTCP.
    pub media_ports: RangeInclusive<u16>,
    /// Signalling and media threads, each; none: one of each for a core.
    pub threads: Option<usize>,
    /// Media files are found from here.
    pub base_dir: PathBuf,
    /// What people say about it: `rack = "b7"`.
    pub labels: BTreeMap<String, String>,
    /// Where it keeps what must outlive the process: the fence, the journal of open calls, items that
    /// memory has no room for. None: nothing is written.
    pub state_dir: Option<PathBuf>,
    /// How long a drain waits for runs to end by themselves before it ends their calls.
    pub drain_wait: Duration,
    /// It does not see the coordinator's disk, or another one under the same paths: media files are
    /// sent to it.
    pub wants_media: bool,
}

impl NodeConfig {
    /// A node of one process with its coordinator: loopback ports, nothing kept on disk.
    #[must_use]
    pub fn new(node: NodeId, address: IpAddr, base_dir: PathBuf) -> Self {
        Self {
            node,
            region: String::new(),
            address,
            media_ports: EngineConfig::default().ports,
            threads: None,
            base_dir,
            labels: BTreeMap::new(),
            state_dir: None,
            drain_wait: Duration::ZERO,
            wants_media: false,
        }
    }
}

/// Why a node ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEnd {
    /// It was drained and holds nothing any more.
    Drained,
    /// A newer process has joined under its name; it has ended everything.
    Displaced,
    /// It cannot go on, for this reason.
    Failed(String),
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A media thread could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The state folder is another process' or cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The thread that carries media reports could not be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running node.
pub struct NodeHandle {
    address: Addr<NodeActor>,
    arbiters: Vec<Arbiter>,
    beats: Arc<Beats>,
    end: watch::Receiver<Option<NodeEnd>>,
}

impl NodeHandle {
    /// Takes no new run, lets the live ones end within [`NodeConfig::drain_wait`], then ends their
    /// calls. [`Self::ended`] tells when nothing is left.
    pub fn drain(&self) {
        self.address.do_send(Drain);
    }

    /// Waits until the node has ended by itself. A node that is only stopped ends as failed.
    pub fn ended(&self) -> impl Future<Output = NodeEnd> + use<> {
        let mut end = self.end.clone();
        async move {
            match end.wait_for(Option::is_some).await {
                Ok(ended) => ended.clone().unwrap_or(NodeEnd::Drained),
                Err(_) => NodeEnd::Failed("the node's actor is gone".to_owned()),
            }
        }
    }

    /// Signs of life of its loops.
    #[must_use]
    pub fn beats(&self) -> Arc<Beats> {
        Arc::clone(&self.beats)
    }

    /// True while the node's actor lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.address.connected()
    }

    /// Ends the node's threads. Runs that were live here are cut off.
    pub fn stop(self) {
        self.address.do_send(Shutdown);
        for arbiter in self.arbiters {
            arbiter.stop();
        }
    }
}

/// Threads that one node may have of each kind: stream ids have room for no more.
const THREADS_MAX: usize = 256;

/// A name for this process life that no other has.
fn new_life() -> LifeId {
    // Random keys of the standard library's hasher: others in each process.
    LifeId(RandomState::new().build_hasher().finish())
}

/// The instant that stands for the boot clock's 0, or the earliest that there is.
fn origin() -> Instant {
    let now = Instant::now();
    let boot = Duration::from_micros(boottime_us());
    now.checked_sub(boot).unwrap_or(now)
}

/// Starts a node in this process. Must be called inside an actix system.
///
/// Errors: see [`StartError`].
pub fn start(config: NodeConfig, bus: Arc<dyn Bus>) -> Result<NodeHandle, StartError> {
    if let Err(errno) = limits::raise_descriptor_limit() {
        tracing::warn!(%errno, "the limit of file descriptors could not be raised");
    }
    let life = new_life();
    let mut state = State::open(config.state_dir.as_deref(), life)?;
    let guard = Arc::new(LeaseGuard::default());
    let core_config = NodeCoreConfig {
        life,
        fence: state.fence(),
        drain_wait: config.drain_wait,
        outbox: state.limits(),
    };
    let core = NodeCore::new(core_config, Arc::clone(&guard), origin());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = config.threads.unwrap_or(cores).clamp(1, THREADS_MAX);
    let engine_config = EngineConfig {
        threads,
        ports: config.media_ports.clone(),
        ..EngineConfig::default()
    };
    let (engine, reports) = Engine::start(engine_config)?;
    let journals = (0..threads)
        .map(|index| state.journal(life, index))
        .collect::<Result<Vec<_>, _>>()?;
    let former = Former::settle(state.inheritance(), life);
    let arbiters: Vec<Arbiter> = (0..threads).map(|_| Arbiter::new()).collect();
    let beats = Arc::new(Beats {
        node: Beat::default(),
        shards: (0..threads).map(|_| Beat::default()).collect(),
        media: (0..threads)
            .filter_map(|index| engine.beat(index))
            .collect(),
    });
    let (tell_end, end) = watch::channel(None);
    let medias: Vec<_> = (0..threads)
        .filter_map(|index| engine.shard(index))
        .collect();
    let address = NodeActor::create(|context| {
        context.set_mailbox_capacity(MAILBOX);
        let own = context.address();
        let shards = arbiters
            .iter()
            .zip(medias)
            .zip(journals)
            .enumerate()
            .map(|(index, ((arbiter, media), journal))| {
                let own = own.clone();
                let beat = beats.shards.get(index).cloned().unwrap_or_default();
                ShardActor::start_in_arbiter(&arbiter.handle(), move |_| {
                    ShardActor::new(index, own, media, Journal::new(journal), beat)
                })
            })
            .collect();
        NodeActor::new(Parts {
            config,
            bus,
            engine,
            shards,
            core,
            guard,
            state,
            former,
            beat: beats.node.clone(),
            end: tell_end,
        })
    });
    let target = address.clone();
    std::thread::Builder::new()
        .name("media-reports".to_owned())
        .spawn(move || {
            for report in reports {
                // A full mailbox means that the node's thread is starved; the report is then lost and
                // the second lacks its figures, which the meter counts as silence of that source.
                if target.try_send(FromEngine(report)).is_err() && !target.connected() {
                    return;
                }
            }
        })?;
    Ok(NodeHandle {
        address,
        arbiters,
        beats,
        end,
    })
}
