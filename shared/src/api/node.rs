//! Nodes as the API shows them: name, region, state and load.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NodeState {
    /// Takes work.
    Online,
    /// Ends its work and takes none.
    Draining,
    /// Silent.
    Offline,
    /// Says that it cannot work.
    Error,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Node {
    /// Its name, unique in the cluster.
    pub name: String,
    /// Its region; blank: none.
    pub region: String,
    /// The program's version.
    pub version: String,
    /// How it stands.
    pub status: NodeState,
    /// When it was heard last, milliseconds since 1970.
    pub last_seen_unix_ms: u64,
    /// Cores.
    pub cores: u32,
    /// File descriptors that are free.
    pub free_descriptors: u32,
    /// Media ports that are free.
    pub free_ports: u32,
    /// Endpoints it carries now.
    pub endpoints: u32,
    /// What people say about it.
    pub labels: BTreeMap<String, String>,
    /// Why it stands as it does, for people; blank where it is ONLINE.
    pub reason: String,
    /// Endpoints in a G.711 call that it carries, as it measured itself; none: not measured.
    pub capacity_endpoints: Option<u32>,
    /// CPU of its process: 1.0 is one core busy.
    pub cpu_cores: f32,
    /// Its resident memory in octets.
    pub resident_bytes: u64,
    /// Its wall clock minus the coordinator's, in milliseconds; none before it was measured.
    pub clock_offset_ms: Option<f64>,
    /// The true offset differs from that by at most this, in milliseconds.
    pub clock_error_ms: Option<f64>,
    /// Commands it refused since its start: too late, outdated, for another process, unreadable.
    pub refused_commands: u64,
}
