//! 5,000 live calls over three nodes, from the stop to the last report stored.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::api::{Run, SavedTest};
use shared::result::RunResult;
use tests::{NatsServer, Reported, wait_for};

use crate::start::{coordinator, nodes, organization};

pub(crate) fn run() {
    let Some(nats) = NatsServer::start() else {
        return;
    };
    let service = coordinator("bench-stop", &nats.url());
    let api = organization(&service.api());
    let _nodes = nodes(&service, &nats.url());
    let project: Value = api.make("projects", &json!({ "name": "bench" }));
    let project = project["id"].as_str().unwrap();
    for (calls, media) in [
        (1_000, "none"),
        (5_000, "none"),
        (2_000, "speech"),
        (5_000, "speech"),
    ] {
        let test: SavedTest = api.make(
            &format!("projects/{project}/tests"),
            &json!({ "name": format!("stop {calls} {media}"), "duration": "10m", "buildup": "20s", "groups": {
                "callers": { "count": calls, "media": media, "sockets": "shared", "calls": { "group": "callees" } },
                "callees": { "count": calls, "media": media, "sockets": "shared", "receives": true } } }),
        );
        let run: Run = api.make(
            &format!("projects/{project}/tests/{}/runs", test.id),
            &json!({}),
        );
        let at = format!("runs/{}", run.id);
        let up: Run = wait_for(&api, &at, Duration::from_secs(90), |run: &Run| {
            let up = run
                .counts
                .as_ref()
                .map_or(0, |counts| counts.calls_established);
            up >= calls || run.status.is_terminal()
        });
        if up.status.is_terminal() {
            println!(
                "{calls} calls, media {media}: not reached: {} {}",
                up.status, up.sentence
            );
            continue;
        }
        let begun = Instant::now();
        let _ = api.post(&format!("{at}/stop"), &json!({})).expect(202);
        let ended: Run = wait_for(&api, &at, Duration::from_secs(120), |run: &Run| {
            run.status.is_terminal()
        });
        let took = begun.elapsed();
        let result: RunResult = api.read(&format!("{at}/result"));
        let answered = result.endpoints.iter().filter(|endpoint| {
            endpoint
                .report()
                .calls
                .iter()
                .all(|call| call.sdd_ms.is_some() || !call.caller)
        });
        println!(
            "{calls} live calls (media {media}), stop to the last report stored: {:.2} s; {} {}; BYE answered at {} of {} endpoints; {} of {calls} calls completed in order",
            took.as_secs_f64(),
            ended.status,
            ended.reason,
            answered.count(),
            result.endpoints.len(),
            result.all.counts.calls_completed,
        );
    }
}
