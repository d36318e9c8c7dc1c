//! `carillon node`: a worker of a cluster, from its configuration to its drained end.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context;
use node::core::reap::ReapConfig;
use node::{Beats, NodeConfig, NodeEnd, NodeHandle};
use shared::id::NodeId;

use super::bus::Line;
use super::manager::{Manager, Watchdog};
use super::{configured, flag, log, set_flags};
use crate::args::{NodeCommand, NodeServiceArguments};
use crate::config::{self, Flag};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::screen::terminal::Screen;
use crate::show::say;

/// Works until SIGTERM or Ctrl-C, which drains it; a second one leaves at once.
pub(crate) fn run(arguments: &NodeServiceArguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Some(NodeCommand::Reap { config, state_dir }) => {
            reap(config.as_deref(), state_dir.as_deref())
        }
        None => {
            let file = arguments.config.as_deref();
            let Some(config) = configured::<config::NodeConfig>(file, &flags(arguments)) else {
                return Ok(Exit::BadInput);
            };
            log(&config.log)?;
            actix::System::new().block_on(work(config))
        }
    }
}

/// What is given on the command line, as keys.
fn flags(arguments: &NodeServiceArguments) -> Vec<Flag> {
    let mut flags: Vec<Flag> = set_flags(&arguments.set).collect();
    for (shown, key, value) in [
        ("--name", "node.name", &arguments.name),
        ("--region", "node.region", &arguments.region),
        ("--nats", "nats.url", &arguments.nats),
        ("--state-dir", "node.state_dir", &arguments.state_dir),
    ] {
        if let Some(value) = value {
            flags.push(flag(shown, key, value));
        }
    }
    if !arguments.label.is_empty() {
        flags.push(flag("--label", "node.labels", &arguments.label.join(",")));
    }
    flags
}

/// Ends the calls that a former life left open: after a node was killed nobody else does, until its
/// next start.
fn reap(file: Option<&Path>, state_dir: Option<&Path>) -> anyhow::Result<Exit> {
    let Some(config) = configured::<config::NodeConfig>(file, &[]) else {
        return Ok(Exit::BadInput);
    };
    log(&config.log)?;
    let state_dir = state_dir.unwrap_or(&config.state_dir);
    if !state_dir.exists() {
        tracing::info!(state_dir = %state_dir.display(), "no node has been here");
        return Ok(Exit::Passed);
    }
    let ending = node::net::reap::reap(state_dir, ReapConfig::default());
    let reaped = actix::System::new()
        .block_on(ending)
        .context("cannot end the calls of a former life")?;
    let left = reaped.unanswered + reaped.challenged;
    tracing::info!(
        calls = reaped.open,
        left,
        "calls of a former life are ended"
    );
    Ok(Exit::Passed)
}

async fn work(config: config::NodeConfig) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::listen(Screen::default())?;
    let name = config.node.name.clone();
    let line = match Line::open(&config.nats, &format!("carillon node {name}")) {
        Ok(line) => line,
        Err(error) => {
            say(&format!("carillon: {error}"));
            return Ok(Exit::BadInput);
        }
    };
    std::fs::create_dir_all(&config.state_dir)
        .with_context(|| format!("cannot make {}", config.state_dir.display()))?;
    let drain_wait = config.drain_wait;
    let handle = node::start(node_config(&config), line.bus()).context("cannot start the node")?;
    tracing::info!(
        node = name,
        region = config.node.region,
        cores = std::thread::available_parallelism().map_or(0, usize::from),
        descriptors = node::net::limits::free_descriptors(),
        nats = line.servers(),
        "the node is up"
    );
    let mut manager = Manager::default();
    manager.ready(&line.standing());
    let mut watch = Watch {
        line: &line,
        manager: &mut manager,
        beats: Looked::new(&handle),
    };
    let mut tick = tokio::time::interval(TICK);
    let mut ended = pin!(handle.ended());
    let mut draining: Option<Instant> = None;
    let end = loop {
        tokio::select! {
            end = &mut ended => break end,
            () = interrupts.first(), if draining.is_none() => {
                draining = Some(Instant::now());
                tracing::info!(
                    ?drain_wait,
                    "draining: no new run is taken; a second signal leaves at once"
                );
                watch.manager.stopping("draining: waits for its runs to end");
                handle.drain();
            }
            _ = tick.tick() => {
                watch.look(draining, drain_wait);
            }
        }
    };
    manager.stopping("leaves");
    handle.stop();
    line.flush();
    Ok(ended_as(&name, &end))
}

fn ended_as(name: &str, end: &NodeEnd) -> Exit {
    match end {
        NodeEnd::Drained => {
            tracing::info!(node = name, "drained: nothing is left here");
            Exit::Passed
        }
        NodeEnd::Displaced => {
            tracing::error!(
                node = name,
                "a newer process has joined under this name; give each node a name of its own"
            );
            Exit::Failed
        }
        NodeEnd::Failed(why) => {
            tracing::error!(node = name, why, "the node cannot go on");
            Exit::Failed
        }
    }
}

/// What is looked at every second.
struct Watch<'w> {
    line: &'w Line,
    manager: &'w mut Manager,
    beats: Looked,
}

impl Watch<'_> {
    fn look(&mut self, draining: Option<Instant>, drain_wait: Duration) {
        let now = Instant::now();
        let standing = self.line.standing();
        match draining {
            None => self.manager.status(&standing),
            // The manager's own limit may be shorter than what the configuration allows a drain.
            Some(since) if now < since + drain_wait + DRAIN_END => self.manager.extend(EXTENSION),
            Some(_) => {}
        }
        if self.beats.moved(now) {
            self.manager.alive();
        }
    }
}

/// The node's loops, as they were when the watchdog was fed last.
struct Looked {
    watchdog: Watchdog,
    beats: std::sync::Arc<Beats>,
    before: Vec<(String, u64)>,
    told: Vec<String>,
}

impl Looked {
    fn new(handle: &NodeHandle) -> Self {
        let beats = handle.beats();
        Self {
            watchdog: Watchdog::from_environment(Instant::now()),
            before: beats.counts(),
            beats,
            told: Vec::new(),
        }
    }

    /// Whether the watchdog is to be fed: it is due, and every loop went round since it was fed last.
    fn moved(&mut self, now: Instant) -> bool {
        if !self.watchdog.is_due(now) {
            return false;
        }
        let stuck = self.beats.stuck_since(&self.before);
        if !stuck.is_empty() {
            if self.told != stuck {
                tracing::error!(?stuck, "loops of the node stand still");
                self.told = stuck;
            }
            return false;
        }
        self.told.clear();
        self.before = self.beats.counts();
        self.watchdog.fed(now);
        true
    }
}

fn node_config(config: &config::NodeConfig) -> NodeConfig {
    NodeConfig {
        state_dir: Some(config.state_dir.clone()),
        drain_wait: config.drain_wait,
        wants_media: true,
        ..from_settings(&config.node)
    }
}

/// What the coordinator's embedded node is set up with too.
pub(super) fn from_settings(node: &config::Node) -> NodeConfig {
    let threads = usize::try_from(node.threads).ok();
    NodeConfig {
        region: node.region.clone(),
        labels: node.labels.clone(),
        media_ports: node.media_ports.clone(),
        threads: threads.filter(|threads| *threads > 0),
        ..NodeConfig::new(NodeId(node.name.clone()), node.address, PathBuf::from("."))
    }
}

/// How often the service manager may hear of a change.
const TICK: Duration = Duration::from_secs(1);
/// After a drain's time has passed, calls are ended and what is left is handed over.
const DRAIN_END: Duration = Duration::from_secs(45);
/// Asked for with each look while it drains.
const EXTENSION: Duration = Duration::from_secs(15);
