//! `/whoami`.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use shared::api::WhoAmI;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Reply;
use crate::http::auth::Caller;
use crate::http::page::Query;
use crate::http::state::Service;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(whoami);
}

/// Who asks
///
/// The key of this request and its organization.
#[utoipa::path(
    tag = "keys",
    extensions(("x-role" = json!("any"))),
    responses((status = 200, description = "The key.", body = WhoAmI)),
)]
#[get("/whoami")]
async fn whoami(service: Data<Service>, caller: Caller, request: HttpRequest) -> Reply {
    Query::of(&request, &[])?;
    let organization = service
        .objects()
        .organization(caller.organization())
        .await?;
    Ok(HttpResponse::Ok().json(WhoAmI {
        key: caller.accepted().api_key(),
        organization_name: organization.name,
        version: service.config().version.clone(),
    }))
}
