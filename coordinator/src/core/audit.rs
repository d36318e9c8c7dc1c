//! The invariants of the books: what must hold whatever happened (reliability §3).
//!
//! A [`Replay`] adds up what is stored, entry by entry; [`report`] compares the sums with the runs
//! that are stored as live and with what the coordinator has in memory.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared::api::{LedgerEntry, TransferKind};
use shared::id::{OrganizationId, RunId};

use super::ledger::{Amounts, entry_id};
use super::record::RunRecord;

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct AuditReport {
    /// Milliseconds since 1970.
    pub(crate) checked_at_unix_ms: u64,
    /// Each invariant, I1 to I8.
    pub(crate) invariants: Vec<Invariant>,
}

/// One invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Invariant {
    /// `I1` to `I8` with what it says.
    pub(crate) name: String,
    /// Whether it held.
    pub(crate) holds: bool,
    /// What was found, for people.
    pub(crate) detail: String,
}

impl AuditReport {
    /// The sentences of broken invariants that stop new runs: I1 to I4 and I7; none where all hold.
    pub(crate) fn stops_new_runs(&self) -> Option<String> {
        let broken: Vec<String> = STOPPING
            .iter()
            .filter_map(|index| self.invariants.get(*index))
            .filter(|invariant| !invariant.holds)
            .map(|invariant| format!("{}: {}", invariant.name, invariant.detail))
            .collect();
        (!broken.is_empty()).then(|| broken.join("; "))
    }
}

/// Positions of I1, I2, I3, I4 and I7.
const STOPPING: [usize; 5] = [0, 1, 2, 3, 6];

const NAMES: [&str; 8] = [
    "I1: available, reserved and spent are what was granted",
    "I2: no balance is negative",
    "I3: a run has at most one reservation and one settlement",
    "I4: what is reserved is what runs reserved that are not settled",
    "I5: slots in use are the runs that are not settled",
    "I6: no run lives longer than its duration allows",
    "I7: every entry follows the one before, and its balance is the sum of all up to it",
    "I8: no run used more than it reserved",
];

/// The sum of one organization's stored entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay {
    amounts: Amounts,
    granted: u64,
    sequence: u64,
    open: BTreeMap<RunId, u64>,
    settled: BTreeSet<RunId>,
    faults: Faults,
}

/// What was found, by invariant; a broken ledger could fill memory with sentences.
#[derive(Clone, Debug, Default)]
struct Faults {
    found: [Vec<String>; 8],
    left_out: u64,
}

impl Faults {
    fn add(&mut self, invariant: usize, sentence: String) {
        match self.found.get_mut(invariant) {
            Some(list) if list.len() < FAULTS_MAX => list.push(sentence),
            _ => self.left_out += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        for (index, list) in other.found.iter().enumerate() {
            for sentence in list {
                self.add(index, sentence.clone());
            }
        }
        self.left_out += other.left_out;
    }
}

/// Sentences kept for each invariant.
const FAULTS_MAX: usize = 20;

impl Replay {
    /// The newest entry that was added; 0: none.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Adds the next stored entry.
    pub(crate) fn add(&mut self, entry: &LedgerEntry) {
        let at = format!(
            "organization {}, entry {}",
            entry.organization, entry.sequence
        );
        if entry.sequence != self.sequence + 1 {
            self.faults
                .add(6, format!("{at}: it follows entry {}", self.sequence));
        }
        self.sequence = entry.sequence;
        self.kind(entry, &at);
        let Some(amounts) = self.amounts.moved(entry) else {
            self.faults
                .add(1, format!("{at}: it takes more than there is"));
            return;
        };
        self.amounts = amounts;
        let total = amounts
            .available
            .checked_add(amounts.reserved)
            .and_then(|sum| sum.checked_add(amounts.spent));
        if total != Some(self.granted) {
            self.faults.add(
                0,
                format!("{at}: the sum is {total:?}, {} were granted", self.granted),
            );
        }
        if amounts.balance() != entry.balance {
            self.faults.add(
                6,
                format!("{at}: its balance is not the sum of the entries"),
            );
        }
    }

    fn kind(&mut self, entry: &LedgerEntry, at: &str) {
        let amount = entry.amount.endpoint_ms;
        let Some(run) = entry.run else {
            if entry.kind == TransferKind::Grant {
                self.granted = self.granted.saturating_add(amount);
            } else {
                self.faults.add(2, format!("{at}: it names no run"));
            }
            return;
        };
        if entry.kind != TransferKind::Grant && entry.id != entry_id(entry.kind, run) {
            self.faults
                .add(2, format!("{at}: its id is not that of run {run}"));
        }
        match entry.kind {
            TransferKind::Grant => self.faults.add(2, format!("{at}: a grant names run {run}")),
            TransferKind::Reserve => {
                if self.settled.contains(&run) || self.open.insert(run, amount).is_some() {
                    self.faults
                        .add(2, format!("{at}: run {run} is reserved a second time"));
                }
            }
            TransferKind::Settle => {
                match self.open.remove(&run) {
                    None => self.faults.add(
                        2,
                        format!("{at}: run {run} is settled without a reservation or twice"),
                    ),
                    Some(reserved) => {
                        if amount > reserved {
                            self.faults
                                .add(7, format!("{at}: run {run} used {amount} of {reserved}"));
                        } else if amount.checked_add(entry.returned.endpoint_ms) != Some(reserved) {
                            self.faults.add(
                                3,
                                format!(
                                    "{at}: run {run} reserved {reserved} and gave back another sum"
                                ),
                            );
                        }
                    }
                }
                self.settled.insert(run);
            }
        }
    }
}

/// What is stored as live, and what the coordinator has in memory, at one moment.
#[derive(Debug, Default)]
pub(crate) struct Seen<'a> {
    /// Every stored run that [holds](RunRecord::holds) something: it has not ended, or is not settled.
    pub(crate) live: Vec<&'a RunRecord>,
    /// Faults that the books in memory found by themselves (I4).
    pub(crate) books: Vec<String>,
    /// Runs that hold a slot in memory but are settled, or the other way round (I5).
    pub(crate) slots: Vec<String>,
}

/// Checks every invariant.
pub(crate) fn report(
    now_unix_ms: u64,
    replays: &BTreeMap<OrganizationId, Replay>,
    seen: &Seen<'_>,
) -> AuditReport {
    let mut faults = Faults::default();
    for replay in replays.values() {
        faults.merge(&replay.faults);
    }
    held(replays, seen, &mut faults);
    for sentence in &seen.books {
        faults.add(3, sentence.clone());
    }
    for sentence in &seen.slots {
        faults.add(4, sentence.clone());
    }
    for record in &seen.live {
        let begin = record
            .began_unix_ms
            .filter(|_| !record.status().is_terminal());
        let longest = record.duration_ms.saturating_add(OVERTIME_MS);
        if begin.is_some_and(|begin| begin.saturating_add(longest) < now_unix_ms) {
            faults.add(5, format!("run {} lives too long", record.id));
        }
    }
    let entries: u64 = replays.values().map(Replay::sequence).sum();
    let checked = format!(
        "{entries} entries, {} runs that are not settled",
        seen.live.len()
    );
    AuditReport {
        checked_at_unix_ms: now_unix_ms,
        invariants: NAMES
            .iter()
            .zip(faults.found)
            .map(|(name, found)| Invariant {
                name: (*name).to_owned(),
                holds: found.is_empty(),
                detail: if found.is_empty() {
                    checked.clone()
                } else {
                    found.join("; ")
                },
            })
            .collect(),
    }
}

/// I4 against what is stored of the runs.
fn held(replays: &BTreeMap<OrganizationId, Replay>, seen: &Seen<'_>, faults: &mut Faults) {
    let mut live: BTreeMap<OrganizationId, BTreeMap<RunId, u64>> = BTreeMap::new();
    for record in &seen.live {
        if record.accepted && record.reserved_endpoint_ms > 0 {
            let runs = live.entry(record.organization).or_default();
            runs.insert(record.id, record.reserved_endpoint_ms);
        }
    }
    let none = BTreeMap::new();
    for (organization, replay) in replays {
        let runs = live.remove(organization).unwrap_or_default();
        let open = &replay.open;
        if runs != *open {
            let odd: Vec<String> = runs
                .iter()
                .filter(|(run, amount)| open.get(*run) != Some(*amount))
                .chain(open.iter().filter(|(run, _)| !runs.contains_key(*run)))
                .take(FAULTS_MAX)
                .map(|(run, _)| run.to_string())
                .collect();
            faults.add(
                3,
                format!(
                    "organization {organization}: the ledger and the stored runs differ about {}",
                    odd.join(", ")
                ),
            );
        }
        let sum: u64 = replay.open.values().sum();
        if sum != replay.amounts.reserved {
            faults.add(
                3,
                format!(
                    "organization {organization}: {} are reserved, its runs hold {sum}",
                    replay.amounts.reserved
                ),
            );
        }
    }
    for (organization, runs) in live.iter().filter(|(_, runs)| **runs != none) {
        faults.add(
            3,
            format!(
                "organization {organization}: {} live runs have no entry",
                runs.len()
            ),
        );
    }
}

/// Beyond its duration a run may take its teardown, a lease and its grace, and a minute.
const OVERTIME_MS: u64 = 96_000 + 10_000 + 5_000 + 60_000;

#[cfg(test)]
#[path = "audit/tests.rs"]
mod tests;
