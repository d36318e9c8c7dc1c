//! Plans and organizations.

use serde::{Deserialize, Serialize};

use super::{Balance, Usage};
use crate::id::{OrganizationId, PlanId};

/// Limits that organizations share (PRODUCT §4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Unique.
    pub name: String,
    /// Runs at once in one project.
    pub concurrent_runs_per_project: u32,
    /// Runs at once in the organization.
    pub concurrent_runs_per_organization: u32,
    /// Endpoints over all running runs.
    pub concurrent_endpoints: u32,
    /// Endpoints of one run.
    pub endpoints_per_run: u32,
    /// Longest duration of a test: `"24h"`.
    pub duration_max: String,
    /// ETag.
    pub revision: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970.
    pub updated_unix_ms: u64,
}

/// Make a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatePlan {
    /// Unique; 1 to 128 octets.
    pub name: String,
    /// Runs at once in one project.
    pub concurrent_runs_per_project: u32,
    /// Runs at once in the organization.
    pub concurrent_runs_per_organization: u32,
    /// Endpoints over all running runs.
    pub concurrent_endpoints: u32,
    /// Endpoints of one run.
    pub endpoints_per_run: u32,
    /// Longest duration of a test: `"24h"`.
    pub duration_max: String,
}

/// Change a plan; holds for runs that start afterwards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdatePlan {
    /// Unique; 1 to 128 octets.
    pub name: Option<String>,
    /// Runs at once in one project.
    pub concurrent_runs_per_project: Option<u32>,
    /// Runs at once in the organization.
    pub concurrent_runs_per_organization: Option<u32>,
    /// Endpoints over all running runs.
    pub concurrent_endpoints: Option<u32>,
    /// Endpoints of one run.
    pub endpoints_per_run: Option<u32>,
    /// Longest duration of a test: `"24h"`.
    pub duration_max: Option<String>,
}

/// The isolation boundary: everything else belongs to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Unique.
    pub name: String,
    /// Its plan.
    pub plan: PlanId,
    /// Its credits.
    pub balance: Balance,
    /// What it has in use.
    pub usage: Usage,
    /// ETag; credits and usage do not change it.
    pub revision: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970.
    pub updated_unix_ms: u64,
}

/// Make an organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateOrganization {
    /// Unique; 1 to 128 octets.
    pub name: String,
    /// Its plan.
    pub plan: PlanId,
}

/// Change an organization.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateOrganization {
    /// Unique; 1 to 128 octets.
    pub name: Option<String>,
    /// Its plan; operators only.
    pub plan: Option<PlanId>,
}
