//! Projects.

use shared::api::{CreateProject, Page, Project, Retention, UpdateProject};
use shared::id::{OrganizationId, ProjectId};

use super::check::Check;
use super::list::Place;
use super::purge::Purge;
use super::repository::{Answer, Owner, Record, unchanged};
use super::{ListQuery, ObjectError, Objects, now};
use crate::store::Commit;
use crate::store::keys::{self, NameKind};

impl Record for Project {
    const KIND: NameKind = NameKind::Project;

    fn id(&self) -> u64 {
        self.id.0
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn owner(organization: OrganizationId) -> Owner {
    Owner {
        organization,
        parent: 0,
    }
}

impl Objects {
    /// Makes a project with the id `id` (none: a new one); where it is there already, answers it.
    ///
    /// Errors: [`ObjectError::Invalid`], [`ObjectError::NameTaken`], [`ObjectError::TooMany`].
    pub(crate) async fn create_project(
        &self,
        organization: OrganizationId,
        new: CreateProject,
        id: Option<ProjectId>,
    ) -> Answer<Project> {
        let planned = id.is_some();
        let id = ProjectId(self.id(id.map(|id| id.0))?);
        check(&new.name, &new.retention)?;
        let at = now();
        let record = Project {
            id,
            organization,
            name: new.name,
            retention: new.retention,
            revision: 1,
            created_unix_ms: at,
            updated_unix_ms: at,
        };
        self.attempt(async || {
            let key = keys::project(organization, id);
            if planned && let Some(found) = self.find::<Project>(&key)? {
                return Ok(found.record);
            }
            let owner = owner(organization);
            self.room(NameKind::Project, owner, "projects", PROJECTS_MAX)?;
            let commit = self.project_use(Commit::new(), organization, true)?;
            self.insert(commit, key, owner, &record).await?;
            Ok(record.clone())
        })
        .await
    }

    /// A project.
    pub(crate) async fn project(
        &self,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Answer<Project> {
        Ok(self.read(&keys::project(organization, project))?.record)
    }

    /// True where the organization has the project.
    pub(crate) fn has_project(
        &self,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Answer<bool> {
        let found = self.find::<Project>(&keys::project(organization, project))?;
        Ok(found.is_some())
    }

    /// Projects that `visible` lets pass: `|project| caller.role_in(project).is_some()`.
    pub(crate) async fn projects(
        &self,
        organization: OrganizationId,
        query: &ListQuery,
        visible: impl Fn(ProjectId) -> bool,
    ) -> Answer<Page<Project>> {
        let mut projects = self.all::<Project>(&keys::projects(organization), PROJECTS_MAX)?;
        projects.retain(|project| visible(project.id));
        query.page(projects, |own: &Project| Place::new(own.id.0, &own.name))
    }

    /// Changes a project.
    pub(crate) async fn update_project(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        change: UpdateProject,
        expected: Option<u64>,
    ) -> Answer<Project> {
        self.attempt(async || {
            let key = keys::project(organization, project);
            let old = self.read::<Project>(&key)?;
            unchanged(expected, old.record.revision)?;
            let mut new = old.record.clone();
            new.name = change.name.clone().unwrap_or(new.name);
            new.retention = change.retention.unwrap_or(new.retention);
            check(&new.name, &new.retention)?;
            new.revision += 1;
            new.updated_unix_ms = now();
            self.replace(Commit::new(), key, owner(organization), old, &new)
                .await?;
            Ok(new)
        })
        .await
    }

    /// Deletes a project with its registrars, accounts, media, tests and ended runs.
    ///
    /// Once this has begun, nobody sees the project; a crash in between is made good for at the next
    /// start. A start of a run that comes with it has to guard on the project's record.
    /// Errors: [`ObjectError::InUse`] where runs are live, those the caller knows of included.
    pub(crate) async fn delete_project(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        expected: Option<u64>,
        live_runs: usize,
    ) -> Answer<()> {
        self.attempt(async || {
            let key = keys::project(organization, project);
            let old = self.read::<Project>(&key)?;
            unchanged(expected, old.record.revision)?;
            let live = live_runs.max(self.live_runs(organization, project));
            if live > 0 {
                let what = format!("{live} of its runs have not ended; stop them first");
                return Err(ObjectError::InUse { what }.into());
            }
            let purge = Purge::Project(organization, project);
            let commit = Commit::new().put(purge.key(), &purge);
            let commit = self.project_use(commit, organization, false)?;
            self.remove(commit, key, owner(organization), old).await
        })
        .await?;
        self.purge(&Purge::Project(organization, project)).await
    }

    fn live_runs(&self, organization: OrganizationId, project: ProjectId) -> usize {
        let runs = self.inner.control.runs().of_project(organization, project);
        runs.iter().filter(|run| run.holds()).count()
    }
}

fn check(name: &str, retention: &Retention) -> Answer<()> {
    let mut check = Check::default();
    check.name("name", name);
    if let Some(days) = retention.days {
        check.number("retention.days", days, 1, RETENTION_DAYS_MAX);
    }
    if let Some(runs) = retention.runs {
        check.number("retention.runs", runs, 1, RETENTION_RUNS_MAX);
    }
    check.done()
}

/// Projects of an organization.
pub(super) const PROJECTS_MAX: usize = 1_000;
/// A hundred years.
const RETENTION_DAYS_MAX: u32 = 36_500;
const RETENTION_RUNS_MAX: u32 = 10_000_000;
