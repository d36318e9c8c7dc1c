//! A cluster of one in this process: bus, coordinator, node. The same parts as on many machines.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use shared::bus::{Bus, LocalBus};
use shared::id::NodeId;

/// What a cluster of one is started with.
#[derive(Clone, Debug)]
pub(crate) struct ClusterConfig {
    pub(crate) data_dir: PathBuf,
    /// The node's own address for SIP and RTP; unspecified: the one that routes to the target.
    pub(crate) address: IpAddr,
    pub(crate) media_ports: RangeInclusive<u16>,
    /// Signalling and media threads; none: one a core.
    pub(crate) threads: Option<usize>,
    /// Where media files are.
    pub(crate) base_dir: PathBuf,
}

/// The running parts.
pub(crate) struct Cluster {
    pub(crate) coordinator: coordinator::Handle,
    node: node::NodeHandle,
}

impl Cluster {
    /// Starts all parts; inside an actix system.
    pub(crate) fn start(config: ClusterConfig) -> anyhow::Result<Self> {
        let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
        let name = NodeId("local".to_owned());
        let state_dir = config.data_dir.join("node");
        let coordinator = coordinator::start(
            coordinator::CoordinatorConfig {
                embedded: Some(name.clone()),
                ..coordinator::CoordinatorConfig::new(config.data_dir, env!("CARGO_PKG_VERSION"))
            },
            Arc::clone(&bus),
        )
        .context("cannot start the coordinator")?;
        let node = node::start(
            node::NodeConfig {
                media_ports: config.media_ports,
                threads: config.threads,
                // Where this process is killed, the next one here ends its calls.
                state_dir: Some(state_dir),
                ..node::NodeConfig::new(name, config.address, config.base_dir)
            },
            bus,
        )
        .context("cannot start the node")?;
        Ok(Self { coordinator, node })
    }

    /// Ends the node's threads.
    pub(crate) fn stop(self) {
        self.node.stop();
    }
}

/// A folder below the system's temporary one that goes away with its owner.
#[derive(Debug)]
pub(crate) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What stays behind is small and in the temporary folder.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
