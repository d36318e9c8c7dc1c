//! The program as a stranger meets it: `demo`, `check`, wrong arguments, exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step is a failed test"
)]

use std::time::Duration;

use shared::result::RunResult;
use tests::{Carillon, Finished, Scratch};

#[test]
fn demo_registers_connects_and_sounds_well() {
    let scratch = Scratch::new("demo");
    let json = scratch.path().join("demo.json");
    let data = scratch.path().join("data");
    let arguments = [
        "demo",
        "--json",
        json.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let finished = Carillon::command("demo", &arguments, Duration::from_secs(180));
    let result: RunResult = serde_json::from_str(&scratch.read("demo.json")).unwrap();
    let finished = Finished {
        result: Some(result),
        ..finished
    };
    finished.assert_ended(0);
    let result = finished.result();
    assert_eq!(result.all.ratios.registration_success, Some(100.0));
    assert_eq!(result.all.ratios.call_success, Some(100.0));
    assert_eq!(
        result.all.counts.registrations_succeeded,
        result.all.counts.unregistered
    );
    let mos = result.all.metric("mos").expect("a MOS");
    assert!(mos.p5 >= 4.3, "{mos:?}");
    assert_eq!(result.all.packets_lost, 0);
    // Progress was to be seen although this is no terminal.
    assert!(finished.output.lines().count() >= 5, "{}", finished.output);
}

#[test]
fn check_names_every_mistake_with_line_and_key() {
    let test = r#"name = "five"
duration = 60
buildup = "5s"

[registrars.pbx]
domain = "127.0.0.1"
prot = 5070

[groups.callers]
count = 20
registrar = "pbx"
accounts = { pattern = "user{0001..0010}", password = "pw-{username}" }
calls = { group = "calees" }
codecs = ["PCMU", "G729"]

[groups.callees]
registrar = "pbx"
accounts = { pattern = "user{0101..0120}", password = "pw-{username}" }
receives = true
"#;
    let finished = Carillon::check(test);
    assert_eq!(finished.code, Some(2), "{}", finished.output);
    for expected in [
        ":2:12: duration:",
        ":7:1: registrars.pbx.prot:",
        ":12:12: groups.callers.accounts:",
        ":13:19: groups.callers.calls.group:",
        ":14:19: groups.callers.codecs[1]:",
    ] {
        assert!(
            finished.output.contains(expected),
            "{expected} is not in:\n{}",
            finished.output
        );
    }
}

#[test]
fn a_good_file_has_no_mistakes() {
    let test = "duration = \"10s\"\n[groups.one]\ncount = 1\ncalls = \"sip:echo@127.0.0.1:5099\"\n";
    let finished = Carillon::check(test);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
}

#[test]
fn wrong_arguments_end_with_2() {
    for arguments in [
        &["nonsense"][..],
        &["run"],
        &["run", "/nowhere/test.toml"],
        &["demo", "--nonsense"],
    ] {
        let finished = Carillon::command("arguments", arguments, Duration::from_secs(10));
        assert_eq!(finished.code, Some(2), "{arguments:?}: {}", finished.output);
    }
}

#[test]
fn help_and_version_end_with_0() {
    for argument in ["--help", "--version"] {
        let finished = Carillon::command("help", &[argument], Duration::from_secs(10));
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        assert!(finished.output.contains("carillon"), "{}", finished.output);
    }
}
