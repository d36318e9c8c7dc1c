//! The node as the coordinator sees it: leases, orders, numbered items, its way out.
//!
//! A sans-IO core that knows no actor: [`NodeCore::handle`] one input, drain [`NodeCore::poll`],
//! sleep until [`NodeCore::next_deadline`]. It owns the protocol of `shared::wire::cluster` on the
//! node's side; what a run does between its start and its end it only hears of.
//! Source: DESIGN 8 to 10; reliability §2.1.

mod downward;
mod io;
mod leaving;
mod runs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::id::RunId;
use shared::wire::{
    Head, Held, LifeId, Message, NodeCondition, NodeStatus, Refused, Renew, Upward,
};

pub use self::io::{DiskEvent, Exit, Input, Notice, Output, RunEvent};
use self::leaving::Leaving;
use super::clock::ClockCore;
use super::desired::{Place, RunCore};
use super::fence::Fence;
use super::lease::{LeaseCore, LeaseGuard};
use super::outbox::{self, Outboxes};

/// An instant on both clocks of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// `CLOCK_BOOTTIME` in microseconds: everything is timed by it.
    pub boot_us: u64,
    /// The wall clock in microseconds since 1970: only told, never timed by.
    pub unix_us: i64,
}

/// What a core is made with.
#[derive(Clone, Debug)]
pub struct NodeCoreConfig {
    /// This process life: random.
    pub life: LifeId,
    /// The newest coordinator that a former life obeyed.
    pub fence: Fence,
    /// How long a drain leaves calls alone.
    pub drain_wait: Duration,
    /// Bounds of the outboxes.
    pub outbox: outbox::Limits,
}

/// Runs that a node holds at once, ended ones that wait to be stored included.
pub const RUNS_MAX: usize = 256;
/// Runs that are remembered after they are forgotten: a message for one of them that is still on its
/// way (ten seconds at the most) must not revive it.
const FORGOTTEN_MAX: usize = 1_024;

/// A run as it is held here.
#[derive(Debug)]
struct HeldRun {
    core: RunCore,
    /// Tells taken in, without a hole.
    tells: u64,
    /// The coordinator does not know it: it ends, and nobody wants its items.
    abandoned: bool,
}

/// The node's side of the protocol.
#[derive(Debug)]
pub struct NodeCore {
    life: LifeId,
    drain_wait: Duration,
    status: NodeStatus,
    lease: LeaseCore,
    fence: Fence,
    clock: ClockCore,
    runs: BTreeMap<RunId, HeldRun>,
    forgotten: VecDeque<RunId>,
    outbox: Outboxes,
    /// The outboxes count in `Instant`s; this one stands for the boot clock's 0.
    origin: Instant,
    refused: Refused,
    /// An operator had the coordinator drain this node.
    drained_above: bool,
    leaving: Option<Leaving>,
    exited: bool,
    sent: u64,
    now: Moment,
    outputs: VecDeque<Output>,
}

impl NodeCore {
    /// A node without a lease. `guard` is asked by everything that sends; `origin` is any instant, it
    /// stands for the boot clock's 0. [`Self::describe`] must follow before the first input.
    #[must_use]
    pub fn new(config: NodeCoreConfig, guard: Arc<LeaseGuard>, origin: Instant) -> Self {
        Self {
            life: config.life,
            drain_wait: config.drain_wait,
            status: NodeStatus::default(),
            lease: LeaseCore::new(guard),
            fence: config.fence,
            clock: ClockCore::default(),
            runs: BTreeMap::new(),
            forgotten: VecDeque::new(),
            outbox: Outboxes::new(config.outbox),
            origin,
            refused: Refused::default(),
            drained_above: false,
            leaving: None,
            exited: false,
            sent: 0,
            now: Moment::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes the node's newest description of itself; it goes out with the next renewal. An error
    /// stands; whether it drains is the core's to say.
    pub fn describe(&mut self, status: NodeStatus) {
        self.status = status;
    }

    /// Takes one input; drain [`Self::poll`] before the next.
    pub fn handle(&mut self, now: Moment, input: Input) {
        self.now = now;
        if self.exited {
            return;
        }
        // Whatever came: a lease that ran out is noticed first, and nothing is done under it.
        if self.lease.is_lost(now.boot_us) {
            self.lease_lost();
        }
        let instant = self.instant(now.boot_us);
        self.outbox.timeout(instant);
        match input {
            Input::Tick => {}
            Input::Message(message) => self.message(*message),
            Input::Unreadable => self.refused.unreadable += 1,
            Input::Overflow(total) => self.refused.overflow = total,
            Input::Hello => self.lease.renew_soon(now.boot_us),
            Input::Connected => {
                self.outbox.reconnected();
                self.lease.renew_soon(now.boot_us);
            }
            Input::Drain => self.drain(),
            Input::Run(run, event) => self.run_event(run, event),
            Input::ItemRefused { run, sequence } => self.outbox.refused(instant, run, sequence),
            Input::Disk(event) => self.disk(event),
        }
        self.leave();
        if !self.exited && self.lease.renews(now.boot_us) {
            self.renew();
        }
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if self.exited {
                return None;
            }
            match self.outbox.poll(self.instant(self.now.boot_us))? {
                outbox::Output::Send(item) => self.send(Upward::Item(item)),
                outbox::Output::Full { run, reason } => self.no_room(run, reason),
                disk => return Some(Output::Disk(disk)),
            }
        }
    }

    /// When [`Input::Tick`] is due, on the boot clock in microseconds; none after the exit.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.exited {
            return None;
        }
        let outbox = self.outbox.next_deadline().map(|at| {
            let since = at.saturating_duration_since(self.origin);
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        });
        let leaving = self.leaving.as_ref().and_then(Leaving::next_deadline);
        let wanted = [Some(self.lease.next_deadline()), outbox, leaving];
        wanted.into_iter().flatten().min()
    }

    /// True while it has a lease.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        self.lease.generation().is_some()
    }

    /// The newest coordinator that was obeyed.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// The runs as the next renewal will show them.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let held = |(run, known): (&RunId, &HeldRun)| Held {
            run: *run,
            run_epoch: known.core.run_epoch(),
            order: known.core.newest_order(),
            state: known.core.state(),
            next_item: self.outbox.next_item(*run).unwrap_or(0),
            tells: known.tells,
        };
        self.runs.iter().map(held).collect()
    }

    /// What was refused since the start.
    #[must_use]
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// What the outboxes did since the start.
    #[must_use]
    pub fn outbox_counts(&self) -> outbox::Counts {
        self.outbox.counts()
    }

    fn instant(&self, boot_us: u64) -> Instant {
        self.origin + Duration::from_micros(boot_us)
    }

    fn put(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn send(&mut self, body: Upward) {
        self.sent += 1;
        let head = Head {
            cluster: self.fence.cluster,
            epoch: self.fence.epoch,
            life: self.life,
            sequence: self.sent,
            expires_boot_us: 0,
        };
        self.put(Output::Send(Box::new(Message { head, body })));
    }

    fn renew(&mut self) {
        let mut status = self.status.clone();
        let draining = self.leaving.is_some() || self.drained_above;
        if draining && status.condition == NodeCondition::Online {
            status.condition = NodeCondition::Draining;
        }
        let renew = Renew {
            sent_boot_us: self.now.boot_us,
            sent_unix_us: self.now.unix_us,
            status,
            runs: self.held(),
            clock: self.clock.offset(self.now),
            refused: self.refused,
        };
        self.send(Upward::Renew(Box::new(renew)));
    }

    fn renew_soon(&mut self) {
        self.lease.renew_soon(self.now.boot_us);
    }

    /// Where a message of the coordinator that is obeyed stands.
    fn place(head: &Head) -> Place {
        (head.epoch, head.sequence)
    }
}
