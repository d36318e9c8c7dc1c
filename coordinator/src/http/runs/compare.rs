//! Runs side by side.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use shared::api::{Comparison, Role};
use shared::id::RunId;

use super::filter::list;
use crate::http::auth::Caller;
use crate::http::page::Query;
use crate::http::problem::ApiError;
use crate::http::state::Service;

/// Runs that can be compared at once.
const RUNS: std::ops::RangeInclusive<usize> = 2..=10;

/// Compare runs
///
/// Side by side. /// Figures are those of the whole run; null where a run has not ended or measured nothing.
#[utoipa::path(
    tag = "runs",
    params(("ids" = String, Query, description = "Ids of 2 to 10 runs, with commas between")),
    responses((status = 200, description = "The runs in the order that was asked for", body = Comparison)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs/compare")]
pub(super) async fn compare_runs(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
) -> Result<HttpResponse, ApiError> {
    let query = Query::of(&request, &["ids"])?;
    let bad = |detail: &str| ApiError::bad_field("bad_parameter", "ids", detail);
    let ids: Vec<RunId> = list(&query, "ids")
        .map(|id| id.parse().map_err(|_| bad("`ids` has to be ids of runs")))
        .collect::<Result<_, _>>()?;
    if !RUNS.contains(&ids.len()) {
        return Err(bad(
            "`ids` has to be 2 to 10 ids of runs, with commas between",
        ));
    }
    let mut comparison = Comparison {
        runs: Vec::with_capacity(ids.len()),
        parts: Vec::with_capacity(ids.len()),
    };
    for id in ids {
        let record = super::find(&service, &caller, id, Role::Viewer)?;
        let part = if record.accepted {
            service.handle().part(id).await?
        } else {
            None
        };
        comparison.runs.push(super::shown(&service, &record));
        comparison.parts.push(part);
    }
    Ok(HttpResponse::Ok().json(comparison))
}
