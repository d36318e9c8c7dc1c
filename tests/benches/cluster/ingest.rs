//! 20 nodes × 1,000 endpoints × 60 metrics a second into one coordinator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::api::{Run, SavedTest};
use shared::bus::{Bus, NatsBus, NatsConfig, Subscription};
use shared::phase::RunStatus;
use tests::{NatsServer, wait_for};

use crate::clock::{cpu, size, told};
use crate::recording::Recording;
use crate::source::{METRICS, Source};
use crate::start::{coordinator, organization};

const NODES: u32 = 20;
const ENDPOINTS: u32 = 1_000;
const SECONDS: u32 = 60;

pub(crate) fn run() {
    let Some(nats) = NatsServer::start() else {
        return;
    };
    let mut service = coordinator("bench-ingest", &nats.url());
    let api = organization(&service.api());
    let project: Value = api.make("projects", &json!({ "name": "bench" }));
    let project = project["id"].as_str().unwrap();
    let test: SavedTest = api.make(
        &format!("projects/{project}/tests"),
        &json!({ "name": "ingest", "duration": format!("{SECONDS}s"), "buildup": "0s",
            "groups": { "all": { "count": NODES * ENDPOINTS, "region": "bench", "calls": "sip:bench@127.0.0.1:9" } } }),
    );
    let bus = connect(&nats.url());
    let recording = Recording::take(&api, project, &nats.url(), bus.as_ref());
    let recorded = size(&service.data_dir().join("runs"));
    println!(
        "{:.1} octets on disk an endpoint-second of the recorded run itself, SIP traces and reports included",
        recorded as f64 / recording.endpoint_seconds() as f64
    );
    let mut watched = bus.subscribe("carillon.v1.runs.*.metrics", 1_000);
    let mut sources: Vec<Source> = (0..NODES)
        .map(|n| Source::new(n, Arc::clone(&bus)))
        .collect();
    tests::until("all nodes ONLINE", Duration::from_secs(20), || {
        for source in &mut sources {
            source.step();
        }
        let nodes: Value = api.read("nodes?status=ONLINE&region=bench&limit=100");
        (nodes["items"].as_array().unwrap().len() == NODES as usize).then_some(())
    });
    let run: Run = api.make(
        &format!("projects/{project}/tests/{}/runs", test.id),
        &json!({}),
    );
    tests::until("all nodes running", Duration::from_secs(30), || {
        // No short circuit: each must do its work.
        let running = sources
            .iter_mut()
            .map(Source::step)
            .filter(|runs| *runs)
            .count();
        (running == sources.len()).then_some(())
    });

    let process = service.process_mut().id();
    let began = Instant::now();
    let before = cpu(process);
    let mut late = feed(&mut sources, &recording, &mut watched, began);
    let spent = cpu(process).saturating_sub(before);
    let span = began.elapsed();
    println!(
        "{} endpoint-seconds a second × {METRICS} metrics from {NODES} nodes for {SECONDS} s: {:.2} cores of the coordinator",
        NODES * ENDPOINTS,
        spent.as_secs_f64() / span.as_secs_f64()
    );
    println!(
        "aggregate at a NATS subscriber after its second's end: {}",
        told(&mut late)
    );
    end_all(&mut sources);
    let ended: Run = wait_for(
        &api,
        &format!("runs/{}", run.id),
        Duration::from_secs(60),
        |run: &Run| run.status.is_terminal(),
    );
    assert_eq!(ended.status, RunStatus::Completed, "{ended:#?}");
    let stored = size(&service.data_dir().join("runs")) - recorded;
    println!(
        "{:.1} octets on disk an endpoint-second ({:.0} MB)",
        stored as f64 / f64::from(NODES * ENDPOINTS * SECONDS),
        stored as f64 / 1e6
    );
    service.stop(Duration::from_secs(30));
}

fn connect(url: &str) -> Arc<dyn Bus> {
    let bus = NatsBus::connect(NatsConfig {
        url: url.to_owned(),
        ..NatsConfig::default()
    })
    .expect("a bus");
    tests::until("the bus", Duration::from_secs(10), || {
        bus.is_connected().then_some(())
    });
    bus
}

/// Ends all endpoints, and waits until everything is stored.
fn end_all(sources: &mut [Source]) {
    for source in &mut *sources {
        source.end(shared::wire::EndCause::Finished);
    }
    tests::until("everything stored", Duration::from_secs(60), || {
        for source in &mut *sources {
            source.step();
        }
        sources
            .iter()
            .all(|source| source.waiting() == 0)
            .then_some(())
    });
}

/// Every second of all nodes, each at its end; how late a subscriber had each.
fn feed(
    sources: &mut [Source],
    recording: &Recording,
    watched: &mut Subscription,
    began: Instant,
) -> Vec<Duration> {
    let mut late = Vec::new();
    let mut seen = 0;
    for second in 0..SECONDS {
        let end = began + Duration::from_secs(u64::from(second) + 1);
        while Instant::now() < end {
            for source in &mut *sources {
                source.step();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        for (number, source) in (0..).zip(&mut *sources) {
            source.second(second, |row, metric| {
                recording.value(number, second, row, metric)
            });
        }
        // The subscriber's side, in a loop that also keeps the nodes alive.
        let patience = Instant::now() + Duration::from_millis(900);
        while seen <= second && Instant::now() < patience {
            while let Some(message) = watched.try_next() {
                let told: Value = serde_json::from_slice(&message.payload).expect("JSON");
                if let Some(number) = told["second"].as_u64() {
                    let number = u32::try_from(number).unwrap();
                    let end = began + Duration::from_secs(u64::from(number) + 1);
                    late.push(end.elapsed());
                    seen = number + 1;
                }
            }
            for source in &mut *sources {
                source.step();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    late
}
