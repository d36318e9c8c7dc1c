//! What the cores put out, done in its order; and what follows once a status is on disk.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, Message, WeakAddr};
use shared::definition::Test;
use shared::id::{OrganizationId, ProjectId, RunId};
use shared::phase::RunStatus;
use shared::result::{StatusMove, Verdict};
use shared::wire::{Downward, Problem};

use super::commit::refusal;
use super::coordinator::{CoordinatorActor, Trouble, now};
use super::live_run::LiveRun;
use super::told::Told;
use crate::core::accounts::Picked;
use crate::core::limits::{Limits, Wanted, exceeded, limited};
use crate::core::record::RunRecord;
use crate::core::request::GroupPool;
use crate::core::run::{Input, Output, Record, Run, World};
use crate::failpoint::{self, failpoint};
use crate::live::Shown;
use crate::store::{Command, CommitError, Held};

/// Start slots may be free: look who is next.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Advance;

impl CoordinatorActor {
    /// Feeds one input to a run and performs everything it puts out.
    pub(super) fn drive(&mut self, run: RunId, input: Input, address: &WeakAddr<Self>) {
        let Some(core) = self.runs.get_mut(&run).and_then(|live| live.core.as_mut()) else {
            return;
        };
        let world = World { nodes: &self.nodes };
        core.handle(now(), input, &world);
        self.admit(run);
        self.perform(run, address);
    }

    /// Decides about a run that is PENDING and due: in one step with taking what it needs.
    pub(super) fn admit(&mut self, run: RunId) {
        let at = now();
        let Some(live) = self.runs.get(&run) else {
            return;
        };
        let Some(core) = live
            .core
            .as_ref()
            .filter(|core| core.is_due(at, &self.nodes))
        else {
            return;
        };
        let (picked, limits) = self.weigh(core.test(), live);
        let (organization, project) = (live.record.organization, live.record.project);
        let (wanted, pays) = (live.wanted(), live.limits.credits);
        let Some(core) = self.runs.get_mut(&run).and_then(|live| live.core.as_mut()) else {
            return;
        };
        let world = World { nodes: &self.nodes };
        let accounts = picked.groups.clone();
        core.handle(at, Input::Admit { limits, accounts }, &world);
        if core.status() == RunStatus::Queued {
            self.ledger
                .hold(at.unix_ms, (organization, project, run), wanted, pays);
            let end = at.unix_ms.saturating_add(wanted.duration.0);
            self.accounts.take(run, &picked, end);
            self.publish(organization);
        }
    }

    fn weigh(&self, test: &Test, live: &LiveRun) -> (Picked, Vec<Problem>) {
        let owner = (live.record.organization, live.record.project);
        let (picked, weighed) = self.weigh_for(owner, &live.limits, test, &live.pools);
        let mut problems = live.found.clone();
        problems.extend(weighed);
        (picked, problems)
    }

    /// The accounts that a run would get, and the limits that it would exceed.
    pub(super) fn weigh_for(
        &self,
        (organization, project): (OrganizationId, ProjectId),
        allowed: &Limits,
        test: &Test,
        pools: &[GroupPool],
    ) -> (Picked, Vec<Problem>) {
        let used = self.ledger.in_use(organization, project);
        let mut limits = exceeded(allowed, &used, Wanted::of(test));
        limits.extend(self.closed_to_new());
        let (picked, too_few) = self.accounts.pick(test, pools);
        limits.extend(too_few);
        (picked, limits)
    }

    /// Performs what a run put out, in its order, up to the next commit.
    pub(super) fn perform(&mut self, run: RunId, address: &WeakAddr<Self>) {
        loop {
            let Some(live) = self.runs.get_mut(&run) else {
                return;
            };
            for sent in live.take_outputs() {
                self.effect(run, sent);
            }
            let Some(live) = self.runs.get_mut(&run) else {
                return;
            };
            if live.backlog.is_committing() {
                break;
            }
            match live.backlog.next() {
                Some(Output::Move(step)) => self.step(run, &step, address),
                Some(Output::Release) => self.release(run, address),
                Some(output) => self.effect(run, output),
                None => {
                    self.checkpoint(run, address);
                    break;
                }
            }
        }
        self.look_after_slot(run, address);
    }

    /// Nothing of an ended run lives on any node any more.
    fn release(&mut self, run: RunId, address: &WeakAddr<Self>) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        // Its end was stored with it.
        if live.record.settled {
            return;
        }
        failpoint(failpoint::BEFORE_RELEASE);
        live.record.settle();
        self.store(run, address);
    }

    /// Has the storage write down how far a run is, where that is due. Everything that it put out is
    /// with the storage already, so the records come before it.
    fn checkpoint(&mut self, run: RunId, address: &WeakAddr<Self>) {
        let at = now();
        let live = self.runs.get_mut(&run);
        let live = live.filter(|live| !live.backlog.has_record());
        let core = live.and_then(|live| live.core.as_mut());
        let Some(core) = core.filter(|core| core.is_checkpoint_due(at)) else {
            return;
        };
        let taken = match core.checkpoint(at) {
            Ok(taken) => taken,
            Err(error) => {
                if let Some(actor) = address.upgrade() {
                    // Bounded: the run ends by it.
                    actor.do_send(Trouble::storage(run, error.to_string()));
                }
                return;
            }
        };
        let number = taken.number;
        let address = address.clone();
        let written = move || {
            if let Some(actor) = address.upgrade() {
                // Bounded: one for each checkpoint.
                actor.do_send(Trouble::checkpointed(run, number));
            }
        };
        self.push(Command::Checkpoint(run, taken.octets, Box::new(written)));
    }

    /// A run that is no longer QUEUED gives its start slot back.
    fn look_after_slot(&mut self, run: RunId, address: &WeakAddr<Self>) {
        let queued = self
            .runs
            .get(&run)
            .is_some_and(|live| live.status() == RunStatus::Queued);
        if !queued && self.queue.leave(run) {
            self.published.set_positions(self.queue.waiting());
            if let Some(actor) = address.upgrade() {
                actor.do_send(Advance);
            }
        }
    }

    /// A status was decided: its record goes to the disk.
    fn step(&mut self, run: RunId, step: &StatusMove, address: &WeakAddr<Self>) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        tracing::info!(%run, status = %step.status, reason = %step.reason, "{}", step.sentence);
        match step.status {
            RunStatus::Queued => {
                failpoint(failpoint::BEFORE_RESERVE);
                live.record.accepted = true;
                if live.limits.credits {
                    live.record.reserved_endpoint_ms = live.wanted().estimate();
                }
                if let Some(document) = &live.document {
                    live.record.frozen = super::start::digest(document);
                }
            }
            RunStatus::Running => {
                failpoint(failpoint::BEFORE_START);
                self.ledger
                    .began(step.at_unix_ms, live.record.organization, run);
                // A run that is stored as RUNNING can be taken over.
                self.checkpoint(run, address);
            }
            status if status.is_terminal() && live.record.accepted => {
                failpoint(failpoint::BEFORE_SETTLE);
            }
            _ => {}
        }
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        let is_released = live.core.as_ref().is_none_or(Run::is_released);
        live.moved(step, is_released);
        // PENDING is stored by the commit of what follows it, where that is decided already.
        let followed = live.backlog.has_move();
        if step.status != RunStatus::Pending || !followed {
            self.store(run, address);
        }
    }

    /// Anything but a status.
    fn effect(&mut self, run: RunId, output: Output) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        if let Some(shown) = &live.shown {
            enroll(shown, &output);
        }
        let command = match output {
            Output::Move(_) | Output::Release => return,
            Output::Store(Record::Summary(summary)) => {
                live.record.summed_up(&summary);
                if !live.record.accepted {
                    return;
                }
                Command::Record(run, Record::Summary(summary))
            }
            Output::Store(record) => {
                let told = live.test.as_ref().and_then(|test| {
                    let told = Told::of(&record, test)?;
                    Some((told, Arc::clone(test)))
                });
                self.push(Command::Record(run, record));
                let Some((told, test)) = told.filter(|_| self.outward.is_on()) else {
                    return;
                };
                let outward = self.outward.clone();
                Command::Then(Box::new(move || told.tell(&outward, run, &test)))
            }
            Output::Live(update) => {
                let Some(shown) = live.shown.as_ref().filter(|_| live.is_stored) else {
                    return;
                };
                let shown = Arc::clone(shown);
                let board = Arc::clone(&self.board);
                let outward = self.outward.clone();
                Command::Then(Box::new(move || {
                    let ended = update.status.is_terminal();
                    outward.status(&update);
                    shown.show(*update);
                    if ended {
                        board.retire(run);
                    }
                }))
            }
            Output::Send(node, life, body) => {
                self.send(&node, life, body);
                return;
            }
        };
        self.push(command);
    }

    pub(super) fn push(&self, command: Command) {
        if self.writer.push(command).is_err() {
            tracing::error!("the storage thread has ended");
        }
    }

    /// A run's record is on disk as it is in `record`.
    pub(super) fn stored(&mut self, record: &Arc<RunRecord>, address: &WeakAddr<Self>) {
        let run = record.id;
        let status = record.status();
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        live.backlog.commit_ended();
        live.is_stored = true;
        match status {
            RunStatus::Queued => {
                live.document = None;
                let test = live.core.as_ref().map(|core| core.test().clone());
                if let Some(test) = test {
                    if self.outward.is_on() {
                        live.test = Some(Arc::new(test.clone()));
                    }
                    let held = Held {
                        accounts: self.accounts.of(run),
                    };
                    self.push(Command::Create(run, Box::new(test), Box::new(held)));
                }
                // Who is answered finds its place.
                self.queue.enter(run);
                self.published.set_positions(self.queue.waiting());
                failpoint(failpoint::BEFORE_ACCEPT_ANSWER);
            }
            RunStatus::Running => failpoint(failpoint::AFTER_START),
            status if status.is_terminal() => {
                live.has_ended = true;
                if record.settled {
                    failpoint(failpoint::AFTER_SETTLE);
                    self.ledger.release(record.organization, run);
                    self.accounts.free(run);
                    self.publish(record.organization);
                }
            }
            _ => {}
        }
        let parked = match self.runs.get_mut(&run) {
            Some(live) => {
                live.answer(record);
                std::mem::take(&mut live.parked)
            }
            None => Vec::new(),
        };
        for change in parked {
            self.update(change, address);
        }
        if status == RunStatus::Queued {
            failpoint(failpoint::AFTER_ACCEPT_ANSWER);
            if let Some(actor) = address.upgrade() {
                actor.do_send(Advance);
            }
        }
        if self.runs.get(&run).is_some_and(|live| live.core.is_some()) {
            self.drive(run, Input::Committed(status), address);
        } else {
            self.perform(run, address);
        }
        if record.settled {
            self.ended(run, address);
        } else if status.is_terminal() {
            self.look_after_shutdown();
        }
    }

    /// A run's terminal record is on disk, all that came with it is done, and nothing of it is held.
    fn ended(&mut self, run: RunId, address: &WeakAddr<Self>) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        let untaken = live.core.take().map(|core| core.untaken());
        live.pools = Vec::new();
        live.test = None;
        let accepted = live.record.accepted;
        if live.shown.is_none() {
            self.runs.remove(&run);
        }
        self.keep_counts(untaken.unwrap_or_default());
        self.forget_the_ended();
        if accepted {
            self.audit(false, None, address);
        }
        self.look_after_shutdown();
    }

    /// Nothing of what `record` says is on disk.
    pub(super) fn not_stored(
        &mut self,
        record: &Arc<RunRecord>,
        error: &CommitError,
        address: &WeakAddr<Self>,
    ) {
        let run = record.id;
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        tracing::error!(%run, status = %record.status(), %error, "a status is not stored");
        live.backlog.commit_ended();
        match record.status() {
            // The stop goes on; the commit of the end has this move as well.
            RunStatus::Stopping => self.perform(run, address),
            RunStatus::Running => {
                self.drive(run, Input::StorageFailed(error.to_string()), address);
            }
            RunStatus::Queued => {
                self.ledger.release(record.organization, run);
                self.accounts.free(run);
                self.publish(record.organization);
                self.give_up(run, error, address);
            }
            RunStatus::Pending
            | RunStatus::Completed
            | RunStatus::Failed
            | RunStatus::CannotRunForNow => self.give_up(run, error, address),
        }
    }

    /// A run that was not accepted cannot be stored: it never was, or ends as refused.
    fn give_up(&mut self, run: RunId, error: &CommitError, address: &WeakAddr<Self>) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        live.refuse(&refusal(error));
        live.core = None;
        live.backlog.clear();
        let was_decided = live.record.status().is_terminal();
        if live.is_stored && !was_decided {
            let record = &mut live.record;
            record
                .history
                .retain(|step| step.status == RunStatus::Pending);
            record.accepted = false;
            record.reserved_endpoint_ms = 0;
            record.verdict = Some(Verdict::Failed);
            let step = StatusMove {
                status: RunStatus::CannotRunForNow,
                at_unix_ms: now().unix_ms,
                reason: "storage_full".to_owned(),
                sentence: error.to_string(),
            };
            live.moved(&step, true);
            self.store(run, address);
        } else {
            // Nobody was told of it, or the next start ends it.
            self.runs.remove(&run);
            self.board.remove(run);
        }
        self.look_after_slot(run, address);
        self.look_after_shutdown();
    }

    /// Why nothing new starts, whatever it is.
    pub(super) fn closed_to_new(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(broken) = &self.broken {
            problems.push(Problem::new(
                "ledger_inconsistent",
                format!("The books are not consistent, so nothing new is started until an operator has looked at the audit: {broken}"),
            ));
        }
        if !self.bus.is_connected() {
            problems.push(Problem::new(
                "bus_disconnected",
                "The coordinator has no connection to the NATS server, so no node can be told anything; check the server and the network, and start it again.".to_owned(),
            ));
        }
        let live = self.ledger.holders().count();
        if live >= LIVE_RUNS_MAX {
            problems.push(limited(
                "too_many_live_runs",
                "live_runs",
                (LIVE_RUNS_MAX as u64, live as u64, 1),
                None,
                format!("This coordinator carries at most {LIVE_RUNS_MAX} live runs; wait for one to end."),
            ));
        }
        problems
    }
}

impl Handler<Advance> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, _: Advance, context: &mut Context<Self>) {
        let address = context.address().downgrade();
        while let Some(run) = self.queue.grant() {
            self.published.set_positions(self.queue.waiting());
            self.drive(run, Input::Slot, &address);
        }
    }
}

/// Keeps the list of endpoints up with what the run takes in.
fn enroll(shown: &Shown, output: &Output) {
    // None: it has ended, and what comes late is not taken in either.
    let _ = shown.with_roster(|roster| match output {
        Output::Send(node, _, Downward::Prepare(desired)) => {
            roster.recast(&desired.test);
            roster.assign(node, &desired.shares);
        }
        Output::Store(Record::Frame(frame)) => roster.frame(frame),
        Output::Store(Record::Report(report)) => roster.report(report),
        Output::Store(Record::Trace(trace)) => roster.trace(trace.endpoint),
        Output::Send(..)
        | Output::Store(_)
        | Output::Move(_)
        | Output::Live(_)
        | Output::Release => {}
    });
}

/// Runs that have not ended, of all organizations.
const LIVE_RUNS_MAX: usize = 1_000;
