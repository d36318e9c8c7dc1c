//! What a key may give to another: at most its own rights.

use shared::api::{CreateApiKey, ProjectRole, Role};
use shared::id::ProjectId;

use crate::http::auth::Caller;
use crate::http::problem::ApiError;

/// The rights of a key, made or wanted.
#[derive(Clone, Copy)]
pub(super) struct Rights<'a> {
    /// In every project that `projects` does not name.
    pub(super) role: Option<Role>,
    /// Of single projects.
    pub(super) projects: &'a [ProjectRole],
    /// May manage the installation.
    pub(super) operator: bool,
}

impl<'a> Rights<'a> {
    /// Those that a new key is to have.
    pub(super) fn wanted(new: &'a CreateApiKey) -> Self {
        Self {
            role: new.role,
            projects: &new.projects,
            operator: new.operator,
        }
    }

    /// Those that a caller has.
    pub(super) fn of(caller: &'a Caller) -> Self {
        Self {
            role: caller.key().role,
            projects: &caller.key().projects,
            operator: caller.key().operator,
        }
    }

    fn in_project(&self, project: ProjectId) -> Option<Role> {
        let special = self.projects.iter().find(|own| own.project == project);
        special.map_or(self.role, |special| special.role)
    }

    /// True where these are nowhere more than `other`. `None` is less than any role.
    fn within(&self, other: Rights<'_>) -> bool {
        let mut named = self.projects.iter().chain(other.projects);
        self.role <= other.role
            && self.operator <= other.operator
            && named.all(|own| self.in_project(own.project) <= other.in_project(own.project))
    }
}

/// May `caller` hand out, or take away, these rights? Operators may all. Errors: 403.
pub(super) fn may_give(caller: &Caller, rights: Rights<'_>) -> Result<(), ApiError> {
    if caller.key().operator || rights.within(Rights::of(caller)) {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "a key manages keys of at most its own rights, in every project",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(role: Option<Role>, projects: &[ProjectRole]) -> Rights<'_> {
        Rights {
            role,
            projects,
            operator: false,
        }
    }

    fn project(id: u64, role: Option<Role>) -> ProjectRole {
        ProjectRole {
            project: ProjectId(id),
            role,
        }
    }

    #[test]
    fn rights_are_compared_in_every_project() {
        let hidden = [project(1, None)];
        let raised = [project(1, Some(Role::Owner))];
        let lowered = [project(1, None), project(2, Some(Role::Viewer))];
        let admin = rights(Some(Role::Admin), &[]);
        assert!(rights(Some(Role::Admin), &[]).within(admin));
        assert!(rights(None, &[]).within(admin));
        assert!(!rights(Some(Role::Owner), &[]).within(admin));
        assert!(!rights(Some(Role::Viewer), &raised).within(admin));
        let blind = rights(Some(Role::Admin), &hidden);
        assert!(!admin.within(blind), "it would see what its maker does not");
        assert!(rights(Some(Role::Admin), &lowered).within(blind));
    }

    #[test]
    fn only_operators_make_operators() {
        let operator = Rights {
            operator: true,
            ..rights(Some(Role::Owner), &[])
        };
        assert!(!operator.within(rights(Some(Role::Owner), &[])));
    }
}
