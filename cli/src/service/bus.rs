//! The bus of a service: the cluster's NATS servers, or this process alone.

use std::sync::Arc;

use anyhow::bail;
use shared::bus::{Bus, LocalBus};

use crate::config::Nats;

/// The bus, and how its connection stands.
pub(super) struct Line {
    bus: Arc<dyn Bus>,
    /// Blank: no cluster.
    servers: String,
    told: Option<bool>,
}

impl Line {
    /// Goes to the servers, where there are any, and does not wait for them.
    ///
    /// Errors: files with credentials or certificates that cannot be used.
    #[allow(clippy::unused_async, reason = "the bus over NATS is not there yet")]
    pub(super) async fn open(nats: &Nats, _name: &str) -> anyhow::Result<Self> {
        if !nats.url.is_empty() {
            bail!("the bus over NATS is not there yet");
        }
        Ok(Self {
            bus: Arc::new(LocalBus::new()),
            servers: String::new(),
            told: None,
        })
    }

    /// For those who publish and listen.
    pub(super) fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.bus)
    }

    /// The servers, without users and passwords; blank where there is no cluster.
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// How the connection stands, for people; changes are logged, each once.
    pub(super) fn standing(&mut self) -> &'static str {
        if self.servers.is_empty() {
            return "no cluster";
        }
        let connected = false;
        if self.told.replace(connected) != Some(connected) {
            if connected {
                tracing::info!(servers = self.servers, "connected to NATS");
            } else {
                tracing::warn!(servers = self.servers, "not connected to NATS");
            }
        }
        if connected {
            "connected to NATS"
        } else {
            "waits for NATS"
        }
    }
}
