//! What our crates may use, and what may not come in through anyone: DESIGN's table, licences,
//! pinned versions. Never: asks the network; it reads what Cargo resolved.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use tests::Repository;

/// Cargo's resolution for this platform.
struct Resolved {
    packages: Vec<Value>,
}

impl Resolved {
    fn read() -> Self {
        let repository = Repository::find();
        let version = Command::new("rustc").arg("-vV").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .unwrap();
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--filter-platform",
                host,
            ])
            .current_dir(repository.root())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        Self {
            packages: metadata["packages"].as_array().unwrap().clone(),
        }
    }

    fn named(&self, name: &str) -> Option<&Value> {
        self.packages.iter().find(|package| package["name"] == name)
    }

    /// Names of what a crate of ours names in its own `[dependencies]`.
    fn direct(&self, name: &str) -> BTreeSet<String> {
        let package = self
            .named(name)
            .unwrap_or_else(|| panic!("no crate {name}"));
        package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// What is really built for a crate (or, without one, for all), as `name version`: unlike the
/// metadata it leaves out optional dependencies that no feature switches on.
fn built(package: Option<&str>) -> BTreeMap<String, BTreeSet<String>> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--locked", "--prefix", "none", "-e", "normal"]);
    match package {
        Some(name) => command.args(["-p", name]),
        None => command.arg("--workspace"),
    };
    let output = command
        .current_dir(Repository::find().root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            let version = version.trim_start_matches('v').to_owned();
            crates.entry(name.to_owned()).or_default().insert(version);
        }
    }
    crates
}

#[test]
fn each_crate_uses_only_what_the_design_allows_it() {
    let resolved = Resolved::read();
    for (name, banned) in NEVER {
        let uses = resolved.direct(name);
        let wrong: Vec<_> = banned
            .iter()
            .filter(|banned| uses.contains(**banned))
            .collect();
        assert!(wrong.is_empty(), "{name} uses {wrong:?}");
    }
}

#[test]
fn no_runtime_and_no_socket_reaches_the_pure_crates() {
    for name in ["sip", "shared"] {
        let reached = built(Some(name));
        for banned in [
            "tokio",
            "mio",
            "actix",
            "actix-rt",
            "socket2",
            "async-std",
            "smol",
            "sled",
        ] {
            assert!(!reached.contains_key(banned), "{banned} reaches {name}");
        }
    }
    // The rtp and rtcp crates take their traits from webrtc-util, which links tokio without our
    // using it; nothing else may bring a runtime into `media`.
    let media = built(Some("media"));
    let through: Vec<String> = Resolved::read()
        .direct("media")
        .into_iter()
        .filter(|name| !matches!(name.as_str(), "rtp" | "rtcp" | "webrtc-util"))
        .flat_map(|name| {
            media[&name]
                .iter()
                .map(move |version| format!("{name}@{version}"))
                .collect::<Vec<_>>()
        })
        .filter(|exact| built(Some(exact)).contains_key("tokio"))
        .collect();
    assert!(
        through.is_empty(),
        "tokio reaches media through {through:?}"
    );
}

#[test]
fn every_licence_is_one_that_we_accept() {
    let resolved = Resolved::read();
    for package in &resolved.packages {
        let name = package["name"].as_str().unwrap();
        let licence = match package["license"].as_str() {
            Some(licence) => licence.to_owned(),
            // Both crates name their licence file only; it is the MIT licence (see deny.toml).
            None if matches!(name, "rsip" | "rsip-derives") => "MIT".to_owned(),
            None => panic!("{name} names no licence"),
        };
        assert!(accepted(&licence), "{name} is under {licence}");
    }
}

/// SPDX, as far as it occurs: every `AND` part must have an `OR` alternative that we accept.
fn accepted(licence: &str) -> bool {
    let flat = licence.replace(['(', ')'], "");
    flat.split(" AND ").all(|part| {
        part.split(" OR ")
            .flat_map(|part| part.split('/'))
            .any(|one| LICENCES.contains(&one.trim()))
    })
}

#[test]
fn versions_that_must_not_move_have_not_moved() {
    let crates = built(None);
    let bincode: Vec<_> = crates["bincode"].iter().collect();
    assert_eq!(bincode, ["1.3.3"], "every later bincode is out by design");
    let manifest = Repository::find().read("Cargo.toml");
    assert!(
        manifest.contains("bincode = \"=1.3.3\""),
        "the pin of bincode is gone"
    );
    for banned in BANNED {
        assert!(
            !crates.contains_key(*banned),
            "{banned} came in: {:?}",
            crates.get(*banned)
        );
    }
}

#[test]
fn what_advisories_are_ignored_for_is_written_down() {
    let deny = Repository::find().read("deny.toml");
    let resolved = Resolved::read();
    // Unmaintained, none vulnerable, all through the owner's stack.
    for (advisory, name) in [
        ("RUSTSEC-2025-0141", "bincode"),
        ("RUSTSEC-2025-0057", "fxhash"),
        ("RUSTSEC-2024-0384", "instant"),
    ] {
        assert!(deny.contains(advisory), "{advisory} is not in deny.toml");
        assert!(
            resolved.named(name).is_some(),
            "{name} is gone: take {advisory} out of deny.toml"
        );
    }
    let ignored = deny.matches("RUSTSEC-").count();
    assert_eq!(
        ignored, 3,
        "deny.toml ignores {ignored} advisories, three are known"
    );
}

const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "CC0-1.0",
    // webpki-roots: the list of root certificates, as data.
    "CDLA-Permissive-2.0",
];

/// C libraries for TLS (the stack is rustls with ring, later), GPL code in disguise, dead crates.
const BANNED: &[&str] = &[
    "openssl-sys",
    "aws-lc-sys",
    "native-tls",
    "g729-sys",
    "unsafe-libopus",
    "term",
    "net2",
];

/// DESIGN, the table of crates: who never uses what.
const NEVER: [(&str, &[&str]); 7] = [
    (
        "shared",
        &[
            "actix",
            "actix-web",
            "sled",
            "sip",
            "media",
            "node",
            "coordinator",
            "lab",
            "socket2",
            "nix",
            "libc",
        ],
    ),
    (
        "sip",
        &[
            "shared",
            "media",
            "node",
            "coordinator",
            "lab",
            "tokio",
            "actix",
            "actix-rt",
            "socket2",
            "nix",
            "libc",
            "sled",
            "actix-web",
            "sdp-types",
        ],
    ),
    (
        "media",
        &[
            "shared",
            "sip",
            "node",
            "coordinator",
            "lab",
            "tokio",
            "actix",
            "actix-rt",
            "socket2",
            "nix",
            "libc",
            "sled",
            "actix-web",
            "rsip",
        ],
    ),
    ("node", &["coordinator", "sled", "actix-web", "lab"]),
    (
        "coordinator",
        &["node", "sip", "media", "lab", "rsip", "rtp", "rtcp"],
    ),
    (
        "lab",
        &[
            "node",
            "coordinator",
            "shared",
            "sled",
            "actix",
            "actix-web",
        ],
    ),
    (
        "carillon",
        &[
            "sled",
            "async-nats",
            "sip",
            "media",
            "rsip",
            "rtp",
            "rtcp",
            "sdp-types",
        ],
    ),
];
