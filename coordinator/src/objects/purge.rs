//! Deletions that are too large for one commit: the record that everything hangs on goes first,
//! with a note of what is left to do in the same commit; the rest follows in batches.
//!
//! So nobody sees half a project, and a crash in between is made good for at the next start.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::api::{MediaFile, Registrar};
use shared::id::{OrganizationId, ProjectId, RegistrarId};

use super::account::AccountRecord;
use super::key::KeyRecord;
use super::repository::{Answer, Record};
use super::test::TestRecord;
use super::{ObjectError, Objects};
use crate::store::keys::{self, NameKind};
use crate::store::{Commit, DeleteError, Key};

/// What is left to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purge {
    /// A registrar's accounts.
    Registrar(OrganizationId, RegistrarId),
    /// Everything of a project.
    Project(OrganizationId, ProjectId),
    /// An organization's keys.
    Organization(OrganizationId),
}

impl Purge {
    /// Where the note stands.
    pub(super) fn key(&self) -> Key {
        let name = match self {
            Self::Registrar(organization, registrar) => format!("r/{organization}/{registrar}"),
            Self::Project(organization, project) => format!("p/{organization}/{project}"),
            Self::Organization(organization) => format!("o/{organization}"),
        };
        keys::setting(&format!("{NOTE}{name}"))
    }
}

impl Objects {
    /// Deletes what is left, then the note.
    pub(super) async fn purge(&self, purge: &Purge) -> Answer<()> {
        match *purge {
            Purge::Registrar(organization, registrar) => {
                self.purge_accounts(organization, registrar).await?;
            }
            Purge::Project(organization, project) => {
                self.purge_project(organization, project).await?;
            }
            Purge::Organization(organization) => self.purge_keys(organization).await?,
        }
        self.delete_all(Commit::new().delete(purge.key())).await
    }

    /// Goes on with the deletions that a crash or a full disk interrupted.
    pub(super) async fn purge_leftovers(&self) -> Answer<()> {
        for purge in self.all::<Purge>(&keys::setting(NOTE), LEFTOVERS_MAX)? {
            self.purge(&purge).await?;
        }
        Ok(())
    }

    async fn purge_accounts(
        &self,
        organization: OrganizationId,
        registrar: RegistrarId,
    ) -> Answer<()> {
        self.purge_prefix::<AccountRecord>(&keys::accounts(organization, registrar))
            .await?;
        self.purge_prefix::<String>(&keys::account_ids(organization, registrar))
            .await
    }

    async fn purge_project(&self, organization: OrganizationId, project: ProjectId) -> Answer<()> {
        for registrar in self.every_registrar(organization, project)? {
            self.purge_accounts(organization, registrar.id).await?;
        }
        self.purge_prefix::<Registrar>(&keys::registrars(organization, project))
            .await?;
        self.purge_prefix::<MediaFile>(&keys::all_media(organization, project))
            .await?;
        self.purge_prefix::<TestRecord>(&keys::tests(organization, project))
            .await?;
        for kind in [Registrar::KIND, MediaFile::KIND, TestRecord::KIND] {
            self.purge_prefix::<u64>(&keys::names(kind, organization, project.0))
                .await?;
        }
        let control = &self.inner.control;
        for run in control.runs().of_project(organization, project) {
            match control.delete_run(organization, run.id).await {
                Ok(()) | Err(DeleteError::Unknown) => {}
                Err(DeleteError::Live) => {
                    let why = format!("run {} of a deleted project is live", run.id);
                    return Err(ObjectError::Storage(why));
                }
                Err(DeleteError::Commit(error)) => {
                    return Err(ObjectError::Storage(error.to_string()));
                }
            }
        }
        self.remove_media_folder(project).await
    }

    async fn purge_keys(&self, organization: OrganizationId) -> Answer<()> {
        let records = self.all::<KeyRecord>(&keys::api_keys(), usize::MAX)?;
        let own = records
            .iter()
            .filter(|record| record.key.organization == organization);
        for record in own {
            self.delete_all(Commit::new().delete(keys::api_key(record.key.id)))
                .await?;
        }
        self.purge_prefix::<u64>(&keys::names(NameKind::Key, organization, 0))
            .await
    }

    async fn purge_prefix<T: DeserializeOwned>(&self, prefix: &Key) -> Answer<()> {
        loop {
            let found = self.inner.control.scan::<T>(prefix, None, BATCH)?;
            if found.is_empty() {
                return Ok(());
            }
            let commit = found
                .into_iter()
                .fold(Commit::new(), |commit, (key, _)| commit.delete(key));
            self.delete_all(commit).await?;
        }
    }

    async fn delete_all(&self, commit: Commit) -> Answer<()> {
        let commit = commit.urgent();
        self.inner
            .control
            .committed(commit)
            .await
            .map_err(|error| ObjectError::Storage(error.to_string()))
    }
}

/// Where notes of deletions stand among the settings.
const NOTE: &str = "purge/";
/// Notes taken up at once; the next minute takes more.
const LEFTOVERS_MAX: usize = 1_000;
/// Records deleted in one commit: a few milliseconds of the storage thread.
const BATCH: usize = 2_000;
