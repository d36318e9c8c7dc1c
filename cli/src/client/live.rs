//! A run's live updates over server-sent events, read on a thread of their own.
//!
//! A stream that breaks (the coordinator restarts, the network fails) is opened again for a while.

use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use shared::result::{LiveUpdate, StatusMove};
use tokio::sync::mpsc;

use super::api::{Api, encoded};
use super::error::ApiError;

/// What the reading thread tells.
#[derive(Debug)]
pub(super) enum Told {
    /// How the run stands. One with a terminal status is the last.
    Update(Box<LiveUpdate>),
    /// The run has ended, and had before anything of it was told here.
    End(Box<StatusMove>),
    /// The stream broke; it is being opened again.
    Lost(String),
    /// Nothing more will come.
    Over(ApiError),
}

/// Follows a run to its end, or until the receiver is dropped.
pub(super) fn follow(api: Api, run: &str) -> std::io::Result<mpsc::Receiver<Told>> {
    let (tell, told) = mpsc::channel(UPDATES);
    let path = format!("runs/{}/live", encoded(run));
    std::thread::Builder::new()
        .name("live".to_owned())
        .spawn(move || read(&api, &path, &tell))?;
    Ok(told)
}

fn read(api: &Api, path: &str, tell: &mpsc::Sender<Told>) {
    let mut lost: Option<Instant> = None;
    loop {
        let ended = match api.stream(path, "text/event-stream", Some(SILENCE)) {
            Ok(stream) => {
                let (ended, heard) = events(stream, tell);
                if heard {
                    lost = None;
                }
                ended
            }
            Err(error) if passes(&error) => Ended::Broken(error.to_string()),
            Err(error) => {
                // Nobody listens where the watching has ended meanwhile.
                drop(tell.blocking_send(Told::Over(error)));
                return;
            }
        };
        let why = match ended {
            Ended::Run | Ended::Unheard => return,
            Ended::Broken(why) => why,
        };
        let told = match lost {
            None => {
                lost = Some(Instant::now());
                tell.blocking_send(Told::Lost(why))
            }
            Some(since) if since.elapsed() >= LOST_MAX => {
                drop(tell.blocking_send(Told::Over(api.strange(why))));
                return;
            }
            Some(_) => Ok(()),
        };
        if told.is_err() || tell.is_closed() {
            return;
        }
        std::thread::sleep(AGAIN);
    }
}

/// Whether a failure may pass by itself: a restart, a full server.
fn passes(error: &ApiError) -> bool {
    match error.status() {
        Some(status) => matches!(status, 429 | 500..),
        None => matches!(error, ApiError::Unreachable { .. }),
    }
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// With the run.
    Run,
    /// Nobody listens any more.
    Unheard,
    /// Too early.
    Broken(String),
}

/// Hands on the updates of one stream; also whether there was one.
fn events(stream: impl Read, tell: &mpsc::Sender<Told>) -> (Ended, bool) {
    let mut heard = false;
    let (mut name, mut data) = (String::new(), String::new());
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        // A line is bounded so that a stranger at that address cannot fill the memory.
        match reader.by_ref().take(LINE_MAX).read_line(&mut line) {
            Ok(0) => return (Ended::Broken("the stream ended".to_owned()), heard),
            Ok(_) => {}
            Err(error) => return (Ended::Broken(error.to_string()), heard),
        }
        let text = line.trim_end_matches(['\n', '\r']);
        if let Some(part) = text.strip_prefix("data:") {
            if data.len() + part.len() > LINE_MAX as usize {
                return (Ended::Broken("an event is too large".to_owned()), heard);
            }
            data.push_str(part.strip_prefix(' ').unwrap_or(part));
        } else if let Some(given) = text.strip_prefix("event:") {
            given.trim().clone_into(&mut name);
        } else if text.is_empty() {
            if let Some((news, last)) = event(&name, &data) {
                heard = true;
                if tell.blocking_send(news).is_err() {
                    return (Ended::Unheard, heard);
                }
                if last {
                    return (Ended::Run, heard);
                }
            }
            name.clear();
            data.clear();
        }
    }
}

/// What an event tells, and whether it is the last. Moves of the status come with updates too, and
/// what a slow reader missed needs no line.
fn event(name: &str, data: &str) -> Option<(Told, bool)> {
    match name {
        "metrics" => {
            let update: LiveUpdate = serde_json::from_str(data).ok()?;
            let last = update.status.is_terminal();
            Some((Told::Update(Box::new(update)), last))
        }
        "end" => {
            let step: StatusMove = serde_json::from_str(data).ok()?;
            Some((Told::End(Box::new(step)), true))
        }
        _ => None,
    }
}

/// Updates that wait to be shown.
const UPDATES: usize = 64;
/// An update of a test with 100 groups is far below.
const LINE_MAX: u64 = 4 << 20;
/// Longer than the coordinator is ever silent on a stream that lives.
const SILENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);
/// A coordinator that restarts is back by then.
const LOST_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use shared::phase::RunStatus;
    use shared::result::LivePart;

    use super::*;

    fn update(status: RunStatus) -> LiveUpdate {
        LiveUpdate {
            run: "1".to_owned(),
            status,
            last_move: StatusMove {
                status,
                at_unix_ms: 0,
                reason: String::new(),
                sentence: String::new(),
            },
            elapsed_ms: 0,
            duration_ms: 1,
            all: LivePart::default(),
            groups: Vec::new(),
            new_failures: Vec::new(),
            failures_left_out: 0,
            send_late_p99_ms: None,
            cpu_cores: None,
        }
    }

    fn stream(statuses: &[RunStatus]) -> String {
        let mut text = "retry: 2000\n\n".to_owned();
        for status in statuses {
            let json = serde_json::to_string(&update(*status)).unwrap();
            text.push_str(&format!("event: metrics\nid: 7\ndata: {json}\n\n"));
            text.push_str("event: skipped\ndata: {\"missed\":3}\n\n: still here\n\n");
        }
        text
    }

    #[test]
    fn updates_are_handed_on_until_the_run_ends() {
        let (tell, mut told) = mpsc::channel(8);
        let text = stream(&[RunStatus::Running, RunStatus::Completed, RunStatus::Running]);
        assert_eq!(events(text.as_bytes(), &tell), (Ended::Run, true));
        drop(tell);
        let mut statuses = Vec::new();
        while let Some(Told::Update(update)) = told.blocking_recv() {
            statuses.push(update.status);
        }
        assert_eq!(statuses, [RunStatus::Running, RunStatus::Completed]);
    }

    #[test]
    fn a_run_that_had_ended_is_told_by_its_last_move() {
        let (tell, mut told) = mpsc::channel(8);
        let step = update(RunStatus::CannotRunForNow).last_move;
        let json = serde_json::to_string(&step).unwrap();
        let text = format!("event: status\ndata: {json}\n\nevent: end\ndata: {json}\n\n");
        assert_eq!(events(text.as_bytes(), &tell), (Ended::Run, true));
        assert!(matches!(told.blocking_recv(), Some(Told::End(end)) if *end == step));
    }

    #[test]
    fn a_stream_that_ends_early_or_holds_nonsense_is_broken() {
        let (tell, _told) = mpsc::channel(8);
        let text = stream(&[RunStatus::Running]);
        let (ended, heard) = events(text.as_bytes(), &tell);
        assert!(matches!(ended, Ended::Broken(_)) && heard, "{ended:?}");
        for nonsense in [
            "",
            "data: {\n\n",
            "data:",
            "\u{0}\n\n",
            "data: 5\n\ndata: \"x\"\n\n",
        ] {
            let (ended, heard) = events(nonsense.as_bytes(), &tell);
            assert!(matches!(ended, Ended::Broken(_)) && !heard, "{nonsense:?}");
        }
    }
}
