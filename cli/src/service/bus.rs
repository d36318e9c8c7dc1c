//! The bus of a service: the cluster's NATS servers, or this process alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use shared::bus::{Bus, BusError, LocalBus, NatsBus, NatsConfig};

use crate::config::Nats;

/// The bus, and how its connection stands.
pub(super) enum Line {
    /// Nobody else is to be reached.
    Local(Arc<LocalBus>),
    /// A cluster.
    Nats {
        bus: Arc<NatsBus>,
        /// Without users and passwords.
        servers: String,
    },
}

impl Line {
    /// Goes to the servers, where there are any, and does not wait for them. `name` is how the
    /// connection is called there.
    ///
    /// Errors: files with credentials or certificates that cannot be used.
    pub(super) fn open(nats: &Nats, name: &str) -> Result<Self, BusError> {
        if nats.url.is_empty() {
            return Ok(Self::Local(Arc::new(LocalBus::new())));
        }
        let bus = NatsBus::connect(config(nats, name))?;
        Ok(Self::Nats {
            bus,
            servers: nats.url.clone(),
        })
    }

    /// For those who publish and listen.
    pub(super) fn bus(&self) -> Arc<dyn Bus> {
        match self {
            Self::Local(bus) => Arc::clone(bus) as Arc<dyn Bus>,
            Self::Nats { bus, .. } => Arc::clone(bus) as Arc<dyn Bus>,
        }
    }

    /// The servers, without users and passwords; blank where there is no cluster.
    pub(super) fn servers(&self) -> &str {
        match self {
            Self::Local(_) => "",
            Self::Nats { servers, .. } => servers,
        }
    }

    /// How the connection stands, for people.
    pub(super) fn standing(&self) -> String {
        match self {
            Self::Local(_) => "no cluster".to_owned(),
            Self::Nats { bus, servers } => {
                let state = bus.state();
                match (state.connected, state.connections) {
                    (true, 0 | 1) => format!("connected to NATS at {}", state.server),
                    (true, connections) => format!(
                        "connected to NATS at {}, {} times anew",
                        state.server,
                        connections - 1
                    ),
                    (false, _) => format!(
                        "waits for NATS at {servers}: {}",
                        state.trouble.as_deref().unwrap_or("no answer yet")
                    ),
                }
            }
        }
    }

    /// What was published last leaves this machine, where it can. Blocks for a moment: at the end.
    pub(super) fn flush(&self) {
        if let Self::Nats { bus, .. } = self
            && bus.is_connected()
            && !bus.flush(FLUSH)
        {
            tracing::warn!("what was published last may not have reached NATS");
        }
    }
}

fn config(nats: &Nats, name: &str) -> NatsConfig {
    let path = |path: &Path| -> Option<PathBuf> {
        (!path.as_os_str().is_empty()).then(|| path.to_owned())
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    NatsConfig {
        url: nats.url.clone(),
        name: name.to_owned(),
        credentials_file: path(&nats.credentials_file),
        nkey_seed_file: path(&nats.nkey_seed_file),
        user: text(&nats.user),
        password: text(&nats.password.0),
        tls_ca_file: path(&nats.tls_ca_file),
        tls_cert_file: path(&nats.tls_cert_file),
        tls_key_file: path(&nats.tls_key_file),
        // As each URL says: tls:// is never spoken without.
        tls_required: false,
    }
}

/// A connection that lives takes far less.
const FLUSH: Duration = Duration::from_secs(2);
