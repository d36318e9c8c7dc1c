//! Every error as a problem document (RFC 9457). Says nothing of what went on inside: causes of a
//! 500 go to the log.
//!
//! A handler's [`ApiError`] rides in the answer's extensions; `manners` writes it out with the
//! request's id, and makes a document of every other error answer.

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use shared::api::{FieldProblem, ProblemDocument};

use crate::handle::RequestError;
use crate::objects::ObjectError;

/// Media type of a problem document.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// For machines, in snake case.
    pub(crate) code: &'static str,
    /// A sentence that says what is wrong and what would be right.
    pub(crate) detail: String,
    /// The offending fields.
    pub(crate) errors: Vec<FieldProblem>,
    /// Seconds, for 429 and 503.
    pub(crate) retry_after_s: Option<u64>,
    /// The request's id; `manners` sets it.
    instance: String,
}

impl ApiError {
    /// Any error.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
            instance: String::new(),
        }
    }

    /// 404: the same for what never was and for what belongs to others.
    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is nothing here, or nothing that this key may see",
        )
    }

    /// 403: the key's role is not enough.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 400: the request cannot be understood.
    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 400 about one field or query parameter.
    pub(crate) fn bad_field(
        code: &'static str,
        field: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self::bad_request(code, detail.clone()).with_errors(vec![FieldProblem {
            field: field.into(),
            code: code.to_owned(),
            detail,
        }])
    }

    /// 422: understood, but the values are wrong; every one of them.
    pub(crate) fn invalid(errors: Vec<FieldProblem>) -> Self {
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        let detail = format!("these fields are wrong: {}", fields.join(", "));
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail).with_errors(errors)
    }

    /// 500: `cause` goes to the log, not to the client.
    pub(crate) fn internal(cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed inside");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong here; the coordinator's log has the cause under this request's id",
        )
    }

    /// 507: the disk is full.
    pub(crate) fn storage_full() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "storage_full",
            "the disk of the data directory is full: make room, or delete runs",
        )
    }

    /// Adds the offending fields.
    pub(crate) fn with_errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.errors = errors;
        self
    }

    /// Adds when to come again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Says in which request it was.
    pub(crate) fn in_request(mut self, id: &str) -> Self {
        id.clone_into(&mut self.instance);
        self
    }

    /// The code of an error that comes without one, as those of actix-web do.
    pub(crate) fn code_of(status: StatusCode) -> &'static str {
        match status {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::REQUEST_TIMEOUT => "timeout",
            StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
            status if status.is_client_error() => "bad_request",
            _ => "internal",
        }
    }

    /// The document.
    pub(crate) fn document(&self) -> ProblemDocument {
        ProblemDocument {
            kind: format!("urn:carillon:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            instance: self.instance.clone(),
            errors: self.errors.clone(),
        }
    }

    /// The document as JSON.
    pub(crate) fn text(&self) -> Vec<u8> {
        serde_json::to_vec(&self.document()).unwrap_or_default()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status)
            .content_type(PROBLEM_JSON)
            .body(self.text());
        response.extensions_mut().insert(self.clone());
        response
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::UnknownRun(_) => Self::not_found(),
            RequestError::Storage(cause) => Self::internal(&cause),
            RequestError::StorageFull => Self::storage_full(),
            RequestError::RevisionMismatch { current } => super::etag::changed(current),
            RequestError::Gone | RequestError::ShuttingDown => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                format!("{error}; try again"),
            )
            .retry_after(1),
        }
    }
}

impl From<ObjectError> for ApiError {
    fn from(error: ObjectError) -> Self {
        let detail = error.to_string();
        match error {
            ObjectError::NotFound => Self::not_found(),
            ObjectError::NameTaken { field } => {
                Self::new(StatusCode::CONFLICT, "name_taken", detail.clone()).with_errors(vec![
                    FieldProblem {
                        field: field.to_owned(),
                        code: "name_taken".to_owned(),
                        detail,
                    },
                ])
            }
            ObjectError::Invalid(errors) => Self::invalid(errors),
            ObjectError::RevisionMismatch { current } => super::etag::changed(current),
            ObjectError::InUse { .. } => Self::new(StatusCode::CONFLICT, "in_use", detail),
            ObjectError::TooMany { .. } => Self::new(StatusCode::CONFLICT, "too_many", detail),
            ObjectError::StorageFull => Self::storage_full(),
            ObjectError::Storage(cause) => Self::internal(&cause),
        }
    }
}
