//! The coordinator process: the real cores, a disk, a clock, and what people ask of it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use coordinator::Plan;
use coordinator::simulation::{CoordinatorCore, Input, Output, Start};
use shared::definition::Account;
use shared::id::{AccountId, NodeId, OrganizationId, ProjectId, RunId};
use shared::units::Millis;
use shared::wire::{ClusterId, Downward, Message, Upward};

use super::chaos::pause;
use super::disk::Disk;
use super::mutant::Mutant;
use super::network::Parcel;
use super::process::node_name;
use super::script;
use super::stage::{Event, SECOND, Stage, UNIX_US, tell, wall_off};
use super::world::World;

/// The coordinator, alive or not, with its disk.
pub(crate) struct Master {
    core: Option<CoordinatorCore>,
    life: u64,
    disk: Disk,
    cluster: ClusterId,
    plan: Plan,
    is_frozen: bool,
    inbox: Vec<(usize, Rc<Message<Upward>>)>,
    wall_off_us: i64,
    pool: Vec<(AccountId, Account)>,
    drained: BTreeSet<NodeId>,
    nodes: usize,
    runs: u64,
}

/// How often deadlines are looked at.
const WAKE_US: u64 = 400_000;

impl Master {
    /// The first start of all.
    pub(crate) fn start(stage: &mut Stage, nodes: usize) -> Self {
        let random = &mut stage.random;
        // In some stories they run out.
        let credits = [1 << 50, 400_000][usize::from(random.chance(100))];
        let account = |number| match stage.mutant {
            Mutant::SharesAccount => script::account(number / 2),
            _ => script::account(number),
        };
        let pool = (0..script::POOL).map(|n| (AccountId(u64::from(n)), account(n)));
        let mut master = Self {
            core: None,
            life: 0,
            disk: Disk::default(),
            cluster: ClusterId(random.number() | 1),
            plan: Plan {
                concurrent_runs: 2,
                concurrent_endpoints: 14,
                endpoints_per_run: 14,
                duration_max: Millis(60_000),
            },
            is_frozen: false,
            inbox: Vec::new(),
            wall_off_us: wall_off(random),
            pool: pool.collect(),
            drained: BTreeSet::new(),
            nodes,
            runs: 0,
        };
        master.restart(stage);
        let grant = Input::Grant {
            organization: ORGANIZATION,
            id: 1,
            amount: credits,
        };
        master.handle(stage, grant);
        master
    }

    /// Both clocks of its machine.
    fn clocks(&self, stage: &Stage) -> (Instant, u64) {
        let unix_us = UNIX_US + stage.now as i64 + self.wall_off_us;
        let instant = match stage.mutant {
            Mutant::HurriesClock => stage.origin + Duration::from_micros(stage.now * 8 / 5),
            _ => stage.instant(),
        };
        (instant, unix_us as u64 / 1_000)
    }

    /// It takes an input and does what follows.
    fn handle(&mut self, stage: &mut Stage, input: Input) {
        let (instant, unix_ms) = self.clocks(stage);
        if let Some(core) = &mut self.core {
            core.handle(instant, unix_ms, input);
        }
        self.settle(stage);
    }

    /// It starts with what is on the disk.
    pub(crate) fn restart(&mut self, stage: &mut Stage) {
        self.life += 1;
        self.disk.look(stage);
        let (instant, unix_ms) = self.clocks(stage);
        let disk = &mut self.disk.content;
        let mut core = CoordinatorCore::start(instant, unix_ms, self.cluster, disk);
        tell!(stage, "the coordinator starts, epoch {}", core.epoch());
        core.use_pool(self.pool.clone());
        self.core = Some(core);
        for node in self.drained.clone() {
            self.handle(stage, Input::Drain(node, true));
        }
        self.handle(stage, Input::Wake);
        let cut = stage.network.master_cut;
        // Where nobody hears it they renew in their own time.
        let _ = stage.publish(cut, &Parcel::Hello);
        stage.after(WAKE_US, Event::Master { life: self.life });
    }

    pub(crate) fn is_running(&self) -> bool {
        self.core.is_some()
    }

    /// Nothing is under way here.
    pub(crate) fn is_quiet(&self) -> bool {
        let core = self.core.as_ref();
        core.is_some_and(|core| core.is_persisted() && core.statuses().next().is_none())
    }

    pub(crate) fn what_is_left(&self) -> Vec<String> {
        let core = self.core.iter();
        let left = core.flat_map(|core| core.statuses());
        left.map(|(run, status)| format!("the coordinator has {run} {status:?}"))
            .collect()
    }

    /// Runs at once.
    pub(crate) fn runs_allowed(&self) -> usize {
        self.plan.concurrent_runs as usize
    }

    /// The run's slot is held: by the process that runs, or by what is on the disk.
    pub(crate) fn holds(&self, stage: &Stage, run: RunId) -> bool {
        match &self.core {
            Some(core) => core.holders().any(|holder| holder == run),
            None => {
                let story = stage.oracle.stories.get(&run);
                story.is_some_and(|story| !story.settled)
            }
        }
    }

    /// A node's message comes.
    pub(crate) fn hear(&mut self, stage: &mut Stage, name: usize, message: &Rc<Message<Upward>>) {
        if self.is_frozen {
            self.inbox.push((name, Rc::clone(message)));
            return;
        }
        self.take(stage, name, message);
        if stage.random.chance(3) {
            // Somebody says the same in another's name.
            self.take(stage, (name + 1) % self.nodes, message);
        }
    }

    fn take(&mut self, stage: &mut Stage, name: usize, message: &Rc<Message<Upward>>) {
        let message = Box::new((**message).clone());
        self.handle(stage, Input::Message(node_name(name), message));
    }

    /// It looks at its deadlines. False: the wish of a former process.
    pub(crate) fn wake(&mut self, stage: &mut Stage, life: u64) -> bool {
        if life != self.life || self.core.is_none() || self.is_frozen {
            return false;
        }
        self.handle(stage, Input::Wake);
        let next = if self.is_quiet() {
            4 * WAKE_US
        } else {
            WAKE_US
        };
        stage.after(next, Event::Master { life });
        true
    }

    /// A flush is done. False: of a former process.
    pub(crate) fn flushed(&mut self, stage: &mut Stage, life: u64) -> bool {
        if life != self.life || self.core.is_none() {
            return false;
        }
        let newest = self.disk.flushed(stage);
        if self.disk.begin() {
            self.plan_flush(stage);
        }
        let early = stage.mutant == Mutant::AcknowledgesBeforeFlush;
        if let Some(number) = newest.filter(|_| !early) {
            self.handle(stage, Input::Persisted(number));
        }
        true
    }

    fn plan_flush(&self, stage: &mut Stage) {
        let most = if stage.random.chance(60) {
            2 * SECOND
        } else {
            20_000
        };
        let delay = stage.random.between(300, most);
        stage.after(delay, Event::Flush { life: self.life });
    }

    /// Does what the cores put out.
    fn settle(&mut self, stage: &mut Stage) {
        while let Some(output) = self.core.as_mut().and_then(CoordinatorCore::poll) {
            match output {
                Output::Send(node, message) => self.send(stage, &node, *message),
                Output::Persist(number, batch) => {
                    if self.disk.push(number, batch) {
                        self.plan_flush(stage);
                    }
                    if stage.mutant == Mutant::AcknowledgesBeforeFlush {
                        self.handle(stage, Input::Persisted(number));
                    }
                }
            }
        }
    }

    fn send(&self, stage: &mut Stage, node: &NodeId, message: Message<Downward>) {
        let life = message.head.life;
        match &message.body {
            Downward::Lease(lease) => {
                for order in &lease.orders {
                    stage.acknowledged(node, life, order.run, order.stored_to);
                }
            }
            Downward::Order(order) => {
                stage.acknowledged(node, life, order.run, order.stored_to);
            }
            Downward::Prepare(_) | Downward::Tells { .. } => {}
        }
        let name = (0..self.nodes).find(|name| node_name(*name) == *node);
        if let Some(name) = name {
            // One that is refused is sent again with the next renewal.
            let _ = stage.downward(name, message);
        }
    }

    /// It goes on after it was stopped.
    pub(crate) fn thaw(&mut self, stage: &mut Stage) {
        if !std::mem::take(&mut self.is_frozen) {
            return;
        }
        if self.core.is_none() {
            return;
        }
        if stage.random.chance(500) {
            self.handle(stage, Input::Wake);
        }
        for (name, message) in std::mem::take(&mut self.inbox) {
            self.take(stage, name, &message);
        }
        stage.after(1_000, Event::Master { life: self.life });
    }

    pub(crate) fn set_clock(&mut self, stage: &mut Stage) {
        self.wall_off_us = wall_off(&mut stage.random);
    }

    /// An operator takes every node back.
    pub(crate) fn undrain(&mut self, stage: &mut Stage, nodes: usize) {
        for name in 0..nodes {
            self.drain(stage, name, false);
        }
    }

    fn drain(&mut self, stage: &mut Stage, name: usize, drain: bool) {
        let node = node_name(name);
        match drain {
            true => self.drained.insert(node.clone()),
            false => self.drained.remove(&node),
        };
        self.handle(stage, Input::Drain(node, drain));
    }

    /// What of its messages was not taken, for the tally.
    pub(crate) fn farewell(&mut self, stage: &mut Stage) {
        if let Some(core) = self.core.take() {
            let untaken = core.untaken();
            stage.tally.items_repeated += untaken.repeated;
            stage.tally.items_early += untaken.early;
            stage.tally.items_foreign += untaken.foreign;
        }
    }

    /// The books in memory, and the slots.
    pub(crate) fn check(&self, stage: &mut Stage) {
        let Some(core) = &self.core else {
            return;
        };
        let held = core.holders().count();
        if held > self.runs_allowed() {
            stage.broken(format!("{held} runs hold a slot"));
        }
        if stage.mutant == Mutant::AcknowledgesBeforeFlush {
            return;
        }
        let holds = |run: &RunId| core.holders().any(|holder| holder == *run);
        if let Some(run) = self.disk.open().find(|run| !holds(run)) {
            stage.broken(format!("{run} is not settled and its slot is free"));
        }
        if let Some(fault) = core.faults().first() {
            stage.broken(fault.clone());
        }
    }
}

const ORGANIZATION: OrganizationId = OrganizationId(1);

/// What people ask, and what becomes of the process.
impl World {
    pub(crate) fn submit(&mut self) {
        let master = &mut self.master;
        let stage = &mut self.stage;
        if master.is_frozen || master.core.is_none() {
            return;
        }
        let test = script::test(&mut stage.random, self.nodes);
        master.runs += 1;
        // Not by the wall clock, which may say the same twice.
        let run = RunId(master.runs);
        stage.tally.runs += 1;
        tell!(
            stage,
            "{run} is asked for: {} endpoints, {}",
            test.endpoint_count(),
            test.duration
        );
        let start = Start {
            run,
            organization: ORGANIZATION,
            project: ProjectId(1),
            test,
            plan: master.plan,
        };
        master.handle(stage, Input::Start(Box::new(start)));
    }

    pub(crate) fn stop_some(&mut self) {
        let master = &mut self.master;
        let stage = &mut self.stage;
        let Some(core) = master.core.as_ref().filter(|_| !master.is_frozen) else {
            return;
        };
        let live: Vec<RunId> = core.statuses().map(|(run, _)| run).collect();
        if live.is_empty() {
            return;
        }
        let run = live[stage.random.place(live.len())];
        tell!(stage, "somebody stops {run}");
        master.handle(stage, Input::Stop(run));
    }

    pub(crate) fn drain_some(&mut self) {
        if self.master.is_frozen {
            return;
        }
        let name = self.stage.random.place(self.nodes);
        let drain = self.stage.random.chance(400);
        tell!(self.stage, "an operator drains n{name}: {drain}");
        self.master.drain(&mut self.stage, name, drain);
    }

    pub(crate) fn kill_master(&mut self) {
        let (master, stage) = (&mut self.master, &mut self.stage);
        if master.core.is_none() {
            return;
        }
        tell!(stage, "the coordinator dies");
        stage.tally.master_crashes += 1;
        master.core = None;
        master.is_frozen = false;
        master.inbox.clear();
        master.disk.crash(stage);
        let pause = pause(stage);
        stage.after(pause, Event::MasterStart);
    }

    pub(crate) fn freeze_master(&mut self) {
        if self.master.core.is_none() || self.master.is_frozen {
            return;
        }
        tell!(self.stage, "the coordinator is stopped");
        self.stage.tally.frozen += 1;
        self.master.is_frozen = true;
        let long = self.stage.random.between(SECOND / 2, 40 * SECOND);
        self.stage.after(long, Event::MasterThaw);
    }
}
