//! What coordinator and node are configured with: defaults < file < environment < flags.
//!
//! Owns what can be set, its defaults and how it is read. Never decides what a setting does: it is
//! handed to those whom it concerns. `config/coordinator.toml` and `config/node.toml` hold every key
//! at its default.

mod coordinator;
mod keys;
mod nats;
mod node;
mod read;
mod rule;

pub(crate) use coordinator::{Config, KEY_VARIABLE};
pub(crate) use nats::Nats;
pub(crate) use node::{Node, NodeConfig};
pub(crate) use read::{BadConfig, Flag, environment, load};

/// What one command is configured with.
pub(crate) trait Settings: Default {
    /// The shipped file that holds every key.
    const SHIPPED: &'static str;

    /// Visits every key, in the order of the shipped file.
    fn keys(&mut self, visit: &mut keys::Visit<'_, '_>);

    /// Decides what depends on more than one key.
    fn settle(&mut self, bad: &mut BadConfig);
}

/// The log on standard error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    /// As `tracing` reads it: `info`, `warn,coordinator=debug`.
    pub(crate) filter: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests;
