//! Revisions as entity tags: `ETag`, `If-Match`, `If-None-Match` (RFC 9110 §13).

use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::problem::ApiError;

/// The tag of a revision: `"7"`.
pub(crate) fn etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// 200 with the object and its tag, or 304 where `If-None-Match` has the tag.
///
/// Only for objects whose every field changes with the revision; see [`fresh`].
pub(crate) fn object(request: &HttpRequest, revision: u64, body: &impl Serialize) -> HttpResponse {
    if matches(request, IF_NONE_MATCH.as_str(), &etag(revision)) {
        return HttpResponse::NotModified()
            .insert_header((ETAG, etag(revision)))
            .finish();
    }
    fresh(StatusCode::OK, revision, body)
}

/// The object and its tag: for an answer to a change, and for objects that also have live figures.
pub(crate) fn fresh(status: StatusCode, revision: u64, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((ETAG, etag(revision)))
        .json(body)
}

/// 201 with the object, its tag and where it is.
pub(crate) fn created(location: &str, revision: u64, body: &impl Serialize) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((ETAG, etag(revision)))
        .insert_header((LOCATION, location))
        .json(body)
}

/// The revision that `If-Match` asks for; none where the header is missing or `*`.
///
/// Errors: 412 for a tag that no object can have (also a weak one: `If-Match` compares strongly),
/// and for more than one tag.
pub(crate) fn if_match(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(value) = request.headers().get(IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .map(Some)
        .ok_or_else(|| {
            ApiError::new(
                StatusCode::PRECONDITION_FAILED,
                "revision_mismatch",
                "If-Match has to be one ETag as this API gave it out: \"7\"",
            )
        })
}

/// 412: somebody changed the object meanwhile.
pub(crate) fn changed(current: u64) -> ApiError {
    ApiError::new(
        StatusCode::PRECONDITION_FAILED,
        "revision_mismatch",
        format!("the object was changed meanwhile: its ETag is \"{current}\" now; read it again"),
    )
}

/// Weak comparison of a list of tags with one of ours.
fn matches(request: &HttpRequest, header: &str, ours: &HeaderValue) -> bool {
    let ours = ours.to_str().unwrap_or_default();
    request
        .headers()
        .get_all(header)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == ours)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_tag_is_read_as_it_was_written() {
        let request = TestRequest::default()
            .insert_header((IF_MATCH, etag(7)))
            .to_http_request();
        assert_eq!(if_match(&request), Ok(Some(7)));
        assert_eq!(
            if_match(&TestRequest::default().to_http_request()),
            Ok(None)
        );
    }

    #[test]
    fn tags_that_cannot_be_ours_never_match() {
        for tag in ["W/\"7\"", "\"7\", \"8\"", "7", "\"+7\"", "\"\"", "\"x\""] {
            let request = TestRequest::default()
                .insert_header((IF_MATCH, tag))
                .to_http_request();
            let error = if_match(&request).expect_err(tag);
            assert_eq!(error.status, StatusCode::PRECONDITION_FAILED, "{tag}");
        }
    }

    #[test]
    fn an_object_that_the_client_has_is_not_sent_again() {
        for (tag, status) in [
            ("\"7\"", 304),
            ("W/\"7\"", 304),
            ("\"6\", \"7\"", 304),
            ("*", 304),
            ("\"6\"", 200),
        ] {
            let request = TestRequest::default()
                .insert_header((IF_NONE_MATCH, tag))
                .to_http_request();
            let answer = object(&request, 7, &"body");
            assert_eq!(answer.status().as_u16(), status, "{tag}");
            assert_eq!(answer.headers().get(ETAG), Some(&etag(7)));
        }
    }
}
