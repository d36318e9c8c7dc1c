//! The coordinator as a process: what it prints, what it refuses, how it ends.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::api::{Project, Run, WhoAmI};
use shared::phase::RunStatus;
use tests::{Carillon, Scratch, Service, Setup, Stage};

use super::{target, target_silent_to_bye};

#[test]
fn the_key_is_printed_once_and_nowhere_else() {
    let mut service = Setup::new("first-start")
        .environment("CARILLON_LOG_FILTER", "debug")
        .start();
    let key = service.key().to_owned();
    let who: WhoAmI = service.api().read("whoami");
    assert!(who.key.operator, "{who:?}");
    assert_eq!(service.printed().matches(&key).count(), 1);
    assert!(!service.log().contains(&key));
    let project: Project = service.api().make("projects", &json!({ "name": "kept" }));
    assert!(service.stop(Duration::from_secs(10)).success());
    service.start();
    assert!(!service.printed().contains("clk_"), "{}", service.printed());
    assert!(!service.log().contains(&key));
    let kept: Project = service.api().read(&format!("projects/{}", project.id));
    assert_eq!(kept, project);
    service.kill();
    service.start();
    assert_eq!(service.api().get("whoami").status, 200);
    assert_eq!(
        service.api().with_key("").get("whoami").problem().status,
        401
    );
}

#[test]
fn a_second_coordinator_on_the_same_folder_ends_within_a_second() {
    let service = Service::start_new("two");
    let mut second = Setup::new("second").data_dir(service.data_dir()).prepare();
    second.launch();
    let begun = Instant::now();
    let status = second.wait(Duration::from_secs(5));
    let took = begun.elapsed();
    assert_eq!(status.code(), Some(1), "{}", second.tail());
    assert!(took <= Duration::from_secs(1), "it took {took:?}");
    let told = second.log();
    assert!(told.contains("another carillon"), "{told}");
    assert!(!second.printed().contains("clk_"));
    assert_eq!(service.api().get("whoami").status, 200);
}

#[test]
fn every_mistake_of_the_configuration_is_told_with_its_place() {
    let mut service = Setup::new("mistakes")
        .config("[http]\nbnid = \"127.0.0.1:1\"\nworkers = 0\n[nats]\nurl = \"http://127.0.0.1\"\n")
        .environment("CARILLON_RUNS_STARTS_AT_ONCE", "many")
        .arguments(&["--set", "log.format=xml"])
        .prepare();
    service.launch();
    let status = service.wait(Duration::from_secs(5));
    assert_eq!(status.code(), Some(2), "{}", service.tail());
    let told = service.log();
    for expected in [
        "coordinator.toml:2:1: http.bnid: unknown key; did you mean `bind`?",
        "coordinator.toml:3:11: http.workers: 0 is out of range",
        "coordinator.toml:5:7: nats.url:",
        "CARILLON_RUNS_STARTS_AT_ONCE: `many` is no number",
        "--set log.format=xml: `xml` is not known",
        "5 mistakes in the configuration",
    ] {
        assert!(told.contains(expected), "{expected} is not in:\n{told}");
    }
    assert!(!service.data_dir().exists(), "nothing was begun");
}

#[test]
fn a_public_address_needs_tls_or_an_explicit_word() {
    let mut refused = Setup::new("public")
        .arguments(&["--bind", "0.0.0.0:0"])
        .prepare();
    refused.launch();
    let status = refused.wait(Duration::from_secs(5));
    assert_eq!(status.code(), Some(2), "{}", refused.tail());
    assert!(refused.log().contains("TLS"), "{}", refused.log());
    assert!(!refused.printed().contains("clk_"), "{}", refused.printed());
}

#[test]
fn logs_are_json_where_that_is_configured() {
    let mut service = Setup::new("json-log")
        .config("[log]\nformat = \"json\"\n")
        .start();
    assert_eq!(service.api().get("projects").status, 200);
    assert!(service.stop(Duration::from_secs(10)).success());
    let log = service.log();
    assert!(log.lines().count() >= 1, "nothing was logged");
    for line in log.lines() {
        let entry: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            entry["level"].is_string() && entry["timestamp"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn a_stop_ends_live_runs_in_order_and_settles_them() {
    let lab = target();
    let mut service = Service::start_new("graceful");
    let stage = Stage::new(&service.api(), "p", lab.sip_addr().port(), 10);
    let test = stage.pairs("long", 5, "10m");
    let run = stage.start(&test);
    stage.wait(run.id, Duration::from_secs(20), |run| {
        run.counts
            .as_ref()
            .is_some_and(|counts| counts.calls_established == 5)
    });
    let mut live = service.api().events(&format!("runs/{}/live", run.id));
    assert!(live.next(Duration::from_secs(5)).is_some());
    let begun = Instant::now();
    let status = service.stop(Duration::from_secs(30));
    assert!(status.success(), "{status}:\n{}", service.tail());
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(lab.stats().sip.registered_now, 0, "registrations are left");
    assert_eq!(lab.stats().sip.calls_now, 0, "calls are left");
    service.start();
    let ended: Run = service.api().read(&format!("runs/{}", run.id));
    assert!(
        matches!(ended.status, RunStatus::Completed | RunStatus::Failed),
        "{ended:#?}"
    );
    let used = ended.used.expect("settled").endpoint_ms;
    assert!(used > 0 && used < ended.reserved.endpoint_ms, "{ended:#?}");
    drop(lab.shutdown());
}

#[test]
fn a_second_signal_leaves_at_once() {
    let lab = target_silent_to_bye();
    let mut service = Service::start_new("twice");
    let stage = Stage::new(&service.api(), "p", lab.sip_addr().port(), 2);
    let run = stage.start(&stage.pairs("long", 1, "10m"));
    stage.wait(run.id, Duration::from_secs(20), |run| {
        run.counts
            .as_ref()
            .is_some_and(|counts| counts.calls_established == 1)
    });
    service.process_mut().signal("TERM");
    let told = "shutting down";
    tests::until(told, Duration::from_secs(5), || {
        service.log().contains(told).then_some(())
    });
    let begun = Instant::now();
    service.process_mut().signal("INT");
    let status = service.wait(Duration::from_secs(2));
    let took = begun.elapsed();
    assert_eq!(
        status.code(),
        Some(130),
        "after {took:?}: {}",
        service.tail()
    );
    drop(lab.shutdown());
}

#[test]
fn the_configuration_in_the_repository_starts_a_coordinator() {
    let text = tests::Repository::find().read("config/coordinator.toml");
    let mut service = Setup::new("shipped").config(&text).start();
    assert_eq!(service.api().get("whoami").status, 200);
    assert!(service.stop(Duration::from_secs(10)).success());
}

#[test]
fn help_names_every_command_of_the_service() {
    let scratch = Scratch::new("help");
    let mut help = Carillon::beside(&scratch, "help", &["--help"], &[]);
    assert!(help.wait(Duration::from_secs(5)).success());
    for command in [
        "coordinator",
        "login",
        "projects",
        "tests",
        "runs",
        "start",
        "stop",
        "watch",
        "accounts",
    ] {
        let line = format!("\n  {command} ");
        assert!(
            help.output().contains(&line),
            "{command}:\n{}",
            help.output()
        );
    }
}
