//! The coordinator's configuration.

use std::path::PathBuf;
use std::time::Duration;

use coordinator::{HttpConfig, TlsFiles};
use shared::definition::Network;

use super::keys::Visit;
use super::read::BadConfig;
use super::{Log, LogFormat, Nats, Node, Settings, keys, rule};

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
    /// The embedded node.
    pub(crate) node: Node,
    /// The cluster's NATS server; without a URL there is no cluster.
    pub(crate) nats: Nats,
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
                ..Node::default()
            },
            nats: Nats::default(),
            log: Log {
                format: LogFormat::Text,
                filter: "info,actix_server=warn,async_nats=warn".to_owned(),
            },
        }
    }
}

impl Settings for Config {
    const SHIPPED: &'static str = "config/coordinator.toml";

    fn keys(&mut self, visit: &mut Visit<'_, '_>) {
        visit.key("embedded_node", &mut self.embedded_node, rule::flag);
        self.http_keys(visit);
        visit.key("storage.data_dir", &mut self.storage.data_dir, rule::path);
        visit.key(
            "storage.key_file",
            &mut self.storage.key_file,
            rule::path_or_blank,
        );
        visit.key("runs.starts_at_once", &mut self.starts_at_once, |raw| {
            rule::integer(raw, 1, 1_000)
        });
        visit.key("targets.allow", &mut self.allow, rule::networks);
        visit.key("node.name", &mut self.node.name, rule::name);
        self.node.keys(visit);
        self.nats.keys(visit);
        keys::log(&mut self.log, visit);
    }

    fn settle(&mut self, bad: &mut BadConfig) {
        let (certificate, key) = (&self.tls_certificate_file, &self.tls_key_file);
        let both = ("tls_certificate_file", "tls_key_file");
        keys::both_or_neither("http", both, certificate, key, bad);
        let given = !certificate.as_os_str().is_empty() && !key.as_os_str().is_empty();
        self.http.tls = given.then(|| TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        });
        self.nats.settle(bad);
    }
}

impl Config {
    fn http_keys(&mut self, visit: &mut Visit<'_, '_>) {
        let http = &mut self.http;
        visit.key("http.bind", &mut http.bind, rule::socket);
        visit.key(
            "http.allow_plain_public",
            &mut http.allow_plain_public,
            rule::flag,
        );
        visit.key(
            "http.tls_certificate_file",
            &mut self.tls_certificate_file,
            rule::path_or_blank,
        );
        visit.key(
            "http.tls_key_file",
            &mut self.tls_key_file,
            rule::path_or_blank,
        );
        visit.key("http.workers", &mut http.workers, |raw| {
            rule::integer(raw, 1, 256)
        });
        visit.key("http.connections_max", &mut http.connections_max, |raw| {
            rule::integer(raw, 1, 1_000_000)
        });
        for (path, place) in [
            ("http.head_timeout", &mut http.head_timeout),
            ("http.body_timeout", &mut http.body_timeout),
            ("http.upload_timeout", &mut http.upload_timeout),
            ("http.keep_alive", &mut http.keep_alive),
            ("http.shutdown_timeout", &mut http.shutdown_timeout),
        ] {
            visit.key(path, place, |raw| {
                rule::duration(raw, Duration::from_millis(100), Duration::from_secs(3_600))
            });
        }
        for (path, place) in [
            ("http.json_max", &mut http.json_max),
            ("http.bulk_max", &mut http.bulk_max),
            ("http.media_max", &mut http.media_max),
            ("http.send_buffer", &mut http.send_buffer),
        ] {
            visit.key(path, place, |raw| rule::octets(raw, 4 << 10, 1 << 30));
        }
        for (path, place) in [
            ("http.requests_per_second", &mut http.requests_per_second),
            ("http.requests_burst", &mut http.requests_burst),
            (
                "http.failed_auth_per_minute",
                &mut http.failed_auth_per_minute,
            ),
        ] {
            visit.key(path, place, |raw| rule::integer(raw, 1, 1_000_000));
        }
        for (path, place) in [
            ("http.streams_max", &mut http.streams_max),
            ("http.streams_per_key", &mut http.streams_per_key),
        ] {
            visit.key(path, place, |raw| rule::integer(raw, 1, 100_000));
        }
    }
}

/// The key that encrypts passwords, handed over by the environment only: not a part of what is
/// printed or written to a file.
pub(crate) const KEY_VARIABLE: &str = "CARILLON_STORAGE_KEY";
