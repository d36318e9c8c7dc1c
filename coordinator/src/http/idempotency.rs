//! `Idempotency-Key`: a POST that is sent again makes nothing twice and gets the first answer.
//!
//! Only answers of success are kept: whoever corrects a refused request may send it again under the
//! same key. Records are `Objects`'; what one holds is here: the status, three headers, the body.

use std::future::Future;

use actix_web::body::MessageBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};

use super::auth::Caller;
use super::problem::ApiError;
use super::state::{Service, now};
use crate::objects::{Begin, PlannedId, StoredAnswer};

/// The request's header.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The answer's header where it was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Octets of a key, at most.
const KEY_MAX: usize = 255;
/// Headers of an answer that are kept.
const KEPT: [HeaderName; 3] = [CONTENT_TYPE, ETAG, LOCATION];

/// Does `make` once for each key. `octets`: the body. `make` is given the id that what it makes has
/// to get; none where the request has no key.
///
/// Errors: 400 for a bad key, 409 while the first request goes on, 422 where the key was used for
/// another request; what `make` says.
pub(crate) async fn once<F>(
    service: &Service,
    caller: &Caller,
    request: &HttpRequest,
    octets: &[u8],
    make: impl FnOnce(Option<PlannedId>) -> F,
) -> Result<HttpResponse, ApiError>
where
    F: Future<Output = Result<HttpResponse, ApiError>>,
{
    let Some(key) = key(request)? else {
        return make(None).await;
    };
    let objects = service.objects();
    let begun = objects
        .begin(
            caller.organization(),
            caller.id(),
            key,
            request.path(),
            digest(request, octets),
            now(),
        )
        .await?;
    let in_flight = match begun {
        Begin::New(in_flight) => in_flight,
        Begin::Replay(answer) => return replay(answer),
        Begin::Conflict => {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "idempotency_conflict",
                "a request with this Idempotency-Key is being done right now; try again",
            )
            .retry_after(1));
        }
        Begin::Mismatch => {
            return Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_mismatch",
                "this Idempotency-Key was used for another request; take a new one",
            ));
        }
    };
    let answer = make(Some(in_flight.planned)).await?;
    let (answer, stored) = keep(answer)?;
    objects.finish(in_flight, stored).await?;
    Ok(answer)
}

fn key(request: &HttpRequest) -> Result<Option<&str>, ApiError> {
    let mut all = request.headers().get_all(IDEMPOTENCY_KEY);
    let Some(value) = all.next() else {
        return Ok(None);
    };
    let good = |text: &&str| {
        (1..=KEY_MAX).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic())
    };
    match (value.to_str().ok().filter(good), all.next()) {
        (Some(text), None) => Ok(Some(text)),
        _ => Err(ApiError::bad_field(
            "bad_idempotency_key",
            "Idempotency-Key",
            format!("it has to be one text of 1 to {KEY_MAX} visible ASCII characters"),
        )),
    }
}

/// What makes two requests the same: method, path, query, type and body.
fn digest(request: &HttpRequest, octets: &[u8]) -> [u8; 32] {
    let kind = request.headers().get(CONTENT_TYPE);
    let parts = [
        request.method().as_str().as_bytes(),
        request.path().as_bytes(),
        request.query_string().as_bytes(),
        kind.map_or(&[], HeaderValue::as_bytes),
        octets,
    ];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn keep(answer: HttpResponse) -> Result<(HttpResponse, StoredAnswer), ApiError> {
    let status = answer.status().as_u16();
    let headers = KEPT
        .iter()
        .filter_map(|name| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        })
        .collect();
    let (head, body) = answer.into_parts();
    let body = body
        .try_into_bytes()
        .map_err(|_| ApiError::internal(&"an answer that cannot be kept"))?;
    let stored = StoredAnswer {
        status,
        headers,
        body: body.to_vec(),
    };
    Ok((head.set_body(body).map_into_boxed_body(), stored))
}

fn replay(answer: StoredAnswer) -> Result<HttpResponse, ApiError> {
    let status = StatusCode::from_u16(answer.status).map_err(|error| ApiError::internal(&error))?;
    let mut builder = HttpResponse::build(status);
    for (name, value) in answer.headers {
        builder.insert_header((name, value));
    }
    Ok(builder.insert_header((REPLAYED, "true")).body(answer.body))
}
