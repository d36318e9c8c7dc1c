//! What nodes measured: taken in each node's own order, each once.

use shared::id::NodeId;
use shared::phase::RunStatus;
use shared::wire::{EndCause, Item, LifeId, Report};

use super::ending::Loss;
use super::{Record, Run};
use crate::core::Now;

impl Run {
    /// Takes the next item of a node. A repeated one changes nothing; one before which another is
    /// missing is not taken: the node sends both again.
    pub(super) fn item(&mut self, now: Now, (node, life): (&NodeId, LifeId), item: Item) {
        let run = self.frozen.id;
        let ours = item.run == run && item.run_epoch == self.frozen.epoch;
        let honest = names_itself(&item.report, node, run);
        let index = self
            .members
            .iter()
            .position(|member| member.node == *node && member.life == life);
        let live = matches!(self.status(), RunStatus::Running | RunStatus::Stopping);
        let (Some(index), true) = (index, ours && honest && live) else {
            self.untaken.foreign += 1;
            return;
        };
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        if member.is_over() {
            self.untaken.late += 1;
            return;
        }
        if item.sequence < member.next_item {
            self.untaken.repeated += 1;
            return;
        }
        if item.sequence > member.next_item {
            self.untaken.early += 1;
            return;
        }
        member.next_item += 1;
        self.pending.changed = true;
        self.report(now, index, item.report);
    }

    fn report(&mut self, now: Now, index: usize, report: Report) {
        match report {
            // They do not come as items.
            Report::Status(_) | Report::Prepared { .. } => self.untaken.foreign += 1,
            Report::Tells(tells) => self.relay(index, tells),
            Report::Frame(frame) => {
                if self.aggregate.frame(&frame) {
                    self.store(Record::Frame(frame));
                    self.close_seconds(now);
                }
            }
            Report::Endpoint(report) => {
                if self.aggregate.report(&report) {
                    self.endings.add(now, &self.frozen.test, &report);
                    self.store(Record::Report(report));
                }
            }
            Report::Trace(trace) => self.store(Record::Trace(trace)),
            Report::Ended { cause, .. } => self.node_ended(now, index, cause),
        }
    }

    fn node_ended(&mut self, now: Now, index: usize, cause: EndCause) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        member.ended = Some(cause);
        member.holds = false;
        let node = member.node.clone();
        match cause {
            EndCause::LeaseLost => self.lose(now, index, Loss::LeaseLost),
            EndCause::NoRoom => self.lose(now, index, Loss::NoRoom),
            EndCause::Drained if self.status() == RunStatus::Running => {
                self.lose(now, index, Loss::Drained);
            }
            EndCause::Finished | EndCause::Ordered | EndCause::Drained => {}
        }
        if self.status().is_terminal() {
            return;
        }
        self.aggregate.ended(&node);
        self.close_seconds(now);
        self.look_after_end(now);
    }

    pub(super) fn close_seconds(&mut self, now: Now) {
        let mut closed = false;
        while let Some((second, parts)) = self.aggregate.poll_second() {
            self.live.parts = parts
                .iter()
                .map(crate::core::part::Sketches::live)
                .collect();
            self.live.generator = second.generator();
            for (group, second) in self.aggregate.group_seconds(second.second, &parts) {
                self.store(Record::GroupSecond(group, Box::new(second)));
            }
            self.store(Record::Second(Box::new(second)));
            closed = true;
        }
        if closed {
            self.show(now);
        }
    }
}

/// True where what a report says of its run and its sender is what the subject says.
fn names_itself(report: &Report, sender: &NodeId, run: shared::id::RunId) -> bool {
    match report {
        Report::Status(status) => status.node == *sender,
        Report::Prepared { run: of, node, .. } | Report::Ended { run: of, node, .. } => {
            *of == run && node == sender
        }
        Report::Frame(frame) => frame.run == run && frame.node == *sender,
        Report::Endpoint(report) => report.run == run && report.node == *sender,
        Report::Trace(trace) => trace.run == run,
        Report::Tells(_) => true,
    }
}
