//! Why a request for an object was not done.
//!
//! Owns the errors of this module. Never holds a password, a secret or a stored octet.

use shared::api::FieldProblem;

/// Why a request for an object was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum ObjectError {
    /// There is none with this id in this organization and project.
    #[error("there is no such object")]
    NotFound,
    /// The name belongs to another one.
    #[error("`{field}` is taken by another one; give another")]
    NameTaken {
        /// The field that holds the name.
        field: &'static str,
    },
    /// Some fields are wrong: all of them.
    #[error("{} fields are not valid", .0.len())]
    Invalid(Vec<FieldProblem>),
    /// It changed since the caller read it.
    #[error("it was changed since you read it; its revision is {current}")]
    RevisionMismatch {
        /// Its revision now.
        current: u64,
    },
    /// Something needs it.
    #[error("it is in use: {what}")]
    InUse {
        /// By what, and what to do: `3 organizations have this plan; give them another first`.
        what: String,
    },
    /// A table is full.
    #[error("there are {limit} {what}, and more are not kept; delete some first")]
    TooMany {
        /// Of what: `tests`.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// No room on the disk.
    #[error("the disk of the data directory is full; make room, or delete runs")]
    StorageFull,
    /// The storage failed; for the log, not for the caller.
    #[error("storage failed: {0}")]
    Storage(String),
}

impl ObjectError {
    /// One field that is wrong.
    pub(super) fn field(field: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem {
            field: field.into(),
            code: code.to_owned(),
            detail: detail.into(),
        }])
    }
}

/// Why a key was not taken. All of them are one 401 to the caller; which one is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    /// Not of the shape of a key, or there is none.
    #[error("the API key is not known")]
    Unknown,
    /// It was revoked.
    #[error("the API key was revoked")]
    Revoked,
    /// It expired.
    #[error("the API key has expired")]
    Expired,
}
