//! Credits: one credit is one endpoint for one minute (PRODUCT §4).
//!
//! The exact unit is the endpoint-millisecond, an integer; 60,000 of them are a credit.

use serde::{Deserialize, Serialize};

use crate::id::{OrganizationId, RunId};

/// An amount, exact and readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Credits {
    /// Endpoint-milliseconds.
    pub endpoint_ms: u64,
    /// The same in credits: endpoint-minutes.
    pub credits: f64,
}

impl Credits {
    /// Endpoint-milliseconds of one credit.
    pub const CREDIT: u64 = 60_000;

    /// An amount of endpoint-milliseconds.
    #[must_use]
    pub fn new(endpoint_ms: u64) -> Self {
        Self {
            endpoint_ms,
            credits: endpoint_ms as f64 / Self::CREDIT as f64,
        }
    }
}

/// An organization's credits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Balance {
    /// Free to be reserved.
    pub available: Credits,
    /// Held by runs that have not ended.
    pub reserved: Credits,
    /// Used by runs that have.
    pub spent: Credits,
}

/// Add credits to an organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Grant {
    /// Credits to add: above 0, at most 10⁹.
    pub credits: f64,
    /// Why, for people; at most 200 characters.
    #[serde(default)]
    pub note: String,
}

/// Why credits moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TransferKind {
    /// Added by an operator: to available.
    Grant,
    /// A run was accepted: available to reserved, its estimate.
    Reserve,
    /// A run ended: reserved to spent what it used, and back to available what it did not.
    Settle,
}

/// One movement of credits. Never changed, never deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerEntry {
    /// Derived from what it stands for, so that no movement is entered twice: 32 hexadecimal digits.
    pub id: String,
    /// Place in the organization's ledger, from 1, without gaps.
    pub sequence: u64,
    /// Whose.
    pub organization: OrganizationId,
    /// Why.
    pub kind: TransferKind,
    /// For which run; null for a grant.
    pub run: Option<RunId>,
    /// How much: granted, reserved, or (settle) spent.
    pub amount: Credits,
    /// Settle: what went back to available.
    pub returned: Credits,
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// For people.
    pub note: String,
    /// The balance after it.
    pub balance: Balance,
}

/// What an organization has in use, beside what its plan allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// Runs that have not ended.
    pub concurrent_runs: u32,
    /// What the plan allows.
    pub concurrent_runs_limit: u32,
    /// Their endpoints.
    pub concurrent_endpoints: u32,
    /// What the plan allows.
    pub concurrent_endpoints_limit: u32,
}
