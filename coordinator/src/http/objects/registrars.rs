//! `/projects/{project}/registrars`: where accounts register.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use shared::api::{CreateRegistrar, Page, Registrar, Role, UpdateRegistrar};
use shared::id::{ProjectId, RegistrarId};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Reply;
use crate::http::auth::Caller;
use crate::http::body::{Empty, Json};
use crate::http::etag;
use crate::http::idempotency::once;
use crate::http::page::{ListParams, Query, in_query};
use crate::http::state::Service;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_registrars)
        .service(create_registrar)
        .service(get_registrar)
        .service(update_registrar)
        .service(delete_registrar);
}

/// List registrars
#[utoipa::path(
    tag = "registrars",
    extensions(("x-role" = json!("viewer"))),
    params(ListParams),
    responses((status = 200, description = "A page of registrars.", body = Page<Registrar>)),
)]
#[get("/projects/{project}/registrars")]
async fn list_registrars(
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
        .registrars(caller.organization(), project, &query)
        .await
        .map_err(in_query)?;
    Ok(HttpResponse::Ok().json(page))
}

/// Make a registrar
#[utoipa::path(
    tag = "registrars",
    extensions(("x-role" = json!("editor"))),
    request_body = CreateRegistrar,
    responses((status = 201, description = "The registrar.", body = Registrar)),
)]
#[post("/projects/{project}/registrars")]
async fn create_registrar(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<ProjectId>,
    body: Json<CreateRegistrar>,
) -> Reply {
    let project = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let Json { value, octets } = body;
    once(&service, &caller, &request, &octets, async |planned| {
        let id = planned.map(|planned| RegistrarId(planned.0));
        let made = service
            .objects()
            .create_registrar(caller.organization(), project, value, id)
            .await?;
        let at = format!("{}/{}", request.path(), made.id);
        Ok(etag::created(&at, made.revision, &made))
    })
    .await
}

/// Read a registrar
///
/// `accounts` is how many there are at this moment; the ETag is of the rest.
#[utoipa::path(
    tag = "registrars",
    extensions(("x-role" = json!("viewer"))),
    responses((status = 200, description = "The registrar.", body = Registrar)),
)]
#[get("/projects/{project}/registrars/{registrar}")]
async fn get_registrar(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, RegistrarId)>,
) -> Reply {
    let (project, registrar) = path.into_inner();
    caller.in_project(project, Role::Viewer)?;
    Query::of(&request, &[])?;
    let shown = service
        .objects()
        .registrar(caller.organization(), project, registrar)
        .await?;
    Ok(etag::fresh(StatusCode::OK, shown.revision, &shown))
}

/// Change a registrar
#[utoipa::path(
    tag = "registrars",
    extensions(("x-role" = json!("editor"))),
    request_body = UpdateRegistrar,
    responses((status = 200, description = "The registrar.", body = Registrar)),
)]
#[patch("/projects/{project}/registrars/{registrar}")]
async fn update_registrar(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, RegistrarId)>,
    body: Json<UpdateRegistrar>,
) -> Reply {
    let (project, registrar) = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    let shown = service
        .objects()
        .update_registrar(
            caller.organization(),
            project,
            registrar,
            body.value,
            expected,
        )
        .await?;
    Ok(etag::fresh(StatusCode::OK, shown.revision, &shown))
}

/// Delete a registrar
///
/// Its accounts go with it.
#[utoipa::path(
    tag = "registrars",
    extensions(("x-role" = json!("editor"))),
    responses((status = 204, description = "It is gone.")),
)]
#[delete("/projects/{project}/registrars/{registrar}")]
async fn delete_registrar(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, RegistrarId)>,
    _body: Empty,
) -> Reply {
    let (project, registrar) = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    service
        .objects()
        .delete_registrar(caller.organization(), project, registrar, expected)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
