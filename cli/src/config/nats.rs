//! The keys of `[nats]`, the same for the coordinator and for nodes.

use std::fmt;
use std::path::{Path, PathBuf};

use super::keys::{Visit, both_or_neither};
use super::read::BadConfig;
use super::rule::{self, Raw};

/// The way to the cluster's NATS servers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Nats {
    /// One or more, parted by commas, without users and passwords; blank: none.
    pub(crate) url: String,
    /// What `nsc` writes: a JWT and its seed; blank: none.
    pub(crate) credentials_file: PathBuf,
    /// The seed of a user's nkey; blank: none.
    pub(crate) nkey_seed_file: PathBuf,
    /// Blank: none.
    pub(crate) user: String,
    /// The user's.
    pub(crate) password: Password,
    /// The same in a file; blank: none.
    pub(crate) password_file: PathBuf,
    /// PEM: the authorities that are trusted; blank: those of the system.
    pub(crate) tls_ca_file: PathBuf,
    /// PEM: the own certificate; blank: none.
    pub(crate) tls_cert_file: PathBuf,
    /// PEM: its key.
    pub(crate) tls_key_file: PathBuf,
}

impl Nats {
    pub(super) fn keys(&mut self, visit: &mut Visit<'_, '_>) {
        visit.key("nats.url", &mut self.url, servers);
        visit.key(
            "nats.credentials_file",
            &mut self.credentials_file,
            rule::path_or_blank,
        );
        visit.key(
            "nats.nkey_seed_file",
            &mut self.nkey_seed_file,
            rule::path_or_blank,
        );
        visit.key("nats.user", &mut self.user, rule::text);
        visit.key("nats.password", &mut self.password, |raw| {
            rule::text(raw).map(Password)
        });
        visit.key(
            "nats.password_file",
            &mut self.password_file,
            rule::path_or_blank,
        );
        for (path, place) in [
            ("nats.tls_ca_file", &mut self.tls_ca_file),
            ("nats.tls_cert_file", &mut self.tls_cert_file),
            ("nats.tls_key_file", &mut self.tls_key_file),
        ] {
            visit.key(path, place, rule::path_or_blank);
        }
    }

    pub(super) fn settle(&mut self, bad: &mut BadConfig) {
        let given = |path: &Path| !path.as_os_str().is_empty();
        let ways = [
            ("credentials_file", given(&self.credentials_file)),
            ("nkey_seed_file", given(&self.nkey_seed_file)),
            ("user", !self.user.is_empty()),
        ];
        let mut taken = ways.iter().filter(|way| way.1).map(|way| way.0);
        if let (Some(first), Some(second)) = (taken.next(), taken.next()) {
            bad.add(format!(
                "nats.{second}: is given beside {first}; one way to log in is enough: leave the \
                 other blank"
            ));
        }
        let passwords = (!self.password.0.is_empty(), given(&self.password_file));
        match passwords {
            (true, true) => bad.add(
                "nats.password_file: is given beside password; leave one of them blank".to_owned(),
            ),
            (true, false) | (false, true) if self.user.is_empty() => {
                bad.add("nats.user: is missing, while a password is given".to_owned());
            }
            (false, false) if !self.user.is_empty() => bad.add(
                "nats.password_file: is missing, while user is given; write the path of a file \
                 that holds the password"
                    .to_owned(),
            ),
            _ => {}
        }
        if given(&self.password_file) && !passwords.0 {
            self.read_password(bad);
        }
        let both = ("tls_cert_file", "tls_key_file");
        both_or_neither("nats", both, &self.tls_cert_file, &self.tls_key_file, bad);
    }

    /// One line, as `password_file` holds it.
    fn read_password(&mut self, bad: &mut BadConfig) {
        let path = self.password_file.display();
        match std::fs::read_to_string(&self.password_file) {
            Ok(text) if text.trim_end().is_empty() => {
                bad.add(format!("nats.password_file: {path} is empty"));
            }
            Ok(text) => self.password = Password(text.trim_end().to_owned()),
            Err(error) => bad.add(format!(
                "nats.password_file: {path} cannot be read: {error}"
            )),
        }
    }
}

/// A password; never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Password(pub(crate) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Servers, parted by commas.
fn servers(raw: &Raw<'_>) -> Result<String, String> {
    let text = rule::text(raw)?;
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.iter().all(|part| part.is_empty()) {
        return Ok(String::new());
    }
    for part in &parts {
        server(part)?;
    }
    if parts.len() > SERVERS_MAX {
        return Err(format!("holds more than {SERVERS_MAX} servers"));
    }
    Ok(parts.join(","))
}

/// `nats://HOST[:PORT]` or `tls://HOST[:PORT]`.
fn server(text: &str) -> Result<(), String> {
    let wrong = || {
        // What stands before an @ may be a password.
        let shown = text.rsplit('@').next().unwrap_or(text);
        format!(
            "`{shown}` is no NATS server; write \"nats://HOST:4222\" or, with TLS, \"tls://HOST:4222\""
        )
    };
    let rest = text
        .strip_prefix("nats://")
        .or_else(|| text.strip_prefix("tls://"))
        .ok_or_else(wrong)?;
    if rest.contains('@') {
        return Err(
            "holds a user, which would stand in logs; write it as nats.user and \
             nats.password_file"
                .to_owned(),
        );
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        // RFC 3986 §3.2.2: an IPv6 address stands in brackets.
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(wrong()),
            };
            (host, port)
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    let port_is_right = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host.is_empty() || !host.chars().all(legal) || !port_is_right {
        return Err(wrong());
    }
    Ok(())
}

/// A cluster of NATS servers is small; each is tried in turn.
const SERVERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        for (text, read) in [
            ("", ""),
            (" ", ""),
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            (
                "nats://a , tls://b.example:4443",
                "nats://a,tls://b.example:4443",
            ),
            ("tls://[2001:db8::1]:4222", "tls://[2001:db8::1]:4222"),
            ("nats://[::1]", "nats://[::1]"),
        ] {
            assert_eq!(servers(&Raw::Text(text)), Ok(read.to_owned()));
        }
        for text in [
            "localhost:4222",
            "http://localhost",
            "nats://",
            "nats://a,",
            "nats://a:0",
            "nats://a:70000",
            "nats://[::1",
            "nats://[::1]4222",
            "nats://a b",
        ] {
            assert!(servers(&Raw::Text(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        for text in ["nats://ann:s3cret@host:4222", "http://ann:s3cret@host"] {
            let told = servers(&Raw::Text(text)).unwrap_err();
            assert!(!told.contains("s3cret"), "{told}");
        }
        let nats = Nats {
            password: Password("s3cret".to_owned()),
            ..Nats::default()
        };
        assert!(!format!("{nats:?}").contains("s3cret"));
    }
}
