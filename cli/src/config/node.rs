//! A node's configuration: what it has in common with the coordinator's embedded one, and the rest.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::{self, Visit};
use super::read::BadConfig;
use super::{Log, LogFormat, Nats, Settings, rule};

/// A node, wherever it runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Unique in the cluster.
    pub(crate) name: String,
    /// Blank: none.
    pub(crate) region: String,
    /// What people say about it: `rack = "b7"`.
    pub(crate) labels: BTreeMap<String, String>,
    /// The local address for SIP and RTP; unspecified: the one that routes to the target.
    pub(crate) address: IpAddr,
    /// UDP ports for RTP and RTCP.
    pub(crate) media_ports: RangeInclusive<u16>,
    /// Threads for signalling and for media; 0: one of each per core.
    pub(crate) threads: u32,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: String::new(),
            region: String::new(),
            labels: BTreeMap::new(),
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            media_ports: 16_384..=32_767,
            threads: 0,
        }
    }
}

impl Node {
    /// All but the name, which has another default in each place.
    pub(super) fn keys(&mut self, visit: &mut Visit<'_, '_>) {
        visit.key("node.region", &mut self.region, rule::text);
        visit.key("node.labels", &mut self.labels, rule::labels);
        visit.key("node.address", &mut self.address, rule::ip);
        visit.key("node.media_ports", &mut self.media_ports, rule::ports);
        visit.key("node.threads", &mut self.threads, |raw| {
            rule::integer(raw, 0, 256)
        });
    }
}

/// Everything that can be set of `carillon node`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeConfig {
    pub(crate) node: Node,
    /// Where it keeps what must outlive its process: which calls are open, what is not yet stored.
    pub(crate) state_dir: PathBuf,
    /// How long runs may go on after it was told to leave.
    pub(crate) drain_wait: Duration,
    pub(crate) nats: Nats,
    pub(crate) log: Log,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            node: Node::default(),
            state_dir: PathBuf::from("carillon-node"),
            drain_wait: Duration::from_secs(30),
            nats: Nats {
                url: "nats://127.0.0.1:4222".to_owned(),
                ..Nats::default()
            },
            log: Log {
                format: LogFormat::Text,
                filter: "info,async_nats=warn".to_owned(),
            },
        }
    }
}

impl Settings for NodeConfig {
    const SHIPPED: &'static str = "config/node.toml";

    fn keys(&mut self, visit: &mut Visit<'_, '_>) {
        visit.key("node.name", &mut self.node.name, rule::name_or_blank);
        self.node.keys(visit);
        visit.key("node.state_dir", &mut self.state_dir, rule::path);
        visit.key("node.drain_wait", &mut self.drain_wait, |raw| {
            rule::duration(raw, Duration::from_secs(1), DRAIN_WAIT_MAX)
        });
        self.nats.keys(visit);
        keys::log(&mut self.log, visit);
    }

    fn settle(&mut self, bad: &mut BadConfig) {
        if self.node.name.is_empty() {
            match rule::host_name() {
                Ok(name) => self.node.name = name,
                Err(message) => bad.add(format!("node.name: {message}")),
            }
        }
        if self.nats.url.is_empty() {
            bad.add(
                "nats.url: is blank; a node meets its coordinator there: write \"nats://HOST:4222\""
                    .to_owned(),
            );
        }
        self.nats.settle(bad);
    }
}

/// Runs may last that long.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);
