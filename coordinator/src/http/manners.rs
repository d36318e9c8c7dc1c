//! What happens around every request: its id, the key and its rate, problem documents, headers, the
//! log line. Never logs a body, a query string or a header.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use futures_util::FutureExt;
use tracing::Instrument;

use super::auth::{Caller, unauthorized};
use super::problem::{ApiError, PROBLEM_JSON};
use super::state::Service;
use super::unread::{self, Headless, With};
use super::{limit, request_id};

/// The header with the request's id.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What the page of the OpenAPI document may load.
const CSP_DOCS: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What everything else may load.
const CSP: &str = "default-src 'none'; frame-ancestors 'none'";

/// Goes around every route.
///
/// Errors: only after a panic, of which there is no request left to answer; the error is a whole
/// answer then.
pub(crate) async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let id = request_id::next();
    let method = request.method().clone();
    let head = method == Method::HEAD;
    if head {
        request.head_mut().method = Method::GET;
    }
    let held = unread::hold(&mut request);
    let service = request.app_data::<web::Data<Service>>().cloned();
    let count = |route: Option<&str>, status: StatusCode| {
        if let Some(service) = &service {
            let figures = service.figures();
            figures.answered(route, &method, status, begun.elapsed());
        }
    };
    let span = tracing::info_span!("http", request = %id);
    let outcome = async {
        let caller = match admit(&request) {
            Ok(caller) => caller,
            Err(error) => return Ok(request.error_response(error)),
        };
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        // The request may not be cloned before it is routed (actix-web counts on the only copy), so
        // there is none left where a handler panics.
        AssertUnwindSafe(async { next.call(request).await })
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| Err(panicked(&*panic, &id).into()))
            .map(ServiceResponse::map_into_boxed_body)
    }
    .instrument(span)
    .await;
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) => {
            let status = error.as_response_error().status_code();
            log(&method, None, status, begun, None, &id);
            count(None, status);
            return Err(error);
        }
    };
    let caller = answer.request().extensions().get::<Caller>().cloned();
    let pattern = answer.request().match_pattern();
    count(pattern.as_deref(), answer.status());
    log(
        &method,
        pattern,
        answer.status(),
        begun,
        caller.as_ref(),
        &id,
    );
    let mut answer = dressed(documented(answer, &id), &id);
    if caller.is_none() {
        // actix-http times the head of a connection's first request only: whoever has no key gets
        // no second one.
        answer
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        answer
            .response_mut()
            .head_mut()
            .set_connection_type(actix_web::http::ConnectionType::Close);
    }
    if head {
        return Ok(answer.map_body(|_, body| BoxBody::new(Headless(body.size()))));
    }
    Ok(match held {
        Some(held) => answer.map_body(|_, body| BoxBody::new(With { body, _held: held })),
        None => answer,
    })
}

/// Who asks; none for what is public. Errors: 401, 429.
fn admit(request: &ServiceRequest) -> Result<Option<Caller>, ApiError> {
    let path = request.path();
    if !path.starts_with("/api/") || path == "/api/v1/openapi.json" {
        return Ok(None);
    }
    let service = request
        .app_data::<web::Data<Service>>()
        .ok_or_else(|| ApiError::internal(&"a server without its service"))?;
    let now = Instant::now();
    let secret = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer);
    let found = secret.map(|secret| service.objects().authenticate(secret));
    match found {
        Some(Ok(caller)) => {
            let caller = Caller::new(caller);
            service
                .key_rate()
                .take(caller.id(), now)
                .map_err(too_many)?;
            Ok(Some(caller))
        }
        refused => {
            if let Some(Err(why)) = refused {
                tracing::debug!(%why, "a key was refused");
                let source = request.peer_addr().map(|peer| limit::source(peer.ip()));
                if let Some(source) = source {
                    service.failed_rate().take(source, now).map_err(too_many)?;
                }
            }
            Err(unauthorized())
        }
    }
}

/// The token of `Bearer token`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start_matches(' '))
}

fn too_many(seconds: u64) -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_requests",
        format!("too many requests; come again in {seconds} s"),
    )
    .retry_after(seconds)
}

fn panicked(panic: &(dyn std::any::Any + Send), id: &str) -> ApiError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words");
    ApiError::internal(&format_args!("a handler panicked: {text}")).in_request(id)
}

/// Writes the problem document of an error answer.
fn documented(mut answer: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let status = answer.status();
    if !status.is_client_error() && !status.is_server_error() {
        return answer;
    }
    let error = answer
        .response_mut()
        .extensions_mut()
        .remove::<ApiError>()
        .unwrap_or_else(|| {
            let words = status.canonical_reason().unwrap_or("error").to_lowercase();
            ApiError::new(status, ApiError::code_of(status), words)
        })
        .in_request(id);
    let mut answer = answer.map_body(|_, _| BoxBody::new(error.text()));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(seconds) = error.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"carillon\"");
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    answer
}

/// Adds the headers of every answer.
fn dressed(mut answer: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let docs = answer.request().path().starts_with("/docs");
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = HeaderValue::from_static(if docs { CSP_DOCS } else { CSP });
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    if !docs && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    answer
}

fn log(
    method: &Method,
    pattern: Option<String>,
    status: StatusCode,
    begun: Instant,
    caller: Option<&Caller>,
    id: &str,
) {
    let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::info!(
        %method,
        route = pattern.as_deref().unwrap_or("-"),
        status = status.as_u16(),
        us,
        key = caller.map(|caller| tracing::field::display(caller.id())),
        request = %id,
        "answered"
    );
}
