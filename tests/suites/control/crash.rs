//! The coordinator dies by SIGKILL at every named step of a run's books, and at random moments: what
//! it acknowledged is there, every run that was live has ended and is settled once, nothing leaks.
//!
//! `CARILLON_CRASHES=20` sets how often each step is tried.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use shared::api::{Page, Run, SavedTest};
use shared::id::RunId;
use tests::{Answer, Service, Setup, alone, until};

use crate::fixture::{Tenant, audit_holds, wide};

/// The steps at which a test build can be killed (coordinator/src/failpoint.rs).
const STEPS: &[&str] = &[
    "before_reserve",
    "before_commit_apply",
    "after_commit_apply",
    "before_flush",
    "after_flush",
    "before_accept_answer",
    "after_accept_answer",
    "before_start",
    "after_start",
    "before_report_store",
    "after_report_store",
    "after_last_report",
    "before_settle",
    "after_settle",
];

/// What a client knows: which key was answered with which run.
#[derive(Default)]
struct Known {
    answered: BTreeMap<String, RunId>,
    asked: u32,
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_leaks_nothing() {
    let _machine = alone();
    let mut service = Setup::new("crash-steps").start();
    let tenant = Tenant::new(&service, &wide("crash"), 1_000_000.0);
    let test = tenant.waiting(&tenant.project, 4, "10m");
    let mut known = Known::default();
    service.kill();
    for step in STEPS {
        for round in 1..=rounds() {
            println!("step {step}, round {round}");
            // Each round dies at a later pass: in the first run, in the next, between them.
            let place = format!("{step}:{}", 1 + (round - 1) % 4);
            service.set_environment("CARILLON_FAILPOINT", Some(&place));
            if service.start_or_die() {
                let tenant = tenant.at(&service);
                let runs = (0..10).take_while(|_| drive(&tenant, &test, &mut known));
                assert!(runs.count() < 10, "{place} is never passed");
            }
            service.wait(Duration::from_secs(20));
            service.set_environment("CARILLON_FAILPOINT", None);
            service.start();
            survived(&service, &tenant.at(&service), &test, &mut known);
            service.kill();
        }
    }
}

#[test]
fn a_crash_at_a_random_moment_loses_nothing_and_leaks_nothing() {
    let _machine = alone();
    let mut service = Setup::new("crash-random").start();
    let tenant = Tenant::new(&service, &wide("crash"), 1_000_000.0);
    let test = tenant.waiting(&tenant.project, 4, "10m");
    let mut known = Known::default();
    let seed = seed();
    println!("seed {seed}");
    let mut random = seed;
    for round in 0..rounds() * 5 {
        let here = tenant.at(&service);
        let victim = service.process_mut().id();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let after = Duration::from_micros((random >> 33) % 400_000);
        println!("round {round}: killed after {after:?}");
        let killer = std::thread::spawn(move || {
            // The moment is the test's subject, not a wait for something.
            std::thread::sleep(after);
            let killed = std::process::Command::new("kill")
                .args(["-KILL", &victim.to_string()])
                .status();
            killed.expect("kill");
        });
        while drive(&here, &test, &mut known) {}
        killer.join().unwrap();
        service.wait(Duration::from_secs(10));
        service.start();
        survived(&service, &tenant.at(&service), &test, &mut known);
    }
}

/// Starts a run, watches it until it runs, stops it, and waits for its end; false where the
/// coordinator was gone before all that was done.
fn drive(tenant: &Tenant, test: &SavedTest, known: &mut Known) -> bool {
    known.asked += 1;
    let key = format!("crash-{}", known.asked);
    let Some(run) = start(tenant, test, &key) else {
        return false;
    };
    known.answered.insert(key, run.id);
    let path = format!("runs/{}", run.id);
    let reached = |done: &dyn Fn(&Run) -> bool| {
        until(
            "the run moving on, or the crash",
            Duration::from_secs(30),
            || match tenant.api.raw("GET", &path).send() {
                Ok(answer) => done(&answer.expect(200).read()).then_some(true),
                Err(_) => Some(false),
            },
        )
    };
    if !reached(&|run| run.began_unix_ms.is_some()) {
        return false;
    }
    let stop = tenant
        .api
        .raw("POST", &format!("{path}/stop"))
        .json(&json!({}));
    if stop.send().is_err() {
        return false;
    }
    reached(&|run| run.used.is_some())
}

/// A start under an idempotency key; none where no whole answer came.
fn start(tenant: &Tenant, test: &SavedTest, key: &str) -> Option<Run> {
    let path = format!("projects/{}/tests/{}/runs", test.project, test.id);
    let asking = tenant.api.raw("POST", &path).json(&json!({}));
    let answer: Answer = asking.header("Idempotency-Key", key).send().ok()?;
    Some(answer.expect(202).read())
}

/// Everything that was acknowledged is there, every run has ended and is settled, no slot is held.
fn survived(service: &Service, tenant: &Tenant, test: &SavedTest, known: &mut Known) {
    audit_holds(service);
    let runs = all_runs(tenant);
    for (key, id) in &known.answered {
        assert!(
            runs.contains_key(id),
            "{id} was acknowledged ({key}) and is gone"
        );
    }
    for run in runs.values() {
        assert!(run.status.is_terminal(), "{run:#?}");
        assert!(
            run.reserved.endpoint_ms == 0 || run.used.is_some(),
            "{run:#?}"
        );
    }
    let entries = tenant.books();
    let accepted = runs.values().filter(|run| run.reserved.endpoint_ms > 0);
    assert_eq!(entries.len(), 1 + 2 * accepted.count(), "{entries:#?}");
    let now = tenant.now();
    assert_eq!(
        (now.usage.concurrent_runs, now.usage.concurrent_endpoints),
        (0, 0)
    );
    // The same key asks again: the run that was made for it, whether it was answered or not.
    let key = format!("crash-{}", known.asked);
    let again = start(tenant, test, &key).expect("a running coordinator");
    if let Some(first) = known.answered.get(&key) {
        assert_eq!(again.id, *first, "{key} made a second run");
    }
    known.answered.insert(key, again.id);
    if !again.status.is_terminal() {
        let _ = tenant.stop(&again);
        tenant.ended(&again);
    }
    let made = all_runs(tenant).len();
    assert!(
        made <= known.asked as usize,
        "{made} runs of {} requests",
        known.asked
    );
}

fn all_runs(tenant: &Tenant) -> BTreeMap<RunId, Run> {
    let mut runs = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page: Page<Run> = tenant.api.read(&format!("runs?limit=500{cursor}"));
        runs.extend(page.items.into_iter().map(|run| (run.id, run)));
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return runs,
        }
    }
}

fn rounds() -> u32 {
    let given = std::env::var("CARILLON_CRASHES").ok();
    given.map_or(4, |text| {
        text.parse().expect("CARILLON_CRASHES is a number")
    })
}

fn seed() -> u64 {
    let given = std::env::var("CARILLON_SEED").ok();
    given.map_or_else(
        || u64::from(std::process::id()) << 16 | 1,
        |text| text.parse().expect("CARILLON_SEED is a number"),
    )
}
