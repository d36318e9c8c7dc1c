//! Limits hold under any number of requests at once (PRODUCT §4): one slot goes to one run, every
//! other is told the limit, and the books balance.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, Mutex};

use serde_json::json;
use shared::api::{CreatePlan, Run, SavedTest};
use shared::phase::RunStatus;
use tests::{Api, Service, alone};

use crate::fixture::{Tenant, audit_holds, wide};

/// Starts `requests` runs over 64 connections, one test after the other, and returns all answers.
fn stampede(api: &Api, tests: &[&SavedTest], requests: u32) -> Vec<Run> {
    let next = AtomicU32::new(0);
    let barrier = Barrier::new(CONNECTIONS);
    let answers = Mutex::new(Vec::with_capacity(requests as usize));
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let own = api.clone();
                let mut mine = Vec::new();
                barrier.wait();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        break;
                    }
                    let test = tests[number as usize % tests.len()];
                    let path = format!("projects/{}/tests/{}/runs", test.project, test.id);
                    let run: Run = own.post(&path, &json!({})).expect(202).read();
                    mine.push(run);
                }
                answers.lock().unwrap().extend(mine);
            });
        }
    });
    answers.into_inner().unwrap()
}

/// Exactly `slots` were accepted; every other names the limit with its value, use and request.
fn only(answers: &[Run], slots: usize, code: &str, name: &str, limit: u64, asked: u64) {
    let (refused, accepted): (Vec<&Run>, Vec<&Run>) = answers
        .iter()
        .partition(|run| run.status == RunStatus::CannotRunForNow);
    assert_eq!(accepted.len(), slots, "{accepted:#?}");
    for run in refused {
        let problem = run.problems.iter().find(|problem| problem.code == code);
        let problem = problem.unwrap_or_else(|| panic!("no {code}: {run:#?}"));
        let detail = problem.limit.as_ref().expect("the limit's figures");
        assert_eq!(
            (detail.name.as_str(), detail.limit, detail.asked),
            (name, limit, asked),
            "{problem:?}"
        );
        assert!(detail.in_use + asked > limit, "{problem:?}");
        assert!(detail.may_free_at_unix_ms.is_some(), "{problem:?}");
        assert!(!problem.sentence.is_empty());
        assert_eq!(run.reserved.endpoint_ms, 0);
    }
}

/// The accepted runs end, everything they held is back, and the ledger says so.
fn settle(tenant: &Tenant, answers: &[Run], service: &Service) {
    let accepted: Vec<&Run> = answers
        .iter()
        .filter(|run| run.status != RunStatus::CannotRunForNow)
        .collect();
    for run in &accepted {
        let _ = tenant.stop(run);
    }
    for run in &accepted {
        assert_eq!(tenant.ended(run).status, RunStatus::Completed);
    }
    let entries = tenant.books();
    assert_eq!(entries.len(), 1 + 2 * accepted.len());
    let now = tenant.now();
    assert_eq!(now.balance.reserved.endpoint_ms, 0);
    assert_eq!(
        (now.usage.concurrent_runs, now.usage.concurrent_endpoints),
        (0, 0)
    );
    audit_holds(service);
}

#[test]
fn ten_thousand_starts_for_one_slot_start_one() {
    let _machine = alone();
    let service = Service::start_new("stampede");
    let plan = CreatePlan {
        concurrent_runs_per_project: 1,
        ..wide("one a project")
    };
    let tenant = Tenant::new(&service, &plan, 1_000_000.0);
    let test = tenant.waiting(&tenant.project, 2, "10m");
    let answers = stampede(&tenant.api, &[&test], 10_000);
    assert_eq!(answers.len(), 10_000);
    let name = "concurrent_runs_per_project";
    only(&answers, 1, "plan_concurrent_runs_per_project", name, 1, 1);
    settle(&tenant, &answers, &service);
    // The slot is free again.
    let again = tenant.start(&test);
    assert_ne!(again.status, RunStatus::CannotRunForNow, "{again:#?}");
    let _ = tenant.stop(&again);
    assert_eq!(tenant.ended(&again).status, RunStatus::Completed);
}

#[test]
fn the_organizations_limit_holds_over_its_projects() {
    let _machine = alone();
    let service = Service::start_new("stampede-organization");
    let plan = CreatePlan {
        concurrent_runs_per_organization: 3,
        ..wide("three in all")
    };
    let tenant = Tenant::new(&service, &plan, 1_000_000.0);
    let other = tenant.project("second");
    let tests = [
        tenant.waiting(&tenant.project, 2, "10m"),
        tenant.waiting(&other, 2, "10m"),
    ];
    let answers = stampede(&tenant.api, &[&tests[0], &tests[1]], 2_000);
    let name = "concurrent_runs_per_organization";
    only(
        &answers,
        3,
        "plan_concurrent_runs_per_organization",
        name,
        3,
        1,
    );
    settle(&tenant, &answers, &service);
}

#[test]
fn the_total_of_endpoints_and_the_credits_hold() {
    let _machine = alone();
    let service = Service::start_new("stampede-endpoints");
    let plan = CreatePlan {
        concurrent_endpoints: 35,
        ..wide("35 endpoints")
    };
    let tenant = Tenant::new(&service, &plan, 1_000_000.0);
    let test = tenant.waiting(&tenant.project, 10, "10m");
    let answers = stampede(&tenant.api, &[&test], 1_000);
    only(
        &answers,
        3,
        "plan_concurrent_endpoints",
        "concurrent_endpoints",
        35,
        10,
    );
    settle(&tenant, &answers, &service);

    // 10 endpoints for 10 minutes are 100 credits; 250 are there.
    let tenant = Tenant::new(&service, &wide("credits"), 250.0);
    let test = tenant.waiting(&tenant.project, 10, "10m");
    let answers = stampede(&tenant.api, &[&test], 1_000);
    let unit = 60_000;
    only(&answers, 2, "credits", "credits", 250 * unit, 100 * unit);
    settle(&tenant, &answers, &service);
}

const CONNECTIONS: usize = 64;
