//! Which SIP accounts live runs use: none is ever used by two of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use shared::definition::{Account, Test};
use shared::id::{AccountId, RegistrarId, RunId};
use shared::wire::Problem;

use super::limits::limited;
use super::request::GroupPool;

/// An account's name among all of them.
pub(crate) type Key = (RegistrarId, AccountId);

/// Accounts in use, by run.
#[derive(Debug, Default)]
pub(crate) struct AccountsInUse {
    used: HashMap<Key, RunId>,
    runs: BTreeMap<RunId, Holding>,
}

#[derive(Debug)]
struct Holding {
    accounts: Vec<Key>,
    /// Milliseconds since 1970.
    planned_end: u64,
}

/// The accounts picked for a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picked {
    /// For each group that has a pool: the group and its accounts, as many as it has endpoints.
    pub(crate) groups: Vec<(u16, Vec<Account>)>,
    keys: Vec<Key>,
}

impl AccountsInUse {
    /// The first free candidates of each group, in the groups' order; or which are too few.
    pub(crate) fn pick(&self, test: &Test, pools: &[GroupPool]) -> (Picked, Vec<Problem>) {
        let mut picked = Picked::default();
        let mut taken: HashSet<Key> = HashSet::new();
        let mut problems = Vec::new();
        let mut pools: Vec<&GroupPool> = pools.iter().collect();
        pools.sort_by_key(|pool| pool.group);
        for pool in pools {
            let Some(group) = test.groups.get(usize::from(pool.group)) else {
                continue;
            };
            let needed = group.count as usize;
            let free = pool.candidates.iter().filter(|(id, _)| {
                let key = (pool.registrar, *id);
                !self.used.contains_key(&key) && !taken.contains(&key)
            });
            let chosen: Vec<&(AccountId, Account)> = free.take(needed).collect();
            if chosen.len() < needed {
                problems.push(self.too_few(test, pool, chosen.len()));
            }
            let keys = chosen.iter().map(|(id, _)| (pool.registrar, *id));
            picked.keys.extend(keys.clone());
            let accounts = chosen.iter().map(|(_, account)| account.clone()).collect();
            picked.groups.push((pool.group, accounts));
            taken.extend(keys.collect::<Vec<_>>());
        }
        (picked, problems)
    }

    fn too_few(&self, test: &Test, pool: &GroupPool, free: usize) -> Problem {
        let group = test.groups.get(usize::from(pool.group));
        let (name, needed) = group.map_or(("", 0), |group| (group.name.as_str(), group.count));
        let registrar = group
            .and_then(|group| test.registrars.get(usize::from(group.registrar?)))
            .map_or("", |registrar| registrar.name.as_str());
        let present = pool.candidates.len() as u64;
        let holders: HashSet<RunId> = pool
            .candidates
            .iter()
            .filter_map(|(id, _)| self.used.get(&(pool.registrar, *id)).copied())
            .collect();
        // Those that other groups of this very test took count as in use as well.
        let in_use = present.saturating_sub(free as u64);
        let ends = holders.iter().filter_map(|run| self.runs.get(run));
        let may_free = ends.map(|holding| holding.planned_end).min();
        limited(
            "not_enough_accounts",
            "accounts",
            (present, in_use, u64::from(needed)),
            may_free.filter(|_| present >= u64::from(needed)),
            format!(
                "Group `{name}` needs {needed} SIP accounts at registrar `{registrar}`; {present} are present and {in_use} of them are in use by live runs or other groups of this test. Add accounts, lower its count, or wait for a run to end."
            ),
        )
    }

    /// From now on a run uses these. `planned_end`: milliseconds since 1970.
    pub(crate) fn take(&mut self, run: RunId, picked: &Picked, planned_end: u64) {
        self.hold(run, picked.keys.clone(), planned_end);
    }

    /// A run holds these, as an earlier coordinator stored it. `planned_end`: milliseconds since 1970.
    pub(crate) fn hold(&mut self, run: RunId, accounts: Vec<Key>, planned_end: u64) {
        for key in &accounts {
            self.used.insert(*key, run);
        }
        let holding = Holding {
            accounts,
            planned_end,
        };
        self.runs.insert(run, holding);
    }

    /// What a run holds.
    pub(crate) fn of(&self, run: RunId) -> Vec<Key> {
        let held = self.runs.get(&run);
        held.map_or_else(Vec::new, |holding| holding.accounts.clone())
    }

    /// A run has ended. A second call changes nothing.
    pub(crate) fn free(&mut self, run: RunId) {
        let held = self.runs.remove(&run).map(|holding| holding.accounts);
        for key in held.into_iter().flatten() {
            self.used.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::definition::Target;

    use super::*;
    use crate::testing;

    fn pool(group: u16, count: u32) -> GroupPool {
        let accounts = testing::group("user", count, Target::Nobody).accounts;
        GroupPool {
            group,
            registrar: RegistrarId(1),
            candidates: (0..).map(AccountId).zip(accounts).collect(),
        }
    }

    fn names(picked: &Picked) -> Vec<Vec<String>> {
        let of = |accounts: &Vec<Account>| accounts.iter().map(|a| a.username.clone()).collect();
        picked
            .groups
            .iter()
            .map(|(_, accounts)| of(accounts))
            .collect()
    }

    #[test]
    fn no_account_is_used_twice_in_a_run_or_between_runs() {
        let test = testing::pair_test(2, 2);
        let pools = [pool(1, 6), pool(0, 6)];
        let mut used = AccountsInUse::default();
        let (first, problems) = used.pick(&test, &pools);
        assert_eq!(problems, []);
        assert_eq!(names(&first), [["user0", "user1"], ["user2", "user3"]]);
        used.take(RunId(1), &first, 500);
        let (_, problems) = used.pick(&test, &pools);
        let detail = problems[0].limit.clone().unwrap();
        assert_eq!(problems.len(), 1, "the second group has none left");
        assert_eq!(problems[0].code, "not_enough_accounts");
        assert_eq!(
            (
                detail.limit,
                detail.in_use,
                detail.asked,
                detail.may_free_at_unix_ms
            ),
            (6, 6, 2, Some(500))
        );
        assert!(
            problems[0].sentence.contains("`callees`") && problems[0].sentence.contains("`pbx`")
        );
        used.free(RunId(1));
        used.free(RunId(1));
        assert_eq!(names(&used.pick(&test, &pools).0), names(&first));
        assert!(used.used.is_empty() && used.runs.is_empty());
    }

    #[test]
    fn what_is_not_there_never_frees_up() {
        let test = testing::pair_test(9, 1);
        let (_, problems) = AccountsInUse::default().pick(&test, &[pool(0, 6)]);
        let detail = problems[0].limit.clone().unwrap();
        assert_eq!(
            (
                detail.limit,
                detail.in_use,
                detail.asked,
                detail.may_free_at_unix_ms
            ),
            (6, 0, 9, None)
        );
    }
}
