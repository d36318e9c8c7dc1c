//! All routes and their OpenAPI document.

use actix_web::web::{self, Data};
use actix_web::{App, ResponseError};
use utoipa::openapi::OpenApi;
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_actix_web::{AppExt, scope};

use super::problem::ApiError;
use super::state::Service;

/// Registers everything below `/api/v1`.
fn api(_config: &mut ServiceConfig) {}

/// Registers what is outside of it.
fn outside(_config: &mut ServiceConfig) {}

/// The routes with their service, and the document of them.
pub(crate) fn build(service: Service) -> (impl FnOnce(&mut web::ServiceConfig) + Clone, OpenApi) {
    let (_, document) = App::new()
        .into_utoipa_app()
        .service(scope("/api/v1").configure(api))
        .configure(outside)
        .split_for_parts();
    let configure = move |config: &mut web::ServiceConfig| {
        config
            .app_data(Data::new(service))
            .app_data(web::PathConfig::default().error_handler(|_, _| ApiError::not_found().into()))
            .default_service(web::to(|| async { ApiError::not_found().error_response() }));
        let mut config = ServiceConfig::new(config);
        config.service(scope("/api/v1").configure(api));
        outside(&mut config);
    };
    (configure, document)
}
