//! The coordinator's configuration: defaults < file < environment < flags.
//!
//! Owns what can be set, its defaults and how it is read. Never decides what a setting does: it is
//! handed to those whom it concerns. `config/coordinator.toml` holds every key at its default.

mod keys;
mod read;
mod rule;

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use coordinator::HttpConfig;
use shared::definition::Network;

pub(crate) use read::{Flag, load};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// A node in the coordinator's own process.
    pub(crate) embedded_node: bool,
    /// The HTTP service; its `tls` is made of the two paths below.
    pub(crate) http: HttpConfig,
    /// PEM, the server's own certificate first; blank: no TLS.
    pub(crate) tls_certificate_file: PathBuf,
    /// PEM; blank: no TLS.
    pub(crate) tls_key_file: PathBuf,
    pub(crate) storage: Storage,
    /// Runs that are prepared at once.
    pub(crate) starts_at_once: u32,
    /// Networks that any test may send to besides loopback.
    pub(crate) allow: Vec<Network>,
    pub(crate) node: Node,
    /// The cluster's NATS server; blank: none.
    pub(crate) nats_url: String,
    pub(crate) log: Log,
}

/// What is kept where.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Storage {
    /// Everything that is kept lies below it.
    pub(crate) data_dir: PathBuf,
    /// The file with the key that encrypts passwords; blank: `storage.key` in the data folder.
    pub(crate) key_file: PathBuf,
}

/// The embedded node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Blank: none.
    pub(crate) region: String,
    /// The local address for SIP and RTP; unspecified: the one that routes to the target.
    pub(crate) address: IpAddr,
    /// UDP ports for RTP and RTCP.
    pub(crate) media_ports: RangeInclusive<u16>,
    /// Threads for signalling and for media; 0: one of each per core.
    pub(crate) threads: u32,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            embedded_node: true,
            http: HttpConfig {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..HttpConfig::default()
            },
            tls_certificate_file: PathBuf::new(),
            tls_key_file: PathBuf::new(),
            storage: Storage {
                data_dir: PathBuf::from("carillon-data"),
                key_file: PathBuf::new(),
            },
            starts_at_once: coordinator::STARTS_AT_ONCE,
            allow: Vec::new(),
            node: Node {
                name: "local".to_owned(),
                region: String::new(),
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                media_ports: 16_384..=32_767,
                threads: 0,
            },
            nats_url: String::new(),
            log: Log {
                format: LogFormat::Text,
                filter: "info,actix_server=warn".to_owned(),
            },
        }
    }
}

/// The key that encrypts passwords, handed over by the environment only: not a part of what is
/// printed or written to a file.
pub(crate) const KEY_VARIABLE: &str = "CARILLON_STORAGE_KEY";

#[cfg(test)]
mod tests;
