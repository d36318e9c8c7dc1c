use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use super::read::{BadConfig, from_file, variable};
use super::*;

const SHIPPED: &str = include_str!("../../../config/coordinator.toml");

fn read(text: &str) -> Result<Config, BadConfig> {
    let mut config = Config::default();
    let mut bad = BadConfig::default();
    from_file(&mut config, Path::new("coordinator.toml"), text, &mut bad);
    if bad == BadConfig::default() {
        Ok(config)
    } else {
        Err(bad)
    }
}

fn flag(key: &str, value: &str) -> Flag {
    Flag {
        shown: format!("--set {key}"),
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

#[test]
fn the_shipped_file_holds_every_key_at_its_default() {
    assert_eq!(read(SHIPPED), Ok(Config::default()));
    let mut keys = BTreeSet::new();
    keys::every(&mut Config::default(), &mut |path, _| {
        keys.insert(path.to_owned());
    });
    let document: toml::Table = SHIPPED.parse().unwrap();
    let mut written = BTreeSet::new();
    for (name, value) in &document {
        match value {
            toml::Value::Table(inner) => {
                written.extend(inner.keys().map(|key| format!("{name}.{key}")));
            }
            _ => {
                written.insert(name.clone());
            }
        }
    }
    assert_eq!(written, keys);
}

#[test]
fn flags_win_over_environment_over_file_over_default() {
    let folder = crate::cluster::TemporaryFolder::new("carillon-config").unwrap();
    let file = folder.path().join("coordinator.toml");
    let text = "[http]\nbind = \"127.0.0.1:1\"\nworkers = 3\n[runs]\nstarts_at_once = 7\n";
    std::fs::write(&file, text).unwrap();
    let environment = [
        ("CARILLON_HTTP_BIND", "127.0.0.1:2"),
        ("CARILLON_HTTP_WORKERS", "4"),
        ("CARILLON_TARGETS_ALLOW", "10.0.0.0/8, 192.0.2.7"),
        ("CARILLON_URL", "http://127.0.0.1:9"),
        ("PATH", "/bin"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let flags = [flag("http.bind", "127.0.0.1:3")];
    let config = load(Some(&file), environment.into_iter(), &flags).unwrap();
    assert_eq!(config.http.bind, SocketAddr::from(([127, 0, 0, 1], 3)));
    assert_eq!(config.http.workers, 4);
    assert_eq!(config.starts_at_once, 7);
    assert_eq!(config.allow.len(), 2);
    assert_eq!(config.node, Config::default().node);
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let text = r#"embeded_node = true
[http]
bind = "8080"
workers = 0
head_timeout = 5
json_max = "1MB"
[storage]
datadir = "x"
[nats]
url = "nats://127.0.0.1"
[lag]
format = "text"
"#;
    let told = read(text).unwrap_err().to_string();
    for expected in [
        "coordinator.toml:1:1: embeded_node: unknown key; did you mean `embedded_node`?",
        "coordinator.toml:3:8: http.bind: `8080` is no IP address with a port",
        "coordinator.toml:4:11: http.workers: 0 is out of range; write a whole number from 1 to 256",
        "coordinator.toml:5:16: http.head_timeout: is a whole number; write a duration",
        "coordinator.toml:6:12: http.json_max: `1MB` is no size",
        "coordinator.toml:8:1: storage.datadir: unknown key; did you mean `data_dir`?",
        "coordinator.toml:10:7: nats.url: this version has no cluster over NATS",
        "coordinator.toml:11:2: lag: unknown key; did you mean `log`?",
        "8 mistakes in the configuration",
    ] {
        assert!(told.contains(expected), "{expected} is not in:\n{told}");
    }
}

#[test]
fn wrong_variables_flags_and_half_a_tls_are_told_too() {
    let environment = [
        ("CARILLON_HTTP_BNID", "127.0.0.1:2"),
        ("CARILLON_LOG_FORMAT", "xml"),
        ("CARILLON_HTTP_TLS_KEY_FILE", "key.pem"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let flags = [flag("http.worker", "1"), flag("node.media_ports", "5")];
    let told = load(None, environment.into_iter(), &flags)
        .unwrap_err()
        .to_string();
    for expected in [
        "CARILLON_HTTP_BNID: no such key; did you mean CARILLON_HTTP_BIND?",
        "CARILLON_LOG_FORMAT: `xml` is not known; write \"text\" or \"json\"",
        "http.tls_certificate_file: is missing",
        "--set http.worker: no such key; did you mean `http.workers`?",
        "--set node.media_ports: `5` is no port range",
    ] {
        assert!(told.contains(expected), "{expected} is not in:\n{told}");
    }
}

#[test]
fn a_broken_file_never_panics() {
    for text in [
        "",
        "[",
        "http = 5",
        "[http]\nbind",
        "[[http]]\nbind = 1",
        "\u{0}",
        "[http]\nbind = \"\u{fffd}",
    ] {
        drop(read(text));
    }
    assert_eq!(variable("http.bind"), "CARILLON_HTTP_BIND");
}
