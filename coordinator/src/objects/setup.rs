//! The start: the master key and its proof, what is kept in memory, and what the very first start
//! makes.

use std::path::Path;
use std::sync::mpsc;

use serde::{Deserialize, Serialize};
use shared::api::{CreateApiKey, Plan, Role};
use shared::id::{KeyId, OrganizationId, PlanId};
use thiserror::Error;

use super::key::{self, KeyRecord};
use super::master::{KeyError, KeySource, MasterKey};
use super::organization::OrganizationRecord;
use super::plan::PlanRecord;
use super::repository::{Answer, Owner, Record};
use super::seal::{Bound, Sealer};
use super::{ObjectError, Objects, secret};
use crate::store::{Commit, Control, StoreError, keys};

/// Why the objects cannot be used.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    /// There is no usable master key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It is another one than before.
    #[error(
        "the storage key is not the one that this data directory's passwords were sealed with; give the right one in CARILLON_STORAGE_KEY or {0}"
    )]
    WrongKey(String),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else failed.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// What the first start made.
pub(crate) struct FirstStart {
    /// The organization `default`.
    pub(crate) organization: OrganizationId,
    /// The operator's key.
    pub(crate) key: KeyId,
    /// Its secret, to be shown this once.
    pub(crate) secret: String,
}

impl std::fmt::Debug for FirstStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirstStart")
            .field("organization", &self.organization)
            .finish_non_exhaustive()
    }
}

/// What is stored of the first start.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct First {
    organization: OrganizationId,
    key: KeyId,
    /// The secret was printed.
    shown: bool,
}

impl Objects {
    /// Opens the repository: checks the master key against the store (the first start makes it and
    /// its proof), fills the memory, removes what crashes left over.
    ///
    /// `data`: the data directory; media files are kept below it.
    /// Blocks; call it before the server takes requests. Errors: each of [`OpenError`].
    pub(crate) fn open(
        control: Control,
        data: &Path,
        source: &KeySource,
    ) -> Result<Self, OpenError> {
        let place = keys::setting(PROOF);
        let proof = control.get::<Vec<u8>>(&place)?;
        let master = MasterKey::load(source, proof.is_none())?;
        let sealer = Sealer::new(&master);
        match proof {
            None => {
                let sealed = sealer.seal(&PROOF_BOUND, PROOF.as_bytes())?;
                let commit = Commit::new()
                    .expect_absent(place.clone())
                    .put(place, &sealed);
                wait(&control, commit)?;
            }
            Some((sealed, _)) => {
                let opened = sealer.open(&PROOF_BOUND, &sealed);
                if opened.as_deref() != Some(PROOF.as_bytes()) {
                    return Err(OpenError::WrongKey(source.file.display().to_string()));
                }
            }
        }
        let data = std::path::absolute(data)
            .map_err(|error| ObjectError::Storage(format!("{}: {error}", data.display())))?;
        let objects = Self::new(control, data.join("media"), sealer);
        objects.load_callers()?;
        objects.load_requests()?;
        objects.sweep_media()?;
        Ok(objects)
    }

    /// Makes plan, organization and operator's key at the first start, in one commit; none later.
    ///
    /// The secret is made anew at each start until [`Objects::first_start_shown`] was called. The
    /// grant of credits is the caller's, at every start, with an id derived from
    /// [`Objects::first_organization`], so that it is entered once.
    pub(crate) async fn first_start(&self, now: u64) -> Answer<Option<FirstStart>> {
        let _one_at_a_time = self.inner.keys.lock().await;
        let (first, record, secret) = self
            .attempt(async || match self.find::<First>(&keys::setting(FIRST))? {
                Some(found) if found.record.shown => Ok(None),
                Some(found) => {
                    let first = found.record;
                    let place = keys::api_key(first.key);
                    let old = self.read::<KeyRecord>(&place)?;
                    let secret = secret::generate(first.key)?;
                    let mut new = old.record;
                    new.secret = secret::hash(&secret);
                    let commit = Commit::new()
                        .expect_unchanged(place.clone(), old.octets)
                        .put(place, &new);
                    self.commit(commit).await?;
                    Ok(Some((first, new, secret)))
                }
                None => {
                    let (commit, first, key, secret) = self.firsts(now)?;
                    self.commit(commit).await?;
                    Ok(Some((first, key, secret)))
                }
            })
            .await?
            .map_or((None, None, None), |(first, record, secret)| {
                (Some(first), Some(record), Some(secret))
            });
        if let Some(record) = record {
            self.remember_caller(record);
        }
        Ok(first.zip(secret).map(|(first, secret)| FirstStart {
            organization: first.organization,
            key: first.key,
            secret,
        }))
    }

    /// The secret was printed: it stays as it is.
    pub(crate) async fn first_start_shown(&self) -> Answer<()> {
        self.attempt(async || {
            let place = keys::setting(FIRST);
            let old = self.read::<First>(&place)?;
            let new = First {
                shown: true,
                ..old.record
            };
            let commit = Commit::new()
                .expect_unchanged(place.clone(), old.octets)
                .put(place, &new);
            self.commit(commit).await
        })
        .await
    }

    /// The organization that the first start made.
    pub(crate) async fn first_organization(&self) -> Answer<Option<OrganizationId>> {
        let found = self.find::<First>(&keys::setting(FIRST))?;
        Ok(found.map(|found| found.record.organization))
    }

    /// To be called each minute: stores last uses of keys, removes expired idempotency records, goes
    /// on with deletions that were interrupted.
    pub(crate) async fn maintain(&self, now: u64) -> Answer<()> {
        self.inner.pools.forget_idle(now);
        // Each of them is tried, whatever became of the others.
        let uses = self.store_last_uses().await;
        let requests = self.expire_requests(now).await;
        let deletions = self.purge_leftovers().await;
        uses.and(requests).and(deletions)
    }

    fn firsts(&self, now: u64) -> Answer<(Commit, First, KeyRecord, String)> {
        let plan = PlanId(self.id(None)?);
        let organization = OrganizationId(self.id(None)?);
        let key = KeyId(self.id(None)?);
        let secret = secret::generate(key)?;
        let first = First {
            organization,
            key,
            shown: false,
        };
        let mut key_record = KeyRecord::new(
            key,
            organization,
            CreateApiKey {
                name: "admin".to_owned(),
                role: Some(Role::Owner),
                projects: Vec::new(),
                operator: true,
                expires_unix_ms: None,
            },
        );
        key_record.secret = secret::hash(&secret);
        let plan_record = PlanRecord {
            plan: default_plan(plan, now),
            organizations: 1,
        };
        let own = OrganizationRecord::new(organization, DEFAULT.to_owned(), plan, now);
        let commit = Commit::new().expect_absent(keys::setting(FIRST));
        let commit = named(commit, keys::plan(plan), Owner::INSTALLATION, &plan_record);
        let own_key = keys::organization(organization);
        let commit = named(commit, own_key, Owner::INSTALLATION, &own);
        let owner = key::owner(organization);
        let commit = named(commit, keys::api_key(key), owner, &key_record);
        let commit = commit.put(keys::setting(FIRST), &first);
        Ok((commit, first, key_record, secret))
    }
}

fn named<T: Record>(commit: Commit, key: crate::store::Key, owner: Owner, record: &T) -> Commit {
    let name = keys::name(T::KIND, owner.organization, owner.parent, record.name());
    commit
        .expect_absent(name.clone())
        .put(key, record)
        .put(name, &record.id())
}

fn default_plan(id: PlanId, at: u64) -> Plan {
    Plan {
        id,
        name: DEFAULT.to_owned(),
        concurrent_runs_per_project: 4,
        concurrent_runs_per_organization: 16,
        concurrent_endpoints: 200_000,
        endpoints_per_run: 100_000,
        duration_max: "24h".to_owned(),
        revision: 1,
        created_unix_ms: at,
        updated_unix_ms: at,
    }
}

/// Commits and waits for it, outside of any runtime.
fn wait(control: &Control, commit: Commit) -> Result<(), ObjectError> {
    let (done, waiting) = mpsc::channel();
    control.commit(commit, move |result| {
        // The receiver below only goes away after it has this.
        let _ = done.send(result);
    });
    match waiting.recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ObjectError::Storage(error.to_string())),
        Err(_) => Err(ObjectError::Storage(
            "the storage thread has ended".to_owned(),
        )),
    }
}

/// Name of the first plan and the first organization.
const DEFAULT: &str = "default";
/// The setting that holds [`First`].
const FIRST: &str = "first_start";
/// The setting that holds a sealed text: whoever opens it has the right key.
const PROOF: &str = "storage_key_proof";
const PROOF_BOUND: Bound<'static> = Bound {
    organization: 0,
    owner: 0,
    name: b"",
    field: "proof",
};
