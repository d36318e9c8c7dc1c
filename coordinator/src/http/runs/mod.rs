//! Routes of runs: start, list, read, label, stop, repeat, delete, compare; their endpoints, figures,
//! traces and exports. Decides nothing about a run.

mod compare;
mod endpoints;
mod export;
mod filter;
mod list;
mod one;
mod pipe;
mod series;
mod start;

use std::sync::Arc;

use shared::api::{Role, Run};
use shared::id::RunId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::auth::Caller;
use super::problem::ApiError;
use super::state::Service;
use crate::core::record::RunRecord;

/// Registers them, below `/api/v1`.
pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        // Before `/runs/{run}`, which would take `compare` for an id.
        .service(compare::compare_runs)
        .service(list::list_runs)
        .service(list::list_project_runs)
        .service(list::list_test_runs)
        .service(start::start_run)
        .service(start::stop_run)
        .service(start::rerun)
        .service(one::get_run)
        .service(one::update_run)
        .service(one::delete_run)
        .service(endpoints::list_endpoints)
        .service(export::get_endpoints_csv)
        .service(endpoints::get_endpoint)
        .service(endpoints::get_endpoint_trace)
        .service(series::get_endpoint_metrics)
        .service(series::get_run_metrics)
        .service(export::get_run_result);
}

/// A run that the caller may see, in a project where it has `role`.
///
/// Errors: 404 where there is none that it may see, 403 where its role is not enough.
pub(super) fn find(
    service: &Service,
    caller: &Caller,
    run: RunId,
    role: Role,
) -> Result<Arc<RunRecord>, ApiError> {
    let runs = service.control().runs();
    let record = runs
        .get(caller.organization(), run)
        .ok_or_else(ApiError::not_found)?;
    caller.in_project(record.project, role)?;
    Ok(record)
}

/// A run as it stands now.
pub(super) fn shown(service: &Service, record: &RunRecord) -> Run {
    let handle = service.handle();
    let live = handle.live(record.id);
    let position = handle.queue_position(record.id);
    record.to_api(live.as_ref().map(|update| &update.live), position)
}
