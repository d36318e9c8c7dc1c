//! The API of runs over HTTP against a scripted node: start, watch, read, export, repeat, delete.
//!
//! No real node: what one would say is written here, so every figure can be compared with it.

// clippy knows tests by their attribute; here the helpers of tests unwrap too.
#![allow(clippy::unwrap_used)]

mod node;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coordinator::{ControlPlane, ControlPlaneConfig, CoordinatorConfig, HttpConfig, serve};
use node::ScriptedNode;
use serde_json::{Value, json};
use shared::bus::LocalBus;
use shared::id::{EndpointIndex, GroupIndex};
use shared::metric::{self, MetricId};
use shared::phase::{Outcome, Phase};
use shared::wire::{
    CallReport, Column, Desired, DesiredState, EndCause, EndpointReport, Frame, MediaReport,
    Report, Trace, TraceMessage,
};

/// A directory of this test alone; removed at its end.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What this file's node says beside what any node does.
trait Scripted {
    async fn begin(&mut self) -> Desired;
    fn frame(&mut self, desired: &Desired, second: u32, metric: MetricId, values: &[f32]);
    fn end(&mut self, desired: &Desired);
}

impl Scripted for ScriptedNode {
    /// Gets ready and begins.
    async fn begin(&mut self) -> Desired {
        let desired = self.wait_until(DesiredState::Prepared).await;
        self.prepared(desired.run, Vec::new());
        self.wait_until(DesiredState::Running).await
    }

    fn frame(&mut self, desired: &Desired, second: u32, metric: MetricId, values: &[f32]) {
        let count = u32::try_from(values.len()).unwrap();
        let frame = Frame {
            run: desired.run,
            node: self.id.clone(),
            epoch: desired.epoch,
            sequence: second.into(),
            second,
            last_of_second: true,
            endpoints: (0..count).map(EndpointIndex).collect(),
            phases: vec![Phase::Incall; values.len()],
            columns: vec![Column {
                metric,
                values: values.to_vec(),
            }],
            generator: None,
        };
        self.say(desired.run, Report::Frame(Box::new(frame)));
    }

    /// Every endpoint ends; the first one failed with 486 and has a trace.
    fn end(&mut self, desired: &Desired) {
        for endpoint in 0..desired.test.endpoint_count() {
            let failed = endpoint == 0;
            if failed {
                let trace = Trace {
                    run: desired.run,
                    endpoint: EndpointIndex(endpoint),
                    dropped: 1,
                    messages: vec![TraceMessage {
                        at_us: 7,
                        sent: true,
                        local: "127.0.0.1:5061".to_owned(),
                        remote: "127.0.0.1:5060".to_owned(),
                        transport: "UDP".to_owned(),
                        bytes: b"INVITE sip:x SIP/2.0\r\n\xff".to_vec(),
                    }],
                };
                self.say(desired.run, Report::Trace(Box::new(trace)));
            }
            let callers = desired.test.groups[0].count;
            let report = EndpointReport {
                run: desired.run,
                endpoint: EndpointIndex(endpoint),
                group: GroupIndex(u16::from(endpoint >= callers)),
                account: format!("user{endpoint}"),
                node: self.id.clone(),
                phase: Phase::Closed,
                outcome: if failed {
                    Outcome::CallFailed
                } else {
                    Outcome::Success
                },
                reason: "scripted".to_owned(),
                registration_code: Some(200),
                call_code: Some(if failed { 486 } else { 200 }),
                call_reason: None,
                unregistered: true,
                calls: vec![CallReport {
                    caller: endpoint < callers,
                    established: !failed,
                    code: Some(if failed { 486 } else { 200 }),
                    media: (!failed).then(|| MediaReport {
                        mos: Some(4.25),
                        grounded: true,
                        ..MediaReport::default()
                    }),
                    ..CallReport::default()
                }],
            };
            self.say(desired.run, Report::Endpoint(Box::new(report)));
        }
        self.ended(desired.run, EndCause::Finished);
    }
}

/// A client that asks once a connection.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    key: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Client {
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let (method, path) = (method.to_owned(), path.to_owned());
        let client = self.clone();
        let asked = move || client.blocking(&method, &path, body.as_ref());
        tokio::task::spawn_blocking(asked).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None).await.json(200)
    }

    async fn post(&self, path: &str, body: Value, status: u16) -> Value {
        self.ask("POST", path, Some(body)).await.json(status)
    }

    fn blocking(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let body = body.map_or_else(String::new, Value::to_string);
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/json\r\n"
        };
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/api/v1/{path}")
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).unwrap();
        let text = String::from_utf8(octets).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        let body = if head.contains("transfer-encoding: chunked") {
            unchunked(body)
        } else {
            body.to_owned()
        };
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body,
        }
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
}

/// Names and data of the events of a stream.
fn events(text: &str) -> Vec<(String, Value)> {
    text.split("\n\n")
        .filter_map(|event| {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            let data = serde_json::from_str(field("data: ")?).unwrap();
            Some((field("event: ")?.to_owned(), data))
        })
        .collect()
}

struct Stage {
    client: Client,
    node: ScriptedNode,
    project: String,
    test: String,
    _plane: ControlPlane,
    _directory: Directory,
}

/// A service with one project, a registrar with accounts and a test of two callers and two callees.
async fn stage(name: &str) -> Stage {
    let path = std::env::temp_dir().join(format!("carillon-{name}-{}", std::process::id()));
    let directory = Directory(path);
    let bus = LocalBus::new();
    let config = ControlPlaneConfig {
        coordinator: CoordinatorConfig::new(directory.0.clone(), "0.1.0"),
        key: None,
        key_file: None,
        allow: Vec::new(),
    };
    let plane = ControlPlane::start(config, Arc::new(bus.clone()))
        .await
        .unwrap();
    let mut node = ScriptedNode::new(&bus, "local");
    node.status.region = "eu".to_owned();
    node.renew();
    let http = HttpConfig {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..HttpConfig::default()
    };
    let server = serve(http, plane.service()).unwrap();
    let client = Client {
        address: server.address(),
        key: plane.first_key().unwrap().to_owned(),
    };
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let project = client
        .post("projects", json!({ "name": "project" }), 201)
        .await;
    let project = id(&project);
    let at = format!("projects/{project}/registrars");
    let registrar = json!({ "name": "pbx", "domain": "127.0.0.1", "port": 5060 });
    let registrar = id(&client.post(&at, registrar, 201).await);
    let at = format!("{at}/{registrar}/accounts/bulk");
    let accounts = json!({ "pattern": "user{01..10}", "password": "very-secret" });
    let made = client.ask("POST", &at, Some(accounts)).await;
    assert!(made.status < 300, "{}", made.body);
    let test = json!({
        "name": "pairs",
        "duration": "10s",
        "buildup": "1s",
        "groups": {
            "callers": { "count": 2, "registrar": "pbx", "calls": { "group": "callees" } },
            "callees": { "count": 2, "registrar": "pbx", "receives": true },
        },
    });
    let test = client
        .post(&format!("projects/{project}/tests"), test, 201)
        .await;
    Stage {
        client,
        node,
        project,
        test: id(&test),
        _plane: plane,
        _directory: directory,
    }
}

fn numbers(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().unwrap();
    let number = |item: &Value| item["endpoint"].as_u64().unwrap();
    items.iter().map(number).collect()
}

#[actix::test]
async fn a_run_from_its_start_to_its_deletion() {
    let mut stage = stage("watch-life").await;
    let client = stage.client.clone();
    let starts = format!("projects/{}/tests/{}/runs", stage.project, stage.test);
    let begun = client
        .ask("POST", &starts, Some(json!({ "label": "build 7" })))
        .await;
    let run = begun.json(202);
    let id = run["id"].as_str().unwrap().to_owned();
    assert!(begun.head.contains(&format!("location: /api/v1/runs/{id}")));
    let desired = stage.node.begin().await;
    let live = client.clone();
    let at = format!("runs/{id}/live");
    let watching = tokio::task::spawn_blocking(move || live.blocking("GET", &at, None));
    stage
        .node
        .frame(&desired, 0, metric::MOS, &[4.0, f32::NAN, 3.0, 4.25]);
    let run_at = format!("runs/{id}");
    let mut now = client.get(&run_at).await;
    while now["counts"]["phases"][5] != 4 {
        now = client.get(&run_at).await;
    }
    assert_eq!(now["status"], "RUNNING");

    // Live endpoints, in pages, by figures.
    let list = format!("runs/{id}/endpoints");
    let first = client.get(&format!("{list}?sort=-mos&limit=3")).await;
    assert_eq!(numbers(&first), [3, 0, 2]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = client
        .get(&format!("{list}?sort=-mos&limit=3&cursor={cursor}"))
        .await;
    assert_eq!(numbers(&rest), [1]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let callees = client
        .get(&format!("{list}?group=callees&node=local"))
        .await;
    assert_eq!(numbers(&callees), [2, 3]);
    assert_eq!(callees["items"][0]["mos"], 3.0);
    assert!(
        callees["items"][0]["account"]
            .as_str()
            .unwrap()
            .starts_with("user")
    );
    assert_eq!(
        client
            .ask("GET", &format!("{list}?sort=x"), None)
            .await
            .status,
        400
    );
    let live_delete = client.ask("DELETE", &run_at, None).await;
    assert_eq!(live_delete.json(409)["code"], "run_live");

    stage.node.end(&desired);
    let seen = watching.await.unwrap();
    assert_eq!(seen.status, 200);
    assert!(seen.head.contains("content-type: text/event-stream"));
    let seen = events(&seen.body);
    assert_eq!(seen[0].0, "status");
    assert!(
        seen.iter()
            .any(|(name, data)| name == "metrics" && data["all"]["mos"]["min"] == 3.0)
    );
    let (name, last) = seen.last().unwrap();
    assert_eq!(
        (name.as_str(), &last["status"]),
        ("end", &json!("COMPLETED"))
    );
    let again = client.ask("GET", &format!("runs/{id}/live"), None).await;
    let names: Vec<_> = events(&again.body)
        .into_iter()
        .map(|event| event.0)
        .collect();
    assert_eq!(names, ["status", "end"]);

    stored(&client, &id).await;
    exports(&client, &id).await;
    service(&client).await;

    // Repeat, stop twice, compare, delete.
    let second = client
        .post(&format!("runs/{id}/rerun"), json!({}), 202)
        .await;
    let other = second["id"].as_str().unwrap().to_owned();
    assert_eq!(second["rerun_of"], json!(id));
    let desired = stage.node.begin().await;
    for _ in 0..2 {
        let stopped = client
            .ask("POST", &format!("runs/{other}/stop"), None)
            .await;
        assert_eq!(stopped.json(202)["id"], json!(other));
    }
    stage.node.wait_until(DesiredState::Stopped).await;
    stage.node.end(&desired);
    let ended = client.ask("GET", &format!("runs/{other}/live"), None).await;
    assert_eq!(events(&ended.body).last().unwrap().0, "end");
    let both = client.get(&format!("runs/compare?ids={other},{id}")).await;
    assert_eq!(both["runs"][1]["id"], json!(id));
    assert_eq!(both["parts"][1]["counts"]["endpoints"], 4);
    assert_eq!(
        client
            .ask("GET", &format!("runs/compare?ids={id}"), None)
            .await
            .status,
        400
    );
    for (query, count) in [
        ("", 2),
        ("?label=BUILD", 1),
        ("?status=RUNNING", 0),
        ("?sort=mos&limit=1", 1),
        ("?pinned=true", 1),
    ] {
        let page = client.get(&format!("{starts}{query}")).await;
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}");
    }
    assert_eq!(client.ask("DELETE", &run_at, None).await.status, 204);
    assert_eq!(client.ask("GET", &run_at, None).await.status, 404);
    assert_eq!(client.ask("GET", &list, None).await.status, 404);
}

/// What is read of a run that ended.
async fn stored(client: &Client, id: &str) {
    let run = client.get(&format!("runs/{id}")).await;
    assert_eq!(run["status"], "COMPLETED");
    let list = format!("runs/{id}/endpoints");
    let failed = client
        .get(&format!(
            "{list}?outcome=CALL_FAILED&code=486&has_trace=true"
        ))
        .await;
    assert_eq!(numbers(&failed), [0]);
    assert_eq!(failed["items"][0]["reason"], "scripted");
    let fine = client.get(&format!("{list}/3")).await;
    assert_eq!(fine["row"]["mos"], 4.25);
    assert_eq!(fine["report"]["call_code"], 200);
    assert_eq!(
        client.ask("GET", &format!("{list}/4"), None).await.status,
        404
    );
    let trace = client.get(&format!("{list}/0/trace")).await;
    assert_eq!(
        trace["messages"][0]["text"],
        "INVITE sip:x SIP/2.0\r\n\u{fffd}"
    );
    let none = client.ask("GET", &format!("{list}/1/trace"), None).await;
    assert_eq!(none.json(404)["code"], "no_trace");
    let seconds = client.get(&format!("{list}/2/metrics?metrics=mos")).await;
    assert_eq!(seconds["seconds"][0]["values"], json!({ "mos": 3.0 }));
    let all = client
        .get(&format!("runs/{id}/metrics?metrics=mos.avg"))
        .await;
    assert_eq!(all["seconds"][0]["values"], json!({ "mos.avg": 3.75 }));
    let group = client
        .get(&format!(
            "runs/{id}/metrics?group=callees&metrics=mos.avg,phase.incall"
        ))
        .await;
    let values = json!({ "mos.avg": 3.625, "phase.incall": 2.0 });
    assert_eq!(group["seconds"][0]["values"], values);
    let wrong = client
        .ask("GET", &format!("runs/{id}/metrics?group=x"), None)
        .await;
    assert_eq!(wrong.json(400)["errors"][0]["field"], "group");
}

async fn exports(client: &Client, id: &str) {
    let result = client.get(&format!("runs/{id}/result")).await;
    let result: shared::result::RunResult = serde_json::from_value(result).unwrap();
    assert_eq!((result.run.as_str(), result.endpoints.len()), (id, 4));
    let csv = client
        .ask(
            "GET",
            &format!("runs/{id}/endpoints.csv?group=callers"),
            None,
        )
        .await;
    assert_eq!(csv.body.lines().count(), 3, "{}", csv.body);
    assert!(csv.body.contains("CALL_FAILED,scripted,200,486,"));
    let pinned = client
        .ask(
            "PATCH",
            &format!("runs/{id}"),
            Some(json!({ "pinned": true })),
        )
        .await;
    assert_eq!(pinned.json(200)["pinned"], true);
}

/// What belongs to no run.
async fn service(client: &Client) {
    let nodes = client.get("nodes?status=ONLINE&region=eu").await;
    assert_eq!(nodes["items"][0]["name"], "local");
    assert_eq!(client.get("nodes/local").await["version"], "0.1.0");
    assert_eq!(client.ask("GET", "nodes/x", None).await.status, 404);
    for (change, status) in [
        ("drain", "DRAINING"),
        ("drain", "DRAINING"),
        ("undrain", "ONLINE"),
    ] {
        let node = client
            .post(&format!("nodes/local/{change}"), json!({}), 200)
            .await;
        assert_eq!(node["status"], status);
        let unknown = client.ask("POST", &format!("nodes/x/{change}"), None).await;
        assert_eq!(unknown.status, 404);
    }
    let ledger = client.get("ledger?limit=1").await;
    assert_eq!(ledger["items"][0]["kind"], "settle");
    let cursor = ledger["next_cursor"].as_str().unwrap();
    let next = client.get(&format!("ledger?limit=1&cursor={cursor}")).await;
    assert_eq!(next["items"][0]["kind"], "reserve");
    let grants = client.get("ledger?kind=grant").await;
    assert_eq!(grants["items"].as_array().unwrap().len(), 1);
    let audit = client.get("audit").await;
    let invariants = audit["invariants"].as_array().unwrap();
    assert!(invariants.iter().all(|one| one["holds"] == true), "{audit}");
    let metrics = client.ask("GET", "/metrics", None).await;
    for line in [
        "carillon_runs{status=\"COMPLETED\"} 1",
        "carillon_nodes{status=\"ONLINE\"} 1",
        "carillon_books_hold 1",
        "carillon_bus_connected 1",
        "carillon_bus_messages_not_taken_total{kind=\"foreign\"} 0",
        "carillon_bus_items_repeated_total 0",
        "carillon_storage_checkpoint_seconds_count ",
        "carillon_http_requests_total{route=\"/api/v1/runs/{run}\",method=\"GET\",status=\"2xx\"}",
        "process_cpu_seconds_total ",
    ] {
        assert!(metrics.body.contains(line), "{line}\n{}", metrics.body);
    }
    assert!(metrics.body.ends_with("# EOF\n"));
    assert_eq!(metrics.body.matches("# EOF").count(), 1);
}
