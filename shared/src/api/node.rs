//! Nodes as the API shows them: name, region, state and load.

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
}
