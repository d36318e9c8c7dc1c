//! A disk in memory, that outlives the coordinators that write to it.

use std::collections::BTreeMap;

use bytes::Bytes;
use shared::api::LedgerEntry;
use shared::definition::Test;
use shared::id::{AccountId, NodeId, OrganizationId, RegistrarId, RunId};
use shared::phase::RunStatus;
use shared::wire::{EndpointReport, Frame};

use crate::core::audit::{Replay, Seen, report};
use crate::core::record::RunRecord;
use crate::core::run::Record;

/// What the coordinators of one cluster have stored.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub(super) epoch: u64,
    pub(super) entries: Vec<LedgerEntry>,
    pub(super) records: BTreeMap<RunId, RunRecord>,
    pub(super) runs: BTreeMap<RunId, Stored>,
}

/// One run's own storage.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) test: Option<Test>,
    pub(super) accounts: Vec<(RegistrarId, AccountId)>,
    pub(super) checkpoint: Option<Bytes>,
    /// By node and the frame's number, as the real storage keys them; with its second.
    frames: BTreeMap<(NodeId, u64), u32>,
    reports: BTreeMap<u32, EndpointReport>,
    summary: Option<crate::core::summary::Summary>,
}

/// Writes in their order; each of them is on the disk or not.
#[derive(Debug, Default)]
pub struct Batch(pub(super) Vec<Write>);

#[derive(Debug)]
pub(super) enum Write {
    /// All of it or nothing.
    Commit(Vec<LedgerEntry>, Vec<RunRecord>),
    Create(RunId, Box<Test>, Vec<(RegistrarId, AccountId)>),
    Record(RunId, Record),
    Checkpoint(RunId, Bytes),
}

/// A stored run as tests see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunView {
    /// The status now.
    pub status: RunStatus,
    /// Every status that it had, oldest first.
    pub statuses: Vec<RunStatus>,
    /// It was accepted: it held a slot.
    pub accepted: bool,
    /// Of the newest move.
    pub reason: String,
    /// For people.
    pub sentence: String,
    /// Nothing of it is held any more.
    pub settled: bool,
    /// Endpoint-milliseconds.
    pub reserved: u64,
    /// Endpoint-milliseconds; none before it is settled.
    pub used: Option<u64>,
    /// Milliseconds since 1970.
    pub ended_unix_ms: Option<u64>,
}

/// A write as tests see it.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteView {
    /// Entries of the ledger and records of runs.
    Commit(Vec<LedgerEntry>, Vec<(RunId, RunView)>),
    /// A node's second of a run, by the frame's number.
    Frame(RunId, NodeId, u64),
    /// The end of a run's endpoint, from this node.
    Report(RunId, NodeId, u32),
    /// How far a run is.
    Checkpoint(RunId),
    /// Something else of a run.
    Other(RunId),
}

impl Batch {
    /// Each write as a batch of its own, in their order.
    pub fn split(self) -> impl Iterator<Item = Self> {
        self.0.into_iter().map(|write| Self(vec![write]))
    }

    /// What it would write.
    #[must_use]
    pub fn views(&self) -> Vec<WriteView> {
        let shown = |write: &Write| match write {
            Write::Commit(entries, records) => {
                let records = records.iter().map(|record| (record.id, view(record)));
                WriteView::Commit(entries.clone(), records.collect())
            }
            Write::Record(run, Record::Frame(frame)) => {
                WriteView::Frame(*run, frame.node.clone(), frame.sequence)
            }
            Write::Record(run, Record::Report(report)) => {
                WriteView::Report(*run, report.node.clone(), report.endpoint.0)
            }
            Write::Record(run, _) | Write::Create(run, ..) => WriteView::Other(*run),
            Write::Checkpoint(run, _) => WriteView::Checkpoint(*run),
        };
        self.0.iter().map(shown).collect()
    }

    /// How many writes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True where there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Disk {
    /// Writes all of a batch.
    pub fn apply(&mut self, batch: Batch) {
        let all = batch.len();
        self.apply_part(batch, all);
    }

    /// Writes the first so many of a batch: what a crash left.
    pub fn apply_part(&mut self, batch: Batch, writes: usize) {
        for write in batch.0.into_iter().take(writes) {
            self.write(write);
        }
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Commit(entries, records) => {
                self.entries.extend(entries);
                for record in records {
                    self.records.insert(record.id, record);
                }
            }
            Write::Create(run, test, accounts) => {
                let stored = self.run(run);
                stored.test = Some(*test);
                stored.accounts = accounts;
            }
            Write::Checkpoint(run, octets) => self.run(run).checkpoint = Some(octets),
            Write::Record(run, record) => {
                let stored = self.run(run);
                match record {
                    Record::Frame(frame) => {
                        let Frame {
                            node,
                            sequence,
                            second,
                            ..
                        } = *frame;
                        stored.frames.insert((node, sequence), second);
                    }
                    Record::Report(report) => {
                        stored.reports.insert(report.endpoint.0, *report);
                    }
                    Record::Summary(summary) => stored.summary = Some(*summary),
                    Record::Trace(_) | Record::Second(_) | Record::GroupSecond(..) => {}
                }
            }
        }
    }

    fn run(&mut self, run: RunId) -> &mut Stored {
        self.runs.entry(run).or_default()
    }

    /// Every stored run.
    pub fn runs(&self) -> impl Iterator<Item = (RunId, RunView)> {
        self.records
            .iter()
            .map(|(run, record)| (*run, view(record)))
    }

    /// A stored run.
    #[must_use]
    pub fn view(&self, run: RunId) -> Option<RunView> {
        self.records.get(&run).map(view)
    }

    /// The seconds of a run that are stored of a node, by its frames' numbers.
    #[must_use]
    pub fn seconds(&self, run: RunId, node: &NodeId) -> Vec<(u64, u32)> {
        let stored = self.runs.get(&run);
        let frames = stored.into_iter().flat_map(|stored| &stored.frames);
        frames
            .filter(|((from, _), _)| from == node)
            .map(|((_, number), second)| (*number, *second))
            .collect()
    }

    /// Endpoints of a run whose reports are stored.
    #[must_use]
    pub fn reports(&self, run: RunId) -> usize {
        self.runs.get(&run).map_or(0, |stored| stored.reports.len())
    }

    /// Samples of all metrics that the run's summary counts, and its missing shares; none before its
    /// end. Equal sums mean that nothing was counted twice or left out.
    #[must_use]
    pub fn summary(&self, run: RunId) -> Option<(u64, Vec<shared::result::MissingShare>)> {
        let summary = self.runs.get(&run)?.summary.as_ref()?;
        let metrics = summary.all.metrics.iter();
        let samples = metrics.map(|metric| metric.distribution.count).sum();
        Some((samples, summary.missing.clone()))
    }

    /// Everything that I1 to I8 say against what is stored and against what `core` holds in memory;
    /// empty where all of them hold.
    #[must_use]
    pub fn audit(&self, core: Option<&super::CoordinatorCore>, unix_ms: u64) -> Vec<String> {
        let mut replays: BTreeMap<OrganizationId, Replay> = BTreeMap::new();
        for entry in &self.entries {
            replays.entry(entry.organization).or_default().add(entry);
        }
        let settled = |run: &RunId| self.records.get(run).is_some_and(|record| !record.holds());
        let idle = core
            .into_iter()
            .flat_map(super::CoordinatorCore::idle_holders);
        let seen = Seen {
            live: self.records.values().filter(|r| r.holds()).collect(),
            books: core.map_or_else(Vec::new, |core| core.ledger.faults()),
            slots: idle
                .filter(settled)
                .map(|run| format!("run {run} is settled and holds a slot"))
                .collect(),
        };
        report(unix_ms, &replays, &seen)
            .invariants
            .into_iter()
            .filter(|invariant| !invariant.holds)
            .map(|invariant| format!("{}: {}", invariant.name, invariant.detail))
            .collect()
    }
}

fn view(record: &RunRecord) -> RunView {
    let last = record.last();
    RunView {
        status: record.status(),
        statuses: record.history.iter().map(|step| step.status).collect(),
        accepted: record.accepted,
        reason: last.map_or_else(String::new, |step| step.reason.clone()),
        sentence: last.map_or_else(String::new, |step| step.sentence.clone()),
        settled: !record.holds(),
        reserved: record.reserved_endpoint_ms,
        used: record.used_endpoint_ms,
        ended_unix_ms: record.ended_unix_ms,
    }
}
