//! `/healthz`: the process lives. `/readyz`: it can do its work, or which part cannot.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use serde::Serialize;
use shared::api::{FieldProblem, NodeState};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::page::Query;
use super::problem::ApiError;
use super::state::Service;

/// The state of the service.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok`
    status: &'static str,
}

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(healthz).service(readyz);
}

/// Whether the process lives
#[utoipa::path(
    tag = "service",
    security(()),
    extensions(("x-role" = json!("public"))),
    responses((status = 200, description = "It lives.", body = Health)),
)]
#[get("/healthz")]
async fn healthz(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Query::of(&request, &[])?;
    Ok(HttpResponse::Ok().json(Health { status: "ok" }))
}

/// Whether it can do its work
///
/// Storage takes writes, the bus is connected, a node is online, the books balance. A 503 names what
/// is not so.
#[utoipa::path(
    tag = "service",
    security(()),
    extensions(("x-role" = json!("public"))),
    responses((status = 200, description = "It can.", body = Health)),
)]
#[get("/readyz")]
async fn readyz(request: HttpRequest, service: Data<Service>) -> Result<HttpResponse, ApiError> {
    Query::of(&request, &[])?;
    let mut errors = Vec::new();
    let mut not = |part: &str, detail: String| {
        errors.push(FieldProblem {
            field: part.to_owned(),
            code: "not_ready".to_owned(),
            detail,
        });
    };
    if service.control().health().full {
        not(
            "storage",
            "the disk of the data directory is full: only ends of runs are stored".to_owned(),
        );
    }
    if !service.handle().bus_is_connected() {
        not(
            "bus",
            "the connection to the NATS server is down: runs go on as long as their nodes are heard, and nothing new is started".to_owned(),
        );
    }
    match service.handle().nodes().await {
        Ok(nodes) if nodes.iter().any(|node| node.status == NodeState::Online) => {}
        Ok(nodes) => not(
            "nodes",
            format!(
                "none of {} nodes is ONLINE; see GET /api/v1/nodes",
                nodes.len()
            ),
        ),
        Err(error) => not("coordinator", error.to_string()),
    }
    match service.books().await {
        Ok(broken) if broken.is_empty() => {}
        Ok(broken) => not("books", format!("these invariants do not hold: {broken}")),
        Err(error) => not("books", error.to_string()),
    }
    if errors.is_empty() {
        return Ok(HttpResponse::Ok().json(Health { status: "ready" }));
    }
    let parts: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    let detail = format!("not ready: {}", parts.join(", "));
    Err(
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
            .with_errors(errors)
            .retry_after(5),
    )
}
