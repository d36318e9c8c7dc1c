//! The README's cluster section, word for word, through Kamailio.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use shared::phase::RunStatus;
use tests::{Api, Carillon, Child, Kamailio, Repository, Scratch, free_ports, peers, until};

use crate::fixture::PATIENCE;

/// The code blocks of the README's section: language and text.
fn blocks() -> Vec<(String, String)> {
    let readme = Repository::find().read("README.md");
    let section = readme
        .split("\n## ")
        .find(|section| section.starts_with("As a cluster"))
        .expect("the section `As a cluster`");
    let blocks = section.split("```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.split_once('\n'));
    blocks
        .map(|(kind, text)| (kind.to_owned(), text.to_owned()))
        .collect()
}

#[test]
fn the_cluster_of_the_readme_works_word_for_word() {
    if !peers(&["bash", "nats-server"]) {
        return;
    }
    let Some(kamailio) = Kamailio::start() else {
        return;
    };
    let blocks = blocks();
    let kinds: Vec<&str> = blocks.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["sh", "sh", "toml"], "start, use, test file");
    let scratch = Scratch::new("readme-cluster");
    let [nats, http] = free_ports();
    let tools = tools(&scratch);
    let home = scratch.path().to_string_lossy().into_owned();
    let bash = |name: &str, script: &str| {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", script]);
        command
            .current_dir(scratch.path())
            .env("PATH", &tools)
            .env("HOME", &home);
        command.env("XDG_CONFIG_HOME", &home).env("NO_COLOR", "1");
        // What a reader has free: the usual ports.
        command.env("CARILLON_HTTP_BIND", format!("127.0.0.1:{http}"));
        command.env("CARILLON_NATS_URL", format!("nats://127.0.0.1:{nats}"));
        Child::start(name, &mut command, &scratch)
    };
    // The reader's own ports, and a shell that stays while its jobs run.
    let first = blocks[0]
        .1
        .replace(
            "nats-server -a 127.0.0.1",
            &format!("nats-server -a 127.0.0.1 -p {nats}"),
        )
        .replace("nats://127.0.0.1:4222", &format!("nats://127.0.0.1:{nats}"));
    assert_ne!(first, blocks[0].1);
    let mut jobs = bash("jobs", &format!("{first}\nwait"));
    let key = until("the API key", PATIENCE, || {
        assert!(jobs.ended().is_none(), "{}", jobs.tail());
        let printed = jobs.output();
        let listening = printed.contains("listening on");
        let key = printed
            .split_whitespace()
            .find(|word| word.starts_with("clk_"))?
            .to_owned();
        listening.then_some(key)
    });
    let address = format!("http://127.0.0.1:{http}");
    let api = Api::new(&address, &key);
    until("three nodes ONLINE", PATIENCE, || {
        let nodes: serde_json::Value = api.read("nodes?status=ONLINE");
        (nodes["items"].as_array()?.len() == 3).then_some(())
    });
    let file = blocks[2].1.replace(
        "domain = \"127.0.0.1\"",
        &format!("domain = \"127.0.0.1\"\nport = {}", kamailio.port()),
    );
    assert_ne!(file, blocks[2].1);
    scratch.write("cluster.toml", &file);
    let second = blocks[1]
        .1
        .replace("http://127.0.0.1:8080", &format!("{address} <<< '{key}'"));
    assert_ne!(second, blocks[1].1);
    // The subscriber goes on until it is told to stop.
    let second = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{second}");
    let mut walk = bash("walk", &second);
    let status = walk.wait(Duration::from_secs(120));
    let printed = walk.output();
    // 98: the machine was too slow for its figures to count, which is not what is tried here.
    let passed = matches!(status.code(), Some(0 | 98));
    assert!(passed, "{status}:\n{printed}\n{}", jobs.tail());
    // The list, the live figures of the subscriber, and the summary.
    for expected in [
        "berlin-1",
        "lyon-1",
        "ONLINE",
        "carillon.v1.runs.",
        "\"mos\"",
        "calls 100/100",
    ] {
        assert!(
            printed.contains(expected),
            "{expected} is not in:\n{printed}"
        );
    }
    let runs: shared::api::Page<shared::api::Run> = api.read("runs");
    let [run] = &runs.items[..] else {
        panic!("one run: {runs:#?}");
    };
    assert_eq!(run.status, RunStatus::Completed, "{run:#?}");
    assert_eq!(run.counts.as_ref().expect("counts").calls_established, 100);
    assert!(kamailio.counter("registrar:accepted_regs") >= 200);
    println!(
        "{}",
        printed.lines().take(30).collect::<Vec<_>>().join("\n")
    );
}

/// A path on which `carillon` and `nats` are found: the first is what was built, the second what
/// the harness has in its place (no registry brings the original).
fn tools(scratch: &Scratch) -> String {
    let folder = scratch.path().join("bin");
    std::fs::create_dir(&folder).expect("a folder");
    symlink(Carillon::binary(), folder.join("carillon")).expect("a link");
    let python = Repository::find().root().join("target/contract/bin/python");
    let client = Repository::find().root().join("tests/harness/nats_sub.py");
    let nats = folder.join("nats");
    let script = format!(
        "#!/bin/sh\nexec '{}' '{}' \"$@\"\n",
        python.display(),
        client.display()
    );
    std::fs::write(&nats, script).expect("a script");
    std::fs::set_permissions(&nats, PermissionsExt::from_mode(0o755)).expect("its mode");
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}:/usr/sbin", folder.display())
}
