//! The node's actor: turns the bus, the clock and what runs here into inputs of [`NodeCore`], and
//! closes each second of each run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use rustc_hash::FxHashMap;
use shared::bus::Bus;
use shared::id::RunId;
use shared::wire::{NodeStatus, Report, SealKey};
use tokio::sync::watch;

use super::former::Former;
use super::listen::{FromBus, listen};
use super::live_run::LiveRun;
use super::measuring::{Measured, Measuring};
use super::process::ProcessMeter;
use super::shard::ShardActor;
use super::start::{NodeConfig, NodeEnd};
use super::state::State;
use crate::beats::Beat;
use crate::core::lease::LeaseGuard;
use crate::core::meter::{ProcessSecond, SourceSecond};
use crate::core::node::{Input, Moment, NodeCore, Notice, RunEvent};
use crate::net::limits;
use crate::net::media::{Engine, MediaReport, time};

/// Ends of all streams of a large run may come at one instant.
pub(super) const MAILBOX: usize = 65_536;
/// How often the node looks at itself for the next renewal.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// How often seconds are looked at for being complete, and the core for being due.
const TICK: Duration = Duration::from_millis(50);

/// A shard's second.
pub(super) struct ShardSecond {
    pub(super) run: RunId,
    pub(super) second: Box<SourceSecond>,
}

impl Message for ShardSecond {
    type Result = ();
}

/// Something of a run that the coordinator must store.
pub(super) struct RunItem {
    pub(super) run: RunId,
    pub(super) report: Report,
}

impl Message for RunItem {
    type Result = ();
}

/// A shard has no endpoint of the run left.
pub(super) struct ShardOver {
    pub(super) run: RunId,
    pub(super) shard: usize,
    /// The last second that it measured.
    pub(super) last_second: u32,
}

impl Message for ShardOver {
    type Result = ();
}

/// A report of the media engine.
pub(super) struct FromEngine(pub(super) MediaReport);

impl Message for FromEngine {
    type Result = ();
}

/// The node's end.
pub(super) struct Shutdown;

impl Message for Shutdown {
    type Result = ();
}

/// The node takes no new run, and ends when the live ones are over.
pub(super) struct Drain;

impl Message for Drain {
    type Result = ();
}

/// The node's actor.
pub(super) struct NodeActor {
    pub(super) config: NodeConfig,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) engine: Engine,
    pub(super) shards: Vec<Addr<ShardActor>>,
    pub(super) core: NodeCore,
    pub(super) guard: Arc<LeaseGuard>,
    pub(super) state: State,
    /// Former calls and their ports.
    pub(super) former: Former,
    /// Inputs that came while an output was performed.
    pub(super) later: VecDeque<Input>,
    /// The bus refused the last message.
    pub(super) cut_off: bool,
    /// What was logged last, and when: it may come with every message.
    pub(super) noticed: Option<(Notice, Instant)>,
    pub(super) runs: FxHashMap<RunId, LiveRun>,
    pub(super) next_number: u16,
    pub(super) seal_key: SealKey,
    process: ProcessMeter,
    process_now: ProcessSecond,
    process_second: u64,
    /// The last second that each media thread closed.
    pub(super) heard: Vec<u64>,
    pub(super) clock_domain: String,
    pub(super) measuring: Measuring,
    connections: u64,
    beat: Beat,
    pub(super) end: watch::Sender<Option<NodeEnd>>,
}

/// What a node's actor is made of.
pub(super) struct Parts {
    pub(super) config: NodeConfig,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) engine: Engine,
    pub(super) shards: Vec<Addr<ShardActor>>,
    pub(super) core: NodeCore,
    pub(super) guard: Arc<LeaseGuard>,
    pub(super) state: State,
    pub(super) former: Former,
    pub(super) beat: Beat,
    pub(super) end: watch::Sender<Option<NodeEnd>>,
}

/// Both clocks now.
pub(super) fn now() -> Moment {
    Moment {
        boot_us: time::boottime_us(),
        unix_us: i64::try_from(time::realtime_ns() / 1_000).unwrap_or(i64::MAX),
    }
}

impl NodeActor {
    pub(super) fn new(parts: Parts) -> Self {
        let threads = parts.engine.threads();
        let connections = parts.bus.connections();
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let boot = unix.unwrap_or_default().as_nanos();
        Self {
            clock_domain: format!("{boot:x}.carillon.invalid"),
            config: parts.config,
            bus: parts.bus,
            engine: parts.engine,
            shards: parts.shards,
            core: parts.core,
            guard: parts.guard,
            state: parts.state,
            former: parts.former,
            later: VecDeque::new(),
            cut_off: false,
            noticed: None,
            runs: FxHashMap::default(),
            next_number: 0,
            seal_key: SealKey::generate(),
            process: ProcessMeter::new(),
            process_now: ProcessSecond::default(),
            process_second: 0,
            heard: vec![0; threads],
            measuring: Measuring::default(),
            connections,
            beat: parts.beat,
            end: parts.end,
        }
    }

    /// Gives the core an input and performs what follows, until nothing follows.
    pub(super) fn drive(&mut self, context: &mut Context<Self>, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next {
            self.core.handle(now(), input);
            while let Some(output) = self.core.poll() {
                self.perform(context, output);
            }
            next = self.later.pop_front();
        }
    }

    /// Something of a run for the core.
    pub(super) fn of_run(&mut self, context: &mut Context<Self>, run: RunId, event: RunEvent) {
        self.drive(context, Input::Run(run, event));
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        self.beat.bump();
        let engine_second = self.engine.epoch().elapsed().as_secs();
        if engine_second > self.process_second {
            self.process_second = engine_second;
            self.process_now = self.process.read();
            for live in self.runs.values_mut() {
                live.meter.process(self.process_now);
            }
        }
        self.close_seconds(context);
        let connections = self.bus.connections();
        if connections != self.connections {
            self.connections = connections;
            self.drive(context, Input::Connected);
        }
        let due = self.core.next_deadline();
        if due.is_some_and(|at| at <= time::boottime_us()) {
            self.drive(context, Input::Tick);
        }
    }

    fn close_seconds(&mut self, context: &mut Context<Self>) {
        let heard = self.heard.iter().copied().min().unwrap_or(0);
        let mut events = Vec::new();
        for (run, live) in &mut self.runs {
            if live.over_told {
                continue;
            }
            if live.base.is_some() {
                live.meter.advance(live.grid.elapsed());
            }
            let complete = live.is_complete(heard);
            if complete {
                live.meter.finish();
                live.over_told = true;
            }
            while let Some(frame) = live.meter.poll() {
                events.push((*run, RunEvent::Item(Report::Frame(Box::new(frame)))));
            }
            if complete {
                events.push((*run, RunEvent::Over));
            }
        }
        for (run, event) in events {
            self.of_run(context, run, event);
        }
        // The core keeps what must be stored of them; nothing else of them is needed.
        self.runs.retain(|_, live| !live.over_told);
    }

    /// Looks at the node for the next renewal.
    fn describe(&mut self) {
        let live = self.runs.values().filter(|run| !run.over_told);
        let endpoints = live.map(|live| live.endpoints).sum();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let free = self
            .engine
            .shard(0)
            .map_or(0, |media| media.free_ports(self.config.address));
        self.core.describe(NodeStatus {
            node: self.config.node.clone(),
            region: self.config.region.clone(),
            labels: self.config.labels.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            condition: self.state.condition(),
            free_descriptors: limits::free_descriptors(),
            free_ports: u32::try_from(free).unwrap_or(u32::MAX),
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            capacity_endpoints: self.measuring.endpoints(),
            endpoints,
            cpu_cores: self.process_now.cpu_cores,
            resident_bytes: self.process_now.resident_bytes,
            wants_media: self.config.wants_media,
            seal_key: self.seal_key.public(),
        });
    }
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        listen(&*self.bus, &self.config.node, &context.address());
        self.process_now = self.process.read();
        self.describe();
        self.drive(context, Input::Tick);
        self.measure(context.address());
        context.run_interval(STATUS_EVERY, |node, context| {
            node.describe();
            node.measure(context.address());
        });
        context.run_interval(TICK, Self::tick);
    }
}

impl Handler<FromBus> for NodeActor {
    type Result = ();

    fn handle(&mut self, FromBus(input): FromBus, context: &mut Self::Context) {
        self.drive(context, input);
    }
}

impl Handler<FromEngine> for NodeActor {
    type Result = ();

    fn handle(&mut self, FromEngine(report): FromEngine, _: &mut Self::Context) {
        self.engine_report(report);
    }
}

impl Handler<ShardSecond> for NodeActor {
    type Result = ();

    fn handle(&mut self, ShardSecond { run, second }: ShardSecond, _: &mut Self::Context) {
        if let Some(live) = self.runs.get_mut(&run) {
            live.meter.add(*second);
        }
    }
}

impl Handler<RunItem> for NodeActor {
    type Result = ();

    fn handle(&mut self, RunItem { run, report }: RunItem, context: &mut Self::Context) {
        self.of_run(context, run, RunEvent::Item(report));
    }
}

impl Handler<ShardOver> for NodeActor {
    type Result = ();

    fn handle(&mut self, over: ShardOver, _: &mut Self::Context) {
        let ShardOver {
            run,
            shard,
            last_second,
        } = over;
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        live.meter.source_over(last_second);
        if let Some(open) = live.shards_open.get_mut(shard) {
            *open = false;
        }
        if live.over_since.is_none() && live.shards_open.iter().all(|open| !open) {
            live.over_since = Some(Instant::now());
        }
    }
}

impl Handler<Measured> for NodeActor {
    type Result = ();

    fn handle(&mut self, Measured(per_core): Measured, _: &mut Self::Context) {
        self.take_measure(per_core);
        self.describe();
    }
}

impl Handler<Drain> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Drain, context: &mut Self::Context) {
        self.drive(context, Input::Drain);
    }
}

impl Handler<Shutdown> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, context: &mut Self::Context) {
        use actix::ActorContext;
        context.stop();
    }
}
