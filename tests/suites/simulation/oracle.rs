//! What an all-knowing watcher remembers, to judge what each party does by what it cannot know itself.

use std::collections::BTreeMap;

use shared::id::{NodeId, RunId};
use shared::phase::RunStatus;
use shared::wire::{Item, LifeId, Report};

use super::mutant::Mutant;
use super::stage::{Stage, tell};

/// Everything that is known of every run.
#[derive(Default)]
pub(crate) struct Oracle {
    /// By run.
    pub(crate) stories: BTreeMap<RunId, Story>,
}

/// One run.
#[derive(Default)]
pub(crate) struct Story {
    /// The statuses on the disk, oldest first.
    pub(crate) statuses: Vec<RunStatus>,
    /// Its newest reason on the disk.
    pub(crate) reason: String,
    /// On the disk: nothing of it is held any more.
    pub(crate) settled: bool,
    /// A checkpoint of it is on the disk: a later coordinator can take it over.
    pub(crate) checkpointed: bool,
    /// A coordinator took it over from an earlier one.
    pub(crate) adopted: bool,
    /// What each node put out, by name and life.
    pub(crate) emitted: BTreeMap<(NodeId, LifeId), Emitted>,
    /// What is on the disk of each node, by name.
    pub(crate) stored: BTreeMap<NodeId, Stored>,
}

impl Story {
    /// The status on the disk; none before any.
    pub(crate) fn status(&self) -> Option<RunStatus> {
        self.statuses.last().copied()
    }

    /// On the disk: it is over.
    pub(crate) fn is_terminal(&self) -> bool {
        self.status().is_some_and(RunStatus::is_terminal)
    }
}

/// The items of one life of a node, as they first left it.
#[derive(Default)]
pub(crate) struct Emitted {
    /// After each item: frames and reports up to it.
    upto: Vec<Stored>,
    /// Its last word left.
    pub(crate) ended: bool,
    /// The node was told that items below this number are stored.
    promised: u64,
}

/// Frames and endpoints' reports of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Frames 0.. without a hole.
    pub(crate) frames: u64,
    /// A bit for each endpoint that has reported.
    pub(crate) reports: u64,
}

impl Stored {
    /// What came is the next frame, or a report that was not there. False: it is neither.
    pub(crate) fn take(&mut self, report: &Report) -> bool {
        match report {
            Report::Frame(frame) => self.frame(frame.sequence),
            Report::Endpoint(report) => self.report(report.endpoint.0),
            _ => true,
        }
    }

    pub(crate) fn frame(&mut self, sequence: u64) -> bool {
        let is_next = sequence == self.frames;
        self.frames += u64::from(is_next);
        is_next
    }

    pub(crate) fn report(&mut self, endpoint: u32) -> bool {
        let bit = 1 << endpoint;
        let is_new = self.reports & bit == 0;
        self.reports |= bit;
        is_new
    }

    fn covers(&self, other: &Self) -> bool {
        self.frames >= other.frames && self.reports & other.reports == other.reports
    }
}

impl Emitted {
    /// All of it.
    pub(crate) fn all(&self) -> Stored {
        self.upto.last().copied().unwrap_or_default()
    }

    /// Items below this number.
    pub(crate) fn below(&self, number: u64) -> Option<Stored> {
        let Some(last) = number.checked_sub(1) else {
            return Some(Stored::default());
        };
        self.upto.get(usize::try_from(last).ok()?).copied()
    }
}

impl Stage {
    /// A node publishes an item, for the first time or again.
    pub(crate) fn item_sent(&mut self, node: &NodeId, life: LifeId, item: &Item) {
        let story = self.oracle.stories.entry(item.run).or_default();
        let emitted = story.emitted.entry((node.clone(), life)).or_default();
        let next = emitted.upto.len() as u64;
        if item.sequence < next {
            return;
        }
        let mut upto = emitted.all();
        let fits = item.sequence == next && upto.take(&item.report) && !emitted.ended;
        emitted.ended |= matches!(item.report, Report::Ended { .. });
        emitted.upto.push(upto);
        if !fits && self.mutant != Mutant::DropsItem {
            let number = item.sequence;
            self.broken(format!(
                "{node} sends item {number} of {} before {next}",
                item.run
            ));
        }
    }

    /// A node lets everything of a run go.
    pub(crate) fn forgotten(&mut self, node: &NodeId, life: LifeId, run: RunId) {
        let Some(story) = self.oracle.stories.get(&run) else {
            return;
        };
        let ran = story.emitted.contains_key(&(node.clone(), life));
        let status = story.status();
        let lives = matches!(status, Some(RunStatus::Running | RunStatus::Stopping));
        // Without a checkpoint every later coordinator ends it as well.
        if ran && story.checkpointed && lives {
            self.broken(format!(
                "{node} forgets {run}, which is {status:?} and not over"
            ));
        }
    }

    /// The coordinator tells a node that items below `stored_to` are stored.
    pub(crate) fn acknowledged(&mut self, node: &NodeId, life: LifeId, run: RunId, stored_to: u64) {
        if stored_to == 0 {
            return;
        }
        let Some(story) = self.oracle.stories.get_mut(&run) else {
            return self.broken(format!(
                "items of {run} are acknowledged, which nobody knows"
            ));
        };
        let emitted = story.emitted.get_mut(&(node.clone(), life));
        let promised = emitted.and_then(|emitted| {
            emitted.promised = emitted.promised.max(stored_to);
            emitted.below(stored_to)
        });
        let stored = story.stored.get(node).copied().unwrap_or_default();
        match promised {
            None => {
                self.broken(format!("{node} is told that {stored_to} items of {run} are stored, and has not sent so many"));
            }
            Some(promised) if !stored.covers(&promised) => {
                self.broken(format!("{node} is told that {stored_to} items of {run} are stored ({promised:?}): they are not on the disk ({stored:?})"));
            }
            Some(_) => {}
        }
    }

    /// After a crash: what nodes were told to be stored is.
    pub(crate) fn judge_promises(&mut self) {
        let mut wrong = None;
        for (run, story) in &self.oracle.stories {
            for ((node, _), emitted) in &story.emitted {
                let promised = emitted.below(emitted.promised).unwrap_or_default();
                let stored = story.stored.get(node).copied().unwrap_or_default();
                if !stored.covers(&promised) {
                    wrong = Some(format!(
                        "{node} let go of {promised:?} of {run}, and after the crash they are not on the disk ({stored:?})"
                    ));
                }
            }
        }
        if let Some(wrong) = wrong {
            self.broken(wrong);
        }
    }

    /// A run's end and the settlement are on the disk, for good.
    pub(crate) fn judge_end(&mut self, run: RunId) {
        let Some(story) = self.oracle.stories.get(&run) else {
            return;
        };
        let (Some(status), reason) = (story.status(), story.reason.clone()) else {
            return;
        };
        let frames: u64 = story.stored.values().map(|stored| stored.frames).sum();
        let adopted = story.adopted;
        tell!(self, "{run} is over: {status:?} {reason}");
        let tally = &mut self.tally;
        let completed = status == RunStatus::Completed;
        tally.completed += u64::from(completed);
        tally.adopted += u64::from(adopted);
        tally.adopted_completed += u64::from(adopted && completed);
        tally.items += frames;
        match reason.as_str() {
            "ended" => {}
            "ended_without_lost" => tally.went_on += 1,
            "stopped" | "stopped_before_start" => tally.stopped += 1,
            "node_lost" => tally.node_lost += 1,
            "lease_lost" => tally.lease_lost += 1,
            "node_drained" => tally.drained += 1,
            "coordinator_restart" => tally.restarted += 1,
            _ if status == RunStatus::CannotRunForNow => tally.refused += 1,
            _ => tally.other_ends += 1,
        }
        if matches!(reason.as_str(), "frames_lost" | "reports_missing") {
            self.broken(format!(
                "{run} ends by {reason}: something was never stored"
            ));
        } else if completed && reason == "ended" {
            self.judge_whole(run);
        }
    }

    /// Every node of the run told everything: all of it is on the disk, once.
    fn judge_whole(&mut self, run: RunId) {
        let Some(story) = self.oracle.stories.get(&run) else {
            return;
        };
        let mut wrong = None;
        for ((node, _), emitted) in &story.emitted {
            let stored = story.stored.get(node).copied().unwrap_or_default();
            if stored != emitted.all() || !emitted.ended {
                let all = emitted.all();
                wrong = Some(format!(
                    "{run} is complete, and of {node} {stored:?} is stored, not {all:?}: something was never stored"
                ));
            }
        }
        if let Some(wrong) = wrong {
            self.broken(wrong);
        }
    }
}
