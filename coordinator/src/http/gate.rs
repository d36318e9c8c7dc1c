//! The role of a route, and that its project is there, checked before its body is read: whoever may not do something learns nothing
//! of what the body should have been, and cannot make the service read it.
//!
//! The roles are those of the OpenAPI document (`x-role`). Handlers check them too; what depends on
//! a run or on whose organization it is, only they can.

use std::collections::HashMap;

use actix_web::web::Data;
use actix_web::{HttpMessage, HttpRequest};
use shared::api::Role;
use shared::id::ProjectId;
use utoipa::openapi::OpenApi;

use super::auth::{Caller, unauthorized};
use super::openapi;
use super::problem::ApiError;
use super::state::Service;

/// The role of each route, by method and pattern.
#[derive(Debug)]
pub(crate) struct Roles {
    roles: HashMap<(&'static str, String), String>,
}

impl Roles {
    /// Those of a document.
    pub(crate) fn of(document: &OpenApi) -> Self {
        let roles = openapi::operations(document)
            .into_iter()
            .filter_map(|(method, path, operation)| {
                let role = openapi::role(operation)?.to_owned();
                Some(((method, path.to_owned()), role))
            })
            .collect();
        Self { roles }
    }

    fn get(&self, method: &str, pattern: String) -> Option<&str> {
        let method = openapi::METHODS
            .into_iter()
            .find(|known| *known == method)?;
        self.roles.get(&(method, pattern)).map(String::as_str)
    }
}

/// Errors: 401, 403, 404, as far as they can be known without the body.
pub(crate) fn pass(request: &HttpRequest) -> Result<(), ApiError> {
    let (Some(roles), Some(pattern)) = (request.app_data::<Data<Roles>>(), request.match_pattern())
    else {
        return Ok(());
    };
    let of_run = pattern.contains("/runs/{");
    let Some(role) = roles.get(request.method().as_str(), pattern) else {
        return Ok(());
    };
    if role == "public" {
        return Ok(());
    }
    let extensions = request.extensions();
    let caller = extensions.get::<Caller>().ok_or_else(unauthorized)?;
    if role == "operator" {
        return caller.require_operator();
    }
    let Some(role) = named(role) else {
        return Ok(());
    };
    match request.match_info().get("project") {
        Some(project) => {
            let project: ProjectId = project.parse().map_err(|_| ApiError::not_found())?;
            caller.in_project(project, role)?;
            // Before the body: a foreign project's id is answered as an unknown one, whatever is sent.
            let service = request.app_data::<Data<Service>>();
            let Some(service) = service else {
                return Ok(());
            };
            let known = service
                .objects()
                .has_project(caller.organization(), project);
            if known? {
                Ok(())
            } else {
                Err(ApiError::not_found())
            }
        }
        // A run's project decides, or an operator does it for others.
        None if of_run || caller.key().operator => Ok(()),
        None => caller.require(role),
    }
}

fn named(role: &str) -> Option<Role> {
    let all = [
        ("viewer", Role::Viewer),
        ("tester", Role::Tester),
        ("editor", Role::Editor),
        ("admin", Role::Admin),
        ("owner", Role::Owner),
    ];
    all.into_iter()
        .find(|(name, _)| *name == role)
        .map(|(_, role)| role)
}
