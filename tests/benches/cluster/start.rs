//! From the request to the first INVITE, over three nodes.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::api::{CreatedApiKey, Organization, Plan, Run, SavedTest};
use tests::{Api, NatsServer, Service, Setup, Worker, wait_for};

use crate::clock::told;

const NODES: usize = 3;
const ENDPOINTS: u32 = 1_000;
const TIMES: usize = 7;

pub(crate) fn run() {
    let Some(nats) = NatsServer::start() else {
        return;
    };
    let service = coordinator("bench-start", &nats.url());
    let api = organization(&service.api());
    let _nodes = nodes(&service, &nats.url());
    let project: Value = api.make("projects", &json!({ "name": "bench" }));
    let project = project["id"].as_str().unwrap();
    // Takes every INVITE and answers none but with 486, so that each call ends at once.
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    target
        .set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    let port = target.local_addr().unwrap().port();
    let test: SavedTest = api.make(
        &format!("projects/{project}/tests"),
        &json!({ "name": "start", "duration": "5s", "buildup": "0s", "groups": {
            "callers": { "count": ENDPOINTS, "media": "none", "calls": format!("sip:bench@127.0.0.1:{port}") } } }),
    );
    let mut first = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let run: Run = api.make(
            &format!("projects/{project}/tests/{}/runs", test.id),
            &json!({}),
        );
        let mut datagram = [0; 65_535];
        let mut heard = None;
        let deadline = begun + Duration::from_secs(10);
        while heard.is_none() && Instant::now() < deadline {
            heard = target
                .recv(&mut datagram)
                .ok()
                .filter(|length| datagram[..*length].starts_with(b"INVITE "))
                .map(|_| begun.elapsed());
        }
        first.push(heard.expect("an INVITE within ten seconds"));
        // Nobody answers: the run ends at its duration.
        let at = format!("runs/{}", run.id);
        let _ = api.post(&format!("{at}/stop"), &json!({}));
        wait_for(&api, &at, Duration::from_secs(90), |run: &Run| {
            run.status.is_terminal()
        });
        while target.recv(&mut datagram).is_ok() {}
    }
    println!(
        "POST to first INVITE, {ENDPOINTS} endpoints on {NODES} nodes, no buildup: {}",
        told(&mut first)
    );
}

/// A coordinator without a node of its own.
pub(crate) fn coordinator(name: &str, nats: &str) -> Service {
    Setup::new(name)
        .config(&format!(
            "embedded_node = false\n[nats]\nurl = \"{nats}\"\n"
        ))
        .start_without_nodes()
}

/// Three nodes, ONLINE.
pub(crate) fn nodes(service: &Service, nats: &str) -> Vec<Worker> {
    let nodes: Vec<Worker> = (0..NODES)
        .map(|number| {
            let mut node = Worker::new(&format!("n{number}"), "bench", nats);
            node.set("CARILLON_NODE_ADDRESS", &format!("127.0.0.{}", 11 + number));
            node.start();
            node
        })
        .collect();
    tests::until("three nodes ONLINE", Duration::from_secs(20), || {
        let list: Value = service.api().read("nodes?status=ONLINE");
        (list["items"].as_array().unwrap().len() == NODES).then_some(())
    });
    nodes
}

/// An organization with room for everything.
pub(crate) fn organization(admin: &Api) -> Api {
    let plan: Plan = admin.make(
        "plans",
        &json!({ "name": "bench", "concurrent_runs_per_project": 10,
            "concurrent_runs_per_organization": 10, "concurrent_endpoints": 100_000,
            "endpoints_per_run": 100_000, "duration_max": "1h" }),
    );
    let made: Organization = admin.make(
        "organizations",
        &json!({ "name": "bench", "plan": plan.id }),
    );
    let credits = format!("organizations/{}/credits", made.id);
    let _: Value = admin.make(&credits, &json!({ "credits": 10_000_000.0 }));
    let key: CreatedApiKey = admin.make(
        &format!("keys?organization={}", made.id),
        &json!({ "name": "owner", "role": "owner" }),
    );
    admin.with_key(&key.secret)
}
