//! `/…/accounts/bulk`: many SIP accounts at once, from a pattern or a CSV file.

use actix_web::web::{Bytes, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, post};
use shared::api::{BulkAccounts, BulkResult, Role};
use shared::id::{ProjectId, RegistrarId};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Reply;
use crate::http::auth::Caller;
use crate::http::body;
use crate::http::idempotency::once;
use crate::http::page::Query;
use crate::http::problem::ApiError;
use crate::http::state::Service;

const JSON: &str = "application/json";
const CSV: &str = "text/csv";

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(bulk_accounts);
}

/// Import many accounts
///
/// From a pattern, or from the text of a CSV file; a body of type `text/csv` is the file itself.
/// Accounts that are there get the new values.
#[utoipa::path(
    tag = "accounts",
    extensions(("x-role" = json!("editor"))),
    request_body(content((BulkAccounts = "application/json"), (String = "text/csv"))),
    responses((status = 200, description = "What came of it.", body = BulkResult)),
)]
#[post("/projects/{project}/registrars/{registrar}/accounts/bulk")]
async fn bulk_accounts(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, RegistrarId)>,
    payload: Payload,
) -> Reply {
    let (project, registrar) = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let objects = service.objects();
    objects
        .registrar(caller.organization(), project, registrar)
        .await?;
    let kind = body::content_type(&request, &[JSON, CSV])?;
    let _place = service.large_body()?;
    let limits = service.config();
    let octets = body::read(&request, payload, limits.bulk_max, limits.upload_timeout).await?;
    let bulk = bulk(kind, &octets)?;
    once(&service, &caller, &request, &octets, async |_| {
        let result = objects
            .bulk_accounts(caller.organization(), project, registrar, bulk)
            .await?;
        Ok(HttpResponse::Ok().json(result))
    })
    .await
}

fn bulk(kind: &str, octets: &Bytes) -> Result<BulkAccounts, ApiError> {
    if kind == JSON {
        return body::parse(octets);
    }
    let text = std::str::from_utf8(octets).map_err(|error| {
        ApiError::bad_request(
            "bad_csv",
            format!("the file is no UTF-8 from octet {} on", error.valid_up_to()),
        )
    })?;
    Ok(BulkAccounts {
        csv: Some(text.to_owned()),
        ..BulkAccounts::default()
    })
}
