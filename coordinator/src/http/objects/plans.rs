//! `/plans`: limits that organizations share. Operators change them.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use shared::api::{CreatePlan, Page, Plan, Role, UpdatePlan};
use shared::id::PlanId;
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
        .service(list_plans)
        .service(create_plan)
        .service(get_plan)
        .service(update_plan)
        .service(delete_plan);
}

/// List plans
#[utoipa::path(
    tag = "plans",
    extensions(("x-role" = json!("viewer"))),
    params(ListParams),
    responses((status = 200, description = "A page of plans.", body = Page<Plan>)),
)]
#[get("/plans")]
async fn list_plans(service: Data<Service>, caller: Caller, request: HttpRequest) -> Reply {
    caller.require(Role::Viewer)?;
    let (_, query) = Query::objects(&request, &[])?;
    let page = service.objects().plans(&query).await.map_err(in_query)?;
    Ok(HttpResponse::Ok().json(page))
}

/// Make a plan
#[utoipa::path(
    tag = "plans",
    extensions(("x-role" = json!("operator"))),
    request_body = CreatePlan,
    responses((status = 201, description = "The plan.", body = Plan)),
)]
#[post("/plans")]
async fn create_plan(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    body: Json<CreatePlan>,
) -> Reply {
    caller.require_operator()?;
    Query::of(&request, &[])?;
    let Json { value, octets } = body;
    once(&service, &caller, &request, &octets, async |planned| {
        let id = planned.map(|planned| PlanId(planned.0));
        let plan = service.objects().create_plan(value, id).await?;
        let at = format!("/api/v1/plans/{}", plan.id);
        Ok(etag::created(&at, plan.revision, &plan))
    })
    .await
}

/// Read a plan
#[utoipa::path(
    tag = "plans",
    extensions(("x-role" = json!("viewer"))),
    responses((status = 200, description = "The plan.", body = Plan)),
)]
#[get("/plans/{plan}")]
async fn get_plan(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<PlanId>,
) -> Reply {
    caller.require(Role::Viewer)?;
    Query::of(&request, &[])?;
    let plan = service.objects().plan(path.into_inner()).await?;
    Ok(etag::object(&request, plan.revision, &plan))
}

/// Change a plan
///
/// Holds for runs that start afterwards.
#[utoipa::path(
    tag = "plans",
    extensions(("x-role" = json!("operator"))),
    request_body = UpdatePlan,
    responses((status = 200, description = "The plan.", body = Plan)),
)]
#[patch("/plans/{plan}")]
async fn update_plan(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<PlanId>,
    body: Json<UpdatePlan>,
) -> Reply {
    caller.require_operator()?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    let plan = service
        .objects()
        .update_plan(path.into_inner(), body.value, expected)
        .await?;
    Ok(etag::fresh(StatusCode::OK, plan.revision, &plan))
}

/// Delete a plan
///
/// Only one that no organization has.
#[utoipa::path(
    tag = "plans",
    extensions(("x-role" = json!("operator"))),
    responses((status = 204, description = "It is gone.")),
)]
#[delete("/plans/{plan}")]
async fn delete_plan(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<PlanId>,
    _body: Empty,
) -> Reply {
    caller.require_operator()?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    let objects = service.objects();
    objects.delete_plan(path.into_inner(), expected).await?;
    Ok(HttpResponse::NoContent().finish())
}
