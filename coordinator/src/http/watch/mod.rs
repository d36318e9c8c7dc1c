//! Routes to watch with: live streams, nodes, ledger, audit; and Prometheus figures of the service.

mod audit;
mod figures;
mod ledger;
mod live;
mod nodes;
mod process;
mod prometheus;
mod sse;

pub(crate) use figures::Figures;

use utoipa_actix_web::service_config::ServiceConfig;

/// Registers those below `/api/v1`.
pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(live::watch_run)
        .service(nodes::list_nodes)
        .service(nodes::get_node)
        .service(nodes::drain_node)
        .service(nodes::undrain_node)
        .service(ledger::list_ledger)
        .service(ledger::list_organization_ledger)
        .service(audit::get_audit);
}

/// Registers those outside of it.
pub(crate) fn outside(config: &mut ServiceConfig<'_>) {
    config.service(prometheus::metrics);
}
