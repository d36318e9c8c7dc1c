//! Start a run, stop it, repeat it.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, post};
use shared::api::{ProblemDocument, Role, Run, StartRun};
use shared::id::{ProjectId, RunId, TestId};

use super::one::check_label;
use crate::core::request::StartRequest;
use crate::handle::StopReason;
use crate::http::auth::Caller;
use crate::http::body::{Empty, OptionalJson};
use crate::http::etag::etag;
use crate::http::idempotency::once;
use crate::http::objects::runnable;
use crate::http::page::Query;
use crate::http::problem::ApiError;
use crate::http::state::Service;
use crate::objects::PlannedId;

/// Characters of a label, at most.
pub(super) const LABEL_MAX: usize = 200;

/// Start a run
///
/// Of a saved test, which is frozen as it is now. The run is answered as soon as it is QUEUED, or has ended
/// CANNOT_RUN_FOR_NOW with everything that speaks against it in `problems`.
#[utoipa::path(
    tag = "runs",
    params(
        ("project" = ProjectId, Path, description = "The project"),
        ("test" = TestId, Path, description = "The test"),
    ),
    request_body = Option<StartRun>,
    responses((status = 202, description = "The run", body = Run)),
    extensions(("x-role" = json!("tester"))),
)]
#[post("/projects/{project}/tests/{test}/runs")]
pub(super) async fn start_run(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<(ProjectId, TestId)>,
    body: OptionalJson<StartRun>,
) -> Result<HttpResponse, ApiError> {
    let (project, test) = path.into_inner();
    Query::of(&request, &[])?;
    caller.in_project(project, Role::Tester)?;
    check_label(&body.value.label)?;
    let label = body.value.label;
    once(&service, &caller, &request, &body.octets, |id| {
        begin(&service, &caller, (project, test), label, None, id)
    })
    .await
}

/// Stop a run
///
/// Works in every status, twice, and after its end, which changes nothing.
#[utoipa::path(
    tag = "runs",
    params(("run" = RunId, Path, description = "The run")),
    responses((status = 202, description = "The run as it stands now", body = Run)),
    extensions(("x-role" = json!("tester"))),
)]
#[post("/runs/{run}/stop")]
pub(super) async fn stop_run(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<RunId>,
    _: Empty,
) -> Result<HttpResponse, ApiError> {
    let record = super::find(&service, &caller, path.into_inner(), Role::Tester)?;
    Query::of(&request, &[])?;
    if !record.status().is_terminal() {
        service
            .handle()
            .stop(record.id, StopReason::Requested)
            .await?;
    }
    // Read again: the stop moved it.
    let record = super::find(&service, &caller, record.id, Role::Viewer)?;
    let run = super::shown(&service, &record);
    Ok(HttpResponse::Accepted().json(run))
}

/// Run the same test again
///
/// An independent run with a frozen copy of the test as it is now.
#[utoipa::path(
    tag = "runs",
    params(("run" = RunId, Path, description = "The run to repeat.")),
    request_body = Option<StartRun>,
    responses(
        (status = 202, description = "The new run", body = Run),
        (status = 409, description = "The test is gone (`test_gone`)", content_type = "application/problem+json", body = ProblemDocument),
    ),
    extensions(("x-role" = json!("tester"))),
)]
#[post("/runs/{run}/rerun")]
pub(super) async fn rerun(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<RunId>,
    body: OptionalJson<StartRun>,
) -> Result<HttpResponse, ApiError> {
    Query::of(&request, &[])?;
    let record = super::find(&service, &caller, path.into_inner(), Role::Tester)?;
    check_label(&body.value.label)?;
    let label = body.value.label;
    let of = (record.project, record.test);
    let begun = once(&service, &caller, &request, &body.octets, |id| {
        begin(&service, &caller, of, label, Some(record.id), id)
    });
    begun.await.map_err(|error| {
        if error.status != StatusCode::NOT_FOUND {
            return error;
        }
        ApiError::new(
            StatusCode::CONFLICT,
            "test_gone",
            format!(
                "the test `{}` of this run was deleted; make it anew to run it again",
                record.test_name
            ),
        )
    })
}

/// Freezes the test and starts a run of it. `id`: the one that it has to get.
async fn begin(
    service: &Service,
    caller: &Caller,
    (project, test): (ProjectId, TestId),
    label: String,
    rerun_of: Option<RunId>,
    id: Option<PlannedId>,
) -> Result<HttpResponse, ApiError> {
    let request = StartRequest {
        label,
        rerun_of,
        id: id.map(|planned| RunId(planned.0)),
        ..runnable(service, caller, project, test).await?
    };
    let record = service.handle().start_run(request).await?;
    let run = super::shown(service, &record);
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/api/v1/runs/{}", run.id)))
        .insert_header((actix_web::http::header::ETAG, etag(run.revision)))
        .json(run))
}
