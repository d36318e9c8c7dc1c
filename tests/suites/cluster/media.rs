//! Audio that was uploaded is played by nodes that do not see the coordinator's disk.

use serde_json::{Value, json};
use shared::bus::Bus;
use shared::phase::RunStatus;

use crate::fixture::{Cluster, PATIENCE, listen, stage, target};

/// Of a sine of 8,000 of 32,768.
const LEVEL_DBOV: f64 = -15.26;

#[test]
fn an_uploaded_file_goes_to_the_nodes_that_play_it_and_is_heard() {
    let Some(cluster) = Cluster::start("media", &[("a", "eu"), ("b", "us")]) else {
        return;
    };
    let bus = listen(&cluster);
    let mut heard = bus.subscribe("carillon.internal.nodes.*.command", 100_000);
    let lab = target();
    let stage = stage(&cluster, &lab, 8);
    let file = tests::write_sine(cluster.service.scratch(), "sine.wav", 8_000, 1, 4);
    let octets = std::fs::read(file).unwrap();
    let _ = cluster
        .api()
        .raw(
            "POST",
            &format!("projects/{}/media?name=sine.wav", stage.project.id),
        )
        .body("audio/wav", octets.clone())
        .answer()
        .expect(201);
    let test = stage.test(json!({
        "name": "a sine", "duration": "5s", "buildup": "0s",
        "groups": {
            "callers": { "count": 4, "registrar": "pbx", "region": "eu", "media": "sine.wav",
                "codecs": ["PCMU"], "calls": { "group": "callees" } },
            "callees": { "count": 4, "registrar": "pbx", "region": "us", "codecs": ["PCMU"], "receives": true },
        },
    }));
    let run = stage.start(&test);
    let ended = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(
        ended.status,
        RunStatus::Completed,
        "{ended:#?}\n{}",
        cluster.tell()
    );

    // A piece of its sound, which nothing else has.
    let piece = &octets[octets.len() / 2..][..200];
    let mut to = Vec::new();
    while let Some(message) = heard.try_next() {
        if message
            .payload
            .windows(piece.len())
            .any(|part| part == piece)
        {
            to.push(message.subject);
        }
    }
    assert_eq!(
        to,
        ["carillon.internal.nodes.a.command"],
        "b plays none of it"
    );

    let levels = |endpoint: u32| -> Vec<f64> {
        let at = format!("runs/{}/endpoints/{endpoint}/metrics", run.id);
        let series: Value = cluster.api().read(&at);
        let seconds = series["seconds"].as_array().expect("seconds").clone();
        let level = |second: &Value| second["values"]["audio.level_dbov"].as_f64();
        seconds.iter().filter_map(level).collect()
    };
    let callees: Vec<f64> = (4..8).flat_map(levels).collect();
    let sine = |level: &&f64| (**level - LEVEL_DBOV).abs() < 0.5;
    let right = callees.iter().filter(sine).count();
    // The first and the last second may be cut.
    assert!(
        right >= 2 && right + 8 >= callees.len(),
        "levels heard by the callees: {callees:?}"
    );
}
