//! The objects of the control plane: plans, organizations, keys, projects, registrars, accounts,
//! media, tests; what makes one valid, how it is stored, and how a saved test becomes runnable.
//!
//! Owns: names and their uniqueness, revisions, references, sealing of passwords, hashing of keys,
//! idempotency records. Reads and writes through `store::Control` only. Never decides whether a
//! caller may do something (`http`) nor whether a run may start (`core`), never knows HTTP.
//!
//! Every create takes the id that the object is to get (none: a new one); where an object with this
//! id is there already, it is answered as if it had just been made. `expected` is the revision that
//! a caller has read; none: whatever it is.

mod account;
mod assemble;
mod bulk;
mod caller;
mod check;
mod error;
mod id;
mod idempotency;
mod key;
mod list;
mod master;
mod media;
mod organization;
mod plan;
mod pool;
mod project;
mod purge;
mod registrar;
mod repository;
mod seal;
mod secret;
mod setup;
mod test;
#[cfg(test)]
mod tests;

pub(crate) use caller::Caller;
pub(crate) use error::{AuthError, ObjectError};
pub(crate) use idempotency::{Begin, PlannedId, StoredAnswer};
pub(crate) use list::{LIMIT_MAX, ListQuery, Sort};
pub(crate) use master::KeySource;
pub(crate) use media::MEDIA_OCTETS_MAX;
pub(crate) use setup::FirstStart;

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use shared::id::{KeyId, OrganizationId, RegistrarId};
use tokio::sync::{Mutex, MutexGuard};

use self::idempotency::Requests;
use self::pool::Pools;
use self::repository::Answer;
use self::seal::Sealer;
use crate::store::Control;

/// The typed repository. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Objects {
    inner: Arc<Inner>,
}

/// All API keys, by id.
type Callers = HashMap<KeyId, Arc<Caller>>;

struct Inner {
    control: Control,
    /// Where media files are.
    media: PathBuf,
    sealer: Sealer,
    ids: id::IdSource,
    callers: RwLock<Callers>,
    requests: Arc<Requests>,
    pools: Pools,
    /// Held while keys change, so that memory and store change in the same order.
    keys: Mutex<()>,
    /// Held while accounts of a registrar change: one of them for each registrar, by its hash.
    accounts: [Mutex<()>; ACCOUNT_LOCKS],
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl Objects {
    fn new(control: Control, media: PathBuf, sealer: Sealer) -> Self {
        Self {
            inner: Arc::new(Inner {
                control,
                media,
                sealer,
                ids: id::IdSource::default(),
                callers: RwLock::default(),
                requests: Arc::default(),
                pools: Pools::default(),
                keys: Mutex::default(),
                accounts: std::array::from_fn(|_| Mutex::default()),
            }),
        }
    }

    /// The id of a new object: the planned one, or a new one.
    fn id(&self, planned: Option<u64>) -> Answer<u64> {
        planned.map_or_else(|| self.inner.ids.next(now()), Ok)
    }

    /// Waits for other changes of a registrar's accounts.
    async fn lock_accounts(
        &self,
        organization: OrganizationId,
        registrar: RegistrarId,
    ) -> Changing<'_> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(registrar.0);
        let index = usize::try_from(hash % ACCOUNT_LOCKS as u64).unwrap_or(0);
        let lock = match self.inner.accounts.get(index) {
            Some(lock) => lock,
            // The remainder is always below the length.
            None => &self.inner.keys,
        };
        Changing {
            _alone: lock.lock().await,
            pools: &self.inner.pools,
            key: (organization, registrar),
        }
    }

    /// Does what takes long on a thread where it holds nobody up.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(ObjectError::Storage(format!(
                "a worker broke down: {error}"
            ))),
        }
    }
}

/// Accounts of a registrar are being changed, by nobody else. Ends before the change is answered.
struct Changing<'a> {
    _alone: MutexGuard<'a, ()>,
    pools: &'a Pools,
    key: (OrganizationId, RegistrarId),
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.pools.changed(self.key);
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, crate::core::millis)
}

/// Locks for changes of accounts: registrars that are changed at once seldom share one.
const ACCOUNT_LOCKS: usize = 64;
