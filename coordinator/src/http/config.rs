//! What the HTTP service is started with. Reads no file: the command line fills it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Certificate chain and key of TLS, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC1.
    pub key: PathBuf,
}

/// Bounds of the HTTP service. Sizes in octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it listens; port 0 takes a free one.
    pub bind: SocketAddr,
    /// TLS; none: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Plain HTTP may be served on an address that is not loopback (behind a proxy that does TLS).
    pub allow_plain_public: bool,
    /// Threads that serve.
    pub workers: usize,
    /// Open connections, over all threads; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// For the first line and the headers of a request.
    pub head_timeout: Duration,
    /// For a JSON body.
    pub body_timeout: Duration,
    /// For a body of CSV or WAV.
    pub upload_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub keep_alive: Duration,
    /// How long requests may go on after a stop was asked for.
    pub shutdown_timeout: Duration,
    /// A JSON or TOML body, at most.
    pub json_max: usize,
    /// A CSV body, and a JSON body of a bulk import, at most.
    pub bulk_max: usize,
    /// A WAV body, at most.
    pub media_max: usize,
    /// Kernel's send buffer of a connection: what a reader that does not read can hold.
    pub send_buffer: usize,
    /// Requests a second of one key.
    pub requests_per_second: u32,
    /// Requests of one key at once, after a pause.
    pub requests_burst: u32,
    /// Requests a minute with a wrong key, of one source address.
    pub failed_auth_per_minute: u32,
    /// Live streams, over all keys.
    pub streams_max: usize,
    /// Live streams of one key.
    pub streams_per_key: usize,
    /// `/metrics` needs no key; none: only where `bind` is loopback.
    pub metrics_public: Option<bool>,
    /// The program's version, for `whoami` and the OpenAPI document.
    pub version: String,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls: None,
            allow_plain_public: false,
            workers: 2,
            connections_max: 8_192,
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(15),
            upload_timeout: Duration::from_secs(120),
            keep_alive: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(5),
            json_max: 1 << 20,
            bulk_max: 32 << 20,
            media_max: 64 << 20,
            send_buffer: 64 << 10,
            requests_per_second: 1_000,
            requests_burst: 10_000,
            failed_auth_per_minute: 30,
            streams_max: 2_000,
            streams_per_key: 2_000,
            metrics_public: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
