//! One run: read, label and pin, delete.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch};
use shared::api::{FieldProblem, ProblemDocument, Role, Run, UpdateRun};
use shared::id::RunId;

use super::start::LABEL_MAX;
use crate::http::auth::Caller;
use crate::http::body::{Empty, Json};
use crate::http::etag::{changed, fresh, if_match};
use crate::http::page::Query;
use crate::http::problem::ApiError;
use crate::http::state::Service;
use crate::store::{CommitError, DeleteError};

/// Get a run
///
/// As it stands now, with live counts and its place in the queue.
#[utoipa::path(
    tag = "runs",
    params(("run" = RunId, Path, description = "The run")),
    responses((status = 200, description = "The run; its ETag is that of its label and pin", body = Run)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs/{run}")]
pub(super) async fn get_run(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<RunId>,
) -> Result<HttpResponse, ApiError> {
    let record = super::find(&service, &caller, path.into_inner(), Role::Viewer)?;
    Query::of(&request, &[])?;
    let run = super::shown(&service, &record);
    Ok(fresh(StatusCode::OK, run.revision, &run))
}

/// Label or pin a run
///
/// A pinned run is not deleted by retention. Pinning needs the role editor.
#[utoipa::path(
    tag = "runs",
    params(("run" = RunId, Path, description = "The run")),
    request_body = UpdateRun,
    responses((status = 200, description = "The run", body = Run)),
    extensions(("x-role" = json!("tester"))),
)]
#[patch("/runs/{run}")]
pub(super) async fn update_run(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<RunId>,
    body: Json<UpdateRun>,
) -> Result<HttpResponse, ApiError> {
    Query::of(&request, &[])?;
    let change = body.value;
    let role = match change.pinned {
        Some(_) => Role::Editor,
        None => Role::Tester,
    };
    let record = super::find(&service, &caller, path.into_inner(), role)?;
    if let Some(label) = &change.label {
        check_label(label)?;
    }
    let expected = if_match(&request)?;
    let record = service
        .handle()
        .update_run(record.id, change, expected)
        .await?;
    let run = super::shown(&service, &record);
    Ok(fresh(StatusCode::OK, run.revision, &run))
}

/// Delete a run
///
/// One that has ended, with everything measured. Its entries in the ledger stay.
#[utoipa::path(
    tag = "runs",
    params(("run" = RunId, Path, description = "The run")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It has not ended (`run_live`)", content_type = "application/problem+json", body = ProblemDocument),
    ),
    extensions(("x-role" = json!("editor"))),
)]
#[delete("/runs/{run}")]
pub(super) async fn delete_run(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<RunId>,
    _: Empty,
) -> Result<HttpResponse, ApiError> {
    let record = super::find(&service, &caller, path.into_inner(), Role::Editor)?;
    Query::of(&request, &[])?;
    if let Some(expected) = if_match(&request)?
        && expected != record.revision
    {
        return Err(changed(record.revision));
    }
    let deleted = service
        .control()
        .delete_run(record.organization, record.id)
        .await;
    match deleted {
        Ok(()) => {
            service.handle().forget(record.id);
            Ok(HttpResponse::NoContent().finish())
        }
        Err(DeleteError::Unknown) => Err(ApiError::not_found()),
        Err(error @ DeleteError::Live) => Err(ApiError::new(
            StatusCode::CONFLICT,
            "run_live",
            error.to_string(),
        )),
        Err(DeleteError::Commit(CommitError::StorageFull)) => Err(ApiError::storage_full()),
        Err(DeleteError::Commit(error)) => Err(ApiError::internal(&error)),
    }
}

/// Errors: 422 where it is too long, or has characters that are none.
pub(super) fn check_label(label: &str) -> Result<(), ApiError> {
    let (code, detail) = if label.chars().count() > LABEL_MAX {
        ("too_long", format!("at most {LABEL_MAX} characters"))
    } else if label.chars().any(char::is_control) {
        ("invalid", "no control characters".to_owned())
    } else {
        return Ok(());
    };
    Err(ApiError::invalid(vec![FieldProblem {
        field: "label".to_owned(),
        code: code.to_owned(),
        detail,
    }]))
}
