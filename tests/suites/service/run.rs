//! One run over the API from its objects to its history, through Kamailio.

use std::time::Duration;

use serde_json::{Value, json};
use shared::api::{Balance, EndpointRow, LedgerEntry, Organization, Page, Run, TransferKind};
use shared::phase::{Outcome, RunStatus};
use shared::result::RunResult;
use tests::{Kamailio, Service, Stage, alone, assert_passed};

const END: Duration = Duration::from_secs(40);
const EVENT: Duration = Duration::from_secs(10);

fn balance(service: &Service) -> Balance {
    let own: Page<Organization> = service.api().read("organizations");
    own.items[0].balance
}

#[test]
fn a_run_is_started_watched_read_stopped_and_run_again() {
    let _machine = alone();
    let Some(kamailio) = Kamailio::start() else {
        return;
    };
    let service = Service::start_new("run");
    let api = service.api();
    let before = balance(&service);
    assert_eq!(before.available.credits, 1_000_000.0);
    let stage = Stage::new(&api, "first", kamailio.port(), 20);
    let test = stage.pairs("ten calls", 10, "8s");
    assert_eq!(test.endpoints, 20);
    let check = format!("projects/{}/tests/{}/check", stage.project.id, test.id);
    let checked = api.raw("POST", &check).answer();
    assert_eq!(checked.expect(200).json()["can_run"], true);

    let run = stage.start(&test);
    assert!(
        matches!(run.status, RunStatus::Queued | RunStatus::Running),
        "{run:#?}"
    );
    // 20 endpoints for 8 s.
    assert_eq!(run.reserved.endpoint_ms, 160_000);
    let updates = api.events(&format!("runs/{}/live", run.id)).updates(EVENT);
    let last = updates.last().expect("updates");
    assert_eq!(last.status, RunStatus::Completed);
    assert!(updates.len() >= 8, "{} updates of 8 s", updates.len());
    assert!(updates.iter().any(|update| update.all.mos.is_some()));

    let ended = stage.wait_for_end(run.id, END);
    assert_eq!(ended.status, RunStatus::Completed);
    assert!(ended.headline.expect("figures").mos_p50.expect("a MOS") >= 4.3);
    reads_of_an_ended_run(&service, &ended);
    settled(&service, &ended, before);

    // Again, stopped this time, twice.
    let again: Run = api
        .post(&format!("runs/{}/rerun", run.id), &json!({}))
        .expect(202)
        .read();
    assert_eq!(again.rerun_of, Some(run.id));
    stage.wait(again.id, END, |run| run.status == RunStatus::Running);
    for _ in 0..2 {
        let answer = api.raw("POST", &format!("runs/{}/stop", again.id)).answer();
        assert!((200..300).contains(&answer.status), "{answer}");
    }
    let stopped = stage.wait_for_end(again.id, END);
    assert_eq!(stopped.status, RunStatus::Completed);
    assert!(stopped.used.expect("settled").endpoint_ms <= stopped.reserved.endpoint_ms);
    assert_eq!(kamailio.contacts(), 0, "registrations are left");
    let history: Page<Run> = api.read("runs?sort=-created");
    let ids: Vec<_> = history.items.iter().map(|run| run.id).collect();
    assert_eq!(ids, [again.id, run.id]);
    let compared = api.get(&format!("runs/compare?ids={},{}", run.id, again.id));
    assert_eq!(
        compared.expect(200).json()["runs"].as_array().map(Vec::len),
        Some(2)
    );
}

fn reads_of_an_ended_run(service: &Service, run: &Run) {
    let api = service.api();
    let id = run.id;
    let rows: Page<EndpointRow> = api.read(&format!("runs/{id}/endpoints?limit=500"));
    assert_eq!(rows.items.len(), 20);
    for row in &rows.items {
        assert_eq!(row.outcome, Some(Outcome::Success), "{row:?}");
    }
    let callers: Page<EndpointRow> = api.read(&format!("runs/{id}/endpoints?group=callers"));
    assert_eq!(callers.items.len(), 10);
    let none: Page<EndpointRow> = api.read(&format!("runs/{id}/endpoints?outcome=CALL_FAILED"));
    assert_eq!(none.items, []);
    let one = &rows.items[0];
    assert_eq!(
        api.get(&format!("runs/{id}/endpoints/{}", one.endpoint))
            .status,
        200
    );
    let seconds: Value = api.read(&format!("runs/{id}/endpoints/{}/metrics", one.endpoint));
    assert!(
        seconds["seconds"].as_array().expect("seconds").len() >= 6,
        "{seconds}"
    );
    let all: Value = api.read(&format!("runs/{id}/metrics"));
    assert!(
        all["seconds"].as_array().expect("seconds").len() >= 6,
        "{all}"
    );
    let traced = rows
        .items
        .iter()
        .find(|row| row.has_trace)
        .expect("a trace");
    let trace = api.get(&format!("runs/{id}/endpoints/{}/trace", traced.endpoint));
    assert!(trace.expect(200).text().contains("REGISTER sip:"));
    let result: RunResult = api.read(&format!("runs/{id}/result"));
    assert_passed(&result);
    assert_eq!(run.verdict, Some(result.verdict));
    assert_eq!((result.endpoints.len(), result.run), (20, id.to_string()));
    assert_eq!(
        api.get(&format!("runs/{id}/endpoints/20")).problem().status,
        404
    );
    let exposed = api.get("/metrics").expect(200).text();
    assert!(
        exposed.lines().any(|line| line.starts_with("carillon_")),
        "{exposed}"
    );
    for path in ["/healthz", "/readyz", "/docs/"] {
        assert_eq!(api.with_key("").get(path).status, 200, "{path}");
    }
}

/// The books say what the run says, and nothing is held any more.
fn settled(service: &Service, run: &Run, before: Balance) {
    let now = balance(service);
    let used = run.used.expect("settled").endpoint_ms;
    assert!(used <= run.reserved.endpoint_ms && used > 0, "{run:#?}");
    assert_eq!(now.reserved.endpoint_ms, 0);
    assert_eq!(now.spent.endpoint_ms, used);
    assert_eq!(
        now.available.endpoint_ms,
        before.available.endpoint_ms - used
    );
    let ledger: Page<LedgerEntry> = service.api().read("ledger");
    let of_run = ledger
        .items
        .iter()
        .filter(|entry| entry.run == Some(run.id));
    let kinds: Vec<_> = of_run.map(|entry| entry.kind).collect();
    assert_eq!(
        kinds,
        [TransferKind::Settle, TransferKind::Reserve],
        "newest first"
    );
    let audit: Value = service.api().read("audit");
    let invariants = audit["invariants"].as_array().expect("invariants");
    assert!(!invariants.is_empty());
    for invariant in invariants {
        assert_eq!(invariant["holds"], true, "{invariant}");
    }
}
