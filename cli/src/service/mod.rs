//! The two commands that run for months: `carillon coordinator` and `carillon node`.
//!
//! Owns what they have in common: how they read their configuration, their log, the way to the
//! cluster's bus, and what they tell the service manager.

mod bus;
mod coordinator;
mod manager;
mod node;

use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{self, Flag, Log, LogFormat, Settings};
use crate::show::say;

pub(crate) use coordinator::run as coordinator;
pub(crate) use node::run as node;

/// The configuration from all its sources; none where it cannot be used, which is then told.
fn configured<S: Settings>(file: Option<&Path>, flags: &[Flag]) -> Option<S> {
    config::load(file, config::environment(), flags)
        .inspect_err(|bad| say(&bad.to_string()))
        .ok()
}

/// A flag that stands for a key.
fn flag(shown: &str, key: &str, value: &str) -> Flag {
    Flag {
        shown: shown.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

/// `--set SECTION.KEY=VALUE`, for any key.
fn set_flags(given: &[String]) -> impl Iterator<Item = Flag> {
    given.iter().map(|set| {
        let (key, value) = set.split_once('=').unwrap_or((set, ""));
        flag(&format!("--set {set}"), key.trim(), value.trim())
    })
}

/// The log goes to standard error; standard output has what a caller reads.
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
