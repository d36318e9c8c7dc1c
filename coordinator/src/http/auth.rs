//! Who asks and what they may: the extractor [`Caller`].
//!
//! `manners` authenticates before a handler runs and leaves the caller in the request; a handler
//! that takes a `Caller` cannot run without one.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use shared::api::{ApiKey, Role};
use shared::id::{KeyId, OrganizationId, ProjectId};

use super::problem::ApiError;
use crate::objects;

/// An authenticated key.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    accepted: Arc<objects::Caller>,
}

impl Caller {
    /// Whoever holds `key`.
    pub(crate) fn new(accepted: Arc<objects::Caller>) -> Self {
        Self { accepted }
    }

    /// The key; [`objects::Caller::api_key`] also has when it was used last.
    pub(crate) fn key(&self) -> &ApiKey {
        &self.accepted.key
    }

    /// The key as authentication knows it.
    pub(crate) fn accepted(&self) -> &objects::Caller {
        &self.accepted
    }

    /// The key's id.
    pub(crate) fn id(&self) -> KeyId {
        self.key().id
    }

    /// The organization: everything the caller sees is in it.
    pub(crate) fn organization(&self) -> OrganizationId {
        self.accepted.organization
    }

    /// Needs `role` outside of projects. Errors: 403.
    pub(crate) fn require(&self, role: Role) -> Result<(), ApiError> {
        enough(self.key().role, role)
    }

    /// Needs an operator. Errors: 403.
    pub(crate) fn require_operator(&self) -> Result<(), ApiError> {
        if self.key().operator {
            return Ok(());
        }
        Err(ApiError::forbidden("this needs an operator's key"))
    }

    /// The role in a project: the key's override there, or its own; none: it does not see it.
    pub(crate) fn role_in(&self, project: ProjectId) -> Option<Role> {
        self.accepted.role_in(project)
    }

    /// Needs `role` in a project. Errors: 404 where it does not see the project, else 403.
    pub(crate) fn in_project(&self, project: ProjectId, role: Role) -> Result<(), ApiError> {
        match self.role_in(project) {
            None => Err(ApiError::not_found()),
            own => enough(own, role),
        }
    }

    /// Whether it may read a project.
    pub(crate) fn sees(&self, project: ProjectId) -> bool {
        self.role_in(project).is_some()
    }
}

fn enough(own: Option<Role>, needed: Role) -> Result<(), ApiError> {
    if own.is_some_and(|own| own >= needed) {
        return Ok(());
    }
    let name = |role: Role| format!("{role:?}").to_lowercase();
    Err(ApiError::forbidden(format!(
        "this needs the role {}; this key has {}",
        name(needed),
        own.map_or("none here".to_owned(), name)
    )))
}

/// 401, in the same words whatever is wrong with the key.
pub(crate) fn unauthorized() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "send `Authorization: Bearer` and an API key that is neither revoked nor expired",
    )
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            request
                .extensions()
                .get::<Self>()
                .cloned()
                .ok_or_else(unauthorized),
        )
    }
}

#[cfg(test)]
mod tests {
    use shared::api::ProjectRole;

    use super::*;

    fn caller(role: Option<Role>, projects: Vec<ProjectRole>) -> Caller {
        Caller::new(Arc::new(objects::Caller::of(ApiKey {
            id: KeyId(1),
            organization: OrganizationId(1),
            name: "key".to_owned(),
            role,
            projects,
            operator: false,
            expires_unix_ms: None,
            revoked_unix_ms: None,
            last_used_unix_ms: None,
            revision: 1,
            created_unix_ms: 0,
            updated_unix_ms: 0,
        })))
    }

    fn status(result: Result<(), ApiError>) -> u16 {
        result.map_or_else(|error| error.status.as_u16(), |()| 200)
    }

    #[test]
    fn a_role_may_what_lower_ones_may() {
        let editor = caller(Some(Role::Editor), Vec::new());
        assert_eq!(status(editor.require(Role::Viewer)), 200);
        assert_eq!(status(editor.require(Role::Editor)), 200);
        assert_eq!(status(editor.require(Role::Admin)), 403);
        assert_eq!(status(editor.require_operator()), 403);
    }

    #[test]
    fn a_project_may_raise_lower_or_hide() {
        let project = |id, role| ProjectRole {
            project: ProjectId(id),
            role,
        };
        let tester = caller(
            Some(Role::Tester),
            vec![
                project(1, Some(Role::Admin)),
                project(2, Some(Role::Viewer)),
                project(3, None),
            ],
        );
        assert_eq!(status(tester.in_project(ProjectId(1), Role::Admin)), 200);
        assert_eq!(status(tester.in_project(ProjectId(2), Role::Tester)), 403);
        assert_eq!(status(tester.in_project(ProjectId(3), Role::Viewer)), 404);
        assert_eq!(status(tester.in_project(ProjectId(4), Role::Tester)), 200);
        assert_eq!(status(tester.require(Role::Admin)), 403);
    }

    #[test]
    fn a_key_of_single_projects_sees_no_others() {
        let scoped = caller(
            None,
            vec![ProjectRole {
                project: ProjectId(1),
                role: Some(Role::Viewer),
            }],
        );
        assert!(scoped.sees(ProjectId(1)));
        assert_eq!(status(scoped.in_project(ProjectId(2), Role::Viewer)), 404);
        assert_eq!(status(scoped.require(Role::Viewer)), 403);
    }
}
