//! The seconds of a real run, for the frame sources to send again: a node calls between its own
//! endpoints over NATS, and its frames are listened to on the way to the coordinator.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shared::api::{Run, SavedTest};
use shared::bus::{Bus, REPORTS_CAPACITY};
use shared::id::NodeId;
use shared::wire::{Message, Report, Upward, decode, report_subject};
use tests::{Api, Worker, wait_for};

use crate::source::METRICS;

/// Calls between as many callers and callees.
const CALLS: u64 = 500;
/// Seconds of the recorded run after its calls are up.
const SECONDS: u32 = 30;

/// Figures by second, endpoint and metric.
pub(crate) struct Recording {
    seconds: Vec<Vec<Vec<f32>>>,
    /// Of the whole run.
    endpoint_seconds: usize,
}

impl Recording {
    /// Runs and records; the node is gone afterwards.
    pub(crate) fn take(api: &Api, project: &str, nats: &str, bus: &dyn Bus) -> Self {
        let mut node = Worker::new("recorded", "recording", nats);
        let mut reports = bus.subscribe(
            &report_subject(&NodeId("recorded".to_owned())),
            REPORTS_CAPACITY,
        );
        node.start();
        let test: SavedTest = api.make(
            &format!("projects/{project}/tests"),
            &json!({ "name": "recorded", "duration": format!("{}s", SECONDS + 10), "buildup": "5s", "groups": {
                "callers": { "count": CALLS, "region": "recording", "calls": { "group": "callees" } },
                "callees": { "count": CALLS, "region": "recording", "receives": true } } }),
        );
        tests::until("the node is ONLINE", Duration::from_secs(20), || {
            let list: Value = api.read("nodes?status=ONLINE");
            (!list["items"].as_array().unwrap().is_empty()).then_some(())
        });
        let run: Run = api.make(
            &format!("projects/{project}/tests/{}/runs", test.id),
            &json!({}),
        );
        let mut rows: BTreeMap<(u32, u32), Vec<f32>> = BTreeMap::new();
        let mut take = || {
            while let Some(message) = reports.try_next() {
                let Ok(Message { body, .. }) = decode::<Message<Upward>>(&message.payload) else {
                    continue;
                };
                let Upward::Item(item) = body else { continue };
                let Report::Frame(frame) = item.report else {
                    continue;
                };
                for (place, endpoint) in frame.endpoints.iter().enumerate() {
                    let row = rows
                        .entry((frame.second, endpoint.0))
                        .or_insert_with(|| vec![f32::NAN; usize::from(METRICS)]);
                    for column in &frame.columns {
                        if let Some(to) = row.get_mut(usize::from(column.metric.0)) {
                            *to = column.values[place];
                        }
                    }
                }
            }
        };
        let ended: Run = wait_for(
            api,
            &format!("runs/{}", run.id),
            Duration::from_secs(90),
            |run: &Run| {
                take();
                run.status.is_terminal()
            },
        );
        assert_eq!(
            ended.counts.as_ref().map(|counts| counts.calls_established),
            Some(CALLS),
            "{ended:#?}"
        );
        node.kill();
        // The middle: all calls are up.
        let seconds = (8..8 + SECONDS - 5).map(|second| {
            let of_second = rows.range((second, 0)..(second + 1, 0));
            let of_second: Vec<Vec<f32>> = of_second.map(|(_, row)| row.clone()).collect();
            assert_eq!(
                of_second.len(),
                2 * CALLS as usize,
                "rows of second {second}"
            );
            of_second
        });
        let recording = Self {
            seconds: seconds.collect(),
            endpoint_seconds: rows.len(),
        };
        recording.tell();
        recording
    }

    /// Endpoint-seconds of the whole recorded run.
    pub(crate) fn endpoint_seconds(&self) -> usize {
        self.endpoint_seconds
    }

    fn tell(&self) {
        let rows = self.seconds.iter().flatten();
        let (all, measured) = rows.flatten().fold((0u64, 0u64), |(all, measured), value| {
            (all + 1, measured + u64::from(!value.is_nan()))
        });
        println!(
            "recorded: {} seconds of {} endpoints, {:.1} of {METRICS} metrics measured in each; the others are sent as 0",
            self.seconds.len(),
            2 * CALLS,
            f64::from(METRICS) * measured as f64 / all as f64
        );
    }

    /// The figure that source `source` sends; each is at another second of another endpoint.
    pub(crate) fn value(&self, source: u32, second: u32, row: usize, metric: u16) -> f32 {
        let second = (second + source) as usize % self.seconds.len();
        let rows = &self.seconds[second];
        let value = rows[(row + 37 * source as usize) % rows.len()][usize::from(metric)];
        if value.is_nan() { 0.0 } else { value }
    }
}
