//! A password that is planted is found nowhere: no log, export, error, dump, nor in the plain octets
//! of the store. The same for the secret of an API key.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use shared::api::{Registrar, SavedTest};
use tests::{Setup, alone};

use crate::fixture::{Tenant, wide};

const CANARY: &str = "cAnArY-7f3e-passw0rd";

#[test]
fn a_planted_password_is_found_nowhere() {
    let _machine = alone();
    // The log tells everything it can.
    let mut service = Setup::new("canary")
        .environment("CARILLON_LOG", "trace")
        .start();
    let tenant = Tenant::new(&service, &wide("canary"), 10_000.0);
    let api = &tenant.api;
    let project = tenant.project.id;
    let mut seen = String::new();

    // Nobody listens there: the run fails, which leaves traces and failures behind.
    let registrar: Registrar = api.make(
        &format!("projects/{project}/registrars"),
        &json!({ "name": "pbx", "domain": "example.com", "host": "127.0.0.1", "port": 9 }),
    );
    let accounts = format!("projects/{project}/registrars/{}/accounts", registrar.id);
    let one = api.post(
        &accounts,
        &json!({ "username": "alice", "password": CANARY }),
    );
    seen += &one.text();
    let id = one.expect(201).json()["id"].as_str().unwrap().to_owned();
    let bulk = json!({ "pattern": "user{01..20}", "password": format!("{CANARY}-{{username}}") });
    seen += &api.post(&format!("{accounts}/bulk"), &bulk).text();
    let csv = format!("username,password\nbob,{CANARY}\n");
    let file = api
        .raw("POST", &format!("{accounts}/bulk"))
        .body("text/csv", csv);
    seen += &file.answer().text();
    seen += &api.get(&accounts).text();
    seen += &api.get(&format!("{accounts}/{id}")).text();
    seen += &api
        .patch(
            &format!("{accounts}/{id}"),
            &json!({ "password": CANARY, "realm": "r" }),
        )
        .text();
    // Mistakes beside it must not print it.
    for wrong in [
        json!({ "username": "a b", "password": CANARY }),
        json!({ "username": "carol", "password": [CANARY] }),
        json!({ "username": "carol", "password": CANARY, "colour": "red" }),
        json!({ "username": "alice", "password": CANARY }),
        json!({ "username": "dave", "password": CANARY.repeat(40) }),
    ] {
        let answer = api.post(&accounts, &wrong);
        assert!((400..500).contains(&answer.status), "{answer}");
        seen += &answer.text();
    }
    let broken = format!("{{\"username\": \"eve\", \"password\": \"{CANARY}");
    seen += &api
        .raw("POST", &accounts)
        .body("application/json", broken)
        .answer()
        .text();
    let inline = json!({
        "name": "inline", "groups": { "g": { "registrar": "pbx", "count": 1,
            "accounts": [{ "username": "x", "password": CANARY }] } },
    });
    let refused = api.post(&format!("projects/{project}/tests"), &inline);
    assert!((400..500).contains(&refused.status), "{refused}");
    seen += &refused.text();

    seen += &failing_run(&tenant);
    for path in [
        "/metrics", "/healthz", "/readyz", "projects", "runs", "keys", "ledger", "audit",
    ] {
        seen += &service.api().get(path).text();
    }
    assert!(!seen.contains(CANARY), "an answer holds the password");

    // As it was written, before anything is tidied away; and after an orderly end.
    service.kill();
    clean(&service, "after a crash");
    service.start();
    service.stop(Duration::from_secs(30));
    clean(&service, "after an orderly end");
}

/// A run that fails at the registrar, which leaves traces and reasons behind; every answer about it.
fn failing_run(tenant: &Tenant) -> String {
    let api = &tenant.api;
    let project = tenant.project.id;
    let mut seen = String::new();
    let test: SavedTest = api.make(
        &format!("projects/{project}/tests"),
        &json!({
            "name": "fails", "duration": "2s", "buildup": "0s", "trace_sample": 10,
            "groups": { "phones": { "registrar": "pbx", "count": 5 } },
        }),
    );
    seen += &api
        .post(
            &format!("projects/{project}/tests/{}/check", test.id),
            &json!({}),
        )
        .text();
    let run = tenant.start(&test);
    let run = tenant.ended(&run);
    let at = format!("runs/{}", run.id);
    for path in [
        "",
        "/endpoints",
        "/endpoints/0",
        "/endpoints/0/trace",
        "/metrics",
        "/result",
    ] {
        seen += &api.get(&format!("{at}{path}")).text();
    }
    seen
}

fn clean(service: &tests::Service, when: &str) {
    let printed = service.everything_printed();
    assert!(
        !printed.contains(CANARY),
        "the log holds the password {when}"
    );
    let secret = service.key().rsplit('_').next().expect("a secret");
    let log = service.log();
    assert!(!log.contains(secret), "the log holds the key {when}");
    let mut files = 0;
    search(service.data_dir(), &mut |path, octets| {
        files += 1;
        for (what, needle) in [("password", CANARY), ("key", secret)] {
            let found = octets
                .windows(needle.len())
                .any(|part| part == needle.as_bytes());
            assert!(!found, "{} holds the {what} {when}", path.display());
        }
    });
    assert!(files > 3, "only {files} files were searched");
}

fn search(folder: &Path, each: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            search(&path, each);
        } else {
            each(&path, &std::fs::read(&path).unwrap());
        }
    }
}
