//! NATS dies and comes back, again and again, or for good.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::phase::{Outcome, RunStatus};
use tests::{Capture, Reported};

use crate::fixture::{
    Cluster, Moments, PATIENCE, no_second_is_missing, pairs, result, rounds, stage, start, takes,
    target,
};

const CALLS: u32 = 40;

#[test]
fn a_run_survives_many_restarts_of_nats_without_a_missing_second() {
    let Some(mut cluster) = Cluster::start("nats-restarts", &[("a", "eu"), ("b", "us")]) else {
        return;
    };
    let lab = target();
    let stage = stage(&cluster, &lab, CALLS * 2);
    let restarts = rounds(6);
    let seconds = 10 + restarts * 5;
    let test = pairs(&stage, CALLS, &format!("{seconds}s"), &json!({}));
    let mut moments = Moments::new();
    let run = start(&cluster, &stage, &test, &lab);
    for _ in 0..restarts {
        cluster.nats.kill();
        moments.wait(Duration::from_secs(2));
        cluster.nats.restart();
        // Up for a second at least, at random moments; a lease outlives a few of those that are missed.
        std::thread::sleep(Duration::from_secs(1));
        moments.wait(Duration::from_secs(2));
        assert_eq!(
            lab.stats().sip.calls_now,
            u64::from(CALLS),
            "calls were dropped"
        );
    }
    let ended = stage.wait_for_end(run.id, PATIENCE + Duration::from_secs(seconds.into()));
    assert_eq!(
        ended.status,
        RunStatus::Completed,
        "{ended:#?}\n{}",
        cluster.tell()
    );
    let result = result(&cluster, &run);
    no_second_is_missing(&result);
    assert_eq!(result.endpoints.len(), CALLS as usize * 2);
    for endpoint in &result.endpoints {
        assert_eq!(
            endpoint.report().outcome,
            Outcome::Success,
            "{:?}",
            endpoint.report()
        );
    }
    assert_eq!(
        lab.stats().sip.calls_answered,
        u64::from(CALLS),
        "calls were made twice"
    );
}

#[test]
fn a_cluster_whose_nats_is_gone_for_good_is_silent_and_still_answers() {
    let Some(mut cluster) = Cluster::start("nats-gone", &[("a", "eu"), ("b", "us")]) else {
        return;
    };
    let lab = target();
    let stage = stage(&cluster, &lab, CALLS * 2);
    let test = pairs(&stage, CALLS, "10m", &json!({}));
    let run = start(&cluster, &stage, &test, &lab);
    let Some(capture) = Capture::start("lo") else {
        return;
    };
    let gone = Instant::now();
    let gone_unix = unix();
    cluster.nats.kill();
    let ended = takes("no call at the target", gone, || {
        lab.stats().sip.calls_now == 0
    });
    println!("the last call was ended {ended:?} after the end of NATS");
    assert!(ended <= Duration::from_secs(15), "{ended:?}");
    // The API answers, says what is wrong, and starts nothing that it could not carry.
    let run = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(run.status, RunStatus::Failed, "{run:#?}");
    let ready = cluster.api().get("/readyz");
    assert_eq!(ready.status, 503, "{ready}");
    let refused = stage.wait_for_end(stage.start(&test).id, PATIENCE);
    assert_eq!(refused.status, RunStatus::CannotRunForNow, "{refused:#?}");
    let rest = Duration::from_secs(20).saturating_sub(gone.elapsed());
    std::thread::sleep(rest);
    let nodes: Vec<String> = cluster
        .addresses
        .iter()
        .map(|address| format!("{address}:"))
        .collect();
    let late: Vec<_> = capture
        .finish()
        .into_iter()
        .filter(|seen| seen.at > gone_unix + 15.0)
        .filter(|seen| {
            nodes
                .iter()
                .any(|node| seen.from.starts_with(node.as_str()))
        })
        .collect();
    assert!(
        late.is_empty(),
        "{} packets after 15 s, the first: {:?}",
        late.len(),
        late.first()
    );
}

pub(crate) fn unix() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs_f64()
}
