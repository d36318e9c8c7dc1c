//! The repository on a store of its own.

mod accounts;
mod assembling;
mod media;
mod model;
mod requests;
mod starting;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use shared::api::{
    CreateAccount, CreateOrganization, CreatePlan, CreateProject, CreateRegistrar, TestDefinition,
};
use shared::definition::Transport;
use shared::id::{OrganizationId, PlanId, ProjectId, RegistrarId};

use super::assemble::Assembled;
use super::bulk::BULK_ATOMIC;
use super::setup::OpenError;
use super::*;
use crate::store::{Meta, Writer};

/// A folder that is gone after the test.
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("carillon-objects-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn key(&self) -> KeySource {
        KeySource {
            text: None,
            file: self.0.join("storage.key"),
        }
    }

    /// Every octet below it.
    fn octets(&self) -> Vec<u8> {
        fn add(folder: &Path, all: &mut Vec<u8>) {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() {
                    add(&entry.path(), all);
                } else {
                    all.extend(fs::read(entry.path()).unwrap());
                }
            }
        }
        let mut all = Vec::new();
        add(&self.0, &mut all);
        all
    }

    fn holds(&self, text: &str) -> bool {
        let octets = self.octets();
        let found = octets
            .windows(text.len())
            .any(|part| part == text.as_bytes());
        assert!(octets.len() > 1_000, "there is something to look through");
        found
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An open repository.
struct Bench {
    objects: Objects,
    /// Dropped last: it writes what is queued.
    _writer: Writer,
}

impl std::ops::Deref for Bench {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

impl Bench {
    fn open(directory: &Directory) -> Self {
        Self::open_with(directory, &directory.key()).unwrap()
    }

    fn open_with(directory: &Directory, key: &KeySource) -> Result<Self, OpenError> {
        let (meta, _) = Meta::open(&directory.0).unwrap();
        let writer = Writer::start(meta, Box::new(|run, error| panic!("{run}: {error}"))).unwrap();
        let objects = Objects::open(writer.control(), &directory.0, key)?;
        Ok(Self {
            objects,
            _writer: writer,
        })
    }

    async fn plan_named(&self, name: &str) -> Result<PlanId, ObjectError> {
        let new = CreatePlan {
            name: name.to_owned(),
            concurrent_runs_per_project: 1,
            concurrent_runs_per_organization: 2,
            concurrent_endpoints: 3,
            endpoints_per_run: 4,
            duration_max: "1h".to_owned(),
        };
        Ok(self.create_plan(new, None).await?.id)
    }

    async fn organization_named(
        &self,
        name: &str,
        plan: PlanId,
    ) -> Result<OrganizationId, ObjectError> {
        let name = name.to_owned();
        let new = CreateOrganization { name, plan };
        Ok(self.create_organization(new, None).await?.id)
    }

    async fn project_named(
        &self,
        organization: OrganizationId,
        name: &str,
    ) -> Result<ProjectId, ObjectError> {
        let new = CreateProject {
            name: name.to_owned(),
            retention: shared::api::Retention::default(),
        };
        Ok(self.create_project(organization, new, None).await?.id)
    }

    /// A plan, an organization, a project, a registrar `pbx` on loopback.
    async fn home(&self) -> (OrganizationId, ProjectId, RegistrarId) {
        let plan = self.plan_named("plan").await.unwrap();
        let organization = self.organization_named("own", plan).await.unwrap();
        let project = self.project_named(organization, "p").await.unwrap();
        let registrar = self
            .create_registrar(organization, project, registrar("pbx"), None)
            .await
            .unwrap();
        (organization, project, registrar.id)
    }
}

fn registrar(name: &str) -> CreateRegistrar {
    CreateRegistrar {
        name: name.to_owned(),
        domain: "example.com".to_owned(),
        host: Some("127.0.0.1".to_owned()),
        port: None,
        transport: Transport::Udp,
        outbound_proxy: None,
        expires_s: 600,
    }
}

fn account(username: &str, password: &str) -> CreateAccount {
    CreateAccount {
        username: username.to_owned(),
        auth_username: None,
        password: password.to_owned(),
        realm: None,
    }
}

fn definition(json: serde_json::Value) -> TestDefinition {
    serde_json::from_value(json).unwrap()
}

fn invalid(error: ObjectError) -> Vec<(String, String)> {
    match error {
        ObjectError::Invalid(problems) => problems
            .into_iter()
            .map(|problem| (problem.field, problem.code))
            .collect(),
        other => panic!("{other}"),
    }
}
