//! The accounts of registrars that tests were started on lately, opened: so that the next start
//! does not read and open a hundred thousand of them again.
//!
//! Passwords are in clear here, as they are in every live run; they go when nobody has started a
//! test on them for [`IDLE_MS`]. A change of a registrar's accounts takes its pool away before the
//! change is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::definition::Account;
use shared::id::{AccountId, OrganizationId, RegistrarId};

/// Accounts in the order of their user names.
pub(super) type Pool = Arc<[(AccountId, Account)]>;

type Key = (OrganizationId, RegistrarId);

/// Pools by registrar.
#[derive(Default)]
pub(super) struct Pools(Mutex<Table>);

#[derive(Default)]
struct Table {
    pools: HashMap<Key, (Pool, u64)>,
    /// Changes of any accounts so far: a pool that was read before one of them is not kept.
    changes: u64,
}

/// What was changed when a reading began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before(u64);

impl Pools {
    /// The pool; or what [`Self::keep`] has to be told after reading it.
    pub(super) fn get(&self, key: Key, now: u64) -> Result<Pool, Before> {
        let mut table = self.lock();
        let changes = table.changes;
        let (pool, used) = table.pools.get_mut(&key).ok_or(Before(changes))?;
        *used = now;
        Ok(Arc::clone(pool))
    }

    /// Keeps a pool that was read, unless accounts changed meanwhile.
    pub(super) fn keep(&self, key: Key, pool: &Pool, before: Before, now: u64) {
        let mut table = self.lock();
        if table.changes != before.0 || pool.len() > ACCOUNTS_MAX {
            return;
        }
        let held = |table: &Table| -> usize { table.pools.values().map(|(p, _)| p.len()).sum() };
        while held(&table) + pool.len() > ACCOUNTS_MAX || table.pools.len() >= POOLS_MAX {
            let oldest = table.pools.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(key, _)| *key) else {
                break;
            };
            table.pools.remove(&oldest);
        }
        table.pools.insert(key, (Arc::clone(pool), now));
    }

    /// A registrar's accounts have changed.
    pub(super) fn changed(&self, key: Key) {
        let mut table = self.lock();
        table.changes += 1;
        table.pools.remove(&key);
    }

    /// Forgets what was not used for a while.
    pub(super) fn forget_idle(&self, now: u64) {
        self.lock()
            .pools
            .retain(|_, (_, used)| used.saturating_add(IDLE_MS) > now);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accounts held in all pools: about 40 MB.
const ACCOUNTS_MAX: usize = 200_000;
/// Pools held.
const POOLS_MAX: usize = 1_000;
/// Ten minutes.
const IDLE_MS: u64 = 600_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(accounts: usize) -> Pool {
        let account = Account {
            username: "u".to_owned(),
            auth_username: "u".to_owned(),
            password: "p".to_owned(),
            realm: None,
        };
        vec![(AccountId(1), account); accounts].into()
    }

    fn key(registrar: u64) -> Key {
        (OrganizationId(1), RegistrarId(registrar))
    }

    #[test]
    fn a_pool_is_kept_until_its_accounts_change() {
        let pools = Pools::default();
        let before = pools.get(key(1), 0).unwrap_err();
        pools.keep(key(1), &pool(3), before, 0);
        assert_eq!(pools.get(key(1), 0).unwrap().len(), 3);
        pools.changed(key(1));
        assert!(pools.get(key(1), 0).is_err());
        let before = pools.get(key(1), 0).unwrap_err();
        pools.changed(key(1));
        pools.keep(key(1), &pool(3), before, 0);
        assert!(pools.get(key(1), 0).is_err(), "read before the change");
    }

    #[test]
    fn pools_are_bounded_and_idle_ones_go() {
        let pools = Pools::default();
        for registrar in 0..5 {
            let before = pools.get(key(registrar), registrar).unwrap_err();
            pools.keep(key(registrar), &pool(60_000), before, registrar);
        }
        let held = (0..5).filter(|registrar| pools.get(key(*registrar), 9).is_ok());
        assert_eq!(held.collect::<Vec<_>>(), [2, 3, 4]);
        pools.forget_idle(9 + IDLE_MS);
        assert!((0..5).all(|registrar| pools.get(key(registrar), 9).is_err()));
    }
}
