//! A node as a source of frames: it renews, obeys and numbers its items as a real one, and its
//! figures are those of a recording.

use std::collections::VecDeque;
use std::sync::Arc;

use shared::bus::{Bus, COMMANDS_CAPACITY, Subscription};
use shared::id::{EndpointIndex, NodeId};
use shared::metric::MetricId;
use shared::phase::{Outcome, Phase};
use shared::wire::{
    Column, Desired, DesiredState, Downward, EndCause, EndpointReport, FRAME_ROWS_MAX, Frame, Head,
    Held, HeldState, Item, LifeId, Message, NodeStatus, Order, Renew, Report, Upward,
    command_subject, decode, encode, report_subject,
};

use crate::clock::boot_us;

/// Metrics of each endpoint's second.
pub(crate) const METRICS: u16 = 60;

/// One node.
pub(crate) struct Source {
    node: NodeId,
    bus: Arc<dyn Bus>,
    commands: Subscription,
    life: LifeId,
    sent: u64,
    head: Head,
    renewed_boot_us: u64,
    held: Option<Run>,
}

struct Run {
    desired: Desired,
    order: (u64, u64),
    state: HeldState,
    items: u64,
    frames: u64,
    /// Not yet stored, oldest first.
    waiting: VecDeque<(u64, Report)>,
}

impl Source {
    pub(crate) fn new(number: u32, bus: Arc<dyn Bus>) -> Self {
        let node = NodeId(format!("source-{number:02}"));
        let commands = bus.subscribe(&command_subject(&node), COMMANDS_CAPACITY);
        let mut source = Self {
            node,
            bus,
            commands,
            life: LifeId(u64::from(number) + 1),
            sent: 0,
            head: Head::default(),
            renewed_boot_us: 0,
            held: None,
        };
        source.renew();
        source
    }

    /// Does what is due; true while the run is on.
    pub(crate) fn step(&mut self) -> bool {
        while let Some(message) = self.commands.try_next() {
            let message: Message<Downward> = decode(&message.payload).expect("a command");
            if message.head.life == self.life {
                self.head = message.head;
                self.obey(message.body);
            }
        }
        if boot_us() - self.renewed_boot_us >= 2_000_000 {
            self.renew();
        }
        self.held
            .as_ref()
            .is_some_and(|run| run.state == HeldState::Running)
    }

    fn obey(&mut self, body: Downward) {
        match body {
            Downward::Lease(lease) => {
                for order in &lease.orders {
                    self.order(*order);
                }
                if lease.orders.is_empty() {
                    self.held = None;
                }
            }
            Downward::Order(order) => self.order(order),
            Downward::Prepare(desired) => {
                if self.held.is_none() {
                    self.held = Some(Run {
                        order: (self.head.epoch, desired.sequence),
                        state: HeldState::Prepared,
                        items: 0,
                        frames: 0,
                        waiting: VecDeque::new(),
                        desired: *desired,
                    });
                    self.renew();
                }
                let run = self.held.as_ref().unwrap();
                let (run, run_epoch) = (run.desired.run, run.desired.epoch);
                let problems = Vec::new();
                self.say(&Upward::Prepared {
                    run,
                    run_epoch,
                    problems,
                });
            }
            Downward::Tells { .. } => {}
        }
    }

    fn order(&mut self, order: Order) {
        let Some(run) = self
            .held
            .as_mut()
            .filter(|run| run.desired.run == order.run)
        else {
            return;
        };
        while run
            .waiting
            .front()
            .is_some_and(|(number, _)| *number < order.stored_to)
        {
            run.waiting.pop_front();
        }
        if (self.head.epoch, order.sequence) <= run.order {
            return;
        }
        run.order = (self.head.epoch, order.sequence);
        match (order.state, run.state) {
            (DesiredState::Running, HeldState::Prepared) => {
                run.state = HeldState::Running;
                self.renew();
            }
            (DesiredState::Stopped, HeldState::Running | HeldState::Prepared) => {
                self.end(EndCause::Ordered)
            }
            _ => {}
        }
    }

    /// Every endpoint's end, and the run's.
    pub(crate) fn end(&mut self, cause: EndCause) {
        let Some(run) = self.held.as_mut() else {
            return;
        };
        if matches!(run.state, HeldState::Ended(_)) {
            return;
        }
        run.state = HeldState::Ended(cause);
        let run_id = run.desired.run;
        let node = self.node.clone();
        let all: Vec<_> = endpoints(&run.desired).collect();
        for (group, endpoint) in all {
            self.item(Report::Endpoint(Box::new(EndpointReport {
                run: run_id,
                endpoint,
                group,
                account: String::new(),
                node: node.clone(),
                phase: Phase::Closed,
                outcome: Outcome::Success,
                reason: String::new(),
                registration_code: None,
                call_code: Some(200),
                call_reason: None,
                unregistered: false,
                calls: Vec::new(),
            })));
        }
        self.item(Report::Ended {
            run: run_id,
            node,
            cause,
        });
        self.renew();
    }

    /// One second's frames; `fill` tells the figure of a row and metric.
    pub(crate) fn second(&mut self, second: u32, fill: impl Fn(usize, u16) -> f32) {
        let Some(run) = self.held.as_mut() else {
            return;
        };
        let rows: Vec<EndpointIndex> = endpoints(&run.desired)
            .map(|(_, endpoint)| endpoint)
            .collect();
        let chunks = rows.chunks(FRAME_ROWS_MAX);
        let last = chunks.len() - 1;
        let mut frames = Vec::new();
        for (place, rows) in chunks.enumerate() {
            let first = place * FRAME_ROWS_MAX;
            let columns = (0..METRICS).map(|metric| Column {
                metric: MetricId(metric),
                values: (first..first + rows.len())
                    .map(|row| fill(row, metric))
                    .collect(),
            });
            frames.push(Frame {
                run: run.desired.run,
                node: self.node.clone(),
                epoch: run.desired.epoch,
                sequence: run.frames + place as u64,
                second,
                last_of_second: place == last,
                endpoints: rows.to_vec(),
                phases: vec![Phase::Incall; rows.len()],
                columns: columns.collect(),
                generator: None,
            });
        }
        run.frames += frames.len() as u64;
        for frame in frames {
            self.item(Report::Frame(Box::new(frame)));
        }
    }

    fn item(&mut self, report: Report) {
        let Some(run) = self.held.as_mut() else {
            return;
        };
        let sequence = run.items;
        run.items += 1;
        let (id, run_epoch) = (run.desired.run, run.desired.epoch);
        run.waiting.push_back((sequence, report.clone()));
        self.say(&Upward::Item(Box::new(Item {
            run: id,
            run_epoch,
            sequence,
            report,
        })));
    }

    /// Items that are not stored yet.
    pub(crate) fn waiting(&self) -> usize {
        self.held.as_ref().map_or(0, |run| run.waiting.len())
    }

    fn renew(&mut self) {
        self.renewed_boot_us = boot_us();
        let runs = self.held.iter().map(|run| Held {
            run: run.desired.run,
            run_epoch: run.desired.epoch,
            order: run.order,
            state: run.state,
            next_item: run.items,
            tells: 0,
        });
        let renew = Renew {
            sent_boot_us: self.renewed_boot_us,
            sent_unix_us: 0,
            status: NodeStatus {
                node: self.node.clone(),
                region: "bench".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                free_descriptors: 1_000_000,
                free_ports: 1_000_000,
                cores: 2,
                capacity_endpoints: 10_000,
                ..NodeStatus::default()
            },
            runs: runs.collect(),
            clock: None,
            refused: Default::default(),
        };
        self.say(&Upward::Renew(Box::new(renew)));
    }

    fn say(&mut self, body: &Upward) {
        self.sent += 1;
        let head = Head {
            life: self.life,
            sequence: self.sent,
            expires_boot_us: 0,
            ..self.head
        };
        let payload = encode(&Message { head, body }).expect("a message");
        let published = self.bus.publish(&report_subject(&self.node), payload);
        assert_eq!(published.refused, 0, "the bus refused");
    }
}

fn endpoints(
    desired: &Desired,
) -> impl Iterator<Item = (shared::id::GroupIndex, EndpointIndex)> + '_ {
    desired.shares.iter().flat_map(|share| {
        let first = desired.test.first_endpoint(share.group.index()) + share.first;
        (first..first + share.count).map(|number| (share.group, EndpointIndex(number)))
    })
}
