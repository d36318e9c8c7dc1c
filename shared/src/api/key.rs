//! API keys and roles.

use serde::{Deserialize, Serialize};

use crate::id::{KeyId, OrganizationId, ProjectId};

/// What a key may do; each role may also do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// Reads everything but keys and the ledger.
    Viewer,
    /// Starts, stops and labels runs.
    Tester,
    /// Changes registrars, accounts, media, tests; pins and deletes runs.
    Editor,
    /// Makes and deletes projects, changes retention; keys up to its own role; reads the ledger.
    Admin,
    /// Renames the organization.
    Owner,
}

/// A role in one project instead of the key's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProjectRole {
    /// Where.
    pub project: ProjectId,
    /// What it may do there; null: it does not see the project.
    pub role: Option<Role>,
}

/// An API key; its secret is stored as a hash only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKey {
    /// Its id, which is also in the secret.
    pub id: KeyId,
    /// Whose.
    pub organization: OrganizationId,
    /// For people.
    pub name: String,
    /// In every project that `projects` does not name; null: it sees only those.
    pub role: Option<Role>,
    /// Roles of single projects.
    pub projects: Vec<ProjectRole>,
    /// May manage the installation: organizations, plans, credits, the audit.
    pub operator: bool,
    /// Milliseconds since 1970; null: it does not expire.
    pub expires_unix_ms: Option<u64>,
    /// Milliseconds since 1970; null: it was not revoked.
    pub revoked_unix_ms: Option<u64>,
    /// Milliseconds since 1970, within a minute; null: never, or not since the coordinator's start.
    pub last_used_unix_ms: Option<u64>,
    /// ETag.
    pub revision: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970.
    pub updated_unix_ms: u64,
}

/// Make a key, with at most the maker's own rights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateApiKey {
    /// For people; 1 to 128 octets.
    pub name: String,
    /// In every project that `projects` does not name; null: it sees only those.
    #[serde(default)]
    pub role: Option<Role>,
    /// Roles of single projects.
    #[serde(default)]
    pub projects: Vec<ProjectRole>,
    /// Operators only.
    #[serde(default)]
    pub operator: bool,
    /// Milliseconds since 1970; null: it does not expire.
    #[serde(default)]
    pub expires_unix_ms: Option<u64>,
}

/// A new key with its secret, which is shown this once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedApiKey {
    /// The key.
    pub key: ApiKey,
    /// `clk_<id>_<43 characters>`: for `Authorization: Bearer`.
    pub secret: String,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhoAmI {
    /// The key.
    pub key: ApiKey,
    /// Its organization's name.
    pub organization_name: String,
    /// The coordinator's version.
    pub version: String,
}
