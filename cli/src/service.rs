//! `carillon coordinator`: the service on one machine, from its configuration to its orderly end.
//!
//! Owns the order of start and stop, and what the first start prints. The API key of the first
//! start goes to standard output and nowhere else.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use coordinator::{
    ControlPlane, ControlPlaneConfig, CoordinatorConfig, HttpServerHandle, ServeError,
};
use node::{NodeConfig, NodeHandle};
use shared::bus::{Bus, LocalBus};
use shared::id::NodeId;
use tracing_subscriber::EnvFilter;

use crate::args::CoordinatorArguments;
use crate::config::{self, Config, Flag, Log, LogFormat};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::screen::terminal::Screen;
use crate::show::say;

/// Serves until SIGTERM or Ctrl-C; a second one leaves at once.
pub(crate) fn run(arguments: &CoordinatorArguments) -> anyhow::Result<Exit> {
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        // What is no text is no variable of ours.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    let flags = flags(arguments);
    let config = match config::load(arguments.config.as_deref(), environment, &flags) {
        Ok(config) => config,
        Err(bad) => {
            say(&bad.to_string());
            return Ok(Exit::BadInput);
        }
    };
    log(&config.log)?;
    if let Err(errno) = node::net::limits::raise_descriptor_limit() {
        tracing::warn!(%errno, "the limit of file descriptors could not be raised");
    }
    actix::System::new().block_on(serve(config))
}

/// What is given on the command line, as keys.
fn flags(arguments: &CoordinatorArguments) -> Vec<Flag> {
    let flag = |shown: &str, key: &str, value: &str| Flag {
        shown: shown.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let mut flags = Vec::new();
    for set in &arguments.set {
        let (key, value) = set.split_once('=').unwrap_or((set, ""));
        flags.push(flag(&format!("--set {set}"), key.trim(), value.trim()));
    }
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
    flags
}

/// The log goes to standard error; standard output has the address and, once, the key.
fn log(config: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter).context("the log's filter")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match config.format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => {
            let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(ansi).init();
        }
    }
    Ok(())
}

async fn serve(config: Config) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::listen(Screen::default())?;
    let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
    let plane = ControlPlane::start(plane_config(&config), Arc::clone(&bus)).await;
    let mut plane = plane.context("cannot start the coordinator")?;
    let node = if config.embedded_node {
        Some(embedded(&config, bus)?)
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
    greet(&config, http.address(), plane.first_key())?;
    plane.first_key_shown().await?;
    interrupts.first().await;
    Ok(end(plane.handle(), &http, node).await)
}

fn plane_config(config: &Config) -> ControlPlaneConfig {
    let storage = &config.storage;
    let own = CoordinatorConfig::new(storage.data_dir.clone(), env!("CARGO_PKG_VERSION"));
    let given = !storage.key_file.as_os_str().is_empty();
    ControlPlaneConfig {
        coordinator: CoordinatorConfig {
            starts_at_once: config.starts_at_once,
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
    let node = &config.node;
    let config = NodeConfig {
        region: node.region.clone(),
        media_ports: node.media_ports.clone(),
        threads: usize::try_from(node.threads)
            .ok()
            .filter(|threads| *threads > 0),
        ..NodeConfig::new(NodeId(node.name.clone()), node.address, PathBuf::from("."))
    };
    node::start(config, bus).context("cannot start the embedded node")
}

/// The address, at every start; the key, at the first one only.
fn greet(config: &Config, address: SocketAddr, secret: Option<&str>) -> anyhow::Result<()> {
    let scheme = if config.http.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let url = format!("{scheme}://{address}");
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
