//! What happens around every request: its id, the key, problem documents, headers, the log line.

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::middleware::Next;

use super::problem::{ApiError, PROBLEM_JSON};

/// Goes around every route.
pub(crate) async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let http = request.request().clone();
    let answer = match next.call(request).await {
        Ok(answer) => answer.map_into_boxed_body(),
        Err(error) => ServiceResponse::from_err(error, http),
    };
    Ok(documented(answer, "0"))
}

/// Writes the problem document of an error answer.
fn documented(mut answer: ServiceResponse<BoxBody>, instance: &str) -> ServiceResponse<BoxBody> {
    let status = answer.status();
    if !status.is_client_error() && !status.is_server_error() {
        return answer;
    }
    let error = answer.response_mut().extensions_mut().remove::<ApiError>();
    let error = error.unwrap_or_else(|| {
        let text = status.canonical_reason().unwrap_or("Error");
        ApiError::new(status, "http", text.to_lowercase())
    });
    let document = serde_json::to_vec(&error.document(instance)).unwrap_or_default();
    let mut answer = answer.map_body(|_, _| BoxBody::new(document));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(seconds) = error.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}
