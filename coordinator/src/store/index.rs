//! The runs in memory: what lists and single look-ups are answered from, without the disk.
//!
//! Filled at the start from the stored records, then changed by the storage thread only, after each
//! flush; so nothing is shown before it is stored.

mod query;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use query::{RunCursor, RunQuery, RunSort};

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use shared::id::{OrganizationId, ProjectId, RunId};

use super::commit::RunChange;
use crate::core::record::RunRecord;

/// Every stored run. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunIndex {
    table: Arc<RwLock<Table>>,
}

/// Runs of an organization by id: ids sort by time.
type Runs = BTreeMap<RunId, Arc<RunRecord>>;

#[derive(Debug, Default)]
struct Table {
    organizations: BTreeMap<OrganizationId, Runs>,
    owners: BTreeMap<RunId, OrganizationId>,
}

impl RunIndex {
    /// A run of an organization; none where it is another's.
    pub(crate) fn get(&self, organization: OrganizationId, run: RunId) -> Option<Arc<RunRecord>> {
        let table = self.read();
        table.organizations.get(&organization)?.get(&run).cloned()
    }

    /// A run, whosever it is: for the coordinator itself and for operators.
    pub(crate) fn find(&self, run: RunId) -> Option<Arc<RunRecord>> {
        let table = self.read();
        let owner = table.owners.get(&run)?;
        table.organizations.get(owner)?.get(&run).cloned()
    }

    /// Every run of an organization, newest first.
    pub(crate) fn of(&self, organization: OrganizationId) -> Vec<Arc<RunRecord>> {
        let table = self.read();
        let runs = table.organizations.get(&organization);
        runs.map_or_else(Vec::new, |runs| runs.values().rev().cloned().collect())
    }

    /// Every run of every organization that satisfies a condition, oldest first.
    pub(crate) fn all(&self, condition: impl Fn(&RunRecord) -> bool) -> Vec<Arc<RunRecord>> {
        let table = self.read();
        let runs = table.organizations.values().flat_map(Runs::values);
        runs.filter(|run| condition(run)).cloned().collect()
    }

    /// Every run of a project, newest first.
    pub(crate) fn of_project(
        &self,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Vec<Arc<RunRecord>> {
        let mut runs = self.of(organization);
        runs.retain(|run| run.project == project);
        runs
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.read().owners.len()
    }

    /// Takes over what was stored.
    pub(super) fn apply(&self, changes: impl IntoIterator<Item = RunChange>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            match change {
                RunChange::Put(record) => {
                    table.owners.insert(record.id, record.organization);
                    let runs = table.organizations.entry(record.organization);
                    runs.or_default().insert(record.id, record);
                }
                RunChange::Delete(organization, run) => {
                    if let Some(runs) = table.organizations.get_mut(&organization)
                        && runs.remove(&run).is_some()
                    {
                        table.owners.remove(&run);
                    }
                }
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}
