//! What a run wants of its nodes, and what they say of it when they renew.

use shared::id::NodeId;
use shared::phase::RunStatus;
use shared::wire::{
    Desired, DesiredState, Downward, EndCause, Held, HeldState, LifeId, Order, Problem, RENEW_EVERY,
};

use super::{Output, Run, World, member};
use crate::core::Now;

impl Run {
    /// What it wants of a life of a node, for the lease; none: the node is to forget it.
    pub(crate) fn order(&self, node: &NodeId, life: LifeId) -> Option<Order> {
        let member = self.member(node, life)?;
        let wanted = match self.over {
            // Until its end is on disk a later coordinator may want its items.
            Some(over) => !over.is_stored || (!over.is_released && member.holds),
            None => true,
        };
        let told = member.told.is_some() || self.adopted_under.is_some();
        (wanted && told).then(|| {
            member
                .order
                .order(self.frozen.id, self.frozen.epoch, member.stored_to)
        })
    }

    pub(super) fn member(&self, node: &NodeId, life: LifeId) -> Option<&member::Member> {
        self.members
            .iter()
            .find(|member| member.node == *node && member.life == life)
    }

    /// Wants something else of every node that is not over.
    pub(super) fn command(&mut self, state: DesiredState) {
        for index in 0..self.members.len() {
            self.command_one(index, state);
        }
    }

    /// Wants something else of one node, where it knows of the run and is not over.
    pub(super) fn command_one(&mut self, index: usize, state: DesiredState) {
        let (run, epoch) = (self.frozen.id, self.frozen.epoch);
        if let Some(member) = self.members.get_mut(index) {
            let knows = member.told.is_some() || self.adopted_under.is_some();
            let goes_on = !member.lost || state == DesiredState::Stopped;
            if member.order.state == state || member.ended.is_some() || !knows || !goes_on {
                return;
            }
            member.order.state = state;
            member.order.sequence += 1;
            // From now on it may call.
            member.holds |= state == DesiredState::Running;
            let order = member.order.order(run, epoch, member.stored_to);
            self.outputs.push_back(Output::Send(
                member.node.clone(),
                member.life,
                Downward::Order(order),
            ));
        }
    }

    /// Tells a node to prepare: at first, and where its renewal does not show the run.
    pub(super) fn tell_to_prepare(&mut self, now: Now, index: usize) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        member.told = Some(now.instant);
        let order = &mut member.order;
        order.sequence = order.sequence.max(1);
        self.outputs.push_back(Output::Send(
            member.node.clone(),
            member.life,
            Downward::Prepare(Box::new(Desired {
                run: self.frozen.id,
                epoch: self.frozen.epoch,
                sequence: order.sequence,
                state: DesiredState::Prepared,
                test: self.frozen.test.clone(),
                shares: member.shares.clone(),
                sealed: Vec::new(),
                media: Vec::new(),
            })),
        ));
    }

    /// A node renewed: what it shows of the run, and what it has not heard yet.
    pub(super) fn renewed(
        &mut self,
        now: Now,
        (node, life): (&NodeId, LifeId),
        epoch: u64,
        held: Option<&Held>,
        world: &World<'_>,
    ) {
        let index = self
            .members
            .iter()
            .position(|member| member.node == *node && member.life == life);
        let Some(index) = index else {
            // Another life of one of its nodes: what the former one carried is lost.
            if self.members.iter().any(|member| member.node == *node) {
                self.wake(now, world);
            }
            return;
        };
        let run_epoch = self.frozen.epoch;
        let held = held.filter(|held| held.run_epoch == run_epoch);
        let status = self.status();
        let obeys = self.adopted_under.is_none_or(|mine| mine == epoch);
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        member.shown = held.map(|held| held.state);
        member.absent = match held {
            Some(_) => 0,
            None => member.absent.saturating_add(1),
        };
        if let Some(held) = held {
            member.seen = true;
            member.tells.taken(held.tells, obeys);
        }
        match status {
            RunStatus::Queued => self.look_after_preparation(now, index, held),
            RunStatus::Running | RunStatus::Stopping => {
                self.send_tells(index, 0);
                self.look_after_nodes(now, world);
            }
            RunStatus::Completed | RunStatus::Failed | RunStatus::CannotRunForNow => {
                if member.lets_go(held) {
                    member.holds = false;
                }
                self.look_after_release(now, world);
            }
            RunStatus::Pending => {}
        }
    }

    fn look_after_preparation(&mut self, now: Now, index: usize, held: Option<&Held>) {
        let Some(member) = self.members.get(index) else {
            return;
        };
        let sender = (member.node.clone(), member.life);
        match held.map(|held| held.state) {
            Some(HeldState::Prepared) if !member.ready => {
                self.ready(now, (&sender.0, sender.1), self.frozen.epoch, Vec::new());
            }
            None if member.told.is_some_and(|told| {
                now.instant.saturating_duration_since(told) >= RENEW_EVERY / 2
            }) =>
            {
                self.tell_to_prepare(now, index);
            }
            Some(HeldState::Ended(cause)) => {
                let (code, why) = match cause {
                    EndCause::Drained => ("node_drained", "is being shut down"),
                    EndCause::LeaseLost => ("node_lost", "lost its lease"),
                    EndCause::NoRoom => ("node_lost", "had no room for measurements"),
                    EndCause::Finished | EndCause::Ordered => ("node_lost", "gave the run up"),
                };
                let sentence = format!(
                    "Node `{}` {why} while it got ready; start the test again.",
                    sender.0
                );
                self.cannot_run(now, vec![Problem::new(code, sentence)]);
            }
            _ => {}
        }
    }

    /// A status is on disk.
    pub(super) fn committed(&mut self, now: Now, status: RunStatus, world: &World<'_>) {
        if status == RunStatus::Running && self.status() == RunStatus::Running {
            self.command(DesiredState::Running);
        }
        if status.is_terminal() {
            if let Some(over) = &mut self.over {
                over.is_stored = true;
            }
            self.look_after_release(now, world);
        }
    }
}
