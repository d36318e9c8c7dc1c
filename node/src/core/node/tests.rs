//! The node's side of the protocol in virtual time, against a coordinator that is a few lines.

mod lossy;
mod protocol;

use std::collections::VecDeque;

use shared::id::{GroupIndex, NodeId};
use shared::units::Millis;
use shared::wire::{
    ClusterId, Desired, DesiredState, Downward, EndCause, Frame, HeldState, Item, Lease,
    LeaseVerdict, Order, Report, Share,
};

use super::*;

const SECOND: u64 = 1_000_000;
const LIFE: LifeId = LifeId(77);
const CLUSTER: ClusterId = ClusterId(5);
/// The coordinator's wall clock at boot time 0.
const UNIX: i64 = 1_700_000_000_000_000;

/// A node with its clock, and what it put out.
struct Bench {
    core: NodeCore,
    guard: Arc<LeaseGuard>,
    now_us: u64,
    epoch: u64,
    sequence: u64,
    out: VecDeque<Output>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Fence::default())
    }

    fn with(fence: Fence) -> Self {
        let guard = Arc::new(LeaseGuard::default());
        let config = NodeCoreConfig {
            life: LIFE,
            fence,
            drain_wait: Duration::from_secs(20),
            outbox: outbox::Limits::default(),
        };
        let mut core = NodeCore::new(config, Arc::clone(&guard), Instant::now());
        core.describe(NodeStatus {
            node: NodeId("n1".to_owned()),
            ..NodeStatus::default()
        });
        Self {
            core,
            guard,
            now_us: 100 * SECOND,
            epoch: 3,
            sequence: 0,
            out: VecDeque::new(),
        }
    }

    /// A node that has its lease.
    fn joined() -> Self {
        let mut bench = Self::new();
        bench.input(Input::Tick);
        bench.grant(&[]);
        bench.out.clear();
        bench
    }

    fn moment(&self) -> Moment {
        Moment {
            boot_us: self.now_us,
            unix_us: UNIX + self.now_us as i64,
        }
    }

    fn input(&mut self, input: Input) {
        self.core.handle(self.moment(), input);
        while let Some(output) = self.core.poll() {
            self.out.push_back(output);
        }
    }

    /// Lets time pass, with a tick whenever the core wants one.
    fn pass(&mut self, span_us: u64) {
        let until = self.now_us + span_us;
        while let Some(at) = self.core.next_deadline().filter(|at| *at <= until) {
            self.now_us = self.now_us.max(at);
            self.input(Input::Tick);
        }
        self.now_us = until;
        self.input(Input::Tick);
    }

    fn head(&mut self) -> Head {
        self.sequence += 1;
        Head {
            cluster: CLUSTER,
            epoch: self.epoch,
            life: LIFE,
            sequence: self.sequence,
            expires_boot_us: self.now_us + 10 * SECOND,
        }
    }

    fn say(&mut self, body: Downward) {
        let head = self.head();
        self.hear(head, body);
    }

    fn hear(&mut self, head: Head, body: Downward) {
        self.input(Input::Message(Box::new(Message { head, body })));
    }

    /// Has the node renew, and answers that.
    fn answer(&mut self, verdict: LeaseVerdict, orders: &[Order], drain: bool) {
        self.pass(2 * SECOND);
        let lease = Lease {
            renewal_boot_us: self.core.lease_sent(),
            renewal_unix_us: 0,
            received_unix_us: UNIX + self.now_us as i64,
            sent_unix_us: UNIX + self.now_us as i64,
            verdict,
            orders: orders.to_vec(),
            drain,
        };
        self.say(Downward::Lease(Box::new(lease)));
    }

    fn grant(&mut self, orders: &[Order]) {
        self.answer(LeaseVerdict::Granted, orders, false);
    }

    fn prepare(&mut self, run: u64) {
        self.say(Downward::Prepare(Box::new(desired(run))));
        self.input(Input::Run(RunId(run), RunEvent::Prepared(vec![])));
    }

    /// A run that runs.
    fn running(&mut self, run: u64) {
        self.prepare(run);
        self.say(Downward::Order(order(run, 2, DesiredState::Running, 0)));
        let started = |output: &Output| matches!(output, Output::Start { .. });
        assert!(self.out.iter().any(started), "{:?}", self.out);
        self.out.clear();
    }

    fn event(&mut self, run: u64, event: RunEvent) {
        self.input(Input::Run(RunId(run), event));
    }

    /// What was put out since the last call, without messages.
    fn acts(&mut self) -> Vec<Output> {
        let acts = self.out.drain(..);
        acts.filter(|output| !matches!(output, Output::Send(_) | Output::Notice(_)))
            .collect()
    }

    /// Items sent since the last call.
    fn items(&mut self) -> Vec<Item> {
        let item = |output| match output {
            Output::Send(message) => match message.body {
                Upward::Item(item) => Some(*item),
                Upward::Renew(_) | Upward::Prepared { .. } => None,
            },
            _ => None,
        };
        self.out.drain(..).filter_map(item).collect()
    }

    /// Renewals sent since the last call.
    fn renewals(&mut self) -> Vec<Renew> {
        let renewal = |output| match output {
            Output::Send(message) => match message.body {
                Upward::Renew(renew) => Some(*renew),
                Upward::Item(_) | Upward::Prepared { .. } => None,
            },
            _ => None,
        };
        self.out.drain(..).filter_map(renewal).collect()
    }

    fn state(&self, run: u64) -> Option<HeldState> {
        let held = self.core.held();
        let found = held.iter().find(|held| held.run == RunId(run));
        found.map(|held| held.state)
    }
}

impl NodeCore {
    fn lease_sent(&self) -> u64 {
        self.lease.newest_sent().unwrap_or(0)
    }
}

fn order(run: u64, sequence: u64, state: DesiredState, stored_to: u64) -> Order {
    Order {
        run: RunId(run),
        run_epoch: 3,
        sequence,
        state,
        stored_to,
    }
}

fn desired(run: u64) -> Desired {
    Desired {
        run: RunId(run),
        epoch: 3,
        sequence: 1,
        state: DesiredState::Prepared,
        test: shared::definition::Test {
            name: "t".into(),
            duration: Millis(1),
            buildup: Millis(0),
            registrars: vec![],
            groups: vec![],
            thresholds: vec![],
            allow_targets: vec![],
            trace_sample: 0,
            on_node_loss: shared::definition::OnNodeLoss::Fail,
            publish_endpoints: false,
        },
        shares: vec![Share {
            group: GroupIndex(0),
            first: 0,
            count: 1,
        }],
        sealed: vec![],
        media: vec![],
    }
}

fn frame(run: u64, second: u32) -> Report {
    Report::Frame(Box::new(Frame {
        run: RunId(run),
        node: NodeId("n1".to_owned()),
        epoch: 3,
        sequence: u64::from(second),
        second,
        last_of_second: true,
        endpoints: vec![],
        phases: vec![],
        columns: vec![],
        generator: None,
    }))
}

fn ended(item: &Item) -> Option<EndCause> {
    match item.report {
        Report::Ended { cause, .. } => Some(cause),
        _ => None,
    }
}
