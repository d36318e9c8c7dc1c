//! A run as it goes on, as server-sent events.
//!
//! All readers of a run share its updates and their text; a reader holds a place in the ring of
//! updates and the few events that he is being sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use futures_util::Stream;
use futures_util::stream::unfold;
use shared::api::Role;
use shared::id::RunId;
use tokio::sync::watch;
use tokio::time::timeout;

use super::figures::Figures;
use super::sse::{self, Progress};
use crate::core::record::RunRecord;
use crate::http::auth::Caller;
use crate::http::page::Query;
use crate::http::problem::ApiError;
use crate::http::runs::find;
use crate::http::state::Service;
use crate::http::streams::Place;
use crate::live::LiveStream;

/// A silent stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Watch a run
///
/// Server-sent events: `status` (a `StatusMove`) at once and at each move; `metrics` (a `LiveUpdate`)
/// each second; `skipped` (a `Skipped`) where the reader did not keep up, who then goes on with the
/// newest; `end` (the last `StatusMove`) once the run has ended, after which the stream closes. A
/// comment every 15 seconds keeps a silent stream alive.
#[utoipa::path(
    tag = "runs",
    params(("run" = RunId, Path, description = "The run.")),
    responses((status = 200, description = "The events.", content_type = "text/event-stream", body = String)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs/{run}/live")]
pub(super) async fn watch_run(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<RunId>,
) -> Result<HttpResponse, ApiError> {
    let run = path.into_inner();
    find(&service, &caller, run, Role::Viewer)?;
    Query::of(&request, &[])?;
    // The run's updates first, its record then: an end between the two is in the record.
    let updates = service.handle().watch(run);
    let record = find(&service, &caller, run, Role::Viewer)?;
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"));
    if record.status().is_terminal() {
        return Ok(answer.body(ended(&record)));
    }
    let Some(updates) = updates else {
        // Just accepted, and not yet shown; or the coordinator is going down.
        return Err(ApiError::new(
            actix_web::http::StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the run cannot be watched right now; try again",
        )
        .retry_after(1));
    };
    let place = service.streams().take(caller.id())?;
    let figures = service.figures().clone();
    let closing = service.closing().subscribe();
    Ok(answer.streaming(events(&record, updates, place, figures, closing)))
}

/// The events of a run that has ended.
fn ended(record: &RunRecord) -> Bytes {
    let mut text = sse::BEGIN.to_vec();
    if let Some(last) = record.last() {
        text.extend_from_slice(&sse::status(last));
        text.extend_from_slice(&sse::end(last));
    }
    text.into()
}

/// One reader.
struct Reader {
    updates: LiveStream,
    progress: Progress,
    waiting: VecDeque<Bytes>,
    figures: Figures,
    /// The server is being stopped.
    closing: watch::Receiver<bool>,
    _place: Place,
}

fn events(
    record: &RunRecord,
    updates: LiveStream,
    place: Place,
    figures: Figures,
    closing: watch::Receiver<bool>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let mut waiting = VecDeque::from([sse::BEGIN]);
    waiting.extend(record.last().map(sse::status));
    let reader = Reader {
        updates,
        progress: Progress::new(record.status()),
        waiting,
        figures,
        closing,
        _place: place,
    };
    unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    })
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(event);
        }
        if self.progress.ended() {
            return None;
        }
        let next = timeout(KEEP_ALIVE, self.updates.next_shared());
        let first = tokio::select! {
            next = next => next,
            _ = self.closing.wait_for(|closing| *closing) => return None,
        };
        let Ok(first) = first else {
            return Some(sse::ALIVE);
        };
        let mut updates = vec![first?];
        updates.extend(self.updates.ready());
        self.waiting = self.progress.events(&updates);
        self.figures.skipped(self.progress.take_skipped());
        self.waiting.pop_front()
    }
}
