//! Bodies of requests: type, size, time and depth are bounded before anything is parsed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{FromRequest, HttpRequest, dev, web};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use shared::api::FieldProblem;

use super::config::HttpConfig;
use super::depth;
use super::gate;
use super::problem::ApiError;
use super::state::Service;

/// Octets that are set aside for a body before any of it came.
const ROOM: usize = 8 << 10;

/// A JSON body of at most `json_max` octets, and those octets.
///
/// Errors: 415 for another type, 413 for a larger body, 408 for a slow one, 400 for what is no JSON
/// or nested too deeply, 422 naming the field for what is no `T`.
#[derive(Clone, Debug)]
pub(crate) struct Json<T> {
    /// What was sent.
    pub(crate) value: T,
    /// The body as it came, for `idempotency`.
    pub(crate) octets: Bytes,
}

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let payload = Payload::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            gate::pass(&request)?;
            let payload = payload.await.map_err(|error| ApiError::internal(&error))?;
            let limits = limits(&request)?;
            content_type(&request, &["application/json"])?;
            let octets = read(&request, payload, limits.json_max, limits.body_timeout).await?;
            let value = parse(&octets)?;
            Ok(Self { value, octets })
        })
    }
}

/// As [`Json`], where an empty body stands for the default; `Content-Type` may then be missing.
#[derive(Clone, Debug)]
pub(crate) struct OptionalJson<T> {
    /// What was sent, or the default.
    pub(crate) value: T,
    /// The body as it came.
    pub(crate) octets: Bytes,
}

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalJson<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let payload = Payload::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            gate::pass(&request)?;
            let payload = payload.await.map_err(|error| ApiError::internal(&error))?;
            let limits = limits(&request)?;
            let octets = read(&request, payload, limits.json_max, limits.body_timeout).await?;
            if octets.is_empty() {
                let value = T::default();
                return Ok(Self { value, octets });
            }
            content_type(&request, &["application/json"])?;
            let value = parse(&octets)?;
            Ok(Self { value, octets })
        })
    }
}

/// A body that says nothing: no octets, or an empty JSON object, as many clients send it.
///
/// Errors: 400 where it says something, else as [`read`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Empty;

impl FromRequest for Empty {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let payload = Payload::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            gate::pass(&request)?;
            let payload = payload.await.map_err(|error| ApiError::internal(&error))?;
            let limits = limits(&request)?;
            let octets = read(&request, payload, EMPTY_MAX, limits.body_timeout).await?;
            let mut said = octets.iter().filter(|octet| !octet.is_ascii_whitespace());
            match (said.next(), said.next(), said.next()) {
                (None, _, _) | (Some(b'{'), Some(b'}'), None) => Ok(Self),
                _ => Err(ApiError::bad_request(
                    "body_not_expected",
                    "this request takes no body, or an empty JSON object",
                )),
            }
        })
    }
}

/// Octets of a body that says nothing.
const EMPTY_MAX: usize = 64;

/// The service's bounds.
pub(crate) fn limits(request: &HttpRequest) -> Result<Arc<HttpConfig>, ApiError> {
    request
        .app_data::<web::Data<Service>>()
        .map(|service| Arc::clone(service.config()))
        .ok_or_else(|| ApiError::internal(&"a route without its service"))
}

/// Which of `known` the body is said to be. Errors: 415.
pub(crate) fn content_type(
    request: &HttpRequest,
    known: &[&'static str],
) -> Result<&'static str, ApiError> {
    let refused = |detail: String| {
        Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            detail,
        ))
    };
    let coding = request.headers().get(CONTENT_ENCODING);
    if coding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return refused("a body may not be compressed".to_owned());
    }
    let text = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let kind = kind.trim();
    let found = known.iter().find(|known| known.eq_ignore_ascii_case(kind));
    // All of these are UTF-8 here, or no text.
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    match (found, charset.as_deref()) {
        (Some(found), None | Some("utf-8" | "utf8" | "us-ascii")) => Ok(found),
        (Some(_), Some(_)) => refused("the charset has to be utf-8".to_owned()),
        (None, _) => refused(format!("Content-Type has to be {}", known.join(" or "))),
    }
}

/// Reads a body of at most `max` octets within `timeout`.
///
/// Errors: 413, 408; 400 for a broken transfer.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: Payload,
    max: usize,
    timeout: Duration,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body may have {max} octets"),
        )
    };
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    let collect = async move {
        let mut payload = payload;
        let mut body = BytesMut::with_capacity(ROOM.min(max));
        while let Some(part) = payload.next().await {
            let part = part.map_err(|error| {
                ApiError::bad_request("broken_body", format!("the body broke off: {error}"))
            })?;
            if body.len() + part.len() > max {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(timeout, collect)
        .await
        .unwrap_or_else(|_| {
            Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                format!("the body has to come within {} s", timeout.as_secs()),
            ))
        })
}

/// Parses JSON whose depth was bounded before. Errors: 400, 422 naming the field.
pub(crate) fn parse<T: DeserializeOwned>(octets: &[u8]) -> Result<T, ApiError> {
    if octets.is_empty() {
        return Err(ApiError::bad_request("no_body", "a JSON body is needed"));
    }
    depth::check(octets)?;
    let mut reader = serde_json::Deserializer::from_slice(octets);
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        told(path, error.inner())
    })?;
    reader.end().map_err(|error| syntax(&error))?;
    Ok(value)
}

fn syntax(error: &serde_json::Error) -> ApiError {
    ApiError::bad_request("bad_json", format!("the body is no JSON: {error}"))
}

/// A value of the wrong shape: the field, the code, the sentence.
fn told(path: String, error: &serde_json::Error) -> ApiError {
    if !error.is_data() {
        return syntax(error);
    }
    let text = error.to_string();
    let detail = match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    };
    // serde names a missing or unknown field in its sentence, between backquotes, not in the path.
    let (code, missing) = if detail.starts_with("missing field") {
        ("missing", detail.split('`').nth(1))
    } else if detail.starts_with("unknown field") {
        ("unknown_field", None)
    } else {
        ("wrong_type", None)
    };
    let field = match (path.as_str(), missing) {
        (".", None) => "body".to_owned(),
        (".", Some(name)) => name.to_owned(),
        (path, None) => path.to_owned(),
        (path, Some(name)) => format!("{path}.{name}"),
    };
    ApiError::invalid(vec![FieldProblem {
        field,
        code: code.to_owned(),
        detail,
    }])
}

#[cfg(test)]
mod tests;
