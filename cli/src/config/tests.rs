use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use std::time::Duration;

use super::read::{from_file, variable};
use super::*;

const COORDINATOR: &str = include_str!("../../../config/coordinator.toml");
const NODE: &str = include_str!("../../../config/node.toml");

fn read<S: Settings>(text: &str) -> Result<S, BadConfig> {
    let mut settings = S::default();
    let mut bad = BadConfig::default();
    from_file(&mut settings, Path::new("given.toml"), text, &mut bad);
    if bad == BadConfig::default() {
        Ok(settings)
    } else {
        Err(bad)
    }
}

fn mistakes<S: Settings + std::fmt::Debug>(environment: &[(&str, &str)], flags: &[Flag]) -> String {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load::<S>(None, environment, flags).unwrap_err().to_string()
}

fn flag(key: &str, value: &str) -> Flag {
    Flag {
        shown: format!("--set {key}"),
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

#[test]
fn the_shipped_files_hold_every_key_at_its_default() {
    holds_every_key::<Config>(COORDINATOR);
    holds_every_key::<NodeConfig>(NODE);
}

fn holds_every_key<S: Settings + PartialEq + std::fmt::Debug>(shipped: &str) {
    assert_eq!(read(shipped), Ok(S::default()));
    let mut keys = BTreeSet::new();
    keys::every(&mut S::default(), &mut |path, _| {
        keys.insert(path.to_owned());
    });
    let document: toml::Table = shipped.parse().unwrap();
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
    let config: Config = load(Some(&file), environment.into_iter(), &flags).unwrap();
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
url = "http://127.0.0.1"
[lag]
format = "text"
"#;
    let told = read::<Config>(text).unwrap_err().to_string();
    for expected in [
        "given.toml:1:1: embeded_node: unknown key; did you mean `embedded_node`?",
        "given.toml:3:8: http.bind: `8080` is no IP address with a port",
        "given.toml:4:11: http.workers: 0 is out of range; write a whole number from 1 to 256",
        "given.toml:5:16: http.head_timeout: is a whole number; write a duration",
        "given.toml:6:12: http.json_max: `1MB` is no size",
        "given.toml:8:1: storage.datadir: unknown key; did you mean `data_dir`?",
        "given.toml:10:7: nats.url: `http://127.0.0.1` is no NATS server; write \"nats://HOST:4222\"",
        "given.toml:11:2: lag: unknown key; did you mean `log`?",
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
    ];
    let flags = [flag("http.worker", "1"), flag("node.media_ports", "5")];
    let told = mistakes::<Config>(&environment, &flags);
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
        drop(read::<Config>(text));
        drop(read::<NodeConfig>(text));
    }
    assert_eq!(variable("http.bind"), "CARILLON_HTTP_BIND");
}

#[test]
fn a_node_is_set_by_file_and_flags_and_named_after_its_host() {
    let text = "[node]\nregion = \"eu\"\nlabels = { rack = \"b7\", tier = \"edge\" }\ndrain_wait = \"2m\"\n";
    let config: NodeConfig = read(text).unwrap();
    assert_eq!(config.node.region, "eu");
    assert_eq!(config.drain_wait, Duration::from_secs(120));
    let flags = [flag("node.labels", "rack=b7, tier=edge")];
    let loaded: NodeConfig = load(None, std::iter::empty(), &flags).unwrap();
    assert_eq!(loaded.node.labels, config.node.labels);
    assert_eq!(loaded.node.labels.len(), 2);
    assert!(!loaded.node.name.is_empty(), "the host's name");
}

#[test]
fn labels_that_are_none_are_told() {
    for (label, expected) in [
        ("rack", "`rack` is no label"),
        ("=b7", "`` is no name"),
        ("rack=", "`rack` has no right value"),
        ("rack=a,rack=b", "gives a label twice, first as `a`"),
    ] {
        let told = mistakes::<NodeConfig>(&[("CARILLON_NODE_LABELS", label)], &[]);
        assert!(told.contains(expected), "{expected} is not in:\n{told}");
    }
    let told = read::<NodeConfig>("[node]\nlabels = { rack = 7 }\n").unwrap_err();
    let expected = "given.toml:2:10: node.labels: rack is a whole number; write a string";
    assert!(told.to_string().contains(expected), "{told}");
}

#[test]
fn the_way_to_nats_is_whole() {
    let both_ways = [
        ("CARILLON_NATS_CREDENTIALS_FILE", "a.creds"),
        ("CARILLON_NATS_NKEY_SEED_FILE", "a.nk"),
        ("CARILLON_NATS_TLS_CERT_FILE", "a.pem"),
        ("CARILLON_NATS_PASSWORD", "s3cret"),
    ];
    let told = mistakes::<NodeConfig>(&both_ways, &[flag("nats.url", "")]);
    for expected in [
        "nats.url: is blank; a node meets its coordinator there",
        "nats.nkey_seed_file: is given beside credentials_file",
        "nats.tls_key_file: is missing, while tls_cert_file is given",
        "nats.user: is missing, while a password is given",
    ] {
        assert!(told.contains(expected), "{expected} is not in:\n{told}");
    }
    assert!(!told.contains("s3cret"), "{told}");

    let folder = crate::cluster::TemporaryFolder::new("carillon-nats-password").unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    let file = file.to_str().unwrap();
    let flags = [flag("nats.user", "ann"), flag("nats.password_file", file)];
    let config: Config = load(None, std::iter::empty(), &flags).unwrap();
    assert_eq!(config.nats.password.0, "s3cret");
    let told = mistakes::<Config>(
        &[("CARILLON_NATS_PASSWORD_FILE", "/nowhere/x")],
        &flags[..1],
    );
    assert!(told.contains("/nowhere/x cannot be read"), "{told}");
}
