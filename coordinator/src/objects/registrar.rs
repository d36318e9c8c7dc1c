//! Registrars.

use shared::api::{CreateRegistrar, Page, Registrar, UpdateRegistrar};
use shared::definition::field;
use shared::id::{OrganizationId, ProjectId, RegistrarId};

use super::check::{Check, HOST_MAX};
use super::list::Place;
use super::purge::Purge;
use super::repository::{Answer, Owner, Record, unchanged};
use super::{ListQuery, Objects, now};
use crate::store::Commit;
use crate::store::keys::{self, NameKind};

impl Record for Registrar {
    const KIND: NameKind = NameKind::Registrar;

    fn id(&self) -> u64 {
        self.id.0
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn owner(organization: OrganizationId, project: ProjectId) -> Owner {
    Owner {
        organization,
        parent: project.0,
    }
}

impl Objects {
    /// Makes a registrar with the id `id` (none: a new one); where it is there already, answers it.
    ///
    /// Errors: as [`Self::create_project`]; [`super::ObjectError::NotFound`] without the project.
    pub(crate) async fn create_registrar(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        new: CreateRegistrar,
        id: Option<RegistrarId>,
    ) -> Answer<Registrar> {
        let planned = id.is_some();
        let id = RegistrarId(self.id(id.map(|id| id.0))?);
        let at = now();
        let mut record = Registrar {
            id,
            project,
            name: new.name,
            domain: new.domain,
            host: new.host,
            port: new.port,
            transport: new.transport,
            outbound_proxy: new.outbound_proxy,
            expires_s: new.expires_s,
            accounts: 0,
            revision: 1,
            created_unix_ms: at,
            updated_unix_ms: at,
        };
        check(&mut record)?;
        self.attempt(async || {
            let key = keys::registrar(organization, project, id);
            if planned && let Some(found) = self.find::<Registrar>(&key)? {
                return Ok(found.record);
            }
            self.read::<shared::api::Project>(&keys::project(organization, project))?;
            let owner = owner(organization, project);
            self.room(NameKind::Registrar, owner, "registrars", REGISTRARS_MAX)?;
            let commit = Commit::new().expect_present(keys::project(organization, project));
            self.insert(commit, key, owner, &record).await?;
            Ok(record.clone())
        })
        .await
    }

    /// A registrar.
    pub(crate) async fn registrar(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
    ) -> Answer<Registrar> {
        let key = keys::registrar(organization, project, registrar);
        Ok(self.read(&key)?.record)
    }

    /// A project's registrars.
    pub(crate) async fn registrars(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        query: &ListQuery,
    ) -> Answer<Page<Registrar>> {
        let registrars = self.every_registrar(organization, project)?;
        query.page(registrars, |own: &Registrar| {
            Place::new(own.id.0, &own.name)
        })
    }

    pub(super) fn every_registrar(
        &self,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Answer<Vec<Registrar>> {
        self.all(&keys::registrars(organization, project), REGISTRARS_MAX)
    }

    /// Changes a registrar; holds for runs that start afterwards.
    pub(crate) async fn update_registrar(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        change: UpdateRegistrar,
        expected: Option<u64>,
    ) -> Answer<Registrar> {
        self.attempt(async || {
            let key = keys::registrar(organization, project, registrar);
            let old = self.read::<Registrar>(&key)?;
            unchanged(expected, old.record.revision)?;
            let mut new = old.record.clone();
            let change = change.clone();
            new.name = change.name.unwrap_or(new.name);
            new.domain = change.domain.unwrap_or(new.domain);
            new.host = change.host.or(new.host);
            new.port = change.port.or(new.port);
            new.transport = change.transport.unwrap_or(new.transport);
            new.outbound_proxy = change.outbound_proxy.or(new.outbound_proxy);
            new.expires_s = change.expires_s.unwrap_or(new.expires_s);
            new.revision += 1;
            new.updated_unix_ms = now();
            check(&mut new)?;
            let owner = owner(organization, project);
            self.replace(Commit::new(), key, owner, old, &new).await?;
            Ok(new)
        })
        .await
    }

    /// Deletes a registrar with its accounts, however many: nobody sees them once this has begun.
    pub(crate) async fn delete_registrar(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        expected: Option<u64>,
    ) -> Answer<()> {
        let purge = Purge::Registrar(organization, registrar);
        self.attempt(async || {
            let key = keys::registrar(organization, project, registrar);
            let old = self.read::<Registrar>(&key)?;
            unchanged(expected, old.record.revision)?;
            let commit = Commit::new().put(purge.key(), &purge);
            let owner = owner(organization, project);
            self.remove(commit, key, owner, old).await
        })
        .await?;
        self.purge(&purge).await
    }
}

/// All problems of a registrar; makes blanks none, and the proxy `host:port`.
fn check(registrar: &mut Registrar) -> Answer<()> {
    let mut check = Check::default();
    check.plain_name("name", &registrar.name);
    check.text("domain", &registrar.domain, HOST_MAX);
    check.fault("domain", field::host_fault("domain", &registrar.domain));
    let filled = |text: &mut Option<String>| text.take().filter(|text| !text.trim().is_empty());
    registrar.host = filled(&mut registrar.host);
    if let Some(host) = &registrar.host {
        check.text("host", host, HOST_MAX);
        check.fault("host", field::host_fault("host", host));
    }
    if registrar.port == Some(0) {
        check.add(
            "port",
            "out_of_range",
            "0 is out of range; write 1 to 65535",
        );
    }
    registrar.outbound_proxy = filled(&mut registrar.outbound_proxy);
    if let Some(proxy) = &mut registrar.outbound_proxy {
        check.text("outbound_proxy", proxy, HOST_MAX);
        match field::proxy(proxy) {
            Ok(full) => *proxy = full,
            Err(fault) => check.fault("outbound_proxy", Some(fault)),
        }
    }
    check.number(
        "expires_s",
        registrar.expires_s,
        EXPIRES_MIN_S,
        EXPIRES_MAX_S,
    );
    check.done()
}

/// Registrars of a project.
pub(super) const REGISTRARS_MAX: usize = 1_000;
const EXPIRES_MIN_S: u32 = 10;
const EXPIRES_MAX_S: u32 = 86_400;
