//! Organizations.

use serde::{Deserialize, Serialize};
use shared::api::{Balance, CreateOrganization, Organization, Page, UpdateOrganization, Usage};
use shared::id::{OrganizationId, PlanId};

use super::check::Check;
use super::list::Place;
use super::purge::Purge;
use super::repository::{Answer, Owner, Read, Record, Stop, unchanged};
use super::{ListQuery, ObjectError, Objects, now};
use crate::store::Commit;
use crate::store::keys::{self, NameKind};

/// An organization as it is stored: its balance and usage are the ledger's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OrganizationRecord {
    pub(super) id: OrganizationId,
    pub(super) name: String,
    pub(super) plan: PlanId,
    /// So that a deletion and a new project cannot miss each other.
    pub(super) projects: u32,
    pub(super) revision: u64,
    pub(super) created_unix_ms: u64,
    pub(super) updated_unix_ms: u64,
}

impl Record for OrganizationRecord {
    const KIND: NameKind = NameKind::Organization;

    fn id(&self) -> u64 {
        self.id.0
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl OrganizationRecord {
    pub(super) fn new(id: OrganizationId, name: String, plan: PlanId, at: u64) -> Self {
        Self {
            id,
            name,
            plan,
            projects: 0,
            revision: 1,
            created_unix_ms: at,
            updated_unix_ms: at,
        }
    }

    fn to_api(&self) -> Organization {
        Organization {
            id: self.id,
            name: self.name.clone(),
            plan: self.plan,
            balance: Balance::default(),
            usage: Usage::default(),
            revision: self.revision,
            created_unix_ms: self.created_unix_ms,
            updated_unix_ms: self.updated_unix_ms,
        }
    }
}

/// `balance` and `usage` of what is answered here are zero: the ledger's owner fills them.
impl Objects {
    /// Makes an organization with the id `id` (none: a new one); where it is there already,
    /// answers it.
    ///
    /// Errors: [`ObjectError::Invalid`], [`ObjectError::NameTaken`], [`ObjectError::TooMany`].
    pub(crate) async fn create_organization(
        &self,
        new: CreateOrganization,
        id: Option<OrganizationId>,
    ) -> Answer<Organization> {
        let planned = id.is_some();
        let id = OrganizationId(self.id(id.map(|id| id.0))?);
        check_name(&new.name)?;
        let record = OrganizationRecord::new(id, new.name, new.plan, now());
        self.attempt(async || {
            let key = keys::organization(id);
            if planned && let Some(found) = self.find::<OrganizationRecord>(&key)? {
                return Ok(found.record.to_api());
            }
            let owner = Owner::INSTALLATION;
            let kind = NameKind::Organization;
            self.room(kind, owner, "organizations", ORGANIZATIONS_MAX)?;
            let commit = self.plan_use(Commit::new(), record.plan, true)?;
            self.insert(commit, key, owner, &record).await?;
            Ok(record.to_api())
        })
        .await
    }

    /// An organization.
    pub(crate) async fn organization(&self, organization: OrganizationId) -> Answer<Organization> {
        let found = self.read::<OrganizationRecord>(&keys::organization(organization))?;
        Ok(found.record.to_api())
    }

    /// Organizations.
    pub(crate) async fn organizations(&self, query: &ListQuery) -> Answer<Page<Organization>> {
        let records = self.every_organization()?;
        let organizations = records.iter().map(OrganizationRecord::to_api).collect();
        query.page(organizations, |own: &Organization| {
            Place::new(own.id.0, &own.name)
        })
    }

    pub(super) fn every_organization(&self) -> Answer<Vec<OrganizationRecord>> {
        self.all(&keys::organizations(), ORGANIZATIONS_MAX)
    }

    /// Changes an organization.
    pub(crate) async fn update_organization(
        &self,
        organization: OrganizationId,
        change: UpdateOrganization,
        expected: Option<u64>,
    ) -> Answer<Organization> {
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        self.attempt(async || {
            let key = keys::organization(organization);
            let old = self.read::<OrganizationRecord>(&key)?;
            unchanged(expected, old.record.revision)?;
            let mut new = old.record.clone();
            let mut commit = Commit::new();
            if let Some(plan) = change.plan
                && plan != new.plan
            {
                commit = self.plan_use(commit, new.plan, false)?;
                commit = self.plan_use(commit, plan, true)?;
                new.plan = plan;
            }
            new.name = change.name.clone().unwrap_or(new.name);
            new.revision += 1;
            new.updated_unix_ms = now();
            self.replace(commit, key, Owner::INSTALLATION, old, &new)
                .await?;
            Ok(new.to_api())
        })
        .await
    }

    /// Deletes an organization with its keys; its ledger stays.
    ///
    /// Errors: [`ObjectError::InUse`] where it has projects.
    pub(crate) async fn delete_organization(
        &self,
        organization: OrganizationId,
        expected: Option<u64>,
    ) -> Answer<()> {
        self.attempt(async || {
            let key = keys::organization(organization);
            let old = self.read::<OrganizationRecord>(&key)?;
            unchanged(expected, old.record.revision)?;
            let projects = old.record.projects;
            if projects > 0 {
                let what = format!("it has {projects} projects; delete them first");
                return Err(ObjectError::InUse { what }.into());
            }
            let commit = self.plan_use(Commit::new(), old.record.plan, false)?;
            let purge = Purge::Organization(organization);
            let commit = commit.put(purge.key(), &purge);
            self.remove(commit, key, Owner::INSTALLATION, old).await
        })
        .await?;
        self.forget_callers(organization);
        self.purge(&Purge::Organization(organization)).await
    }

    /// Adds to `commit` that an organization has one project more or less.
    pub(super) fn project_use(
        &self,
        commit: Commit,
        organization: OrganizationId,
        more: bool,
    ) -> Result<Commit, Stop> {
        let key = keys::organization(organization);
        let Read { record, octets } = self.read::<OrganizationRecord>(&key)?;
        let projects = if more {
            record.projects.saturating_add(1)
        } else {
            record.projects.saturating_sub(1)
        };
        let new = OrganizationRecord { projects, ..record };
        Ok(commit.expect_unchanged(key.clone(), octets).put(key, &new))
    }
}

fn check_name(name: &str) -> Answer<()> {
    let mut check = Check::default();
    check.name("name", name);
    check.done()
}

/// Organizations of an installation.
pub(super) const ORGANIZATIONS_MAX: usize = 10_000;
