//! Nodes that an operator drains: they take no new runs, also after a restart of the coordinator.

use std::collections::BTreeSet;

use actix::{AsyncContext, Handler, Message, MessageResult};
use shared::api;
use shared::id::NodeId;
use tokio::sync::oneshot;

use super::commit::refusal;
use super::coordinator::{CoordinatorActor, now};
use crate::handle::RequestError;
use crate::store::{Commit, CommitError, Control, StoreError, keys};

/// Who drained or undrained a node hears how it stands; none where no such node is known.
type Answer = Result<Option<api::Node>, RequestError>;

/// Have a node take no new runs, or take them again.
#[derive(Message)]
#[rtype(result = "oneshot::Receiver<Answer>")]
pub(crate) struct Drain {
    /// Which.
    pub(crate) node: NodeId,
    /// False: take them again.
    pub(crate) drain: bool,
}

/// The list was stored, or not.
#[derive(Message)]
#[rtype(result = "()")]
struct Stored {
    change: Drain,
    answer: oneshot::Sender<Answer>,
    result: Result<(), CommitError>,
}

/// The drained nodes as they are stored.
pub(super) fn stored(control: &Control) -> Result<BTreeSet<NodeId>, StoreError> {
    let found = control.get(&keys::setting(DRAINED))?;
    Ok(found.map_or_else(BTreeSet::new, |(drained, _)| drained))
}

impl Handler<Drain> for CoordinatorActor {
    type Result = MessageResult<Drain>;

    fn handle(&mut self, change: Drain, context: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        // Only those that were seen: the list is as long as the table of nodes.
        let changed = match change.drain {
            true => self.node(&change.node).is_some() && self.drained.insert(change.node.clone()),
            false => self.drained.remove(&change.node),
        };
        if !changed {
            // Who asked may have given up.
            let _ = answer.send(Ok(self.node(&change.node)));
            return MessageResult(answered);
        }
        let commit = Commit::new().put(keys::setting(DRAINED), &self.drained);
        let address = context.address().downgrade();
        self.control.commit(commit, move |result| {
            if let Some(actor) = address.upgrade() {
                // Bounded: one for each commit.
                actor.do_send(Stored {
                    change,
                    answer,
                    result,
                });
            }
        });
        MessageResult(answered)
    }
}

impl Handler<Stored> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, stored: Stored, _: &mut Self::Context) {
        let Drain { node, drain } = stored.change;
        let answer = match stored.result {
            Ok(()) => {
                self.nodes.drain(&node, drain);
                tracing::info!(%node, drain, "an operator changed whether the node takes new runs");
                Ok(self.node(&node))
            }
            Err(error) => {
                match drain {
                    true => self.drained.remove(&node),
                    false => self.drained.insert(node),
                };
                Err(refusal(&error))
            }
        };
        // Who asked may have given up.
        let _ = stored.answer.send(answer);
    }
}

impl CoordinatorActor {
    /// A node as the API shows it.
    pub(super) fn node(&self, name: &NodeId) -> Option<api::Node> {
        self.nodes.one(now(), name)
    }
}

const DRAINED: &str = "drained-nodes";
