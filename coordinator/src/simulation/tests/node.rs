//! A node that keeps to the protocol, in the plainest way.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::id::{EndpointIndex, GroupIndex, NodeId, RunId};
use shared::metric;
use shared::phase::{Outcome, Phase};
use shared::wire::{
    ClusterId, Column, Desired, DesiredState, Downward, EndCause, EndpointReport, Frame, Head,
    Held, HeldState, Item, LEASE_TTL, LeaseVerdict, LifeId, Message, NodeCondition, Order,
    RENEW_EVERY, Refused, Renew, Report, Share, Upward,
};

use crate::testing;

pub(super) struct Node {
    id: NodeId,
    life: LifeId,
    /// The newest order obeyed is of this epoch.
    epoch: u64,
    cluster: ClusterId,
    lease_until: Duration,
    newest_lease: u64,
    renewed: Option<Duration>,
    runs: BTreeMap<RunId, Work>,
    drains: bool,
    out: Vec<Upward>,
}

struct Work {
    run_epoch: u64,
    order: (u64, u64),
    state: HeldState,
    shares: Vec<Share>,
    firsts: Vec<u32>,
    seconds: u32,
    began: Option<Duration>,
    frames: u32,
    items: Vec<Report>,
    stored_to: u64,
    sent_to: u64,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}

impl Node {
    pub(super) fn new(id: NodeId, life: u64) -> Self {
        Self {
            id,
            life: LifeId(life),
            epoch: 0,
            cluster: ClusterId(0),
            lease_until: Duration::ZERO,
            newest_lease: 0,
            renewed: None,
            runs: BTreeMap::new(),
            drains: false,
            out: Vec::new(),
        }
    }

    pub(super) fn drain(&mut self) {
        self.drains = true;
        self.renewed = None;
    }

    pub(super) fn holds_nothing(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn calls(&self) -> bool {
        self.runs
            .values()
            .any(|work| work.state == HeldState::Running)
    }

    pub(super) fn hear(&mut self, now: Duration, message: Message<Downward>) {
        let Message { head, body } = message;
        if head.life != self.life || head.expires_boot_us < micros(now) || head.epoch < self.epoch {
            return;
        }
        self.epoch = head.epoch;
        self.cluster = head.cluster;
        match body {
            Downward::Lease(lease) => {
                if lease.renewal_boot_us <= self.newest_lease {
                    return;
                }
                self.newest_lease = lease.renewal_boot_us;
                if lease.verdict != LeaseVerdict::Granted {
                    return;
                }
                self.lease_until = Duration::from_micros(lease.renewal_boot_us) + LEASE_TTL;
                for order in &lease.orders {
                    self.obey(now, &head, order);
                }
                let wanted = |run: &RunId| lease.orders.iter().any(|order| order.run == *run);
                self.runs.retain(|run, _| wanted(run));
            }
            Downward::Prepare(desired) => self.prepare(&head, &desired),
            Downward::Order(order) => self.obey(now, &head, &order),
            Downward::Tells { .. } => {}
        }
    }

    fn prepare(&mut self, head: &Head, desired: &Desired) {
        let run_epoch = desired.epoch;
        let mut first = 0;
        let mut firsts = Vec::new();
        for group in &desired.test.groups {
            firsts.push(first);
            first += group.count;
        }
        self.runs.entry(desired.run).or_insert_with(|| Work {
            run_epoch,
            order: (head.epoch, desired.sequence),
            state: HeldState::Prepared,
            shares: desired.shares.clone(),
            firsts,
            seconds: u32::try_from(desired.test.duration.0 / 1_000).unwrap(),
            began: None,
            frames: 0,
            items: Vec::new(),
            stored_to: 0,
            sent_to: 0,
        });
        self.out.push(Upward::Prepared {
            run: desired.run,
            run_epoch,
            problems: Vec::new(),
        });
    }

    fn obey(&mut self, now: Duration, head: &Head, order: &Order) {
        let (id, leased) = (self.id.clone(), now < self.lease_until);
        let Some(work) = self.runs.get_mut(&order.run) else {
            return;
        };
        if work.run_epoch != order.run_epoch || (head.epoch, order.sequence) < work.order {
            return;
        }
        work.order = (head.epoch, order.sequence);
        work.stored_to = work.stored_to.max(order.stored_to);
        assert!(
            work.stored_to <= work.items.len() as u64,
            "stored what never was"
        );
        match (order.state, work.state) {
            (DesiredState::Running, HeldState::Prepared) if leased => {
                work.state = HeldState::Running;
                work.began = Some(now);
            }
            (DesiredState::Stopped, HeldState::Prepared | HeldState::Running) => {
                work.end(order.run, &id, EndCause::Ordered);
            }
            _ => {}
        }
    }

    /// What it says now.
    pub(super) fn step(&mut self, now: Duration) -> Vec<Message<Upward>> {
        let lost = now >= self.lease_until;
        let mut ended = false;
        for (run, work) in &mut self.runs {
            if work.state == HeldState::Running {
                work.measure(*run, &self.id, now);
            }
            let live = matches!(work.state, HeldState::Running | HeldState::Prepared);
            if live && (lost || self.drains) {
                let cause = if lost {
                    EndCause::LeaseLost
                } else {
                    EndCause::Drained
                };
                work.end(*run, &self.id, cause);
                ended = true;
            }
        }
        let due = self.renewed.is_none_or(|at| now >= at + RENEW_EVERY);
        if due || ended {
            self.renewed = Some(now);
            let mut status = testing::node(&self.id.0);
            if self.drains {
                status.condition = NodeCondition::Draining;
            }
            let held = self.runs.iter().map(|(run, work)| Held {
                run: *run,
                run_epoch: work.run_epoch,
                order: work.order,
                state: work.state,
                next_item: work.items.len() as u64,
                tells: 0,
            });
            self.out.push(Upward::Renew(Box::new(Renew {
                sent_boot_us: micros(now),
                sent_unix_us: i64::try_from(micros(now)).unwrap(),
                status,
                runs: held.collect(),
                clock: None,
                refused: Refused::default(),
            })));
        }
        for (run, work) in &mut self.runs {
            if due {
                work.sent_to = work.stored_to;
            }
            let from = work.sent_to.max(work.stored_to);
            for (sequence, report) in (0u64..).zip(&work.items).skip(from as usize) {
                self.out.push(Upward::Item(Box::new(Item {
                    run: *run,
                    run_epoch: work.run_epoch,
                    sequence,
                    report: report.clone(),
                })));
            }
            work.sent_to = work.items.len() as u64;
        }
        let head = Head {
            cluster: self.cluster,
            epoch: self.epoch,
            life: self.life,
            ..Head::default()
        };
        let say = |body| Message { head, body };
        self.out.drain(..).map(say).collect()
    }
}

impl Work {
    fn endpoints(&self) -> Vec<(GroupIndex, EndpointIndex)> {
        let mut all = Vec::new();
        for share in &self.shares {
            let first = self.firsts[share.group.index()] + share.first;
            let places = (first..first + share.count).map(|n| (share.group, EndpointIndex(n)));
            all.extend(places);
        }
        all
    }

    fn measure(&mut self, run: RunId, node: &NodeId, now: Duration) {
        let Some(began) = self.began else { return };
        let whole = u32::try_from((now - began).as_secs()).unwrap();
        while self.frames < whole.min(self.seconds) {
            let endpoints: Vec<EndpointIndex> =
                self.endpoints().into_iter().map(|(_, e)| e).collect();
            self.items.push(Report::Frame(Box::new(Frame {
                run,
                node: node.clone(),
                epoch: self.run_epoch,
                sequence: u64::from(self.frames),
                second: self.frames,
                last_of_second: true,
                phases: vec![Phase::Incall; endpoints.len()],
                columns: vec![Column {
                    metric: metric::RX_PACKETS,
                    values: vec![50.0; endpoints.len()],
                }],
                endpoints,
                generator: None,
            })));
            self.frames += 1;
        }
        if whole >= self.seconds {
            self.end(run, node, EndCause::Finished);
        }
    }

    fn end(&mut self, run: RunId, node: &NodeId, cause: EndCause) {
        for (group, endpoint) in self.endpoints() {
            self.items.push(Report::Endpoint(Box::new(EndpointReport {
                run,
                group,
                node: node.clone(),
                registration_code: Some(200),
                ..testing::report(endpoint.0, Outcome::Success)
            })));
        }
        self.items.push(Report::Ended {
            run,
            node: node.clone(),
            cause,
        });
        self.state = HeldState::Ended(cause);
    }
}
