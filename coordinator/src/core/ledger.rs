//! Balances, slots and the entries that move credits: the books of every organization, in memory.
//!
//! Two layers. What is *stored* is the sum of the ledger's entries, and moves only by
//! [`Ledger::confirm`], after the flush. What is *held* by runs whose reservation is on its way to
//! the disk is taken off at once, so no two requests are ever given the same slot or credit; a failed
//! commit gives it back. Slots are not stored: they are the runs that have not ended.
//!
//! The unit is the endpoint-millisecond. Source: PRODUCT §4, reliability §3.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use shared::api::{Balance, Credits, LedgerEntry, TransferKind};
use shared::id::{OrganizationId, ProjectId, RunId};

use super::limits::{InUse, Wanted};

/// The books of every organization.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    books: BTreeMap<OrganizationId, Book>,
}

#[derive(Debug, Default)]
struct Book {
    stored: Amounts,
    /// Of the newest stored entry; 0: none.
    sequence: u64,
    slots: BTreeMap<RunId, Slot>,
}

/// Stored amounts, in endpoint-milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    /// Free.
    pub(crate) available: u64,
    /// Held by accepted runs.
    pub(crate) reserved: u64,
    /// Used.
    pub(crate) spent: u64,
}

/// A run that has not ended.
#[derive(Clone, Copy, Debug)]
struct Slot {
    project: ProjectId,
    endpoints: u32,
    duration_ms: u64,
    /// What it holds; 0 where nothing is paid.
    amount: u64,
    /// Its reservation is in the ledger.
    is_stored: bool,
    /// Milliseconds since 1970.
    planned_end: u64,
}

/// A movement of credits that is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// An operator adds some.
    Grant {
        /// 32 hexadecimal digits.
        id: String,
        /// Endpoint-milliseconds.
        amount: u64,
        /// For people.
        note: String,
    },
    /// A held run's estimate.
    Reserve(RunId),
    /// What a reserved run used; the rest goes back.
    Settle {
        /// The run.
        run: RunId,
        /// Endpoint-milliseconds; more than was reserved counts as what was reserved.
        used: u64,
    },
}

impl Transfer {
    /// The id of a grant.
    pub(crate) fn grant_id(&self) -> Option<&String> {
        match self {
            Self::Grant { id, .. } => Some(id),
            Self::Reserve(_) | Self::Settle { .. } => None,
        }
    }
}

impl Ledger {
    /// Takes a stored entry in at the start, oldest first. False: it does not follow the one before,
    /// or takes more than there is; an audit says what is wrong.
    pub(crate) fn restore(&mut self, entry: &LedgerEntry) -> bool {
        let book = self.books.entry(entry.organization).or_default();
        let follows = entry.sequence == book.sequence + 1;
        book.sequence = entry.sequence;
        match book.stored.moved(entry) {
            Some(stored) => book.stored = stored,
            None => return false,
        }
        follows
    }

    /// Takes the slot of a run that an earlier coordinator left alive, so that it can be settled.
    pub(crate) fn adopt(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        run: RunId,
        wanted: Wanted,
        reserved: u64,
    ) {
        let slot = Slot {
            project,
            endpoints: wanted.endpoints,
            duration_ms: wanted.duration.0,
            amount: reserved,
            is_stored: reserved > 0,
            planned_end: 0,
        };
        self.books
            .entry(organization)
            .or_default()
            .slots
            .insert(run, slot);
    }

    /// What stands against a further run of a project.
    pub(crate) fn in_use(&self, organization: OrganizationId, project: ProjectId) -> InUse {
        let Some(book) = self.books.get(&organization) else {
            return InUse::default();
        };
        let mut used = InUse {
            available: book.available(),
            reserved: book.slots.values().map(|slot| slot.amount).sum(),
            ..InUse::default()
        };
        for slot in book.slots.values() {
            let is_here = slot.project == project;
            used.project_runs += u32::from(is_here);
            used.runs += 1;
            used.endpoints = used.endpoints.saturating_add(slot.endpoints);
            used.ends.push((slot.planned_end, slot.endpoints, is_here));
        }
        used
    }

    /// Takes slot and credits at once. The limits were looked at in the same step.
    pub(crate) fn hold(
        &mut self,
        now_unix_ms: u64,
        (organization, project, run): (OrganizationId, ProjectId, RunId),
        wanted: Wanted,
        pays: bool,
    ) {
        let slot = Slot {
            project,
            endpoints: wanted.endpoints,
            duration_ms: wanted.duration.0,
            amount: if pays { wanted.estimate() } else { 0 },
            is_stored: false,
            planned_end: now_unix_ms.saturating_add(wanted.duration.0),
        };
        self.books
            .entry(organization)
            .or_default()
            .slots
            .insert(run, slot);
    }

    /// A held run's reservation was not stored, or a run that pays nothing has ended.
    pub(crate) fn release(&mut self, organization: OrganizationId, run: RunId) {
        if let Some(book) = self.books.get_mut(&organization)
            && book.slots.get(&run).is_some_and(|slot| !slot.is_stored)
        {
            book.slots.remove(&run);
        }
    }

    /// A run went RUNNING: from now on it is known when it should end.
    pub(crate) fn began(&mut self, now_unix_ms: u64, organization: OrganizationId, run: RunId) {
        let book = self.books.get_mut(&organization);
        if let Some(slot) = book.and_then(|book| book.slots.get_mut(&run)) {
            slot.planned_end = now_unix_ms.saturating_add(slot.duration_ms);
        }
    }

    /// The entries for `transfers`, in order, after the stored ones. Changes nothing.
    ///
    /// A settlement of a run that holds nothing (any more) has no entry.
    pub(crate) fn entries(
        &self,
        now_unix_ms: u64,
        organization: OrganizationId,
        transfers: &[Transfer],
    ) -> Vec<LedgerEntry> {
        let empty = Book::default();
        let book = self.books.get(&organization).unwrap_or(&empty);
        let mut stored = book.stored;
        let mut sequence = book.sequence;
        let mut entries: Vec<LedgerEntry> = Vec::with_capacity(transfers.len());
        for transfer in transfers {
            let Some(mut entry) = book.entry(organization, transfer) else {
                continue;
            };
            if entries.iter().any(|earlier| earlier.id == entry.id) {
                continue;
            }
            // What a slot holds was available when it was taken; an entry that takes more than there
            // is would be our own mistake, is left out here and found by the audit.
            let Some(after) = stored.moved(&entry) else {
                continue;
            };
            stored = after;
            sequence += 1;
            entry.sequence = sequence;
            entry.at_unix_ms = now_unix_ms;
            entry.balance = stored.balance();
            entries.push(entry);
        }
        entries
    }

    /// The entries of one commit are on disk. Those that are known already change nothing.
    pub(crate) fn confirm(&mut self, entries: &[LedgerEntry]) {
        for entry in entries {
            let book = self.books.entry(entry.organization).or_default();
            if entry.sequence != book.sequence + 1 {
                continue;
            }
            let Some(stored) = book.stored.moved(entry) else {
                continue;
            };
            book.stored = stored;
            book.sequence = entry.sequence;
            match (entry.kind, entry.run) {
                (TransferKind::Reserve, Some(run)) => {
                    if let Some(slot) = book.slots.get_mut(&run) {
                        slot.is_stored = true;
                    }
                }
                (TransferKind::Settle, Some(run)) => {
                    book.slots.remove(&run);
                }
                (TransferKind::Grant | TransferKind::Reserve | TransferKind::Settle, _) => {}
            }
        }
    }

    /// As it is stored, with the newest entry's number.
    pub(crate) fn stored(&self, organization: OrganizationId) -> (Amounts, u64) {
        let book = self.books.get(&organization);
        book.map_or((Amounts::default(), 0), |book| (book.stored, book.sequence))
    }

    /// Live runs and their endpoints.
    pub(crate) fn slots(&self, organization: OrganizationId) -> (u32, u32) {
        let used = self.in_use(organization, ProjectId(0));
        (used.runs, used.endpoints)
    }

    /// Every organization that has ever had an entry or a run.
    pub(crate) fn organizations(&self) -> impl Iterator<Item = OrganizationId> {
        self.books.keys().copied()
    }

    /// Where what is reserved is not what the live runs hold (I4); empty where all is right.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.books
            .iter()
            .filter_map(|(organization, book)| {
                let held = book.slots.values().filter(|slot| slot.is_stored);
                let held: u64 = held.map(|slot| slot.amount).sum();
                (held != book.stored.reserved).then(|| {
                    format!(
                        "organization {organization}: {} are reserved, live runs hold {held}",
                        book.stored.reserved
                    )
                })
            })
            .collect()
    }

    /// The runs that hold a slot.
    pub(crate) fn holders(&self) -> impl Iterator<Item = RunId> {
        self.books
            .values()
            .flat_map(|book| book.slots.keys().copied())
    }
}

impl Book {
    /// Stored and free, less what is held by reservations under way.
    fn available(&self) -> u64 {
        let held = self.slots.values().filter(|slot| !slot.is_stored);
        let held: u64 = held.map(|slot| slot.amount).sum();
        self.stored.available.saturating_sub(held)
    }

    fn entry(&self, organization: OrganizationId, transfer: &Transfer) -> Option<LedgerEntry> {
        let blank = LedgerEntry {
            id: String::new(),
            sequence: 0,
            organization,
            kind: TransferKind::Grant,
            run: None,
            amount: Credits::new(0),
            returned: Credits::new(0),
            at_unix_ms: 0,
            note: String::new(),
            balance: Balance::default(),
        };
        match transfer {
            Transfer::Grant { id, amount, note } => Some(LedgerEntry {
                id: id.clone(),
                amount: Credits::new(*amount),
                note: note.clone(),
                ..blank
            }),
            Transfer::Reserve(run) => {
                let slot = self.slots.get(run).filter(|slot| !slot.is_stored)?;
                Some(LedgerEntry {
                    id: entry_id(TransferKind::Reserve, *run),
                    kind: TransferKind::Reserve,
                    run: Some(*run),
                    amount: Credits::new(slot.amount),
                    ..blank
                })
            }
            Transfer::Settle { run, used } => {
                let slot = self.slots.get(run).filter(|slot| slot.is_stored)?;
                let used = (*used).min(slot.amount);
                Some(LedgerEntry {
                    id: entry_id(TransferKind::Settle, *run),
                    kind: TransferKind::Settle,
                    run: Some(*run),
                    amount: Credits::new(used),
                    returned: Credits::new(slot.amount - used),
                    ..blank
                })
            }
        }
    }
}

impl Amounts {
    /// After an entry; none where it takes more than there is.
    pub(crate) fn moved(self, entry: &LedgerEntry) -> Option<Self> {
        let (amount, returned) = (entry.amount.endpoint_ms, entry.returned.endpoint_ms);
        let mut after = self;
        match entry.kind {
            TransferKind::Grant => after.available = self.available.checked_add(amount)?,
            TransferKind::Reserve => {
                after.available = self.available.checked_sub(amount)?;
                after.reserved = self.reserved.checked_add(amount)?;
            }
            TransferKind::Settle => {
                let held = amount.checked_add(returned)?;
                after.reserved = self.reserved.checked_sub(held)?;
                after.spent = self.spent.checked_add(amount)?;
                after.available = self.available.checked_add(returned)?;
            }
        }
        Some(after)
    }

    /// As the API shows it.
    pub(crate) fn balance(self) -> Balance {
        Balance {
            available: Credits::new(self.available),
            reserved: Credits::new(self.reserved),
            spent: Credits::new(self.spent),
        }
    }
}

/// The id of a run's only entry of a kind: the first 16 octets of SHA-256, in hexadecimal.
pub(crate) fn entry_id(kind: TransferKind, run: RunId) -> String {
    let kind = match kind {
        TransferKind::Grant => "grant",
        TransferKind::Reserve => "reserve",
        TransferKind::Settle => "settle",
    };
    let digest = Sha256::digest(format!("{kind}|{run}").as_bytes());
    digest
        .iter()
        .take(16)
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

#[cfg(test)]
#[path = "ledger/tests.rs"]
mod tests;
