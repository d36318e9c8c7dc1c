//! A node whose every word a test says by hand: it renews, numbers what it says of a run, keeps that
//! until it is stored, and takes orders as a node does. Shared by tests and benches.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shared::bus::{Bus, COMMANDS_CAPACITY, LocalBus, Subscription};
use shared::id::{NodeId, RunId};
use shared::wire::{
    Desired, DesiredState, Downward, EndCause, Head, Held, HeldState, Item, Lease, LeaseVerdict,
    LifeId, Message, NodeStatus, Order, Problem, Refused, Renew, Report, Upward, command_subject,
    decode, encode, report_subject,
};

/// A scripted node.
pub(crate) struct ScriptedNode {
    pub(crate) bus: LocalBus,
    pub(crate) id: NodeId,
    pub(crate) life: LifeId,
    pub(crate) status: NodeStatus,
    commands: Subscription,
    /// Whom it follows: cluster and epoch of the newest message it obeyed.
    head: Head,
    began: Instant,
    pub(crate) runs: BTreeMap<RunId, HeldRun>,
    /// Commands that came and that no test has asked for.
    told: VecDeque<Desired>,
    /// The newest lease.
    pub(crate) lease: Option<Lease>,
}

/// A run as it holds it.
pub(crate) struct HeldRun {
    pub(crate) desired: Desired,
    pub(crate) state: HeldState,
    order: (u64, u64),
    /// Items that are not stored yet, as far as it knows.
    pub(crate) items: VecDeque<Item>,
    next_item: u64,
}

#[allow(
    dead_code,
    reason = "each test and bench that includes this uses some of it"
)]
impl ScriptedNode {
    /// Not heard of yet: see [`Self::renew`].
    pub(crate) fn new(bus: &LocalBus, name: &str) -> Self {
        let id = NodeId(name.to_owned());
        Self {
            bus: bus.clone(),
            commands: bus.subscribe(&command_subject(&id), COMMANDS_CAPACITY),
            status: NodeStatus {
                node: id.clone(),
                version: "0.1.0".to_owned(),
                free_descriptors: 10_000,
                free_ports: 10_000,
                cores: 2,
                ..NodeStatus::default()
            },
            id,
            life: LifeId(7),
            head: Head::default(),
            began: Instant::now(),
            runs: BTreeMap::new(),
            told: VecDeque::new(),
            lease: None,
        }
    }

    /// Goes on at another bus, where another coordinator is.
    pub(crate) fn join(&mut self, bus: &LocalBus) {
        self.bus = bus.clone();
        self.commands = bus.subscribe(&command_subject(&self.id), COMMANDS_CAPACITY);
        self.told.clear();
    }

    /// Says something as it is.
    pub(crate) fn up(&self, body: Upward) {
        let head = Head {
            life: self.life,
            ..self.head
        };
        let payload = encode(&Message { head, body }).unwrap();
        let published = self.bus.publish(&report_subject(&self.id), payload);
        assert_eq!((published.delivered, published.refused), (1, 0));
    }

    /// Renews its lease.
    pub(crate) fn renew(&self) {
        let runs = self.runs.iter().map(|(run, held)| Held {
            run: *run,
            run_epoch: held.desired.epoch,
            order: held.order,
            state: held.state,
            next_item: held.next_item,
            tells: 0,
        });
        // Its boot clock does not begin with the test.
        let boot = self.began.elapsed() + Duration::from_secs(1_000);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        self.up(Upward::Renew(Box::new(Renew {
            sent_boot_us: u64::try_from(boot.as_micros()).unwrap(),
            sent_unix_us: i64::try_from(unix.as_micros()).unwrap(),
            status: self.status.clone(),
            runs: runs.collect(),
            clock: None,
            refused: Refused::default(),
        })));
    }

    /// Answers the order to prepare.
    pub(crate) fn prepared(&mut self, run: RunId, problems: Vec<Problem>) {
        let held = self.runs.get_mut(&run).unwrap();
        if problems.is_empty() {
            held.state = HeldState::Prepared;
        }
        let run_epoch = held.desired.epoch;
        self.up(Upward::Prepared {
            run,
            run_epoch,
            problems,
        });
    }

    /// Says something of a run, under the next number.
    pub(crate) fn say(&mut self, run: RunId, report: Report) {
        let held = self.runs.get_mut(&run).unwrap();
        if let Report::Ended { cause, .. } = &report {
            held.state = HeldState::Ended(*cause);
        }
        let item = Item {
            run,
            run_epoch: held.desired.epoch,
            sequence: held.next_item,
            report,
        };
        held.next_item += 1;
        held.items.push_back(item.clone());
        self.up(Upward::Item(Box::new(item)));
    }

    /// Its share of the run is over.
    pub(crate) fn ended(&mut self, run: RunId, cause: EndCause) {
        let node = self.id.clone();
        self.say(run, Report::Ended { run, node, cause });
    }

    /// Says all again that it does not know to be stored.
    pub(crate) fn say_again(&self) {
        for held in self.runs.values() {
            for item in &held.items {
                self.up(Upward::Item(Box::new(item.clone())));
            }
        }
    }

    /// The next command that wants something else of a run; renews while it waits.
    pub(crate) async fn command(&mut self) -> Desired {
        loop {
            self.listen();
            if let Some(told) = self.told.pop_front() {
                return told;
            }
            self.hear().await;
        }
    }

    /// The next command, which has to be this.
    pub(crate) async fn wait_for(&mut self, state: DesiredState) -> Desired {
        let desired = self.command().await;
        assert_eq!(desired.state, state);
        desired
    }

    /// The next command of this state; those of other states before it are passed over.
    pub(crate) async fn wait_until(&mut self, state: DesiredState) -> Desired {
        loop {
            let desired = self.command().await;
            if desired.state == state {
                return desired;
            }
        }
    }

    /// Renews and listens until something is so.
    pub(crate) async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        self.listen();
        while !is_so(self) {
            self.hear().await;
        }
    }

    /// Takes in what came already.
    pub(crate) fn listen(&mut self) {
        while let Some(message) = self.commands.try_next() {
            self.take(&message.payload);
        }
    }

    /// Waits for one message, and renews where none comes for a while.
    async fn hear(&mut self) {
        let message = tokio::time::timeout(HEAR, self.commands.next()).await;
        match message {
            Ok(message) => self.take(&message.unwrap().payload),
            Err(_) => self.renew(),
        }
    }

    fn take(&mut self, payload: &[u8]) {
        let Message { head, body } = decode::<Message<Downward>>(payload).unwrap();
        assert_eq!(head.life, self.life);
        assert!(head.sequence > 0 && head.expires_boot_us > 0 && head.cluster.0 > 0);
        assert!(head.epoch >= self.head.epoch, "an older epoch speaks");
        if head.epoch > self.head.epoch {
            // A new coordinator: what its predecessor did not store comes again.
            self.say_again();
        }
        self.head = head;
        match body {
            Downward::Prepare(desired) => {
                if self.runs.contains_key(&desired.run) {
                    return;
                }
                let held = HeldRun {
                    desired: (*desired).clone(),
                    state: HeldState::Preparing,
                    order: (head.epoch, desired.sequence),
                    items: VecDeque::new(),
                    next_item: 0,
                };
                self.runs.insert(desired.run, held);
                self.told.push_back(*desired);
            }
            Downward::Order(order) => self.order(head.epoch, order),
            Downward::Lease(lease) => {
                if lease.verdict == LeaseVerdict::Granted {
                    let wanted = |run: &RunId| lease.orders.iter().any(|order| order.run == *run);
                    self.runs.retain(|run, _| wanted(run));
                    for order in &lease.orders {
                        self.order(head.epoch, *order);
                    }
                }
                self.lease = Some(*lease);
            }
            Downward::Tells { .. } => {}
        }
    }

    fn order(&mut self, epoch: u64, order: Order) {
        let Some(held) = self.runs.get_mut(&order.run) else {
            return;
        };
        assert_eq!(order.run_epoch, held.desired.epoch);
        while held
            .items
            .pop_front_if(|item| item.sequence < order.stored_to)
            .is_some()
        {}
        if (epoch, order.sequence) <= held.order {
            return;
        }
        held.order = (epoch, order.sequence);
        if order.state == held.desired.state {
            return;
        }
        held.desired.state = order.state;
        held.desired.sequence = order.sequence;
        held.state = match order.state {
            DesiredState::Prepared => held.state,
            DesiredState::Running => HeldState::Running,
            DesiredState::Stopped => HeldState::Stopping,
        };
        self.told.push_back(held.desired.clone());
    }
}

/// As often as a node renews.
const HEAR: Duration = shared::wire::RENEW_EVERY;
