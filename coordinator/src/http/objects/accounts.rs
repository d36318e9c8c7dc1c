//! `/projects/{project}/registrars/{registrar}/accounts`: SIP accounts. Passwords go in, never out.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use shared::api::{CreateAccount, Page, Role, SipAccount, UpdateAccount};
use shared::id::{AccountId, ProjectId, RegistrarId};
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
        .service(list_accounts)
        .service(create_account)
        .service(get_account)
        .service(update_account)
        .service(delete_account);
}

/// List accounts
///
/// `name` filters and sorts by the user name.
#[utoipa::path(
    tag = "accounts",
    extensions(("x-role" = json!("viewer"))),
    params(ListParams),
    responses((status = 200, description = "A page of accounts.", body = Page<SipAccount>)),
)]
#[get("/projects/{project}/registrars/{registrar}/accounts")]
async fn list_accounts(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, RegistrarId)>,
) -> Reply {
    let (project, registrar) = path.into_inner();
    caller.in_project(project, Role::Viewer)?;
    let (_, query) = Query::objects(&request, &[])?;
    service
        .objects()
        .registrar(caller.organization(), project, registrar)
        .await?;
    let page = service
        .objects()
        .accounts(caller.organization(), project, registrar, &query)
        .await
        .map_err(in_query)?;
    Ok(HttpResponse::Ok().json(page))
}

/// Make an account
#[utoipa::path(
    tag = "accounts",
    extensions(("x-role" = json!("editor"))),
    request_body = CreateAccount,
    responses((status = 201, description = "The account.", body = SipAccount)),
)]
#[post("/projects/{project}/registrars/{registrar}/accounts")]
async fn create_account(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, RegistrarId)>,
    body: Json<CreateAccount>,
) -> Reply {
    let (project, registrar) = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let Json { value, octets } = body;
    once(&service, &caller, &request, &octets, async |planned| {
        let id = planned.map(|planned| AccountId(planned.0));
        let made = service
            .objects()
            .create_account(caller.organization(), project, registrar, value, id)
            .await?;
        let at = format!("{}/{}", request.path(), made.id);
        Ok(etag::created(&at, made.revision, &made))
    })
    .await
}

/// Read an account
#[utoipa::path(
    tag = "accounts",
    extensions(("x-role" = json!("viewer"))),
    responses((status = 200, description = "The account.", body = SipAccount)),
)]
#[get("/projects/{project}/registrars/{registrar}/accounts/{account}")]
async fn get_account(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, RegistrarId, AccountId)>,
) -> Reply {
    let (project, registrar, account) = path.into_inner();
    caller.in_project(project, Role::Viewer)?;
    Query::of(&request, &[])?;
    let shown = service
        .objects()
        .account(caller.organization(), project, registrar, account)
        .await?;
    Ok(etag::object(&request, shown.revision, &shown))
}

/// Change an account
#[utoipa::path(
    tag = "accounts",
    extensions(("x-role" = json!("editor"))),
    request_body = UpdateAccount,
    responses((status = 200, description = "The account.", body = SipAccount)),
)]
#[patch("/projects/{project}/registrars/{registrar}/accounts/{account}")]
async fn update_account(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, RegistrarId, AccountId)>,
    body: Json<UpdateAccount>,
) -> Reply {
    let (project, registrar, account) = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    let shown = service
        .objects()
        .update_account(
            caller.organization(),
            project,
            registrar,
            account,
            body.value,
            expected,
        )
        .await?;
    Ok(etag::fresh(StatusCode::OK, shown.revision, &shown))
}

/// Delete an account
#[utoipa::path(
    tag = "accounts",
    extensions(("x-role" = json!("editor"))),
    responses((status = 204, description = "It is gone.")),
)]
#[delete("/projects/{project}/registrars/{registrar}/accounts/{account}")]
async fn delete_account(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, RegistrarId, AccountId)>,
    _body: Empty,
) -> Reply {
    let (project, registrar, account) = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    service
        .objects()
        .delete_account(caller.organization(), project, registrar, account, expected)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
