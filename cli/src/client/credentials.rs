//! Which coordinator, and with which key: kept in a file that only its owner may read.
//!
//! `CARILLON_URL` and `CARILLON_API_KEY` override the file. A stored key is only ever sent to the
//! coordinator that it was stored for.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Where a coordinator is and who asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    /// `http://127.0.0.1:8080`, without a slash at its end.
    pub(super) url: String,
    /// The API key's secret.
    pub(super) key: String,
    /// Certificates to trust instead of the public authorities, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What the environment says.
#[derive(Clone, Default)]
pub(super) struct Environment {
    pub(super) url: Option<String>,
    pub(super) key: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
}

impl Environment {
    fn read() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            url: set("CARILLON_URL"),
            key: set("CARILLON_API_KEY"),
            ca_file: set("CARILLON_CA_FILE").map(PathBuf::from),
        }
    }
}

/// The credentials that commands use now.
///
/// Errors: nobody has logged in and the environment has no key; a sentence that says so.
pub(super) fn current() -> anyhow::Result<Credentials> {
    choose(Environment::read(), stored()?)
}

/// The coordinator's address where nothing is given: the environment's, the stored one, the default.
pub(super) fn default_url() -> anyhow::Result<String> {
    let stored = stored()?.map(|stored| stored.url);
    Ok(Environment::read()
        .url
        .or(stored)
        .unwrap_or_else(|| URL_DEFAULT.to_owned()))
}

fn choose(environment: Environment, stored: Option<Credentials>) -> anyhow::Result<Credentials> {
    let url = match (&environment.url, &stored) {
        (Some(url), _) => normal(url)?,
        (None, Some(stored)) => stored.url.clone(),
        (None, None) => URL_DEFAULT.to_owned(),
    };
    let stored = stored.filter(|stored| stored.url == url);
    let (stored_key, stored_ca) = match stored {
        Some(stored) => (Some(stored.key), stored.ca_file),
        None => (None, None),
    };
    let Some(key) = environment.key.or(stored_key) else {
        bail!("there is no API key for {url}: run `carillon login {url}`, or set CARILLON_API_KEY");
    };
    Ok(Credentials {
        url,
        key,
        ca_file: environment.ca_file.or(stored_ca),
    })
}

/// An address as it is stored and compared: with its scheme, without a slash at its end.
///
/// Errors: it is no HTTP address.
pub(super) fn normal(url: &str) -> anyhow::Result<String> {
    let url = url.trim();
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() || !matches!(scheme, "http" | "https") {
        bail!("`{url}` is no address of a coordinator; write http://HOST:PORT or https://HOST");
    }
    Ok(format!("{scheme}://{rest}"))
}

/// Keeps credentials.
///
/// Errors: the file cannot be written; the old one is whole then.
pub(super) fn store(credentials: &Credentials) -> anyhow::Result<PathBuf> {
    let path = path()?;
    write(&path, credentials)?;
    Ok(path)
}

fn write(path: &Path, credentials: &Credentials) -> anyhow::Result<()> {
    let text = toml::to_string(credentials).context("cannot write the credentials as TOML")?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let written = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

fn stored() -> anyhow::Result<Option<Credentials>> {
    let path = path()?;
    match fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).map(Some).with_context(|| {
            format!(
                "{} cannot be read; run `carillon login` anew",
                path.display()
            )
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn path() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match (set("XDG_CONFIG_HOME"), set("HOME")) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(home)) => PathBuf::from(home).join(".config"),
        (None, None) => {
            bail!("neither XDG_CONFIG_HOME nor HOME is set: set CARILLON_API_KEY instead")
        }
    };
    Ok(folder.join("carillon").join("credentials.toml"))
}

const URL_DEFAULT: &str = "http://127.0.0.1:8080";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn kept() -> Credentials {
        Credentials {
            url: "http://127.0.0.1:8080".to_owned(),
            key: "clk_stored".to_owned(),
            ca_file: None,
        }
    }

    #[test]
    fn the_environment_overrides_and_a_stored_key_stays_with_its_coordinator() {
        let environment = |url: Option<&str>, key: Option<&str>| Environment {
            url: url.map(str::to_owned),
            key: key.map(str::to_owned),
            ca_file: None,
        };
        let chosen = choose(environment(None, None), Some(kept())).unwrap();
        assert_eq!(chosen, kept());
        let chosen = choose(environment(None, Some("clk_other")), Some(kept())).unwrap();
        assert_eq!(
            (chosen.url, chosen.key),
            (kept().url, "clk_other".to_owned())
        );
        // The same coordinator, written differently.
        let chosen = choose(environment(Some("127.0.0.1:8080/"), None), Some(kept())).unwrap();
        assert_eq!(chosen, kept());
        let refused = choose(environment(Some("https://elsewhere"), None), Some(kept()));
        assert!(refused.unwrap_err().to_string().contains("carillon login"));
        assert!(choose(environment(None, None), None).is_err());
    }

    #[test]
    fn addresses_are_made_alike() {
        for (given, normalised) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://carillon.example/", "https://carillon.example"),
        ] {
            assert_eq!(normal(given).unwrap(), normalised);
        }
        for wrong in ["", "ftp://x", "http://"] {
            assert!(normal(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_file_is_its_owners_alone_and_survives_a_second_login() {
        let folder = crate::cluster::TemporaryFolder::new("carillon-credentials").unwrap();
        let path = folder.path().join("carillon").join("credentials.toml");
        for key in ["clk_one", "clk_two"] {
            let credentials = Credentials {
                key: key.to_owned(),
                ..kept()
            };
            write(&path, &credentials).unwrap();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let read: Credentials = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(read, credentials);
        }
        assert!(!format!("{:?}", kept()).contains("clk_stored"));
    }
}
