//! All routes: registered, documented, and what a path that exists answers to another method.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, ResponseError, get};
use sha2::{Digest, Sha256};
use utoipa::openapi::OpenApi;
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_actix_web::{AppExt, scope};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::gate::Roles;
use super::page::Query;
use super::problem::ApiError;
use super::state::Service;
use super::{health, objects, openapi, runs, watch};

/// Where the OpenAPI document is.
const DOCUMENT: &str = "/api/v1/openapi.json";

/// Registers everything below `/api/v1`.
fn api(config: &mut ServiceConfig<'_>) {
    config.service(openapi_document);
    objects::routes(config);
    runs::routes(config);
    watch::routes(config);
}

/// Registers what is outside of it.
fn outside(config: &mut ServiceConfig<'_>) {
    health::routes(config);
    watch::outside(config);
}

/// The whole document.
pub(crate) fn document(version: &str) -> OpenApi {
    let (_, mut document) = App::new()
        .into_utoipa_app()
        .service(scope("/api/v1").configure(api))
        .configure(outside)
        .split_for_parts();
    openapi::finish(&mut document, version);
    document
}

/// The routes with their service.
///
/// Errors: 500 where the document is no JSON, which a test rules out.
pub(crate) fn build(
    service: Service,
) -> Result<impl FnOnce(&mut web::ServiceConfig) + Clone, ApiError> {
    let document = document(&service.config().version);
    let table = Data::new(Table::of(&document));
    let roles = Data::new(Roles::of(&document));
    let text = document
        .to_json()
        .map_err(|error| ApiError::internal(&error))?;
    let text = Data::new(Document::new(text));
    let service = Data::new(service);
    Ok(move |config: &mut web::ServiceConfig| {
        let page = Config::new([DOCUMENT]).use_base_layout();
        config
            .app_data(service)
            .app_data(table)
            .app_data(text)
            .app_data(roles)
            .app_data(web::PathConfig::default().error_handler(|_, _| ApiError::not_found().into()))
            .route("/docs", web::get().to(docs))
            .service(SwaggerUi::new("/docs/{_:.*}").config(page))
            .default_service(web::to(elsewhere));
        let mut config = ServiceConfig::new(config);
        config.service(scope("/api/v1").configure(api));
        outside(&mut config);
    })
}

async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header(("location", "/docs/"))
        .finish()
}

/// The document, made once.
struct Document {
    text: Bytes,
    tag: String,
}

impl Document {
    fn new(text: String) -> Self {
        let tag = Sha256::digest(&text)
            .iter()
            .take(8)
            .map(|octet| format!("{octet:02x}"))
            .collect::<String>();
        Self {
            text: text.into(),
            tag: format!("\"{tag}\""),
        }
    }
}

/// This document
///
/// The OpenAPI document of this API, made from the code.
#[utoipa::path(
    tag = "service",
    security(()),
    extensions(("x-role" = json!("public"))),
    responses((status = 200, description = "The document.", body = Object)),
)]
#[get("/openapi.json")]
async fn openapi_document(
    request: HttpRequest,
    document: Data<Document>,
) -> Result<HttpResponse, ApiError> {
    Query::of(&request, &[])?;
    let theirs = request.headers().get(IF_NONE_MATCH);
    let mut answer = if theirs.is_some_and(|tag| tag.as_bytes() == document.tag.as_bytes()) {
        HttpResponse::NotModified().finish()
    } else {
        HttpResponse::Ok()
            .content_type("application/json")
            .body(document.text.clone())
    };
    let tag = HeaderValue::from_str(&document.tag).map_err(|error| ApiError::internal(&error))?;
    let headers = answer.headers_mut();
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(answer)
}

/// Which methods each path has.
#[derive(Debug, Default)]
struct Table {
    /// By the path's parts; a part in braces stands for any.
    routes: Vec<(Vec<String>, Vec<&'static str>)>,
}

impl Table {
    fn of(document: &OpenApi) -> Self {
        let mut routes: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
        for (method, path, _) in openapi::operations(document) {
            routes.entry(path).or_default().push(method);
        }
        let routes = routes
            .into_iter()
            .map(|(path, methods)| {
                let parts = path.split('/').map(str::to_owned).collect();
                (parts, methods)
            })
            .collect();
        Self { routes }
    }

    /// The methods of a path, HEAD and OPTIONS with them; none where there is no such path.
    fn methods(&self, path: &str) -> Option<String> {
        let parts: Vec<&str> = path.split('/').collect();
        let mut methods: Vec<&str> = self
            .routes
            .iter()
            .filter(|(route, _)| {
                route.len() == parts.len()
                    && route.iter().zip(&parts).all(|(ours, theirs)| {
                        (ours.starts_with('{') && !theirs.is_empty()) || ours == theirs
                    })
            })
            .flat_map(|(_, methods)| methods.iter().copied())
            .collect();
        if methods.is_empty() {
            return None;
        }
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
        methods.dedup();
        Some(methods.join(", "))
    }
}

/// What no route took: 404, 405, or the answer to OPTIONS.
async fn elsewhere(request: HttpRequest, table: Data<Table>) -> HttpResponse {
    let Some(methods) = table.methods(request.path()) else {
        return ApiError::not_found().error_response();
    };
    if request.method() == Method::OPTIONS {
        return HttpResponse::NoContent()
            .insert_header((ALLOW, methods))
            .finish();
    }
    let mut answer = ApiError::new(
        actix_web::http::StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("this path has {methods}"),
    )
    .error_response();
    if let Ok(methods) = methods.parse() {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}
