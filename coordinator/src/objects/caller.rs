//! Who asks: an API key that was accepted.

use std::sync::atomic::{AtomicU64, Ordering};

use shared::api::{ApiKey, Role};
use shared::id::{OrganizationId, ProjectId};

/// A key as authentication knows it. Its secret is here as a hash only, and never printed.
pub(crate) struct Caller {
    /// The key; `last_used_unix_ms` is that of the store, [`Caller::api_key`] has the newest.
    pub(crate) key: ApiKey,
    /// Its organization.
    pub(crate) organization: OrganizationId,
    /// SHA-256 of the secret.
    pub(super) secret: [u8; 32],
    /// Milliseconds since 1970; 0: never.
    pub(super) used: AtomicU64,
}

impl Caller {
    /// A caller with this key, whatever its secret.
    #[cfg(test)]
    pub(crate) fn of(key: ApiKey) -> Self {
        Self {
            organization: key.organization,
            key,
            secret: [0; 32],
            used: AtomicU64::new(0),
        }
    }

    /// What it may do in a project; none: the project does not exist for it.
    pub(crate) fn role_in(&self, project: ProjectId) -> Option<Role> {
        let listed = self.key.projects.iter().find(|own| own.project == project);
        listed.map_or(self.key.role, |own| own.role)
    }

    /// What it may do in the organization, beside projects.
    #[cfg(test)]
    pub(crate) fn role(&self) -> Option<Role> {
        self.key.role
    }

    /// True where it may manage the installation.
    #[cfg(test)]
    pub(crate) fn operator(&self) -> bool {
        self.key.operator
    }

    /// The key with its newest use.
    pub(crate) fn api_key(&self) -> ApiKey {
        let used = self.used.load(Ordering::Relaxed);
        ApiKey {
            last_used_unix_ms: (used > 0).then_some(used),
            ..self.key.clone()
        }
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller")
            .field("key", &self.key.id)
            .field("organization", &self.organization)
            .finish_non_exhaustive()
    }
}
