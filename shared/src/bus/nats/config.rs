//! How a server is reached, checked before anything is tried.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use thiserror::Error;

/// How the servers are reached. At most one way to say who we are: credentials, nkey, or user and
/// password.
#[derive(Clone, Default)]
pub struct NatsConfig {
    /// `nats://host:4222` or `tls://host:4222`; several parted by commas: one of them is used.
    pub url: String,
    /// How this connection is called at the server; for people.
    pub name: String,
    /// A file with a JWT and its seed, as `nsc` writes it.
    pub credentials_file: Option<PathBuf>,
    /// A file with the seed of a user nkey (`SU…`).
    pub nkey_seed_file: Option<PathBuf>,
    /// User name.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// Certificates (PEM) of those who may sign the server's; else those of the system.
    pub tls_ca_file: Option<PathBuf>,
    /// Our certificate (PEM), where the server asks for one.
    pub tls_cert_file: Option<PathBuf>,
    /// Its key (PEM).
    pub tls_key_file: Option<PathBuf>,
    /// Never speak without TLS, whatever the URL says.
    pub tls_required: bool,
}

impl fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whatever may be secret is left out.
        f.debug_struct("NatsConfig")
            .field("url", &self.url)
            .field("name", &self.name)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Why a bus cannot be set up: faults of its configuration. A server that is down is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BusError {
    /// The URL.
    #[error(
        "NATS url {url:?}: {why}; right is nats://HOST:4222 or tls://HOST:4222, several with commas between"
    )]
    Url {
        /// The one that is wrong, without a password.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// More than one way to say who we are, or half of one.
    #[error("NATS: {0}")]
    Identity(&'static str),
    /// A file.
    #[error("NATS {what} {path}: {why}")]
    File {
        /// Which.
        what: &'static str,
        /// Where.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The system.
    #[error("the thread of the bus cannot be started: {0}")]
    Thread(String),
}

/// What the configuration comes to: made anew for each connection, so that renewed files count.
pub(super) struct Target {
    pub(super) servers: Vec<ServerAddr>,
    pub(super) options: ConnectOptions,
}

impl NatsConfig {
    /// A server that asks for nothing.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..Self::default()
        }
    }

    /// Reads everything that it names.
    ///
    /// Errors: every fault that can be known without a server.
    pub(super) fn target(&self) -> Result<Target, BusError> {
        let servers = self.servers()?;
        let mut options = self
            .identify(ConnectOptions::new())?
            .name(&self.name)
            .ping_interval(PING)
            .connection_timeout(CONNECT)
            .subscription_capacity(SUBSCRIPTION)
            .client_capacity(CLIENT)
            // The server is the one that was configured, never one that another server names.
            .ignore_discovered_servers()
            .require_tls(self.tls_required);
        if let Some(path) = &self.tls_ca_file {
            read("TLS CA file", path, "-----BEGIN CERTIFICATE-----")?;
            options = options.add_root_certificates(path.clone());
        }
        match (&self.tls_cert_file, &self.tls_key_file) {
            (Some(cert), Some(key)) => {
                read("TLS certificate file", cert, "-----BEGIN CERTIFICATE-----")?;
                read("TLS key file", key, "PRIVATE KEY-----")?;
                options = options.add_client_certificate(cert.clone(), key.clone());
            }
            (None, None) => {}
            _ => {
                return Err(BusError::Identity(
                    "a TLS certificate and its key belong together: give both files or neither",
                ));
            }
        }
        Ok(Target { servers, options })
    }

    /// True where somebody between could read along or nobody asks who we are.
    pub(super) fn is_open_to_others(&self) -> bool {
        let servers = self.servers().unwrap_or_default();
        let is_far = |server: &ServerAddr| {
            let host = server.host();
            let address: Option<std::net::IpAddr> = host.parse().ok();
            host != "localhost" && !address.is_some_and(|address| address.is_loopback())
        };
        let is_plain = |server: &ServerAddr| !server.tls_required() && !self.tls_required;
        servers
            .iter()
            .any(|server| is_far(server) && is_plain(server))
    }

    fn servers(&self) -> Result<Vec<ServerAddr>, BusError> {
        self.url.split(',').map(|url| server(url.trim())).collect()
    }

    fn identify(&self, options: ConnectOptions) -> Result<ConnectOptions, BusError> {
        let ways = [
            self.credentials_file.is_some(),
            self.nkey_seed_file.is_some(),
            self.user.is_some() || self.password.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() > 1 {
            return Err(BusError::Identity(
                "a credentials file, an nkey and a user are three ways to say who we are: choose one",
            ));
        }
        if let Some(path) = &self.credentials_file {
            const WHAT: &str = "credentials file";
            let text = read(WHAT, path, "-----BEGIN NATS USER JWT-----")?;
            return options
                .credentials(&text)
                .map_err(|error| wrong(WHAT, path, error.to_string()));
        }
        if let Some(path) = &self.nkey_seed_file {
            const WHAT: &str = "nkey file";
            let text = read(WHAT, path, "SU")?;
            let seed = seed_in(&text).ok_or_else(|| {
                let why = "no line of it is the seed of a user: that begins with SU and has 58 letters and digits";
                wrong(WHAT, path, why.to_owned())
            })?;
            return Ok(options.nkey(seed));
        }
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => {
                Ok(options.user_and_password(user.clone(), password.clone()))
            }
            (None, None) => Ok(options),
            _ => Err(BusError::Identity(
                "user and password belong together: give both or neither",
            )),
        }
    }
}

fn server(url: &str) -> Result<ServerAddr, BusError> {
    let shown = match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            format!("{}://…{}", &url[..scheme], &url[at..])
        }
        _ => url.to_owned(),
    };
    let refuse = |why: &str| {
        Err(BusError::Url {
            url: shown.clone(),
            why: why.to_owned(),
        })
    };
    if url.is_empty() {
        return refuse("it is blank");
    }
    let server: ServerAddr = match url.parse() {
        Ok(server) => server,
        Err(_) => return refuse("it is no URL of a NATS server"),
    };
    if server.is_websocket() {
        return refuse("WebSocket is not spoken");
    }
    if server.has_user_pass() || server.password().is_some() {
        return refuse(
            "user and password do not belong into a URL, which is shown and logged; give them apart",
        );
    }
    if server.host().is_empty() {
        return refuse("the host is missing");
    }
    Ok(server)
}

fn read(what: &'static str, path: &Path, must_have: &str) -> Result<String, BusError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| wrong(what, path, error.to_string()))?;
    if text.contains(must_have) {
        Ok(text)
    } else {
        Err(wrong(
            what,
            path,
            format!("{must_have:?} does not stand in it"),
        ))
    }
}

fn wrong(what: &'static str, path: &Path, why: String) -> BusError {
    BusError::File {
        what,
        path: path.display().to_string(),
        why,
    }
}

/// The line that is a user's seed, with its checksum right.
fn seed_in(text: &str) -> Option<String> {
    text.lines().map(str::trim).find_map(|line| {
        let is_seed = line.starts_with("SU") && nkeys::KeyPair::from_seed(line).is_ok();
        is_seed.then(|| line.to_owned())
    })
}

/// A dead link shows after two pings without an answer: at most three of these.
const PING: Duration = Duration::from_secs(2);
/// TCP, TLS and the server's greeting.
const CONNECT: Duration = Duration::from_secs(3);
/// Messages between the client and our queue, which takes them at once; past it the client drops and
/// says so.
const SUBSCRIPTION: usize = 65_536;
/// Commands on their way to the client's task.
const CLIENT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty(config: NatsConfig) -> String {
        match config.target() {
            Ok(_) => unreachable!("{config:?} is wrong"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn urls_are_one_or_several_and_never_hold_a_password() {
        for url in [
            "nats://a:1",
            "tls://a",
            "a:4222",
            "nats://[::1]:4222, nats://b",
        ] {
            assert!(NatsConfig::new(url).target().is_ok(), "{url}");
        }
        for (url, why) in [
            ("", "blank"),
            ("nats://a,", "blank"),
            ("http://a", "no URL of a NATS server"),
            ("ws://a", "WebSocket"),
            ("nats://", "host is missing"),
            ("nats://a:port", "no URL"),
        ] {
            let told = faulty(NatsConfig::new(url));
            assert!(told.contains(why), "{url}: {told}");
        }
        let told = faulty(NatsConfig::new("nats://user:hush@a:4222"));
        assert!(
            told.contains("…@a:4222") && !told.contains("hush"),
            "{told}"
        );
    }

    #[test]
    fn there_is_one_way_to_say_who_we_are() {
        let both = NatsConfig {
            user: Some("u".to_owned()),
            password: Some("p".to_owned()),
            nkey_seed_file: Some("seed".into()),
            ..NatsConfig::new("nats://a")
        };
        assert!(faulty(both).contains("choose one"));
        let half = NatsConfig {
            user: Some("u".to_owned()),
            ..NatsConfig::new("nats://a")
        };
        assert!(faulty(half).contains("both or neither"));
        let half = NatsConfig {
            tls_cert_file: Some("c".into()),
            ..NatsConfig::new("nats://a")
        };
        assert!(faulty(half).contains("both files or neither"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let config = NatsConfig {
            credentials_file: Some("/nowhere/x.creds".into()),
            ..NatsConfig::new("nats://a")
        };
        let told = faulty(config);
        assert!(told.contains("credentials file /nowhere/x.creds"), "{told}");
    }

    #[test]
    fn a_seed_is_found_among_other_lines_and_a_changed_one_is_none() {
        let (seed, _) = super::super::make_nkey().unwrap();
        assert_eq!(seed_in(&format!("# node a\n{seed}\n")), Some(seed.clone()));
        let changed = seed.replace(&seed[20..21], if &seed[20..21] == "A" { "B" } else { "A" });
        assert_eq!(seed_in(&changed), None);
    }

    #[test]
    fn what_leaves_the_machine_in_the_open_is_known() {
        for (url, open) in [
            ("nats://127.0.0.1", false),
            ("nats://localhost", false),
            ("nats://[::1]", false),
            ("tls://10.0.0.1", false),
            ("nats://10.0.0.1", true),
            ("tls://a,nats://b", true),
        ] {
            assert_eq!(NatsConfig::new(url).is_open_to_others(), open, "{url}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let config = NatsConfig {
            user: Some("u".to_owned()),
            password: Some("hush".to_owned()),
            ..NatsConfig::new("nats://a")
        };
        assert!(!format!("{config:?}").contains("hush"));
    }
}
