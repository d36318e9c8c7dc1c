//! Whether the books hold.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};

use crate::core::audit::AuditReport;
use crate::http::auth::Caller;
use crate::http::page::Query;
use crate::http::problem::ApiError;
use crate::http::state::Service;

/// Audit the books
///
/// Checks every invariant of credits and slots now, against what is stored.
#[utoipa::path(
    tag = "service",
    responses((status = 200, description = "Each invariant and whether it holds.", body = AuditReport)),
    extensions(("x-role" = json!("operator"))),
)]
#[get("/audit")]
pub(super) async fn get_audit(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
) -> Result<HttpResponse, ApiError> {
    caller.require_operator()?;
    Query::of(&request, &[])?;
    let report = service.handle().audit().await?;
    Ok(HttpResponse::Ok().json(report))
}
