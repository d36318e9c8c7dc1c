//! `/projects/{project}/tests`: saved tests, as JSON or as a test file.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, put};
use serde_json::{Map, Value};
use shared::api::{Checked, Page, Role, SavedTest, TestDefinition};
use shared::definition::saved_from_json;
use shared::id::{ProjectId, TestId};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{Reply, runnable, toml_body};
use crate::http::auth::Caller;
use crate::http::body::{self, Empty, Json};
use crate::http::etag;
use crate::http::gate;
use crate::http::idempotency::once;
use crate::http::page::{ListParams, Query, in_query};
use crate::http::problem::ApiError;
use crate::http::state::Service;

const JSON: &str = "application/json";
const TOML: &str = "application/toml";

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_tests)
        .service(create_test)
        .service(get_test)
        .service(replace_test)
        .service(update_test)
        .service(delete_test)
        .service(check_test);
}

/// A definition from either kind of body, and the body.
async fn definition(
    service: &Service,
    request: &HttpRequest,
    payload: Payload,
) -> Result<(TestDefinition, Bytes), ApiError> {
    gate::pass(request)?;
    let kind = body::content_type(request, &[JSON, TOML])?;
    let limits = service.config();
    let octets = body::read(request, payload, limits.json_max, limits.body_timeout).await?;
    let definition = if kind == TOML {
        toml_body::parse(&octets)?
    } else {
        saved_from_json(body::parse(&octets)?).map_err(ApiError::invalid)?
    };
    Ok((definition, octets))
}

/// List tests
#[utoipa::path(
    tag = "tests",
    extensions(("x-role" = json!("viewer"))),
    params(ListParams),
    responses((status = 200, description = "A page of tests.", body = Page<SavedTest>)),
)]
#[get("/projects/{project}/tests")]
async fn list_tests(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<ProjectId>,
) -> Reply {
    let project = path.into_inner();
    caller.in_project(project, Role::Viewer)?;
    let (_, query) = Query::objects(&request, &[])?;
    service
        .objects()
        .project(caller.organization(), project)
        .await?;
    let page = service
        .objects()
        .tests(caller.organization(), project, &query)
        .await
        .map_err(in_query)?;
    Ok(HttpResponse::Ok().json(page))
}

/// Save a test
///
/// A body of type `application/toml` is a test file without `registrars` and passwords.
#[utoipa::path(
    tag = "tests",
    extensions(("x-role" = json!("editor"))),
    request_body(content((TestDefinition = "application/json"), (String = "application/toml"))),
    responses((status = 201, description = "The test.", body = SavedTest)),
)]
#[post("/projects/{project}/tests")]
async fn create_test(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<ProjectId>,
    payload: Payload,
) -> Reply {
    let project = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let (definition, octets) = definition(&service, &request, payload).await?;
    once(&service, &caller, &request, &octets, async |planned| {
        let id = planned.map(|planned| TestId(planned.0));
        let made = service
            .objects()
            .create_test(caller.organization(), project, definition, id)
            .await?;
        let at = format!("/api/v1/projects/{project}/tests/{}", made.id);
        Ok(etag::created(&at, made.revision, &made))
    })
    .await
}

/// Read a test
#[utoipa::path(
    tag = "tests",
    extensions(("x-role" = json!("viewer"))),
    responses((status = 200, description = "The test.", body = SavedTest)),
)]
#[get("/projects/{project}/tests/{test}")]
async fn get_test(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, TestId)>,
) -> Reply {
    let (project, test) = path.into_inner();
    caller.in_project(project, Role::Viewer)?;
    Query::of(&request, &[])?;
    let shown = service
        .objects()
        .test(caller.organization(), project, test)
        .await?;
    Ok(etag::object(&request, shown.revision, &shown))
}

/// Replace a test
///
/// A body of type `application/toml` is a test file without `registrars` and passwords.
#[utoipa::path(
    tag = "tests",
    extensions(("x-role" = json!("editor"))),
    request_body(content((TestDefinition = "application/json"), (String = "application/toml"))),
    responses((status = 200, description = "The test.", body = SavedTest)),
)]
#[put("/projects/{project}/tests/{test}")]
async fn replace_test(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, TestId)>,
    payload: Payload,
) -> Reply {
    let (project, test) = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    let (definition, _) = definition(&service, &request, payload).await?;
    let shown = service
        .objects()
        .replace_test(caller.organization(), project, test, definition, expected)
        .await?;
    Ok(etag::fresh(StatusCode::OK, shown.revision, &shown))
}

/// Change a test
///
/// The fields that are there; null takes one away. `groups` is replaced whole.
#[utoipa::path(
    tag = "tests",
    extensions(("x-role" = json!("editor"))),
    request_body = Object,
    responses((status = 200, description = "The test.", body = SavedTest)),
)]
#[patch("/projects/{project}/tests/{test}")]
async fn update_test(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, TestId)>,
    body: Json<Map<String, Value>>,
) -> Reply {
    let (project, test) = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    let shown = service
        .objects()
        .patch_test(caller.organization(), project, test, body.value, expected)
        .await?;
    Ok(etag::fresh(StatusCode::OK, shown.revision, &shown))
}

/// Delete a test
///
/// Its runs stay.
#[utoipa::path(
    tag = "tests",
    extensions(("x-role" = json!("editor"))),
    responses((status = 204, description = "It is gone.")),
)]
#[delete("/projects/{project}/tests/{test}")]
async fn delete_test(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, TestId)>,
    _body: Empty,
) -> Reply {
    let (project, test) = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    service
        .objects()
        .delete_test(caller.organization(), project, test, expected)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Check a test
///
/// Everything that would speak against a run of it now; nothing is stored or reserved.
#[utoipa::path(
    tag = "tests",
    extensions(("x-role" = json!("viewer"))),
    responses((status = 200, description = "Whether it could run.", body = Checked)),
)]
#[post("/projects/{project}/tests/{test}/check")]
async fn check_test(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, TestId)>,
    _body: Empty,
) -> Reply {
    let (project, test) = path.into_inner();
    caller.in_project(project, Role::Viewer)?;
    Query::of(&request, &[])?;
    let start = runnable(&service, &caller, project, test).await?;
    let checked = service.handle().check(start).await?;
    Ok(HttpResponse::Ok().json(checked))
}
