//! The coordinator's disk: what was not flushed may be gone after a crash, and the last write torn.
//! Whatever reaches it is judged: no status goes back, no item twice, no credit from nowhere.

use std::collections::{BTreeMap, VecDeque};

use coordinator::simulation::{self, Batch, RunView, WriteView};
use shared::api::{Balance, Credits, LedgerEntry, TransferKind};
use shared::id::{NodeId, RunId};
use shared::phase::RunStatus;

use super::mutant::Mutant;
use super::oracle::Stored;
use super::stage::{Stage, tell};

/// What is on the disk, and what is on its way there.
#[derive(Default)]
pub(crate) struct Disk {
    /// What the next start reads.
    pub(crate) content: simulation::Disk,
    runs: BTreeMap<RunId, OnDisk>,
    books: Books,
    waiting: VecDeque<Waiting>,
    /// Of those, how many the flush under way covers.
    covered: usize,
}

/// A write on its way.
struct Waiting {
    write: Batch,
    shown: WriteView,
    /// To be told once it is on the disk: it is the last one of a batch.
    number: Option<u64>,
}

/// One run.
struct OnDisk {
    run: RunView,
    items: Vec<Item>,
    /// How many items the newest checkpoint speaks of.
    checkpoint: Option<usize>,
}

/// What was stored, as far as it is compared.
#[derive(Debug)]
enum Item {
    Frame(NodeId, u64),
    Report(NodeId, u32),
}

/// The sums of the ledger, added up anew.
#[derive(Default)]
struct Books {
    granted: u64,
    available: u64,
    reserved: u64,
    spent: u64,
    /// By run: reserved, and whether that is settled.
    runs: BTreeMap<RunId, (u64, bool)>,
}

impl Disk {
    /// Takes a batch; true where a flush is to be begun for it.
    pub(crate) fn push(&mut self, number: u64, batch: Batch) -> bool {
        let shown = batch.views();
        let last = shown.len().saturating_sub(1);
        let writes = batch.split().zip(shown).enumerate();
        let waiting = writes.map(|(place, (write, shown))| Waiting {
            write,
            shown,
            number: (place == last).then_some(number),
        });
        self.waiting.extend(waiting);
        self.begin()
    }

    /// Begins a flush of all that is there, if none is under way.
    pub(crate) fn begin(&mut self) -> bool {
        let begins = self.covered == 0 && !self.waiting.is_empty();
        if begins {
            self.covered = self.waiting.len();
        }
        begins
    }

    /// The flush under way is done: the newest batch that it covered.
    pub(crate) fn flushed(&mut self, stage: &mut Stage) -> Option<u64> {
        let covered: Vec<Waiting> = self.waiting.drain(..self.covered).collect();
        self.covered = 0;
        let mut newest = None;
        for waiting in covered {
            newest = waiting.number.or(newest);
            self.apply(stage, waiting);
        }
        newest
    }

    /// The machine or the process dies: a part of what waits reached the disk, the next is torn.
    pub(crate) fn crash(&mut self, stage: &mut Stage) {
        let kept = stage.random.place(self.waiting.len() + 1);
        stage.tally.torn += u64::from(kept < self.waiting.len());
        let lost = self.waiting.split_off(kept);
        tell!(
            stage,
            "{} of {} writes are lost",
            lost.len(),
            lost.len() + kept
        );
        self.covered = 0;
        for waiting in std::mem::take(&mut self.waiting) {
            self.apply(stage, waiting);
        }
        if stage.mutant == Mutant::ForgetsFlushed {
            for items in self.runs.values_mut().flat_map(|run| &mut run.checkpoint) {
                *items /= 2;
            }
        }
    }

    fn apply(&mut self, stage: &mut Stage, waiting: Waiting) {
        self.content.apply(waiting.write);
        match waiting.shown {
            WriteView::Commit(entries, runs) => {
                for entry in entries {
                    if let Err(wrong) = self.books.add(&entry) {
                        stage.broken(format!("ledger entry {}: {wrong}", entry.sequence));
                    }
                }
                for (run, record) in runs {
                    self.record(stage, run, record);
                }
                self.judge_books(stage);
            }
            WriteView::Frame(run, node, sequence) => {
                self.item(stage, run, Item::Frame(node, sequence));
            }
            WriteView::Report(run, node, endpoint) => {
                self.item(stage, run, Item::Report(node, endpoint));
            }
            WriteView::Checkpoint(run) => {
                if let Some(known) = self.runs.get_mut(&run) {
                    known.checkpoint = Some(known.items.len());
                    stage.oracle.stories.entry(run).or_default().checkpointed = true;
                }
            }
            WriteView::Other(_) => {}
        }
    }

    fn record(&mut self, stage: &mut Stage, run: RunId, record: RunView) {
        let story = stage.oracle.stories.entry(run).or_default();
        let statuses = &record.statuses;
        let grows = statuses.starts_with(&story.statuses)
            && statuses.windows(2).all(|two| rank(two[0]) < rank(two[1]));
        let absorbed = !story.is_terminal() || statuses.len() == story.statuses.len();
        let settles = !story.settled && record.settled;
        let unsettles = story.settled && !record.settled;
        let ends = !story.is_terminal() && record.status.is_terminal();
        let before = std::mem::replace(&mut story.statuses, statuses.clone());
        story.reason.clone_from(&record.reason);
        story.settled = record.settled;
        if *statuses != before {
            tell!(
                stage,
                "{run} is {:?} {}: {}",
                record.status,
                record.reason,
                record.sentence
            );
        }
        if !grows || !absorbed || unsettles {
            let now = &record.statuses;
            stage.broken(format!("{run} went from {before:?} to {now:?}"));
        }
        stage.tally.held_after_end += u64::from(ends && !settles);
        match self.runs.get_mut(&run) {
            Some(known) => known.run = record,
            None => {
                let known = OnDisk {
                    run: record,
                    items: Vec::new(),
                    checkpoint: None,
                };
                self.runs.insert(run, known);
            }
        }
        if settles {
            stage.judge_end(run);
        }
    }

    fn item(&mut self, stage: &mut Stage, run: RunId, item: Item) {
        let Some(known) = self.runs.get_mut(&run) else {
            return stage.broken(format!("{run} has items before it has a record"));
        };
        let story = stage.oracle.stories.entry(run).or_default();
        let stored = story.stored.entry(item.node().clone()).or_default();
        let before = *stored;
        if !item.count(stored) {
            stage.broken(format!("{item:?} of {run} is stored after {before:?}"));
        }
        known.items.push(item);
    }

    /// I1 to I4 and I8, added up anew.
    fn judge_books(&self, stage: &mut Stage) {
        let books = &self.books;
        let open = self.runs.values().filter(|known| known.is_open());
        let open: u64 = open.map(|known| known.run.reserved).sum();
        if books.reserved != open {
            stage.broken(format!(
                "{} are reserved, open runs hold {open}",
                books.reserved
            ));
        }
        for (run, known) in &self.runs {
            let (reserved, used) = (known.run.reserved, known.run.used);
            if used.is_some_and(|used| used > reserved) {
                stage.broken(format!("{run} used {used:?} of {reserved}"));
            }
        }
    }

    /// A coordinator is about to start. Items behind the checkpoint of a run that it takes over come
    /// again; what nodes let go of must be before it.
    pub(crate) fn look(&mut self, stage: &mut Stage) {
        for (run, known) in &mut self.runs {
            let lives = matches!(known.run.status, RunStatus::Running | RunStatus::Stopping);
            let Some(items) = known.checkpoint.filter(|_| lives) else {
                continue;
            };
            known.items.truncate(items);
            let story = stage.oracle.stories.entry(*run).or_default();
            story.adopted = true;
            for stored in story.stored.values_mut() {
                *stored = Stored::default();
            }
            for item in &known.items {
                item.count(story.stored.entry(item.node().clone()).or_default());
            }
        }
        stage.judge_promises();
    }

    /// Runs that are accepted and not settled.
    pub(crate) fn open(&self) -> impl Iterator<Item = RunId> {
        let open = self.runs.iter().filter(|(_, known)| known.is_open());
        open.map(|(run, _)| *run)
    }
}

impl OnDisk {
    fn is_open(&self) -> bool {
        self.run.accepted && !self.run.settled
    }
}

impl Item {
    fn node(&self) -> &NodeId {
        match self {
            Self::Frame(node, _) | Self::Report(node, _) => node,
        }
    }

    fn count(&self, stored: &mut Stored) -> bool {
        match self {
            Self::Frame(_, sequence) => stored.frame(*sequence),
            Self::Report(_, endpoint) => stored.report(*endpoint),
        }
    }
}

impl Books {
    fn balance(&self) -> Balance {
        Balance {
            available: Credits::new(self.available),
            reserved: Credits::new(self.reserved),
            spent: Credits::new(self.spent),
        }
    }

    fn add(&mut self, entry: &LedgerEntry) -> Result<(), &'static str> {
        let (amount, returned) = (entry.amount.endpoint_ms, entry.returned.endpoint_ms);
        match entry.kind {
            TransferKind::Grant => {
                self.granted += amount;
                self.available += amount;
            }
            TransferKind::Reserve => {
                let run = entry.run.ok_or("it names no run")?;
                if self.runs.insert(run, (amount, false)).is_some() {
                    return Err("the run is reserved twice");
                }
                let left = self.available.checked_sub(amount);
                self.available = left.ok_or("more than there is")?;
                self.reserved += amount;
            }
            TransferKind::Settle => {
                let run = entry.run.ok_or("it names no run")?;
                match self.runs.insert(run, (amount + returned, true)) {
                    Some((held, false)) if held == amount + returned => {}
                    Some((_, true)) => return Err("the run is settled twice"),
                    _ => return Err("not what was reserved"),
                }
                self.reserved -= amount + returned;
                self.spent += amount;
                self.available += returned;
            }
        }
        if self.available + self.reserved + self.spent != self.granted {
            return Err("the sum is not what was granted");
        }
        if entry.balance != self.balance() {
            return Err("its balance is not the sum");
        }
        Ok(())
    }
}

fn rank(status: RunStatus) -> u8 {
    match status {
        RunStatus::Pending => 0,
        RunStatus::Queued => 1,
        RunStatus::Running => 2,
        RunStatus::Stopping => 3,
        RunStatus::Completed | RunStatus::Failed | RunStatus::CannotRunForNow => 4,
    }
}
