//! What the runs of this node tell, and what becomes of them.

use shared::id::RunId;
use shared::wire::{Desired, EndCause, HeldState, Problem, Report, Upward};

use super::{
    DiskEvent, FORGOTTEN_MAX, HeldRun, NodeCore, Notice, Output, Place, RUNS_MAX, RunEvent,
};
use crate::core::desired::{RunCore, Step, StopKind};
use crate::core::outbox::PushError;

impl NodeCore {
    /// Something of a run. Of a run that is not held any more nothing is news.
    pub(super) fn run_event(&mut self, run: RunId, event: RunEvent) {
        match event {
            RunEvent::Prepared(problems) => self.prepared(run, problems),
            RunEvent::Item(report) => self.item(run, report),
            RunEvent::Over => self.with_run(run, RunCore::over),
        }
    }

    /// Holds a new run, if this node takes any; else says why not.
    pub(super) fn begin(&mut self, desired: Box<Desired>, message: Place) {
        let (run, run_epoch) = (desired.run, desired.epoch);
        let problem = if !self.takes_runs() {
            Some(("node_draining", "takes no new runs: it is being drained"))
        } else if self.runs.len() >= RUNS_MAX {
            Some(("node_full", "holds as many runs as it can"))
        } else {
            None
        };
        if let Some((code, sentence)) = problem {
            let sentence = format!("node {} {sentence}", self.status.node);
            self.answer(run, run_epoch, vec![Problem::new(code, sentence)]);
            return;
        }
        let order = (message.0, desired.sequence);
        let held = HeldRun {
            core: RunCore::preparing(run_epoch, order, message),
            tells: 0,
            abandoned: false,
        };
        self.runs.insert(run, held);
        self.outbox.open(run, run_epoch);
        self.put(Output::Prepare(desired));
        self.renew_soon();
    }

    /// Says again that a run is ready, if it is: the answer is not numbered and may be lost.
    pub(super) fn answer_again(&mut self, run: RunId) {
        if let Some(held) = self.runs.get(&run)
            && held.core.state() == HeldState::Prepared
        {
            let run_epoch = held.core.run_epoch();
            self.answer(run, run_epoch, Vec::new());
        }
    }

    fn prepared(&mut self, run: RunId, problems: Vec<Problem>) {
        let Some(held) = self.runs.get(&run) else {
            return;
        };
        let run_epoch = held.core.run_epoch();
        let awaited = held.core.state() == HeldState::Preparing;
        match (problems.is_empty(), awaited) {
            (true, true) => {
                self.answer(run, run_epoch, problems);
                self.with_run(run, RunCore::prepared);
            }
            (false, true) => {
                self.answer(run, run_epoch, problems);
                // Not remembered: a lost answer is asked for again by another preparation.
                self.let_go(run);
            }
            (true, false) => {}
            // A stop came meanwhile: there is nothing that it had to end.
            (false, false) => self.with_run(run, RunCore::over),
        }
    }

    fn answer(&mut self, run: RunId, run_epoch: u64, problems: Vec<Problem>) {
        self.send(Upward::Prepared {
            run,
            run_epoch,
            problems,
        });
    }

    fn item(&mut self, run: RunId, report: Report) {
        match self.outbox.push(run, report) {
            Ok(_) | Err(PushError::Full | PushError::UnknownRun) => {}
            Err(error @ PushError::TooLarge) => {
                self.put(Output::Notice(Notice::NotKept(run, error.to_string())));
            }
        }
    }

    /// Moves a run on and does what follows.
    pub(super) fn with_run(&mut self, run: RunId, act: impl FnOnce(&mut RunCore) -> Step) {
        let Some(held) = self.runs.get_mut(&run) else {
            return;
        };
        let before = held.core.state();
        let step = act(&mut held.core);
        if held.core.state() != before {
            self.renew_soon();
        }
        self.step(run, step);
    }

    pub(super) fn step(&mut self, run: RunId, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Start => match self.lease.generation() {
                Some(generation) => self.put(Output::Start { run, generation }),
                // Nothing is prepared without a lease, and losing it stops what is.
                None => self.with_run(run, |core| core.stop(EndCause::LeaseLost, StopKind::Fenced)),
            },
            Step::Stop(kind) => self.put(Output::Stop { run, kind }),
            Step::Ended(cause) => self.ended(run, cause),
        }
    }

    fn ended(&mut self, run: RunId, cause: EndCause) {
        if self.runs.get(&run).is_some_and(|held| held.abandoned) {
            self.forget(run);
            return;
        }
        let node = self.status.node.clone();
        self.item(run, Report::Ended { run, node, cause });
    }

    /// The coordinator does not know this run, or knows it as over: it ends, and nobody wants more.
    pub(super) fn abandon(&mut self, run: RunId) {
        let Some(held) = self.runs.get_mut(&run) else {
            return;
        };
        if held.core.is_ended() {
            self.forget(run);
            return;
        }
        if held.abandoned {
            return;
        }
        held.abandoned = true;
        self.outbox.forget(run);
        self.put(Output::Notice(Notice::Abandoned(run)));
        self.with_run(run, |core| core.stop(EndCause::Ordered, StopKind::Whole));
    }

    fn forget(&mut self, run: RunId) {
        if self.forgotten.len() >= FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(run);
        self.let_go(run);
    }

    fn let_go(&mut self, run: RunId) {
        self.runs.remove(&run);
        self.outbox.forget(run);
        self.put(Output::Forget(run));
        self.renew_soon();
    }

    /// The outbox has no room: the run must end. What there is of it stays.
    pub(super) fn no_room(&mut self, run: RunId, reason: String) {
        self.put(Output::Notice(Notice::NoRoom(run, reason)));
        self.with_run(run, |core| core.stop(EndCause::NoRoom, StopKind::Whole));
    }

    /// The lease ran out: whatever lives is ended, and stays so.
    pub(super) fn lease_lost(&mut self) {
        self.put(Output::Notice(Notice::LeaseLost));
        self.stop_all(EndCause::LeaseLost, StopKind::Fenced);
        self.renew_soon();
    }

    pub(super) fn disk(&mut self, event: DiskEvent) {
        match event {
            DiskEvent::SpillFailed { run, octets, error } => {
                self.outbox.spill_failed(run, octets, &error);
            }
            DiskEvent::Loaded { run, items } => self.outbox.loaded(run, &items),
            DiskEvent::LoadFailed { run, error } => self.outbox.load_failed(run, &error),
        }
    }
}
