//! What a coordinator says, and whether it is obeyed.

use std::collections::BTreeSet;

use shared::id::RunId;
use shared::wire::{Desired, Downward, Head, Lease, LeaseVerdict, Message, Order, TELLS_MAX, Tell};

use super::{NodeCore, Notice, Output};
use crate::core::desired::{Ordered, Place, Step};
use crate::core::fence::Stands;

impl NodeCore {
    /// Obeys a message, or counts why not.
    pub(super) fn message(&mut self, message: Message<Downward>) {
        let Message { head, body } = message;
        if !self.obeys(&head, &body) {
            return;
        }
        match body {
            Downward::Lease(lease) => self.lease_answer(&head, &lease),
            Downward::Prepare(desired) => self.prepare(&head, desired),
            Downward::Order(order) => {
                if self.order(&head, &order) == Heard::Before {
                    self.refused.repeated += 1;
                }
            }
            Downward::Tells {
                run,
                run_epoch,
                first,
                tells,
            } => self.tells(run, run_epoch, first, tells),
        }
    }

    /// For this life, not too late, from the coordinator that is followed or a newer start of it.
    fn obeys(&mut self, head: &Head, body: &Downward) -> bool {
        if head.life != self.life {
            self.refused.other_life += 1;
            return false;
        }
        if head.expires_boot_us < self.now.boot_us {
            self.refused.expired += 1;
            return false;
        }
        match self.fence.judge(head) {
            Stands::Same => true,
            Stands::Newer => {
                self.follow(head);
                true
            }
            Stands::Older => {
                self.refused.outdated += 1;
                let (epoch, fence) = (head.epoch, self.fence);
                self.put(Output::Notice(Notice::Outdated { epoch, fence }));
                false
            }
            Stands::Foreign if self.owes_nobody() && is_lease(body, is_granted) => {
                self.follow(head);
                true
            }
            // Heard, so that people learn why the node does not join; not followed.
            Stands::Foreign if self.owes_nobody() && is_lease(body, is_refused) => true,
            Stands::Foreign => {
                self.refused.outdated += 1;
                self.put(Output::Notice(Notice::Foreign(self.fence)));
                false
            }
        }
    }

    /// Another cluster is joined only by its lease, and only by a node that owes the former nothing.
    fn owes_nobody(&self) -> bool {
        self.runs.is_empty() && self.lease.generation().is_none()
    }

    fn follow(&mut self, head: &Head) {
        self.fence.follow(head);
        self.put(Output::Fence(self.fence));
        // What the former one had not stored yet the new one never saw.
        self.outbox.reconnected();
        self.clock.clear();
    }

    fn lease_answer(&mut self, head: &Head, lease: &Lease) {
        let renewal = lease.renewal_boot_us;
        if !self.lease.is_news(renewal) {
            return;
        }
        self.lease.answered(renewal);
        self.clock.answer(self.now, lease);
        match &lease.verdict {
            LeaseVerdict::Granted => self.granted(head, lease),
            LeaseVerdict::Displaced => {
                self.put(Output::Notice(Notice::Displaced));
                self.displaced();
            }
            LeaseVerdict::Refused(why) => {
                self.put(Output::Notice(Notice::Refused(why.clone())));
            }
        }
    }

    fn granted(&mut self, head: &Head, lease: &Lease) {
        let now_us = self.now.boot_us;
        if self.lease.granted(lease.renewal_boot_us, now_us) {
            self.put(Output::Notice(Notice::Joined(self.fence)));
        }
        if self.drained_above != lease.drain {
            self.drained_above = lease.drain;
            self.put(Output::Notice(Notice::Drain(lease.drain)));
            self.renew_soon();
        }
        for order in &lease.orders {
            let _repeats_are_usual = self.order(head, order);
        }
        let wanted: BTreeSet<RunId> = lease.orders.iter().map(|order| order.run).collect();
        let place = Self::place(head);
        let unwanted: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(run, held)| !wanted.contains(run) && held.core.is_known_at(place))
            .map(|(run, _)| *run)
            .collect();
        for run in unwanted {
            self.abandon(run);
        }
    }

    fn prepare(&mut self, head: &Head, desired: Box<Desired>) {
        let run = desired.run;
        if let Some(held) = self.runs.get(&run) {
            if held.core.run_epoch() == desired.epoch {
                self.refused.repeated += 1;
                self.answer_again(run);
            } else {
                self.refused.outdated += 1;
            }
        } else if self.forgotten.contains(&run) {
            self.refused.outdated += 1;
        } else if self.lease.generation().is_none() {
            // It comes again with the lease.
            self.refused.expired += 1;
        } else {
            let place: Place = Self::place(head);
            self.begin(desired, place);
        }
    }

    /// Obeys an order where it is new.
    fn order(&mut self, head: &Head, order: &Order) -> Heard {
        let Some(held) = self.runs.get_mut(&order.run) else {
            return Heard::NotOurs;
        };
        if held.abandoned {
            return Heard::NotOurs;
        }
        let before = held.core.state();
        let ordered = held.core.order(head.epoch, order);
        let changed = held.core.state() != before;
        let ours = order.run_epoch == held.core.run_epoch();
        let waiting = self.outbox.waiting(order.run);
        if ours {
            let now = self.instant(self.now.boot_us);
            self.outbox.acknowledged(now, order.run, order.stored_to);
        }
        let stored = self.outbox.waiting(order.run) < waiting;
        if changed {
            self.renew_soon();
        }
        match ordered {
            Ordered::Outdated => {
                self.refused.outdated += 1;
                Heard::NotOurs
            }
            Ordered::Repeated if stored => Heard::New,
            Ordered::Repeated => Heard::Before,
            Ordered::New(step) => {
                if step != Step::Nothing {
                    self.step(order.run, step);
                }
                Heard::New
            }
        }
    }

    fn tells(&mut self, run: RunId, run_epoch: u64, first: u64, tells: Vec<Tell>) {
        if tells.len() > TELLS_MAX {
            self.refused.unreadable += 1;
            return;
        }
        let Some(held) = self.runs.get_mut(&run) else {
            return;
        };
        let listens = held.core.run_epoch() == run_epoch && held.core.listens();
        // A hole: what is missing comes again, in order, after the next renewal.
        let (true, Some(known)) = (listens, held.tells.checked_sub(first)) else {
            return;
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let news = tells.get(known..).unwrap_or_default().to_vec();
        if news.is_empty() {
            self.refused.repeated += 1;
            return;
        }
        held.tells += news.len() as u64;
        self.put(Output::Tell { run, tells: news });
    }
}

fn is_lease(body: &Downward, verdict: impl Fn(&LeaseVerdict) -> bool) -> bool {
    matches!(body, Downward::Lease(lease) if verdict(&lease.verdict))
}

fn is_granted(verdict: &LeaseVerdict) -> bool {
    *verdict == LeaseVerdict::Granted
}

fn is_refused(verdict: &LeaseVerdict) -> bool {
    matches!(verdict, LeaseVerdict::Refused(_))
}

/// What an order was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Obeyed.
    New,
    /// Obeyed before.
    Before,
    /// For a run that is not here, or outdated.
    NotOurs,
}
