//! The service's figures for docs/PERFORMANCE.md: answers while a run of 1,000 endpoints is on, an
//! accepted start, pages of 10,000 runs, an import of 100,000 accounts, a start with 10,000 runs.
//!
//! `CARILLON=target/release/carillon cargo bench -p tests --bench service`. Everything goes over
//! real HTTP on loopback, to a process of its own, with the disk flushed as always.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a figure that cannot be taken ends the bench"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lab::{Lab, LabConfig};
use serde_json::{Value, json};
use shared::api::{CreatedApiKey, Organization, Page, Plan, Project, Registrar, Run, SavedTest};
use shared::phase::RunStatus;
use tests::{Api, Setup, wait_for};

fn main() {
    // `cargo test` runs benches too, to see that they build.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut service = Setup::new("bench-service").start();
    let admin = service.api();
    let api = organization(&admin, "bench", 16);
    let project: Project = api.make("projects", &json!({ "name": "bench" }));

    import(&api, &project);
    let history = history(&admin);
    pages(&history, "list of 10,000 runs, a page of 100");
    service.stop(Duration::from_secs(60));
    let begun = Instant::now();
    service.start();
    println!(
        "start-up with 10,000 stored runs and 100,000 accounts, to /readyz: {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    let api = service.api().with_key(api.key());
    busy(&api, &project);
}

/// An organization with a plan of its own and an owner's key.
fn organization(admin: &Api, name: &str, runs: u32) -> Api {
    let plan: Plan = admin.make(
        "plans",
        &json!({ "name": name, "concurrent_runs_per_project": runs,
            "concurrent_runs_per_organization": runs, "concurrent_endpoints": 100_000,
            "endpoints_per_run": 100_000, "duration_max": "1h" }),
    );
    let made: Organization = admin.make("organizations", &json!({ "name": name, "plan": plan.id }));
    let credits = format!("organizations/{}/credits", made.id);
    let _: Value = admin.make(&credits, &json!({ "credits": 1_000_000.0 }));
    let key: CreatedApiKey = admin.make(
        &format!("keys?organization={}", made.id),
        &json!({ "name": "owner", "role": "owner" }),
    );
    admin.with_key(&key.secret)
}

/// 100,000 accounts from one CSV file.
fn import(api: &Api, project: &Project) {
    let registrar: Registrar = api.make(
        &format!("projects/{}/registrars", project.id),
        &json!({ "name": "large", "domain": "example.com", "host": "127.0.0.1" }),
    );
    let rows = (0..100_000).map(|n| format!("user{n:06},pw-user{n:06}\n"));
    let csv: String = std::iter::once("username,password\n".to_owned())
        .chain(rows)
        .collect();
    let path = format!(
        "projects/{}/registrars/{}/accounts/bulk",
        project.id, registrar.id
    );
    let begun = Instant::now();
    let answer = api.raw("POST", &path).body("text/csv", csv).answer();
    let took = begun.elapsed();
    assert!(answer.status < 300, "{answer}");
    assert_eq!(answer.json()["accounts"], 100_000);
    println!("import of 100,000 accounts: {:.2} s", took.as_secs_f64());
}

/// 10,000 runs of an organization whose plan lets none start: each is stored with its reasons.
fn history(admin: &Api) -> Api {
    let api = organization(admin, "history", 0);
    let project: Project = api.make("projects", &json!({ "name": "history" }));
    let test: SavedTest = api.make(
        &format!("projects/{}/tests", project.id),
        &json!({ "name": "waits", "duration": "10s",
            "groups": { "callers": { "count": 1, "calls": { "group": "callees" } },
                "callees": { "count": 1, "receives": true } } }),
    );
    let path = format!("projects/{}/tests/{}/runs", project.id, test.id);
    let begun = Instant::now();
    let left = AtomicU32::new(10_000);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        left.checked_sub(1)
                    })
                    .is_ok()
                {
                    let run: Run = api.make(&path, &json!({}));
                    assert_eq!(run.status, RunStatus::CannotRunForNow);
                }
            });
        }
    });
    let took = begun.elapsed().as_secs_f64();
    println!("10,000 starts over 64 connections, each refused and stored: {took:.2} s");
    api
}

/// All pages in several orders.
fn pages(api: &Api, what: &str) {
    for sort in ["-created", "created", "-name", "-endpoints"] {
        let mut times = Vec::new();
        let mut seen = 0;
        let mut cursor = String::new();
        loop {
            let begun = Instant::now();
            let answer = api.get(&format!("runs?limit=100&sort={sort}{cursor}"));
            times.push(begun.elapsed());
            let page: Page<Run> = answer.expect(200).read();
            seen += page.items.len();
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, 10_000);
        told(&format!("{what}, sort={sort}"), &mut times);
    }
}

/// A run of 1,000 endpoints in 500 calls, and 200 requests a second beside it.
fn busy(api: &Api, project: &Project) {
    let lab = Lab::start(LabConfig::default()).expect("the lab");
    let registrar: Registrar = api.make(
        &format!("projects/{}/registrars", project.id),
        &json!({ "name": "lab", "domain": "127.0.0.1", "port": lab.sip_addr().port() }),
    );
    let bulk = format!(
        "projects/{}/registrars/{}/accounts/bulk",
        project.id, registrar.id
    );
    let pattern = json!({ "pattern": "user{0001..1000}", "password": "pw-{username}" });
    let _: Value = api.make(&bulk, &pattern);
    let group = |extra: Value| {
        let mut group = json!({ "registrar": "lab", "count": 500 });
        for (key, value) in extra.as_object().expect("an object") {
            group[key] = value.clone();
        }
        group
    };
    let test: SavedTest = api.make(
        &format!("projects/{}/tests", project.id),
        &json!({ "name": "busy", "duration": "45s", "buildup": "10s", "groups": {
            "callers": group(json!({ "calls": { "group": "callees" } })),
            "callees": group(json!({ "receives": true })) } }),
    );
    let path = format!("projects/{}/tests/{}/runs", project.id, test.id);
    let mut starts = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let run: Run = api.make(&path, &json!({}));
        starts.push(begun.elapsed());
        assert!(
            matches!(run.status, RunStatus::Queued | RunStatus::Running),
            "{run:#?}"
        );
        let _ = api
            .post(&format!("runs/{}/stop", run.id), &json!({}))
            .expect(202);
        let at = format!("runs/{}", run.id);
        wait_for(api, &at, Duration::from_secs(60), |run: &Run| {
            run.status.is_terminal()
        });
    }
    told("POST of a run of 1,000 endpoints, to QUEUED", &mut starts);

    let run: Run = api.make(&path, &json!({}));
    let at = format!("runs/{}", run.id);
    wait_for(api, &at, Duration::from_secs(60), |run: &Run| {
        run.counts
            .as_ref()
            .is_some_and(|counts| counts.calls_established >= 450)
    });
    let mut times = paced(api, &at, 200, Duration::from_secs(15));
    told(
        "GET /runs/{id} at 200 requests/s beside 500 calls",
        &mut times,
    );
    let ended: Run = wait_for(api, &at, Duration::from_secs(120), |run: &Run| {
        run.status.is_terminal()
    });
    println!(
        "the run beside it: {} {:?} {:?}",
        ended.status, ended.verdict, ended.headline
    );
}

/// Requests at a fixed pace; each is timed from when it was due, so a late one counts as late.
fn paced(api: &Api, path: &str, rate: u32, span: Duration) -> Vec<Duration> {
    let begun = Instant::now();
    let total = rate * u32::try_from(span.as_secs()).unwrap();
    let next = AtomicU32::new(0);
    let worker = || {
        let mut times = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= total {
                return times;
            }
            let due = begun + Duration::from_secs(1) * number / rate;
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                std::thread::sleep(early);
            }
            let _ = api.get(path).expect(200);
            times.push(due.elapsed());
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    })
}

fn told(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what}: median {:.1} ms, p99 {:.1} ms, worst {:.1} ms ({} requests)",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
}
