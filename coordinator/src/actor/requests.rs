//! What a `Handle` asks of the actor about runs, credits and nodes that are there already.

use actix::{AsyncContext, Handler, Message, MessageResult};
use shared::api::{self, LedgerEntry};
use shared::id::{OrganizationId, RunId};
use shared::phase::RunStatus;
use tokio::sync::oneshot;

use super::commit::Movement;
use super::coordinator::{CoordinatorActor, now};
use super::live_run::LiveRun;
use crate::core::ledger::Transfer;
use crate::core::run::{Input, StopCause};
use crate::handle::RequestError;
use crate::store::Command;

/// Ask a run to stop.
#[derive(Message)]
#[rtype(result = "bool")]
pub(crate) struct Stop {
    /// Which.
    pub(crate) run: RunId,
    /// Who asks.
    pub(crate) cause: StopCause,
}

/// Wait until everything decided so far is stored.
#[derive(Message)]
#[rtype(result = "oneshot::Receiver<()>")]
pub(crate) struct Finished;

/// Add credits.
#[derive(Message)]
#[rtype(result = "oneshot::Receiver<Result<LedgerEntry, RequestError>>")]
pub(crate) struct GrantCredits {
    /// To whom.
    pub(crate) organization: OrganizationId,
    /// Endpoint-milliseconds.
    pub(crate) amount: u64,
    /// For people.
    pub(crate) note: String,
    /// 32 hexadecimal digits; no stored entry has it.
    pub(crate) id: String,
}

/// Every node.
#[derive(Message)]
#[rtype(result = "Vec<api::Node>")]
pub(crate) struct ListNodes;

/// Start nothing more, and stop everything that does not live on without this process.
#[derive(Message)]
#[rtype(result = "oneshot::Receiver<()>")]
pub(crate) struct Shutdown;

impl Handler<Stop> for CoordinatorActor {
    type Result = bool;

    fn handle(&mut self, stop: Stop, context: &mut Self::Context) -> Self::Result {
        let known =
            self.runs.contains_key(&stop.run) || self.control.runs().find(stop.run).is_some();
        let address = context.address().downgrade();
        self.drive(stop.run, Input::Stop(stop.cause), &address);
        known
    }
}

impl Handler<Finished> for CoordinatorActor {
    type Result = MessageResult<Finished>;

    fn handle(&mut self, _: Finished, _: &mut Self::Context) -> Self::Result {
        let (done, waiting) = oneshot::channel();
        self.push(Command::Then(Box::new(move || {
            // Whoever waited may have given up.
            let _ = done.send(());
        })));
        MessageResult(waiting)
    }
}

impl Handler<GrantCredits> for CoordinatorActor {
    type Result = MessageResult<GrantCredits>;

    fn handle(&mut self, grant: GrantCredits, context: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        if !self.granting.insert(grant.id.clone()) {
            let _ = answer.send(Err(RequestError::Storage(
                "the same grant is under way; ask again in a moment".to_owned(),
            )));
            return MessageResult(answered);
        }
        let movement = Movement {
            transfer: Transfer::Grant {
                id: grant.id,
                amount: grant.amount,
                note: grant.note,
            },
            record: None,
            document: None,
            answer: Some(answer),
        };
        let address = context.address().downgrade();
        self.transfer(grant.organization, movement, &address);
        MessageResult(answered)
    }
}

impl Handler<ListNodes> for CoordinatorActor {
    type Result = MessageResult<ListNodes>;

    fn handle(&mut self, _: ListNodes, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.nodes.list(now()))
    }
}

impl Handler<Shutdown> for CoordinatorActor {
    type Result = MessageResult<Shutdown>;

    fn handle(&mut self, _: Shutdown, context: &mut Self::Context) -> Self::Result {
        let (done, waiting) = oneshot::channel();
        self.closing.get_or_insert_default().push(done);
        let address = context.address().downgrade();
        for run in self.driven() {
            if self.outlives(run) {
                continue;
            }
            self.drive(run, Input::Stop(StopCause::Shutdown), &address);
        }
        self.look_after_shutdown();
        MessageResult(waiting)
    }
}

impl CoordinatorActor {
    /// True for a run that goes on without this process: all its nodes are other ones, which keep what
    /// they measure until the next coordinator takes it over.
    fn outlives(&self, run: RunId) -> bool {
        let live = self.runs.get(&run);
        let Some(core) = live.and_then(|live| live.core.as_ref()) else {
            return false;
        };
        let is_stored = live.is_some_and(|live| live.record.status() == core.status());
        let goes_on = matches!(core.status(), RunStatus::Running | RunStatus::Stopping);
        let mine = |(node, _)| Some(node) == self.embedded.as_ref();
        is_stored && goes_on && !core.shares().any(mine)
    }

    /// Tells who waits for the shutdown once the end of every run that ends with it is on disk.
    pub(super) fn look_after_shutdown(&mut self) {
        let done = |(run, live): (&RunId, &LiveRun)| live.has_ended || self.outlives(*run);
        if self.runs.iter().all(done)
            && let Some(waiting) = &mut self.closing
        {
            for done in waiting.drain(..) {
                let _ = done.send(());
            }
        }
    }
}
