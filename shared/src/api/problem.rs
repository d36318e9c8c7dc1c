//! Why a request was not done: RFC 9457, `application/problem+json`.

use serde::{Deserialize, Serialize};

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProblemDocument {
    /// `urn:carillon:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A sentence that says what is wrong and what would be right.
    pub detail: String,
    /// The reason for machines, in snake case: `name_taken`.
    pub code: String,
    /// The request's id, which the log has too.
    pub instance: String,
    /// The offending fields; empty where it is not about a field.
    pub errors: Vec<FieldProblem>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldProblem {
    /// Path of the field: `groups.callers.codecs[1]`, `limit` for a query parameter.
    pub field: String,
    /// The reason for machines.
    pub code: String,
    /// A sentence.
    pub detail: String,
}
