//! Starting and stopping a node: its media engine, its signalling threads and its actor.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use actix::{Actor, Addr, Arbiter, AsyncContext};
use shared::bus::Bus;
use shared::id::NodeId;

use super::node::{FromEngine, MAILBOX, NodeActor, Shutdown};
use super::shard::ShardActor;
use crate::net::limits;
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
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A media thread could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The thread that carries media reports could not be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running node.
pub struct NodeHandle {
    address: Addr<NodeActor>,
    arbiters: Vec<Arbiter>,
}

impl NodeHandle {
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

/// Starts a node in this process. Must be called inside an actix system.
///
/// Errors: see [`StartError`].
pub fn start(config: NodeConfig, bus: Arc<dyn Bus>) -> Result<NodeHandle, StartError> {
    if let Err(errno) = limits::raise_descriptor_limit() {
        tracing::warn!(%errno, "the limit of file descriptors could not be raised");
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = config.threads.unwrap_or(cores).clamp(1, THREADS_MAX);
    let engine_config = EngineConfig {
        threads,
        ports: config.media_ports.clone(),
        ..EngineConfig::default()
    };
    let (engine, reports) = Engine::start(engine_config)?;
    let arbiters: Vec<Arbiter> = (0..threads).map(|_| Arbiter::new()).collect();
    let medias: Vec<_> = (0..threads)
        .filter_map(|index| engine.shard(index))
        .collect();
    let address = NodeActor::create(|context| {
        context.set_mailbox_capacity(MAILBOX);
        let own = context.address();
        let shards = arbiters
            .iter()
            .zip(medias)
            .enumerate()
            .map(|(index, (arbiter, media))| {
                let (own, bus) = (own.clone(), Arc::clone(&bus));
                ShardActor::start_in_arbiter(&arbiter.handle(), move |_| {
                    ShardActor::new(index, own, media, bus)
                })
            })
            .collect();
        NodeActor::new(config, bus, engine, shards)
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
    Ok(NodeHandle { address, arbiters })
}
