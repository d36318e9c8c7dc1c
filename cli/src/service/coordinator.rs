//! `carillon coordinator`: the service on one machine, from its configuration to its orderly end.
//!
//! Owns the order of start and stop, and what the first start prints. The API key of the first
//! start goes to standard output and nowhere else.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use coordinator::{
    ControlPlane, ControlPlaneConfig, CoordinatorConfig, HttpServerHandle, ServeError,
};
use node::NodeHandle;
use shared::bus::Bus;
use shared::id::NodeId;

use super::bus::Line;
use super::manager::{Manager, Watchdog};
use super::{configured, flag, log, node as node_service, set_flags};
use crate::args::CoordinatorArguments;
use crate::config::{self, Config, Flag};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::screen::terminal::Screen;
use crate::show::say;

/// Serves until SIGTERM or Ctrl-C; a second one leaves at once.
pub(crate) fn run(arguments: &CoordinatorArguments) -> anyhow::Result<Exit> {
    let Some(config) = configured::<Config>(arguments.config.as_deref(), &flags(arguments)) else {
        return Ok(Exit::BadInput);
    };
    log(&config.log)?;
    if let Err(errno) = node::net::limits::raise_descriptor_limit() {
        tracing::warn!(%errno, "the limit of file descriptors could not be raised");
    }
    actix::System::new().block_on(serve(config))
}

/// What is given on the command line, as keys.
fn flags(arguments: &CoordinatorArguments) -> Vec<Flag> {
    let mut flags: Vec<Flag> = set_flags(&arguments.set).collect();
    if let Some(bind) = &arguments.bind {
        flags.push(flag("--bind", "http.bind", bind));
    }
    if let Some(data_dir) = &arguments.data_dir {
        flags.push(flag("--data-dir", "storage.data_dir", data_dir));
    }
    if !arguments.allow_target.is_empty() {
        let networks = arguments.allow_target.join(",");
        flags.push(flag("--allow-target", "targets.allow", &networks));
    }
    if arguments.allow_plain_public {
        flags.push(flag(
            "--allow-plain-public",
            "http.allow_plain_public",
            "true",
        ));
    }
    if let Some(nats) = &arguments.nats {
        flags.push(flag("--nats", "nats.url", nats));
    }
    flags
}

async fn serve(config: Config) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::listen(Screen::default())?;
    let line = match Line::open(&config.nats, "carillon coordinator") {
        Ok(line) => line,
        Err(error) => {
            say(&format!("carillon: {error}"));
            return Ok(Exit::BadInput);
        }
    };
    let plane = ControlPlane::start(plane_config(&config), line.bus()).await;
    let mut plane = plane.context("cannot start the coordinator")?;
    let node = if config.embedded_node {
        Some(embedded(&config, line.bus())?)
    } else {
        None
    };
    let http = match coordinator::serve(config.http.clone(), plane.service()) {
        Ok(http) => http,
        Err(error) => {
            let wrong = matches!(error, ServeError::PlainPublic(_) | ServeError::Tls(_));
            say(&format!("carillon: {error}"));
            return Ok(if wrong { Exit::BadInput } else { Exit::Failed });
        }
    };
    let url = url(&config, http.address());
    greet(&url, plane.first_key())?;
    plane.first_key_shown().await?;
    let mut manager = Manager::default();
    manager.ready(&status(&url, &line));
    let feeding = actix_rt::spawn(feed(plane.handle().clone()));
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = interrupts.first() => break,
            _ = tick.tick() => {
                manager.status(&status(&url, &line));
            }
        }
    }
    manager.stopping("ends: live runs of the embedded node are stopped, all is stored");
    manager.extend(RUNS_END + END_MARGIN);
    let exit = end(plane.handle(), &http, node).await;
    feeding.abort();
    line.flush();
    Ok(exit)
}

/// Feeds the watchdog while actor and storage thread go round: a round that does not end leaves it
/// unfed.
async fn feed(handle: coordinator::Handle) {
    let mut watchdog = Watchdog::from_environment(Instant::now());
    let mut manager = Manager::default();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tick.tick().await;
        if !watchdog.is_due(Instant::now()) {
            continue;
        }
        let mut beat = pin!(handle.beat());
        let answered = match tokio::time::timeout(BEAT_WAIT, &mut beat).await {
            Ok(answered) => answered,
            Err(_) => {
                tracing::error!(
                    "the coordinator's actor or its storage thread has not answered for {BEAT_WAIT:?}"
                );
                beat.await
            }
        };
        if answered.is_ok() {
            manager.alive();
            watchdog.fed(Instant::now());
        }
    }
}

fn status(url: &str, line: &Line) -> String {
    format!("serves {url}; {}", line.standing())
}

fn plane_config(config: &Config) -> ControlPlaneConfig {
    let storage = &config.storage;
    let own = CoordinatorConfig::new(storage.data_dir.clone(), env!("CARGO_PKG_VERSION"));
    let given = !storage.key_file.as_os_str().is_empty();
    ControlPlaneConfig {
        coordinator: CoordinatorConfig {
            starts_at_once: config.starts_at_once,
            embedded: config
                .embedded_node
                .then(|| NodeId(config.node.name.clone())),
            // Where nobody else is connected, nobody listens.
            subscribers: !config.nats.url.is_empty(),
            ..own
        },
        key: std::env::var(config::KEY_VARIABLE)
            .ok()
            .filter(|key| !key.is_empty()),
        key_file: given.then(|| storage.key_file.clone()),
        allow: config.allow.clone(),
    }
}

fn embedded(config: &Config, bus: Arc<dyn Bus>) -> anyhow::Result<NodeHandle> {
    let state_dir = config.storage.data_dir.join("node");
    let config = node::NodeConfig {
        state_dir: Some(state_dir),
        ..node_service::from_settings(&config.node)
    };
    node::start(config, bus).context("cannot start the embedded node")
}

fn url(config: &Config, address: SocketAddr) -> String {
    let scheme = if config.http.tls.is_some() {
        "https"
    } else {
        "http"
    };
    format!("{scheme}://{address}")
}

/// The address, at every start; the key, at the first one only.
fn greet(url: &str, secret: Option<&str>) -> anyhow::Result<()> {
    let mut text = String::new();
    if let Some(secret) = secret {
        text.push_str(&format!(
            "The admin API key, shown this once; keep it:\n\n    {secret}\n\n"
        ));
    }
    text.push_str(&format!("listening on {url}\n"));
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot print the address")
}

/// Live runs are stopped and stored, then the service closes; all of it bounded.
async fn end(
    handle: &coordinator::Handle,
    http: &HttpServerHandle,
    node: Option<NodeHandle>,
) -> Exit {
    tracing::info!("shutting down: no run starts any more, live ones are stopped");
    let ended = handle.shutdown(RUNS_END).await;
    http.stop().await;
    if let Some(node) = node {
        node.stop();
    }
    if ended {
        tracing::info!("shut down: everything is stored");
        // A service has no end of its own: a signal is how it ends well.
        return Exit::Passed;
    }
    tracing::error!("some runs had not ended after {RUNS_END:?}; the next start ends them");
    Exit::Failed
}

/// BYE and un-REGISTER of every endpoint and their last reports take a few seconds.
const RUNS_END: Duration = Duration::from_secs(20);
/// How often the service manager may hear of a change.
const TICK: Duration = Duration::from_secs(1);
/// For connections to close and the last flush, after the runs.
const END_MARGIN: Duration = Duration::from_secs(10);
/// Answered at once where nothing is wrong.
const BEAT_WAIT: Duration = Duration::from_secs(5);
