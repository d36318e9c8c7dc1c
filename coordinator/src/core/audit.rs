//! The invariants of the books: what must hold whatever happened (reliability §3).

use serde::{Deserialize, Serialize};

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct AuditReport {
    /// Milliseconds since 1970.
    pub(crate) checked_at_unix_ms: u64,
    /// Each invariant, I1 to I8.
    pub(crate) invariants: Vec<Invariant>,
}

/// One invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Invariant {
    /// `I1` to `I8` with what it says.
    pub(crate) name: String,
    /// Whether it held.
    pub(crate) holds: bool,
    /// What was found, for people.
    pub(crate) detail: String,
}
