//! Each row of PRODUCT §7 that needs no second node, made to happen: the status and what the user is
//! told.

use lab::{Accounts, Lab, LabConfig};
use serde_json::{Value, json};
use shared::api::{CreatePlan, Problem, Registrar, Run, SavedTest};
use shared::phase::RunStatus;
use tests::{Service, alone, free_ports};

use crate::fixture::{Tenant, wide};

fn registrar(tenant: &Tenant, name: &str, host: &str, port: u16) -> Registrar {
    tenant.api.make(
        &format!("projects/{}/registrars", tenant.project.id),
        &json!({ "name": name, "domain": "example.com", "host": host, "port": port }),
    )
}

fn accounts(tenant: &Tenant, registrar: &Registrar, pattern: &str) {
    let path = format!(
        "projects/{}/registrars/{}/accounts/bulk",
        tenant.project.id, registrar.id
    );
    let _: Value = tenant
        .api
        .make(&path, &json!({ "pattern": pattern, "password": "pw" }));
}

fn saved(tenant: &Tenant, definition: &Value) -> SavedTest {
    tenant
        .api
        .make(&format!("projects/{}/tests", tenant.project.id), definition)
}

/// The run at its end, with its body printed as the note shows it.
fn outcome(tenant: &Tenant, test: &SavedTest) -> Run {
    let run = tenant.start(test);
    let run = tenant.wait(&run, |run| run.status.is_terminal());
    println!("{} {}: {}", run.status, run.reason, run.sentence);
    run
}

fn problem<'r>(run: &'r Run, code: &str) -> &'r Problem {
    let found = run.problems.iter().find(|problem| problem.code == code);
    found.unwrap_or_else(|| panic!("no {code}: {run:#?}"))
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
}

#[test]
fn what_cannot_start_says_why_all_at_once() {
    let _machine = alone();
    let service = Service::start_new("troubles-start");
    let plan = CreatePlan {
        endpoints_per_run: 50,
        duration_max: "1m".to_owned(),
        concurrent_runs_per_project: 2,
        ..wide("tight")
    };
    let tenant = Tenant::new(&service, &plan, 100.0);
    let pbx = registrar(&tenant, "pbx", "127.0.0.1", 9);
    accounts(&tenant, &pbx, "user{01..05}");

    // No node in the region: which region, which nodes there are and how they stand.
    let nowhere = saved(
        &tenant,
        &json!({ "name": "nowhere", "duration": "10s",
            "groups": { "g": { "count": 2, "registrar": "pbx", "region": "atlantis" } } }),
    );
    let run = outcome(&tenant, &nowhere);
    assert_eq!(run.status, RunStatus::CannotRunForNow);
    says(
        &problem(&run, "no_node_in_region").sentence,
        &["atlantis", "ONLINE"],
    );

    // Too few accounts: registrar, needed, present.
    let few = saved(
        &tenant,
        &json!({ "name": "few", "duration": "10s",
            "groups": { "g": { "count": 8, "registrar": "pbx" } } }),
    );
    let run = outcome(&tenant, &few);
    let found = problem(&run, "not_enough_accounts");
    says(&found.sentence, &["pbx", "8", "5"]);
    let detail = found.limit.as_ref().expect("figures");
    assert_eq!((detail.limit, detail.in_use, detail.asked), (5, 0, 8));

    // Several at once, each with its figures.
    let much = saved(
        &tenant,
        &json!({ "name": "much", "duration": "10m",
            "groups": { "g": { "count": 60, "registrar": "pbx", "region": "atlantis" } } }),
    );
    let run = outcome(&tenant, &much);
    assert_eq!(run.status, RunStatus::CannotRunForNow);
    for code in [
        "plan_endpoints_per_run",
        "plan_duration",
        "credits",
        "not_enough_accounts",
        "no_node_in_region",
    ] {
        let found = problem(&run, code);
        assert!(
            code == "no_node_in_region" || found.limit.is_some(),
            "{found:?}"
        );
    }
    let checked: Value = tenant.api.make(
        &format!("projects/{}/tests/{}/check", much.project, much.id),
        &json!({}),
    );
    assert_eq!(checked["can_run"], false);
    assert_eq!(
        checked["problems"].as_array().unwrap().len(),
        run.problems.len()
    );

    // A target that nobody allowed.
    let elsewhere = registrar(&tenant, "elsewhere", "192.0.2.1", 5060);
    accounts(&tenant, &elsewhere, "user{1..2}");
    let far = saved(
        &tenant,
        &json!({ "name": "far", "duration": "10s",
            "groups": { "g": { "count": 2, "registrar": "elsewhere" } } }),
    );
    let run = outcome(&tenant, &far);
    says(
        &problem(&run, "target_not_allowed").sentence,
        &["192.0.2.1", "elsewhere"],
    );

    // The same accounts are not used twice at once.
    let first = saved(
        &tenant,
        &json!({ "name": "first", "duration": "50s", "buildup": "40s",
            "groups": { "g": { "count": 4, "registrar": "pbx" } } }),
    );
    let live = tenant.start(&first);
    assert!(!live.status.is_terminal(), "{live:#?}");
    let run = outcome(&tenant, &first);
    let detail = problem(&run, "not_enough_accounts")
        .limit
        .clone()
        .expect("figures");
    assert_eq!((detail.limit, detail.in_use, detail.asked), (5, 4, 4));
    let _ = tenant.stop(&live);
    tenant.ended(&live);
    tenant.books();
}

#[test]
fn a_registrar_that_refuses_everybody_is_named() {
    let _machine = alone();
    let service = Service::start_new("troubles-refused");
    let tenant = Tenant::new(&service, &wide("refused"), 1_000.0);
    // A registrar that knows somebody else.
    let mut config = LabConfig::default();
    let known = [("somebody".to_owned(), "else".to_owned())];
    config.accounts = Accounts::Listed(known.into_iter().collect());
    let lab = Lab::start(config).expect("the lab");
    let port = lab.sip_addr().port();
    let pbx = registrar(&tenant, "pbx", "127.0.0.1", port);
    accounts(&tenant, &pbx, "user{01..05}");
    let test = saved(
        &tenant,
        &json!({ "name": "refused", "duration": "20s", "buildup": "1s",
            "groups": { "g": { "count": 5, "registrar": "pbx" } } }),
    );
    let run = outcome(&tenant, &test);
    assert_eq!(
        (run.status, run.reason.as_str()),
        (RunStatus::Failed, "all_registrations_failed")
    );
    let port = port.to_string();
    says(&run.sentence, &["127.0.0.1", &port, "UDP", "endpoint"]);
    let rows: Value = tenant.api.read(&format!(
        "runs/{}/endpoints?outcome=REGISTRATION_FAILED",
        run.id
    ));
    let row = &rows["items"][0];
    let code = row["registration_code"]
        .as_u64()
        .expect("a SIP code")
        .to_string();
    says(&run.sentence, &[&code]);
    let trace = format!("runs/{}/endpoints/{}/trace", run.id, row["endpoint"]);
    says(&tenant.api.get(&trace).expect(200).text(), &["REGISTER"]);
    tenant.ended(&run);
    tenant.books();
}

#[test]
fn an_unreachable_network_is_told_with_its_error() {
    let _machine = alone();
    let service = Service::start_new("troubles-unreachable");
    let tenant = Tenant::new(&service, &wide("unreachable"), 1_000.0);
    let port = free_ports::<1>()[0];
    let pbx = registrar(&tenant, "pbx", "127.0.0.1", port);
    accounts(&tenant, &pbx, "user{01..03}");
    let test = saved(
        &tenant,
        &json!({ "name": "closed", "duration": "20s", "buildup": "1s",
            "groups": { "g": { "count": 3, "registrar": "pbx" } } }),
    );
    let run = outcome(&tenant, &test);
    assert_eq!(run.status, RunStatus::Failed, "{run:#?}");
    says(&run.sentence, &["127.0.0.1", &port.to_string(), "refused"]);
    tenant.ended(&run);
    tenant.books();
}
