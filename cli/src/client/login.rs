//! `carillon login`.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, bail};
use console::Term;
use shared::api::WhoAmI;

use super::api::Api;
use super::args::LoginArguments;
use super::credentials::{self, Credentials};
use crate::exit::Exit;
use crate::screen::figure::printable;
use crate::show::say;

/// Checks the key with the coordinator and keeps both.
pub(super) fn run(arguments: &LoginArguments) -> anyhow::Result<Exit> {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => credentials::default_url()?,
    };
    let url = credentials::normal(&url)?;
    // A variable that is set to nothing is not set.
    let key = match arguments.key.as_deref().filter(|key| !key.is_empty()) {
        Some(key) => key.to_owned(),
        None => ask(&url)?,
    };
    let key = key.trim().to_owned();
    if key.is_empty() || !key.bytes().all(|octet| octet.is_ascii_graphic()) {
        bail!("that is no API key; the coordinator printed one at its first start: clk_…");
    }
    let ca_file = match &arguments.ca_file {
        Some(path) => Some(
            std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))?,
        ),
        None => None,
    };
    let credentials = Credentials { url, key, ca_file };
    if travels_in_the_open(&credentials.url) {
        say(
            "warning: http:// to another machine: whoever listens on the way reads the key; use https://",
        );
    }
    let who: WhoAmI = Api::new(&credentials)?.get("whoami")?;
    let path = credentials::store(&credentials)?;
    let role = match who.key.role {
        Some(role) => serde_json::to_string(&role)?.replace('"', ""),
        None => "roles in single projects".to_owned(),
    };
    writeln!(
        io::stdout(),
        "logged in to {} (carillon {}) with the key {} of the organization {}: {role}{}\nkept in {}",
        credentials.url,
        printable(&who.version),
        printable(&who.key.name),
        printable(&who.organization_name),
        if who.key.operator { ", operator" } else { "" },
        path.display(),
    )?;
    Ok(Exit::Passed)
}

fn ask(url: &str) -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        let term = Term::stderr();
        term.write_str(&format!("API key for {url}: "))?;
        return term.read_secure_line().context("cannot read the key");
    }
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .context("cannot read the key from standard input")?;
    Ok(line)
}

fn travels_in_the_open(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or(rest);
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.split(':').next().unwrap_or(host),
    };
    let loopback = name
        .parse::<std::net::IpAddr>()
        .map_or(name == "localhost", |address| address.is_loopback());
    !loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_others_is_warned_of() {
        for (url, open) in [
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
            ("http://localhost", false),
            ("https://carillon.example", false),
            ("http://carillon.example:8080", true),
            ("http://10.0.0.7", true),
        ] {
            assert_eq!(travels_in_the_open(url), open, "{url}");
        }
    }
}
