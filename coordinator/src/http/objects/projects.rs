//! `/projects`.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use futures_util::{StreamExt, stream};
use shared::api::{CreateProject, Page, Project, Role, UpdateProject};
use shared::id::{OrganizationId, ProjectId};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Reply;
use crate::http::auth::Caller;
use crate::http::body::{Empty, Json};
use crate::http::etag;
use crate::http::idempotency::once;
use crate::http::page::{ListParams, Query, in_query};
use crate::http::problem::ApiError;
use crate::http::state::Service;
use crate::objects::ObjectError;
use crate::store::{CommitError, DeleteError};

/// Runs of a project that are deleted at once.
const DELETED_AT_ONCE: usize = 32;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_projects)
        .service(create_project)
        .service(get_project)
        .service(update_project)
        .service(delete_project);
}

/// List projects
///
/// Those that the key sees.
#[utoipa::path(
    tag = "projects",
    extensions(("x-role" = json!("viewer"))),
    params(ListParams),
    responses((status = 200, description = "A page of projects.", body = Page<Project>)),
)]
#[get("/projects")]
async fn list_projects(service: Data<Service>, caller: Caller, request: HttpRequest) -> Reply {
    let (_, query) = Query::objects(&request, &[])?;
    let page = service
        .objects()
        .projects(caller.organization(), &query, |project| {
            caller.sees(project)
        })
        .await
        .map_err(in_query)?;
    Ok(HttpResponse::Ok().json(page))
}

/// Make a project
#[utoipa::path(
    tag = "projects",
    extensions(("x-role" = json!("admin"))),
    request_body = CreateProject,
    responses((status = 201, description = "The project.", body = Project)),
)]
#[post("/projects")]
async fn create_project(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    body: Json<CreateProject>,
) -> Reply {
    caller.require(Role::Admin)?;
    Query::of(&request, &[])?;
    let Json { value, octets } = body;
    once(&service, &caller, &request, &octets, async |planned| {
        let id = planned.map(|planned| ProjectId(planned.0));
        let made = service
            .objects()
            .create_project(caller.organization(), value, id)
            .await?;
        let at = format!("/api/v1/projects/{}", made.id);
        Ok(etag::created(&at, made.revision, &made))
    })
    .await
}

/// Read a project
#[utoipa::path(
    tag = "projects",
    extensions(("x-role" = json!("viewer"))),
    responses((status = 200, description = "The project.", body = Project)),
)]
#[get("/projects/{project}")]
async fn get_project(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<ProjectId>,
) -> Reply {
    let project = path.into_inner();
    caller.in_project(project, Role::Viewer)?;
    Query::of(&request, &[])?;
    let project = service
        .objects()
        .project(caller.organization(), project)
        .await?;
    Ok(etag::object(&request, project.revision, &project))
}

/// Change a project
#[utoipa::path(
    tag = "projects",
    extensions(("x-role" = json!("admin"))),
    request_body = UpdateProject,
    responses((status = 200, description = "The project.", body = Project)),
)]
#[patch("/projects/{project}")]
async fn update_project(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<ProjectId>,
    body: Json<UpdateProject>,
) -> Reply {
    let project = path.into_inner();
    caller.in_project(project, Role::Admin)?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    let project = service
        .objects()
        .update_project(caller.organization(), project, body.value, expected)
        .await?;
    Ok(etag::fresh(StatusCode::OK, project.revision, &project))
}

/// Delete a project
///
/// With its registrars, accounts, media, tests and ended runs; only while no run of it is live.
/// Ledger entries stay.
#[utoipa::path(
    tag = "projects",
    extensions(("x-role" = json!("admin"))),
    responses((status = 204, description = "It is gone.")),
)]
#[delete("/projects/{project}")]
async fn delete_project(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<ProjectId>,
    _body: Empty,
) -> Reply {
    let id = path.into_inner();
    caller.in_project(id, Role::Admin)?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    let organization = caller.organization();
    let objects = service.objects();
    let project = objects.project(organization, id).await?;
    if expected.is_some_and(|revision| revision != project.revision) {
        return Err(etag::changed(project.revision));
    }
    // Runs first: where this breaks off, the project is still there to be deleted again.
    if live_runs(&service, organization, id) == 0 {
        delete_runs(&service, organization, id).await?;
    }
    let live = live_runs(&service, organization, id);
    objects
        .delete_project(organization, id, expected, live)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

fn live_runs(service: &Service, organization: OrganizationId, project: ProjectId) -> usize {
    let runs = service.control().runs().of_project(organization, project);
    runs.iter().filter(|run| run.holds()).count()
}

async fn delete_runs(
    service: &Service,
    organization: OrganizationId,
    project: ProjectId,
) -> Result<(), ApiError> {
    let runs = service.control().runs().of_project(organization, project);
    let mut deletions = stream::iter(runs)
        .map(|run| service.control().delete_run(organization, run.id))
        .buffer_unordered(DELETED_AT_ONCE);
    while let Some(deleted) = deletions.next().await {
        match deleted {
            // Unknown: somebody else deleted it. Live: the project's deletion says so.
            Ok(()) | Err(DeleteError::Unknown | DeleteError::Live) => {}
            Err(DeleteError::Commit(CommitError::StorageFull)) => {
                return Err(ObjectError::StorageFull.into());
            }
            Err(DeleteError::Commit(error)) => return Err(ApiError::internal(&error)),
        }
    }
    Ok(())
}
