//! Server-sent events as text (HTML standard §9.2), and what a reader of a run is sent of what
//! happened since he read last. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use actix_web::web::Bytes;
use serde::Serialize;
use shared::api::Skipped;
use shared::phase::RunStatus;
use shared::result::StatusMove;

use crate::live::Update;

/// Begins a stream: how long a client waits before it comes again, in milliseconds.
pub(super) const BEGIN: Bytes = Bytes::from_static(b"retry: 2000\n\n");
/// Nothing happened, but the connection lives.
pub(super) const ALIVE: Bytes = Bytes::from_static(b": alive\n\n");

/// What one reader has seen.
#[derive(Debug)]
pub(super) struct Progress {
    status: RunStatus,
    /// The newest update's number; 0 before the first.
    number: u64,
    /// Updates that this reader was not sent.
    skipped: u64,
}

impl Progress {
    /// A reader who was told of `status`, and of no update.
    pub(super) fn new(status: RunStatus) -> Self {
        Self {
            status,
            number: 0,
            skipped: 0,
        }
    }

    /// Events of updates that came since the last call, in their order.
    ///
    /// Who is at most [`BEHIND_MAX`] updates behind gets all of them. Who is more is told how many
    /// he missed, of the moves of the status among those that are still there, and the newest.
    pub(super) fn events(&mut self, updates: &[Arc<Update>]) -> VecDeque<Bytes> {
        let mut events = VecDeque::new();
        let behind = updates.len() > BEHIND_MAX;
        let sent = if behind { 1 } else { updates.len() };
        let newest = updates.last().map_or(self.number, |update| update.number);
        // The first update that a reader sees may have any number.
        let since = match (self.number, updates.first()) {
            (0, Some(first)) => first.number.saturating_sub(1),
            (number, _) => number,
        };
        let missed = newest.saturating_sub(since).saturating_sub(sent as u64);
        if missed > 0 {
            self.skipped = self.skipped.saturating_add(missed);
            events.push_back(event("skipped", &Skipped { missed }));
        }
        for (place, update) in updates.iter().enumerate() {
            let status = update.live.status;
            if status != self.status {
                self.status = status;
                events.push_back(event("status", &update.live.last_move));
            }
            if place + sent >= updates.len() {
                events.push_back(update.text(metrics));
            }
        }
        self.number = newest;
        if let Some(last) = updates.last().filter(|_| self.status.is_terminal()) {
            events.push_back(end(&last.live.last_move));
        }
        events
    }

    /// True once the events had the terminal status.
    pub(super) fn ended(&self) -> bool {
        self.status.is_terminal()
    }

    /// Updates that this reader was not sent, since the last call.
    pub(super) fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }
}

/// A move of the status.
pub(super) fn status(step: &StatusMove) -> Bytes {
    event("status", step)
}

/// Nothing follows: the run has this terminal status.
pub(super) fn end(step: &StatusMove) -> Bytes {
    event("end", step)
}

/// The text of an update, the same for all readers.
fn metrics(update: &Update) -> Bytes {
    let mut text = Vec::with_capacity(TEXT);
    text.extend_from_slice(format!("event: metrics\nid: {}\ndata: ", update.number).as_bytes());
    append(&mut text, &update.live);
    text.into()
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    let mut text = format!("event: {name}\ndata: ").into_bytes();
    append(&mut text, data);
    text.into()
}

/// JSON as serde writes it has no line breaks, so it is one `data` line.
fn append(text: &mut Vec<u8>, data: &impl Serialize) {
    let begin = text.len();
    if let Err(error) = serde_json::to_writer(&mut *text, data) {
        tracing::error!(%error, "an event cannot be written");
        text.truncate(begin);
        text.extend_from_slice(b"null");
    }
    text.extend_from_slice(b"\n\n");
}

/// Updates that a reader may be behind before he is taken to the newest.
const BEHIND_MAX: usize = 4;
/// Octets set aside for the text of an update.
const TEXT: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use shared::result::{LivePart, LiveUpdate};

    use super::*;
    use crate::core::roster::Roster;
    use crate::live::Shown;
    use crate::testing;

    fn updates(statuses: &[RunStatus]) -> Vec<Arc<Update>> {
        let shown = Shown::new(Roster::new(&testing::pair_test(1, 0)));
        statuses
            .iter()
            .map(|status| {
                shown.show(LiveUpdate {
                    run: testing::RUN.to_string(),
                    status: *status,
                    last_move: StatusMove {
                        status: *status,
                        at_unix_ms: 1,
                        reason: "line\nbreak".to_owned(),
                        sentence: String::new(),
                    },
                    elapsed_ms: 1,
                    duration_ms: 1,
                    all: LivePart::default(),
                    groups: Vec::new(),
                    new_failures: Vec::new(),
                    failures_left_out: 0,
                    send_late_p99_ms: None,
                    cpu_cores: None,
                });
                shown.latest().unwrap()
            })
            .collect()
    }

    fn names(events: &VecDeque<Bytes>) -> Vec<String> {
        events
            .iter()
            .map(|event| {
                let text = std::str::from_utf8(event).unwrap();
                assert!(text.ends_with("\n\n") && !text.trim_end().contains("\n\n"));
                let data = text.lines().find_map(|line| line.strip_prefix("data: "));
                let data: serde_json::Value = serde_json::from_str(data.unwrap()).unwrap();
                let name = text
                    .lines()
                    .next()
                    .unwrap()
                    .strip_prefix("event: ")
                    .unwrap();
                match (name, &data["missed"]) {
                    ("skipped", missed) => format!("skipped {missed}"),
                    ("metrics", _) => name.to_owned(),
                    (name, _) => format!("{name} {}", data["status"].as_str().unwrap()),
                }
            })
            .collect()
    }

    use RunStatus::{Completed, Queued, Running, Stopping};

    #[test]
    fn who_keeps_up_gets_every_update_and_each_move_once() {
        let all = updates(&[Queued, Running, Running, Completed]);
        let mut reader = Progress::new(Queued);
        assert_eq!(names(&reader.events(&all[..1])), ["metrics"]);
        assert_eq!(
            names(&reader.events(&all[1..3])),
            ["status RUNNING", "metrics", "metrics"]
        );
        assert!(!reader.ended());
        assert_eq!(
            names(&reader.events(&all[3..])),
            ["status COMPLETED", "metrics", "end COMPLETED"]
        );
        assert!(reader.ended());
        assert_eq!(reader.take_skipped(), 0);
    }

    #[test]
    fn who_does_not_keep_up_goes_on_with_the_newest_and_is_told() {
        let mut statuses = vec![Running; 20];
        statuses[15] = Stopping;
        statuses[16..].fill(Stopping);
        let all = updates(&statuses);
        let mut reader = Progress::new(Running);
        assert_eq!(names(&reader.events(&all[..1])), ["metrics"]);
        assert_eq!(
            names(&reader.events(&all[10..])),
            ["skipped 18", "status STOPPING", "metrics"]
        );
        assert_eq!((reader.take_skipped(), reader.take_skipped()), (18, 0));
    }

    #[test]
    fn what_the_ring_lost_is_counted_also_where_few_are_left() {
        let all = updates(&[Running; 40]);
        let mut reader = Progress::new(Running);
        reader.events(&all[..1]);
        assert_eq!(
            names(&reader.events(&all[38..])),
            ["skipped 37", "metrics", "metrics"]
        );
    }

    #[test]
    fn who_comes_late_has_missed_nothing() {
        let all = updates(&[Running; 10]);
        let mut reader = Progress::new(Running);
        assert_eq!(names(&reader.events(&all[9..])), ["metrics"]);
        assert_eq!(names(&reader.events(&[])), [""; 0]);
    }
}
