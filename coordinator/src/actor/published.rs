//! What may be read of the coordinator without asking it: positions in the queue, stored balances,
//! slots. Written by the actor only; nothing in here is shown before it is on disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use shared::api::Balance;
use shared::id::{OrganizationId, RunId};

/// Figures that never wait for the actor's mailbox.
#[derive(Debug, Default)]
pub(crate) struct Published {
    positions: RwLock<HashMap<RunId, u32>>,
    books: RwLock<BTreeMap<OrganizationId, Figures>>,
}

/// Of one organization.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// As stored.
    pub(crate) balance: Balance,
    /// Runs that have not ended.
    pub(crate) runs: u32,
    /// Their endpoints.
    pub(crate) endpoints: u32,
}

impl Published {
    /// The place of a run among those that wait, from 1.
    pub(crate) fn position(&self, run: RunId) -> Option<u32> {
        let positions = self
            .positions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        positions.get(&run).copied()
    }

    /// An organization's figures.
    pub(crate) fn figures(&self, organization: OrganizationId) -> Figures {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        books.get(&organization).copied().unwrap_or_default()
    }

    pub(super) fn set_positions(&self, waiting: impl Iterator<Item = RunId>) {
        let mut positions = self
            .positions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        positions.clear();
        positions.extend(waiting.zip(1..));
    }

    pub(super) fn set_figures(&self, organization: OrganizationId, figures: Figures) {
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        books.insert(organization, figures);
    }
}
