//! API keys.
//!
//! All of them are in memory (`callers`), so that authentication never waits for the disk; what is
//! in memory changes right after the flush and before the answer, so a revocation holds at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use shared::api::{ApiKey, CreateApiKey, CreatedApiKey, Page, ProjectRole};
use shared::id::{KeyId, OrganizationId};
use subtle::ConstantTimeEq;

use super::check::Check;
use super::list::Place;
use super::repository::{Answer, Owner, Record, Stop, unchanged};
use super::{AuthError, Caller, ListQuery, ObjectError, Objects, now, secret};
use crate::store::Commit;
use crate::store::keys::{self, NameKind};

/// A key as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) key: ApiKey,
    /// SHA-256 of the secret.
    pub(super) secret: [u8; 32],
}

impl Record for KeyRecord {
    const KIND: NameKind = NameKind::Key;

    fn id(&self) -> u64 {
        self.key.id.0
    }

    fn name(&self) -> &str {
        &self.key.name
    }
}

impl KeyRecord {
    pub(super) fn new(id: KeyId, organization: OrganizationId, new: CreateApiKey) -> Self {
        let at = now();
        Self {
            key: ApiKey {
                id,
                organization,
                name: new.name,
                role: new.role,
                projects: new.projects,
                operator: new.operator,
                expires_unix_ms: new.expires_unix_ms,
                revoked_unix_ms: None,
                last_used_unix_ms: None,
                revision: 1,
                created_unix_ms: at,
                updated_unix_ms: at,
            },
            secret: [0; 32],
        }
    }
}

pub(super) fn owner(organization: OrganizationId) -> Owner {
    Owner {
        organization,
        parent: 0,
    }
}

impl Objects {
    /// Makes a key with the id `id` (none: a new one); where it is there already, it gets a new
    /// secret, since the first one was never handed over.
    ///
    /// The caller has checked that the maker may give these rights.
    /// Errors: [`ObjectError::Invalid`], [`ObjectError::NameTaken`], [`ObjectError::TooMany`].
    pub(crate) async fn create_key(
        &self,
        organization: OrganizationId,
        new: CreateApiKey,
        id: Option<KeyId>,
    ) -> Answer<CreatedApiKey> {
        let planned = id.is_some();
        let id = KeyId(self.id(id.map(|id| id.0))?);
        self.check_key(organization, &new).await?;
        let secret = secret::generate(id)?;
        let mut record = KeyRecord::new(id, organization, new);
        record.secret = secret::hash(&secret);
        let _one_at_a_time = self.inner.keys.lock().await;
        let record = self
            .attempt(async || {
                let key = keys::api_key(id);
                if planned && let Some(found) = self.find::<KeyRecord>(&key)? {
                    if found.record.key.organization != organization {
                        return Err(ObjectError::NotFound.into());
                    }
                    let mut again = found.record.clone();
                    again.secret = record.secret;
                    let owner = owner(organization);
                    self.replace(Commit::new(), key, owner, found, &again)
                        .await?;
                    return Ok(again);
                }
                let organization_key = keys::organization(organization);
                self.read::<super::organization::OrganizationRecord>(&organization_key)?;
                let commit = self
                    .key_room(organization)?
                    .expect_present(organization_key);
                self.insert(commit, key, owner(organization), &record)
                    .await?;
                Ok(record.clone())
            })
            .await?;
        let key = record.key.clone();
        self.remember_caller(record);
        Ok(CreatedApiKey { key, secret })
    }

    /// A key, revoked ones included.
    pub(crate) async fn key(&self, organization: OrganizationId, key: KeyId) -> Answer<ApiKey> {
        let caller = self.caller(key).ok_or(ObjectError::NotFound)?;
        if caller.organization != organization {
            return Err(ObjectError::NotFound);
        }
        Ok(caller.api_key())
    }

    /// An organization's keys, revoked ones included.
    pub(crate) async fn keys(
        &self,
        organization: OrganizationId,
        query: &ListQuery,
    ) -> Answer<Page<ApiKey>> {
        let keys = self.callers_of(organization);
        let keys = keys.iter().map(|caller| caller.api_key()).collect();
        query.page(keys, |own: &ApiKey| Place::new(own.id.0, &own.name))
    }

    /// Revokes a key: it is refused from when this returns. Twice changes nothing.
    pub(crate) async fn revoke_key(
        &self,
        organization: OrganizationId,
        key: KeyId,
        expected: Option<u64>,
    ) -> Answer<ApiKey> {
        let _one_at_a_time = self.inner.keys.lock().await;
        let record = self
            .attempt(async || {
                let place = keys::api_key(key);
                let old = self.read::<KeyRecord>(&place)?;
                if old.record.key.organization != organization {
                    return Err(ObjectError::NotFound.into());
                }
                unchanged(expected, old.record.key.revision)?;
                if old.record.key.revoked_unix_ms.is_some() {
                    return Ok(old.record);
                }
                let mut new = old.record.clone();
                new.key.revoked_unix_ms = Some(now());
                new.key.updated_unix_ms = now();
                new.key.revision += 1;
                // Its name is free again; the record stays, for the list.
                let name = keys::name(NameKind::Key, organization, 0, &new.key.name);
                let commit = Commit::new()
                    .expect_unchanged(place.clone(), old.octets)
                    .delete(name)
                    .put(place, &new)
                    .urgent();
                self.commit(commit).await?;
                Ok(new)
            })
            .await?;
        self.remember_caller(record);
        self.key(organization, key).await
    }

    /// Who has this secret: the text behind `Bearer `. Never waits for the disk.
    ///
    /// Errors: each of [`AuthError`]; which one is for the log only.
    pub(crate) fn authenticate(&self, secret: &str) -> Result<Arc<Caller>, AuthError> {
        let id = secret::key_of(secret).ok_or(AuthError::Unknown)?;
        let hash = secret::hash(secret);
        let caller = self.caller(id).ok_or(AuthError::Unknown)?;
        if !bool::from(caller.secret.ct_eq(&hash)) {
            return Err(AuthError::Unknown);
        }
        let now = now();
        if caller.key.revoked_unix_ms.is_some() {
            return Err(AuthError::Revoked);
        }
        if caller.key.expires_unix_ms.is_some_and(|end| end <= now) {
            return Err(AuthError::Expired);
        }
        caller.used.fetch_max(now, Ordering::Relaxed);
        Ok(caller)
    }

    /// Stores when keys were used last, where that is newer than what is stored.
    pub(super) async fn store_last_uses(&self) -> Answer<()> {
        let callers: Vec<Arc<Caller>> = self.read_callers(|callers| {
            let newer = |caller: &&Arc<Caller>| {
                let stored = caller.key.last_used_unix_ms.unwrap_or(0);
                caller.used.load(Ordering::Relaxed) > stored
            };
            callers.values().filter(newer).cloned().collect()
        });
        let _one_at_a_time = self.inner.keys.lock().await;
        for some in callers.chunks(USES_AT_ONCE) {
            let mut commit = Commit::new();
            let mut records = Vec::with_capacity(some.len());
            for caller in some {
                let place = keys::api_key(caller.key.id);
                let Some(old) = self.find::<KeyRecord>(&place)? else {
                    continue;
                };
                let mut new = old.record;
                new.key.last_used_unix_ms = caller.api_key().last_used_unix_ms;
                commit = commit
                    .expect_unchanged(place.clone(), old.octets)
                    .put(place, &new);
                records.push(new);
            }
            match self.commit(commit).await {
                Ok(()) => records
                    .into_iter()
                    .for_each(|record| self.remember_caller(record)),
                // Their organization went meanwhile; the next minute stores the others.
                Err(Stop::Again) => {}
                Err(Stop::Error(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills the memory from the store.
    pub(super) fn load_callers(&self) -> Answer<()> {
        for record in self.all::<KeyRecord>(&keys::api_keys(), usize::MAX)? {
            self.remember_caller(record);
        }
        Ok(())
    }

    pub(super) fn remember_caller(&self, record: KeyRecord) {
        let mut callers = self
            .inner
            .callers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let known = callers.get(&record.key.id);
        let used = known.map_or(0, |caller| caller.used.load(Ordering::Relaxed));
        let stored = record.key.last_used_unix_ms.unwrap_or(0);
        let caller = Caller {
            organization: record.key.organization,
            secret: record.secret,
            used: AtomicU64::new(used.max(stored)),
            key: record.key,
        };
        callers.insert(caller.key.id, Arc::new(caller));
    }

    pub(super) fn forget_callers(&self, organization: OrganizationId) {
        self.inner
            .callers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, caller| caller.organization != organization);
    }

    fn caller(&self, key: KeyId) -> Option<Arc<Caller>> {
        self.read_callers(|callers| callers.get(&key).cloned())
    }

    fn callers_of(&self, organization: OrganizationId) -> Vec<Arc<Caller>> {
        self.read_callers(|callers| {
            callers
                .values()
                .filter(|caller| caller.organization == organization)
                .cloned()
                .collect()
        })
    }

    fn read_callers<T>(&self, read: impl FnOnce(&super::Callers) -> T) -> T {
        let callers = &self.inner.callers;
        read(&callers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A commit that removes the oldest revoked keys where there are too many.
    fn key_room(&self, organization: OrganizationId) -> Result<Commit, Stop> {
        let mut own = self.callers_of(organization);
        if own.len() < KEYS_MAX {
            return Ok(Commit::new());
        }
        own.retain(|caller| caller.key.revoked_unix_ms.is_some());
        let oldest = own.iter().min_by_key(|caller| caller.key.id);
        let Some(oldest) = oldest else {
            return Err(ObjectError::TooMany {
                what: "API keys",
                limit: KEYS_MAX,
            }
            .into());
        };
        let id = oldest.key.id;
        self.inner
            .callers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        Ok(Commit::new().delete(keys::api_key(id)))
    }

    async fn check_key(&self, organization: OrganizationId, new: &CreateApiKey) -> Answer<()> {
        let mut check = Check::default();
        check.name("name", &new.name);
        if new.expires_unix_ms.is_some_and(|end| end <= now()) {
            let detail = "is in the past; give milliseconds since 1970, or null";
            check.add("expires_unix_ms", "out_of_range", detail);
        }
        if new.projects.len() > PROJECT_ROLES_MAX {
            let detail = format!(
                "has {} projects; at most {PROJECT_ROLES_MAX} are kept",
                new.projects.len()
            );
            check.add("projects", "too_long", detail);
            return check.done();
        }
        let mut seen = BTreeSet::new();
        for (index, ProjectRole { project, .. }) in new.projects.iter().enumerate() {
            let field = format!("projects[{index}].project");
            if !seen.insert(project.0) {
                check.add(&field, "duplicate", "is listed twice; leave one out");
            }
            match self.project(organization, *project).await {
                Ok(_) => {}
                Err(ObjectError::NotFound) => {
                    check.add(&field, "unknown", "there is no such project");
                }
                Err(error) => return Err(error),
            }
        }
        check.done()
    }
}

/// Keys of an organization; the oldest revoked one goes when a new one has no room.
const KEYS_MAX: usize = 1_000;
/// Last uses stored in one commit.
const USES_AT_ONCE: usize = 500;
/// Projects that a key may have a role of its own in.
const PROJECT_ROLES_MAX: usize = 200;
