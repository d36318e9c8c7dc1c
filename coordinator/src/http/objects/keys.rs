//! `/keys`: API keys of an organization. Operators name another one by `?organization=`.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use shared::api::{ApiKey, CreateApiKey, CreatedApiKey, FieldProblem, Page, Role};
use shared::id::{KeyId, OrganizationId};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Reply;
use super::organizations::own;
use super::rights::{Rights, may_give};
use crate::http::auth::Caller;
use crate::http::body::{Empty, Json};
use crate::http::etag;
use crate::http::idempotency::once;
use crate::http::page::{ListParams, Query, in_query};
use crate::http::problem::ApiError;
use crate::http::state::{Service, now};
use crate::objects::ObjectError;

/// The parameter that names another organization.
const ORGANIZATION: &str = "organization";

/// That parameter, for the OpenAPI document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
struct WhoseParams {
    /// Operators: whose keys; the own organization where it is not given.
    organization: Option<OrganizationId>,
}

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_keys)
        .service(create_key)
        .service(get_key)
        .service(revoke_key);
}

/// Whose keys are meant; the caller may manage them. Errors: 400, 403, 404.
fn whose(caller: &Caller, query: &Query) -> Result<OrganizationId, ApiError> {
    if !caller.key().operator {
        caller.require(Role::Admin)?;
    }
    let asked = query.parsed(ORGANIZATION, "an id of 16 hexadecimal digits")?;
    let organization = asked.unwrap_or(caller.organization());
    own(caller, organization)?;
    Ok(organization)
}

/// List keys
#[utoipa::path(
    tag = "keys",
    extensions(("x-role" = json!("admin"))),
    params(ListParams, WhoseParams),
    responses((status = 200, description = "A page of keys.", body = Page<ApiKey>)),
)]
#[get("/keys")]
async fn list_keys(service: Data<Service>, caller: Caller, request: HttpRequest) -> Reply {
    let (query, list) = Query::objects(&request, &[ORGANIZATION])?;
    let organization = whose(&caller, &query)?;
    let objects = service.objects();
    objects.organization(organization).await?;
    let page = objects.keys(organization, &list).await.map_err(in_query)?;
    Ok(HttpResponse::Ok().json(page))
}

/// Make a key
///
/// With at most the rights of the key that asks. The secret is in this answer only.
#[utoipa::path(
    tag = "keys",
    extensions(("x-role" = json!("admin"))),
    params(WhoseParams),
    request_body = CreateApiKey,
    responses((status = 201, description = "The key and its secret.", body = CreatedApiKey)),
)]
#[post("/keys")]
async fn create_key(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    body: Json<CreateApiKey>,
) -> Reply {
    let query = Query::of(&request, &[ORGANIZATION])?;
    let organization = whose(&caller, &query)?;
    let Json { value, octets } = body;
    may_give(&caller, Rights::wanted(&value))?;
    if value.expires_unix_ms.is_some_and(|at| at <= now()) {
        return Err(ApiError::invalid(vec![FieldProblem {
            field: "expires_unix_ms".to_owned(),
            code: "out_of_range".to_owned(),
            detail: "it has to be in the future: milliseconds since 1970".to_owned(),
        }]));
    }
    let objects = service.objects();
    objects.organization(organization).await?;
    known_projects(&service, organization, &value).await?;
    once(&service, &caller, &request, &octets, async |planned| {
        let id = planned.map(|planned| KeyId(planned.0));
        let made = objects.create_key(organization, value, id).await?;
        let at = format!("/api/v1/keys/{}", made.key.id);
        Ok(etag::created(&at, made.key.revision, &made))
    })
    .await
}

/// Errors: 422 for each project that the organization does not have.
async fn known_projects(
    service: &Service,
    organization: OrganizationId,
    new: &CreateApiKey,
) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    for (place, own) in new.projects.iter().enumerate() {
        match service.objects().project(organization, own.project).await {
            Ok(_) => {}
            Err(ObjectError::NotFound) => errors.push(FieldProblem {
                field: format!("projects[{place}].project"),
                code: "not_found".to_owned(),
                detail: format!("there is no project {}", own.project),
            }),
            Err(error) => return Err(error.into()),
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(errors))
}

/// Read a key
#[utoipa::path(
    tag = "keys",
    extensions(("x-role" = json!("admin"))),
    params(WhoseParams),
    responses((status = 200, description = "The key, without its secret.", body = ApiKey)),
)]
#[get("/keys/{key}")]
async fn get_key(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<KeyId>,
) -> Reply {
    let query = Query::of(&request, &[ORGANIZATION])?;
    let organization = whose(&caller, &query)?;
    let key = service
        .objects()
        .key(organization, path.into_inner())
        .await?;
    Ok(etag::fresh(StatusCode::OK, key.revision, &key))
}

/// Revoke a key
///
/// Holds when this is answered. The key stays in the list, with when it was revoked.
#[utoipa::path(
    tag = "keys",
    extensions(("x-role" = json!("admin"))),
    params(WhoseParams),
    responses((status = 204, description = "It is revoked.")),
)]
#[delete("/keys/{key}")]
async fn revoke_key(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<KeyId>,
    _body: Empty,
) -> Reply {
    let query = Query::of(&request, &[ORGANIZATION])?;
    let organization = whose(&caller, &query)?;
    let expected = etag::if_match(&request)?;
    let key = service
        .objects()
        .key(organization, path.into_inner())
        .await?;
    let rights = Rights {
        role: key.role,
        projects: &key.projects,
        operator: key.operator,
    };
    may_give(&caller, rights)?;
    service
        .objects()
        .revoke_key(organization, key.id, expected)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
