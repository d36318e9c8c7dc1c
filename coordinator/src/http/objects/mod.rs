//! Routes of what is stored: plans, organizations, keys, projects, registrars, accounts, media,
//! tests. Each checks the role, calls `Objects`, and shapes the answer; none decides more.

mod accounts;
mod bulk;
mod content;
mod keys;
mod media;
mod organizations;
mod plans;
mod projects;
mod registrars;
mod rights;
mod runnable;
mod tests;
mod toml_body;
mod whoami;

use utoipa_actix_web::service_config::ServiceConfig;

pub(crate) use runnable::runnable;

use super::problem::ApiError;

/// What a handler answers.
type Reply = Result<actix_web::HttpResponse, ApiError>;

/// Registers them all.
pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    whoami::routes(config);
    plans::routes(config);
    organizations::routes(config);
    keys::routes(config);
    projects::routes(config);
    registrars::routes(config);
    accounts::routes(config);
    bulk::routes(config);
    media::routes(config);
    content::routes(config);
    tests::routes(config);
}
