//! The Debian package: its units by systemd's own checks, and its whole life in a clean root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::{Carillon, Debian, Repository, Scratch, peers};

const UNITS: [&str; 2] = ["carillon-coordinator.service", "carillon-node.service"];
/// `systemd-analyze security` calls up to 2.0 safe; a unit without any hardening has 9.6.
const EXPOSURE_MAX: f64 = 1.5;

/// The units with the program of this build, which is not installed on this machine.
fn units(scratch: &Scratch) -> Vec<PathBuf> {
    let binary = Carillon::binary();
    let repository = Repository::find();
    let of = |name: &&str| {
        let unit = repository.read(&format!("config/systemd/{name}"));
        let unit = unit.replace("/usr/bin/carillon", &binary.to_string_lossy());
        scratch.write(name, unit)
    };
    UNITS.iter().map(of).collect()
}

#[test]
fn systemd_finds_no_fault_in_the_units() {
    if !peers(&["systemd-analyze"]) {
        return;
    }
    let scratch = Scratch::new("units");
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(units(&scratch))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    // Units of this machine may have faults of their own.
    let ours: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("carillon"))
        .collect();
    assert!(ours.is_empty(), "{ours:#?}");
    assert!(output.status.success(), "{told}");
}

#[test]
fn the_units_expose_little() {
    if !peers(&["systemd-analyze"]) {
        return;
    }
    let scratch = Scratch::new("exposure");
    for unit in units(&scratch) {
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(&unit)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let exposure: f64 = told
            .lines()
            .find_map(|line| line.split_once("Overall exposure level for "))
            .and_then(|(_, rest)| rest.split_once(": "))
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .and_then(|figure| figure.parse().ok())
            .unwrap_or_else(|| panic!("no exposure in:\n{told}"));
        println!("{}: {exposure}", unit.display());
        assert!(exposure <= EXPOSURE_MAX, "{told}");
    }
}

/// Media threads go before others and stay on their cores; a unit must not forbid it.
#[test]
fn the_units_let_media_threads_have_their_cores() {
    for name in UNITS {
        let unit = Repository::find().read(&format!("config/systemd/{name}"));
        assert!(unit.contains("\nLimitNICE=-10\n"), "{name}");
        assert!(unit.contains("\nLimitNOFILE=1048576\n"), "{name}");
        let filters = unit
            .lines()
            .filter(|line| line.starts_with("SystemCallFilter="));
        for filter in filters {
            assert!(!filter.contains("@resources"), "{name}: {filter}");
        }
    }
}

#[test]
fn the_package_lives_its_life_in_a_clean_debian() {
    if !peers(&["dpkg-deb", "dpkg-shlibdeps"]) {
        return;
    }
    let Some(debian) = Debian::unpack("package") else {
        return;
    };
    let scratch = Scratch::new("packages");
    let first = debian.take(&package(&scratch, "0.1.0-1"));
    let second = debian.take(&package(&scratch, "0.1.0-2"));

    debian.must(&["dpkg", "--install", &first]);
    is_installed(&debian);
    is_usable(&debian);

    // An upgrade keeps what the administrator changed, and restarts what runs.
    let config = debian.path("/etc/carillon/node.toml");
    let mine = fs::read_to_string(&config)
        .unwrap()
        .replace("region = \"\"", "region = \"eu\"");
    fs::write(&config, &mine).unwrap();
    debian.must(&["chmod", "600", "/etc/carillon/node.toml"]);
    debian.pretend_booted();
    debian.must(&["dpkg", "--install", &second]);
    assert_eq!(fs::read_to_string(&config).unwrap(), mine);
    assert_eq!(
        debian.standing("/etc/carillon/node.toml"),
        "root:carillon 600"
    );
    let told = debian.told();
    for unit in UNITS {
        let restarts = |line: &String| line.contains("restart") && line.contains(unit);
        assert!(told.iter().any(restarts), "{unit} in {told:#?}");
        let stops = |line: &String| line.starts_with("stop");
        assert!(
            !told.iter().any(stops),
            "it runs until its successor is there: {told:#?}"
        );
    }

    // Removal stops what runs and keeps what is the administrator's; a purge leaves nothing.
    let state = debian.path("/var/lib/carillon/carillon-data");
    fs::create_dir(&state).unwrap();
    debian.must(&["dpkg", "--remove", "carillon"]);
    let told = debian.told();
    for unit in UNITS {
        let stops = |line: &String| line.contains("stop") && line.contains(unit);
        assert!(told.iter().any(stops), "{unit} in {told:#?}");
    }
    assert!(config.exists() && state.exists());
    assert!(!debian.path("/usr/bin/carillon").exists());
    debian.must(&["dpkg", "--purge", "carillon"]);
    assert!(!debian.path("/etc/carillon").exists());
    assert!(!debian.path("/var/lib/carillon").exists());
}

/// Packs the program of this build, as a release is packed.
fn package(scratch: &Scratch, version: &str) -> PathBuf {
    let repository = Repository::find();
    let path = scratch.path().join(format!("carillon_{version}.deb"));
    let profile = Carillon::binary();
    let folder = profile.parent().and_then(Path::file_name).unwrap();
    let profile = match folder.to_string_lossy().as_ref() {
        "debug" => "dev".to_owned(),
        other => other.to_owned(),
    };
    let output = Command::new(repository.root().join("config/debian/build"))
        .args(["--no-build", "--profile", &profile, "--fast"])
        .args(["--deb-version", version, "--output"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    path
}

fn is_installed(debian: &Debian) {
    for (path, standing) in [
        ("/usr/bin/carillon", "root:root 755"),
        ("/etc/carillon", "root:root 755"),
        ("/etc/carillon/coordinator.toml", "root:carillon 640"),
        ("/etc/carillon/node.toml", "root:carillon 640"),
        ("/etc/carillon/nats.conf", "root:root 644"),
        ("/var/lib/carillon", "carillon:carillon 750"),
        ("/usr/share/man/man1/carillon.1.gz", "root:root 644"),
        ("/usr/share/man/man1/carillon-node.1.gz", "root:root 644"),
        ("/usr/share/doc/carillon/README.md", "root:root 644"),
        ("/usr/share/doc/carillon/copyright", "root:root 644"),
        (
            "/usr/share/doc/carillon/samples/pairs.toml",
            "root:root 644",
        ),
    ] {
        assert_eq!(debian.standing(path), standing, "{path}");
    }
    let repository = Repository::find();
    for unit in UNITS {
        let installed = fs::read_to_string(debian.path(&format!("/usr/lib/systemd/system/{unit}")));
        let own = repository.read(&format!("config/systemd/{unit}"));
        assert_eq!(installed.unwrap(), own);
        let enabled = format!("/etc/systemd/system/multi-user.target.wants/{unit}");
        assert!(
            debian.path(&enabled).symlink_metadata().is_err(),
            "{unit} is enabled"
        );
    }
    let listed = debian.must(&[
        "dpkg-query",
        "--show",
        "--showformat=${Conffiles}",
        "carillon",
    ]);
    for name in ["coordinator.toml", "node.toml", "nats.conf"] {
        let own = repository.read(&format!("config/{name}"));
        let path = format!("/etc/carillon/{name}");
        assert_eq!(fs::read_to_string(debian.path(&path)).unwrap(), own);
        assert!(listed.contains(&path), "{path} is no conffile:\n{listed}");
    }
    let user = debian.must(&["getent", "passwd", "carillon"]);
    assert!(
        user.contains(":/var/lib/carillon:/usr/sbin/nologin"),
        "{user}"
    );
}

fn is_usable(debian: &Debian) {
    let version = debian.must(&["carillon", "--version"]);
    assert!(version.starts_with("carillon "), "{version}");
    // As the service does it: the user reads its configuration and writes to its folder.
    let own = [
        "setpriv",
        "--reuid=carillon",
        "--regid=carillon",
        "--clear-groups",
    ];
    let reap = [
        "carillon",
        "node",
        "reap",
        "--config",
        "/etc/carillon/node.toml",
    ];
    let words: Vec<&str> = own.iter().chain(&reap).copied().collect();
    debian.must(&words);
    // Nobody else reads what may hold a password.
    let other = [
        "setpriv",
        "--reuid=nobody",
        "--regid=nogroup",
        "--clear-groups",
    ];
    let words: Vec<&str> = other.iter().chain(&reap).copied().collect();
    let refused = debian.run(&words);
    assert_eq!(refused.code, Some(2), "{}", refused.output);
    let page = debian.must(&["zcat", "/usr/share/man/man1/carillon.1.gz"]);
    for part in ["EXIT STATUS", "ENVIRONMENT", "FILES", "carillon\\-node(1)"] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
}
