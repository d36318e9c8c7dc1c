//! Projects.

use serde::{Deserialize, Serialize};

use crate::id::{OrganizationId, ProjectId};

/// How long ended runs are kept. A pinned run stays and does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Retention {
    /// Days after its end; null: for ever.
    pub days: Option<u32>,
    /// The newest so many; null: all.
    pub runs: Option<u32>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            days: Some(90),
            runs: Some(10_000),
        }
    }
}

/// Registrars, accounts, media, tests and runs that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Whose.
    pub organization: OrganizationId,
    /// Unique in the organization.
    pub name: String,
    /// How long runs are kept.
    pub retention: Retention,
    /// ETag.
    pub revision: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970.
    pub updated_unix_ms: u64,
}

/// Make a project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateProject {
    /// Unique in the organization; 1 to 128 octets.
    pub name: String,
    /// How long runs are kept: 90 days and 10,000 runs where it is not given.
    #[serde(default)]
    pub retention: Retention,
}

/// Change a project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateProject {
    /// Unique in the organization; 1 to 128 octets.
    pub name: Option<String>,
    /// How long runs are kept.
    pub retention: Option<Retention>,
}
