//! Server-sent events, read on a thread, so that a test waits for each with a deadline.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde_json::Value;
use shared::result::LiveUpdate;

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    status: u16,
    events: Receiver<Event>,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its `event:`; blank where it has none.
    pub name: String,
    /// Its `id:`; blank where it has none.
    pub id: String,
    /// Its `data:` lines.
    pub data: String,
}

impl Event {
    /// The data as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The data as a live update of a run.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn update(&self) -> LiveUpdate {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Events {
    pub(crate) fn open(url: &str, key: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(10)))
            .build();
        let response = config
            .new_agent()
            .get(url)
            .header("Authorization", format!("Bearer {key}"))
            .header("Accept", "text/event-stream")
            .call()
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let status = response.status().as_u16();
        let (put, events) = sync_channel(QUEUE);
        let body = response.into_body();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(body.into_reader()).lines();
            let mut event = Event::default();
            // Ends with the stream, or when nobody waits for events any more.
            while let Some(Ok(line)) = lines.next() {
                if line.is_empty() {
                    let whole = std::mem::take(&mut event);
                    if whole != Event::default() && put.send(whole).is_err() {
                        return;
                    }
                } else if let Some(data) = line.strip_prefix("data:") {
                    if !event.data.is_empty() {
                        event.data.push('\n');
                    }
                    event.data.push_str(data.strip_prefix(' ').unwrap_or(data));
                } else if let Some(name) = line.strip_prefix("event:") {
                    name.trim().clone_into(&mut event.name);
                } else if let Some(id) = line.strip_prefix("id:") {
                    id.trim().clone_into(&mut event.id);
                }
            }
        });
        Self { status, events }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The next event; none where the stream has ended.
    ///
    /// # Panics
    /// Where nothing comes in time.
    pub fn next(&mut self, within: Duration) -> Option<Event> {
        match self.events.recv_timeout(within) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no event within {within:?}"),
        }
    }

    /// All updates until the stream ends.
    ///
    /// # Panics
    /// Where nothing comes for `within`.
    pub fn updates(mut self, within: Duration) -> Vec<LiveUpdate> {
        let mut updates = Vec::new();
        while let Some(event) = self.next(within) {
            if serde_json::from_str::<LiveUpdate>(&event.data).is_ok() {
                updates.push(event.update());
            }
        }
        updates
    }
}

/// More than a test leaves unread.
const QUEUE: usize = 10_000;
