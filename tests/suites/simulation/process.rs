//! A node process: the real core, with the shell's duties done at once and a model of what calls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use node::core::lease::{LeaseGuard, Permit};
use node::core::node::{
    DiskEvent, Exit, Input, Moment, NodeCore, NodeCoreConfig, Notice, Output, RunEvent,
};
use node::core::outbox;
use shared::id::{NodeId, RunId};
use shared::wire::{
    Downward, LEASE_GRACE, LEASE_TTL, LeaseVerdict, LifeId, Message, NodeStatus, Upward,
};

use super::load::{Act, Load};
use super::mutant::Mutant;
use super::stage::{Event, Stage, tell};

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vigor {
    /// It runs.
    Awake,
    /// It is stopped, as by SIGSTOP.
    Frozen,
    /// It crashed or left.
    Gone,
}

/// One life of a node.
pub(crate) struct Process {
    /// Its place in the list of all processes.
    pub(crate) index: usize,
    /// Its node's number.
    pub(crate) name: usize,
    pub(crate) node: NodeId,
    pub(crate) machine: usize,
    pub(crate) life: LifeId,
    pub(crate) vigor: Vigor,
    pub(crate) core: NodeCore,
    pub(crate) loads: Vec<Load>,
    /// What came while it was stopped.
    pub(crate) inbox: Vec<Input>,
    /// By this node's boot clock: no lease that was ever granted to it reaches further.
    pub(crate) leased_until_us: u64,
    guard: Arc<LeaseGuard>,
    spilled: BTreeMap<RunId, VecDeque<Bytes>>,
    /// The bus refused something: tell the core when it is back.
    pub(crate) is_cut_off: bool,
    stamp: u64,
    due_us: u64,
    next: VecDeque<Input>,
}

impl Process {
    pub(crate) fn new(stage: &mut Stage, index: usize, name: usize, machine: usize) -> Self {
        let life = LifeId(stage.random.number() | 1);
        let guard = Arc::new(LeaseGuard::default());
        let small = stage.random.chance(150);
        let limits = outbox::Limits {
            // A few items: the rest goes to disk.
            memory: if small { 900 } else { 32 << 20 },
            ..outbox::Limits::default()
        };
        let config = NodeCoreConfig {
            life,
            fence: stage.machines[machine].fence,
            drain_wait: Duration::from_secs(4),
            outbox: limits,
        };
        let node = node_name(name);
        let mut core = NodeCore::new(config, Arc::clone(&guard), stage.origin);
        core.describe(NodeStatus {
            node: node.clone(),
            region: ["eu", "us"][name % 2].to_owned(),
            version: "0.1.0".to_owned(),
            free_descriptors: 1_000,
            free_ports: 1_000,
            cores: 2,
            capacity_endpoints: 100,
            ..NodeStatus::default()
        });
        Self {
            index,
            name,
            node,
            machine,
            life,
            vigor: Vigor::Awake,
            core,
            loads: Vec::new(),
            inbox: Vec::new(),
            leased_until_us: 0,
            guard,
            spilled: BTreeMap::new(),
            is_cut_off: false,
            stamp: 0,
            due_us: u64::MAX,
            next: VecDeque::new(),
        }
    }

    /// Its clocks.
    pub(crate) fn moment(&self, stage: &Stage) -> Moment {
        stage.machines[self.machine].moment(stage.now)
    }

    /// A message of the coordinator, as the oracle sees it: a lease may reach further now.
    pub(crate) fn witness(&mut self, message: &Message<Downward>) {
        if let Downward::Lease(lease) = &message.body
            && lease.verdict == LeaseVerdict::Granted
            && message.head.life == self.life
        {
            let until = lease.renewal_boot_us + LEASE_TTL.as_micros() as u64;
            self.leased_until_us = self.leased_until_us.max(until);
        }
    }

    /// It does what it has to do now, with this input or without.
    pub(crate) fn turn(&mut self, stage: &mut Stage, input: Option<Input>) {
        match self.vigor {
            Vigor::Gone => return,
            Vigor::Frozen => {
                self.inbox.extend(input);
                return;
            }
            Vigor::Awake => {}
        }
        // Media threads do not wait for the actor.
        if stage.random.chance(500) {
            self.tick(stage);
        }
        self.next.push_back(input.unwrap_or(Input::Tick));
        self.settle(stage);
        self.tick(stage);
        self.settle(stage);
        self.plan(stage);
    }

    /// It goes on after it was stopped: endpoints first, as the worst case.
    pub(crate) fn thaw(&mut self, stage: &mut Stage) {
        if self.vigor != Vigor::Frozen {
            return;
        }
        self.vigor = Vigor::Awake;
        if self.leased_until_us > 0 && self.leased_until_us < self.moment(stage).boot_us {
            stage.tally.woke_late += 1;
        }
        for input in std::mem::take(&mut self.inbox) {
            self.turn(stage, Some(input));
        }
        self.turn(stage, None);
    }

    fn tick(&mut self, stage: &mut Stage) {
        let now_us = self.moment(stage).boot_us;
        let mut events = Vec::new();
        for load in &mut self.loads {
            if load.next_deadline().is_some_and(|at| at <= now_us) {
                load.tick(now_us, &mut stage.random, &mut events);
                let run = load.run;
                let inputs = events.drain(..).map(|event| Input::Run(run, event));
                self.next.extend(inputs);
            }
        }
    }

    fn settle(&mut self, stage: &mut Stage) {
        while let Some(input) = self.next.pop_front() {
            let now = self.moment(stage);
            if let Input::Run(_, RunEvent::Item(_)) = &input
                && stage.mutant == Mutant::DropsItem
                && stage.random.chance(60)
            {
                continue;
            }
            self.core.handle(now, input);
            while let Some(output) = self.core.poll() {
                self.perform(stage, now, output);
            }
        }
    }

    fn perform(&mut self, stage: &mut Stage, now: Moment, output: Output) {
        match output {
            Output::Send(message) => self.send(stage, *message),
            Output::Fence(fence) => stage.machines[self.machine].fence = fence,
            Output::Prepare(desired) => {
                tell!(stage, "{} prepares {}", self.node, desired.run);
                let load = Load::new(&self.node, &desired, now.boot_us, &mut stage.random);
                self.loads.retain(|known| known.run != desired.run);
                self.loads.push(load);
            }
            Output::Start { run, generation } => self.start(stage, now, run, generation),
            Output::Stop { run, kind } => {
                tell!(stage, "{} stops {run} ({kind:?})", self.node);
                if let Some(load) = self.loads.iter_mut().find(|load| load.run == run) {
                    let act = load.act;
                    load.stop(now.boot_us, kind, &mut stage.random);
                    if stage.mutant == Mutant::IgnoresStop && act == Act::Running {
                        load.act = act;
                    }
                }
            }
            Output::Tell { run, tells } => {
                stage.tally.tells += tells.len() as u64;
                if let Some(load) = self.loads.iter_mut().find(|load| load.run == run) {
                    load.hear(&tells);
                }
            }
            Output::Forget(run) => self.forget(stage, run),
            Output::Disk(work) => self.disk(work),
            Output::Notice(notice) => {
                tell!(stage, "{} notes {notice:?}", self.node);
                stage.tally.leases_lost += u64::from(notice == Notice::LeaseLost);
            }
            Output::Exit(why) => {
                tell!(stage, "{} exits: {why:?}", self.node);
                match why {
                    Exit::Drained => stage.tally.left += 1,
                    Exit::Displaced => stage.tally.displaced += 1,
                }
                self.end(stage);
                if why == Exit::Drained {
                    stage.after(3_000_000, Event::Start(self.name));
                }
            }
        }
    }

    fn send(&mut self, stage: &mut Stage, message: Message<Upward>) {
        if let Upward::Item(item) = &message.body {
            stage.item_sent(&self.node, self.life, item);
        }
        let refused = match &message.body {
            Upward::Item(item) => Some((item.run, item.sequence)),
            Upward::Renew(_) | Upward::Prepared { .. } => None,
        };
        if !stage.upward(self.name, self.machine, message) {
            self.is_cut_off = true;
            if let Some((run, sequence)) = refused {
                self.next.push_back(Input::ItemRefused { run, sequence });
            }
        }
    }

    fn start(&mut self, stage: &mut Stage, now: Moment, run: RunId, generation: u64) {
        tell!(stage, "{} starts {run}", self.node);
        let permit = Permit::of(Arc::clone(&self.guard), generation);
        let Some(load) = self.loads.iter_mut().find(|load| load.run == run) else {
            stage.broken(format!(
                "{} starts {run}, which it never prepared",
                self.node
            ));
            return;
        };
        if load.stopped || load.act != Act::Prepared {
            let act = load.act;
            stage.broken(format!(
                "{} starts {run} after its stop ({act:?})",
                self.node
            ));
            return;
        }
        load.start(now.boot_us, generation, permit);
    }

    fn forget(&mut self, stage: &mut Stage, run: RunId) {
        tell!(stage, "{} forgets {run}", self.node);
        let calling = self
            .loads
            .iter()
            .any(|load| load.run == run && load.is_calling());
        if calling {
            stage.broken(format!("{} forgets {run} and its calls live", self.node));
        }
        self.loads.retain(|load| load.run != run);
        stage.forgotten(&self.node, self.life, run);
    }

    fn disk(&mut self, work: outbox::Output) {
        match work {
            outbox::Output::Spill { run, octets, .. } => {
                self.spilled.entry(run).or_default().push_back(octets);
            }
            outbox::Output::Load { run, octets } => {
                let file = self.spilled.entry(run).or_default();
                let mut items: Vec<Bytes> = Vec::new();
                let mut sum = 0;
                while let Some(next) = file.front() {
                    sum += next.len();
                    if !items.is_empty() && sum > octets {
                        break;
                    }
                    items.extend(file.pop_front());
                }
                let loaded = DiskEvent::Loaded { run, items };
                self.next.push_back(Input::Disk(loaded));
            }
            outbox::Output::Forget { run } => drop(self.spilled.remove(&run)),
            // The core keeps these to itself.
            outbox::Output::Send(_) | outbox::Output::Full { .. } => {}
        }
    }

    /// Nothing of it runs any more.
    pub(crate) fn end(&mut self, stage: &mut Stage) {
        self.vigor = Vigor::Gone;
        let refused = self.core.refused();
        let counts = self.core.outbox_counts();
        let tally = &mut stage.tally;
        tally.expired += refused.expired;
        tally.outdated += refused.outdated;
        tally.other_life += refused.other_life;
        tally.repeated += refused.repeated;
        tally.unreadable += refused.unreadable;
        tally.resent += counts.resent;
        tally.spilled += counts.spilled;
        self.loads.clear();
        self.inbox.clear();
        self.spilled.clear();
    }

    /// Looks at every load: what sends now, and whether it may.
    pub(crate) fn check(&self, stage: &mut Stage) {
        let now_us = self.moment(stage).boot_us;
        let late = now_us > self.leased_until_us + LEASE_GRACE.as_micros() as u64;
        for load in self.loads.iter().filter(|load| load.is_calling()) {
            if self.vigor == Vigor::Awake {
                let skips = stage.mutant == Mutant::SkipsLease;
                let sends = skips || load.permit.allows(now_us);
                if sends && now_us >= self.leased_until_us {
                    let node = &self.node;
                    stage.broken(format!("{node} sends for {} without a lease", load.run));
                }
                if late && load.act == Act::Running {
                    let node = &self.node;
                    let run = load.run;
                    stage.broken(format!("{node} has not ended {run}, long without a lease"));
                }
            }
            if load.stopped && load.act == Act::Running {
                let node = &self.node;
                stage.broken(format!("{node} calls for {} after its stop", load.run));
            }
        }
    }

    /// The loads that send, or will where nothing changes: also of a process that is stopped now.
    pub(crate) fn could_send(&self, stage: &Stage) -> impl Iterator<Item = &Load> {
        let now_us = self.moment(stage).boot_us;
        let leased = now_us < self.leased_until_us;
        let generation = self.guard.generation();
        self.loads
            .iter()
            .filter(move |load| leased && load.is_calling() && load.generation == generation)
    }

    fn plan(&mut self, stage: &mut Stage) {
        if self.vigor != Vigor::Awake {
            return;
        }
        let loads = self.loads.iter().filter_map(Load::next_deadline);
        let Some(due_us) = loads.chain(self.core.next_deadline()).min() else {
            return;
        };
        if due_us == self.due_us {
            return;
        }
        self.due_us = due_us;
        self.stamp += 1;
        let now_us = self.moment(stage).boot_us;
        // Timers are late by a little.
        let late = stage.random.below(2_000);
        let event = Event::Node {
            process: self.index,
            stamp: self.stamp,
        };
        stage.after(due_us.saturating_sub(now_us) + late, event);
    }

    /// A wish to be looked at; false: it is an old one.
    pub(crate) fn wished(&mut self, stamp: u64) -> bool {
        let newest = stamp == self.stamp;
        if newest {
            self.due_us = u64::MAX;
        }
        newest
    }
}

/// The name of a node.
pub(crate) fn node_name(name: usize) -> NodeId {
    NodeId(format!("n{name}"))
}
