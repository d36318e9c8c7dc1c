//! `/organizations`: the isolation boundary; its credits and what it has in use.
//!
//! A key sees its own organization, an operator's key all of them.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use sha2::{Digest, Sha256};
use shared::api::{
    CreateOrganization, FieldProblem, Grant, LedgerEntry, Organization, Page, Role,
    UpdateOrganization, Usage,
};
use shared::id::OrganizationId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Reply;
use crate::http::auth::Caller;
use crate::http::body::{Empty, Json};
use crate::http::etag;
use crate::http::idempotency::once;
use crate::http::page::{ListParams, Query, in_query};
use crate::http::problem::ApiError;
use crate::http::state::Service;
use crate::objects::PlannedId;

/// Credits of one grant, at most.
const GRANT_MAX: f64 = 1e9;
/// Characters of a note, at most.
const NOTE_MAX: usize = 200;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_organizations)
        .service(create_organization)
        .service(get_organization)
        .service(update_organization)
        .service(delete_organization)
        .service(grant_credits)
        .service(organization_usage);
}

/// Whose organization it is. Errors: 404 for that of others, to all but operators.
pub(super) fn own(caller: &Caller, organization: OrganizationId) -> Result<(), ApiError> {
    if caller.key().operator || caller.organization() == organization {
        return Ok(());
    }
    Err(ApiError::not_found())
}

/// Fills what changes without a revision.
async fn filled(service: &Service, mut shown: Organization) -> Result<Organization, ApiError> {
    let plan = service.objects().plan(shown.plan).await?;
    shown.balance = service.handle().balance(shown.id);
    shown.usage = service.handle().usage(shown.id, &plan);
    Ok(shown)
}

/// List organizations
///
/// The own one; operators see all.
#[utoipa::path(
    tag = "organizations",
    extensions(("x-role" = json!("viewer"))),
    params(ListParams),
    responses((status = 200, description = "A page of organizations.", body = Page<Organization>)),
)]
#[get("/organizations")]
async fn list_organizations(service: Data<Service>, caller: Caller, request: HttpRequest) -> Reply {
    let (_, query) = Query::objects(&request, &[])?;
    let objects = service.objects();
    let page = if caller.key().operator {
        objects.organizations(&query).await.map_err(in_query)?
    } else {
        caller.require(Role::Viewer)?;
        let own = objects.organization(caller.organization()).await?;
        let wanted = query.name.as_ref().is_none_or(|part| {
            let name = own.name.to_lowercase();
            name.contains(&part.to_lowercase())
        });
        if query.cursor.is_some() {
            return Err(ApiError::bad_field(
                "bad_cursor",
                "cursor",
                "`cursor` has to be the next_cursor of a page; this list has one page",
            ));
        }
        Page {
            items: if wanted { vec![own] } else { Vec::new() },
            next_cursor: None,
        }
    };
    let mut items = Vec::with_capacity(page.items.len());
    for organization in page.items {
        items.push(filled(&service, organization).await?);
    }
    let next_cursor = page.next_cursor;
    Ok(HttpResponse::Ok().json(Page { items, next_cursor }))
}

/// Make an organization
#[utoipa::path(
    tag = "organizations",
    extensions(("x-role" = json!("operator"))),
    request_body = CreateOrganization,
    responses((status = 201, description = "The organization.", body = Organization)),
)]
#[post("/organizations")]
async fn create_organization(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    body: Json<CreateOrganization>,
) -> Reply {
    caller.require_operator()?;
    Query::of(&request, &[])?;
    let Json { value, octets } = body;
    once(&service, &caller, &request, &octets, async |planned| {
        let id = planned.map(|planned| OrganizationId(planned.0));
        let made = service.objects().create_organization(value, id).await?;
        let made = filled(&service, made).await?;
        let at = format!("/api/v1/organizations/{}", made.id);
        Ok(etag::created(&at, made.revision, &made))
    })
    .await
}

/// Read an organization
///
/// Its balance and usage are those of this moment; the ETag is of the rest.
#[utoipa::path(
    tag = "organizations",
    extensions(("x-role" = json!("viewer"))),
    responses((status = 200, description = "The organization.", body = Organization)),
)]
#[get("/organizations/{organization}")]
async fn get_organization(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<OrganizationId>,
) -> Reply {
    let id = path.into_inner();
    readable(&caller, id)?;
    Query::of(&request, &[])?;
    let shown = service.objects().organization(id).await?;
    let shown = filled(&service, shown).await?;
    Ok(etag::fresh(StatusCode::OK, shown.revision, &shown))
}

/// Own or operator, and at least a viewer.
fn readable(caller: &Caller, id: OrganizationId) -> Result<(), ApiError> {
    own(caller, id)?;
    if caller.key().operator {
        return Ok(());
    }
    caller.require(Role::Viewer)
}

/// Change an organization
///
/// Its plan is changed by operators only.
#[utoipa::path(
    tag = "organizations",
    extensions(("x-role" = json!("owner"))),
    request_body = UpdateOrganization,
    responses((status = 200, description = "The organization.", body = Organization)),
)]
#[patch("/organizations/{organization}")]
async fn update_organization(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<OrganizationId>,
    body: Json<UpdateOrganization>,
) -> Reply {
    let id = path.into_inner();
    own(&caller, id)?;
    if !caller.key().operator {
        caller.require(Role::Owner)?;
        if body.value.plan.is_some() {
            return Err(ApiError::forbidden(
                "an organization's plan is changed by an operator",
            ));
        }
    }
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    let shown = service
        .objects()
        .update_organization(id, body.value, expected)
        .await?;
    let shown = filled(&service, shown).await?;
    Ok(etag::fresh(StatusCode::OK, shown.revision, &shown))
}

/// Delete an organization
///
/// Only one without projects, and not that of the key that asks. Its keys go with it.
#[utoipa::path(
    tag = "organizations",
    extensions(("x-role" = json!("operator"))),
    responses((status = 204, description = "It is gone.")),
)]
#[delete("/organizations/{organization}")]
async fn delete_organization(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<OrganizationId>,
    _body: Empty,
) -> Reply {
    caller.require_operator()?;
    Query::of(&request, &[])?;
    let id = path.into_inner();
    if id == caller.organization() {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "in_use",
            "this key belongs to it: delete it by an operator's key of another organization",
        ));
    }
    let expected = etag::if_match(&request)?;
    service.objects().delete_organization(id, expected).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Add credits to an organization
#[utoipa::path(
    tag = "organizations",
    extensions(("x-role" = json!("operator"))),
    request_body = Grant,
    responses((status = 201, description = "The ledger's new entry.", body = LedgerEntry)),
)]
#[post("/organizations/{organization}/credits")]
async fn grant_credits(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<OrganizationId>,
    body: Json<Grant>,
) -> Reply {
    caller.require_operator()?;
    Query::of(&request, &[])?;
    let Json { value, octets } = body;
    let endpoint_ms = amount(&value)?;
    let id = service.objects().organization(path.into_inner()).await?.id;
    once(&service, &caller, &request, &octets, async |planned| {
        let entry = entry_id(id, planned)?;
        let entry = service
            .handle()
            .grant(id, endpoint_ms, value.note, entry)
            .await?;
        let at = format!("/api/v1/organizations/{id}/ledger");
        Ok(HttpResponse::Created()
            .insert_header(("location", at))
            .json(entry))
    })
    .await
}

/// The id of a grant's ledger entry. A repeat under the same `Idempotency-Key` is the same movement,
/// also where only the answer was lost.
fn entry_id(organization: OrganizationId, planned: Option<PlannedId>) -> Result<String, ApiError> {
    let mut random = [0; 16];
    let seed: &[u8] = match planned {
        Some(_) => &[],
        None => {
            getrandom::fill(&mut random).map_err(|error| ApiError::internal(&error))?;
            &random
        }
    };
    let mut hash = Sha256::new();
    hash.update(format!(
        "grant|{organization}|{:016x}|",
        planned.map_or(0, |id| id.0)
    ));
    hash.update(seed);
    let digest = hash.finalize();
    Ok(digest
        .iter()
        .take(16)
        .map(|octet| format!("{octet:02x}"))
        .collect())
}

/// Endpoint-milliseconds of a grant. Errors: 422 with everything that is wrong.
fn amount(grant: &Grant) -> Result<u64, ApiError> {
    let mut errors = Vec::new();
    let mut wrong = |field: &str, detail: &str| {
        errors.push(FieldProblem {
            field: field.to_owned(),
            code: "out_of_range".to_owned(),
            detail: detail.to_owned(),
        });
    };
    let endpoint_ms = (grant.credits * shared::api::Credits::CREDIT as f64).round();
    if !(grant.credits > 0.0 && grant.credits <= GRANT_MAX && endpoint_ms >= 1.0) {
        wrong("credits", "it has to be above 0 and at most 1,000,000,000");
    }
    if grant.note.chars().count() > NOTE_MAX {
        wrong("note", "it may have 200 characters");
    }
    if errors.is_empty() {
        return Ok(endpoint_ms as u64);
    }
    Err(ApiError::invalid(errors))
}

/// What an organization has in use
#[utoipa::path(
    tag = "organizations",
    extensions(("x-role" = json!("viewer"))),
    responses((status = 200, description = "Its live runs, beside its plan's limits.", body = Usage)),
)]
#[get("/organizations/{organization}/usage")]
async fn organization_usage(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<OrganizationId>,
) -> Reply {
    let id = path.into_inner();
    readable(&caller, id)?;
    Query::of(&request, &[])?;
    let shown = service.objects().organization(id).await?;
    let plan = service.objects().plan(shown.plan).await?;
    Ok(HttpResponse::Ok().json(service.handle().usage(id, &plan)))
}
