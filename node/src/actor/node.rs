//! The node: compares what the coordinator wants with what runs here, starts and stops runs on its
//! shards, closes each second and tells the coordinator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use rustc_hash::FxHashMap;
use shared::bus::{Bus, COMMANDS_CAPACITY};
use shared::id::RunId;
use shared::wire::{Desired, NodeStatus, Report, command_subject, decode};

use tokio::sync::watch;

use super::live_run::LiveRun;
use super::process::ProcessMeter;
use super::shard::{Go, ShardActor, Stop};
use super::shard_run::publish;
use super::start::{NodeConfig, NodeEnd};
use crate::beats::Beat;
use crate::core::desired::{Action, Known, decide};
use crate::core::meter::SourceSecond;
use crate::net::limits;
use crate::net::media::{Engine, MediaReport};

/// Ends of all streams of a large run may come at one instant.
pub(super) const MAILBOX: usize = 65_536;
/// How often the node says that it lives.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// How often seconds are looked at for being complete.
const METER_TICK: Duration = Duration::from_millis(50);
/// A shard's second.
pub(super) struct ShardSecond {
    pub(super) run: RunId,
    pub(super) second: Box<SourceSecond>,
}

impl Message for ShardSecond {
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

struct FromCoordinator(Box<Desired>);

impl Message for FromCoordinator {
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
    pub(super) runs: FxHashMap<RunId, LiveRun>,
    /// Runs that ended here: a repeated command for one of them changes nothing.
    ended: FxHashMap<RunId, Known>,
    pub(super) next_number: u16,
    process: ProcessMeter,
    process_second: u64,
    /// The last second that each media thread closed.
    pub(super) heard: Vec<u64>,
    pub(super) clock_domain: String,
    beat: Beat,
    end: watch::Sender<Option<NodeEnd>>,
}

/// Ended runs that are remembered.
const ENDED_MAX: usize = 1_024;

impl NodeActor {
    pub(super) fn new(
        config: NodeConfig,
        bus: Arc<dyn Bus>,
        engine: Engine,
        shards: Vec<Addr<ShardActor>>,
        beat: Beat,
        end: watch::Sender<Option<NodeEnd>>,
    ) -> Self {
        let threads = engine.threads();
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let boot = unix.unwrap_or_default().as_nanos();
        Self {
            clock_domain: format!("{boot:x}.carillon.invalid"),
            config,
            bus,
            engine,
            shards,
            runs: FxHashMap::default(),
            ended: FxHashMap::default(),
            next_number: 0,
            process: ProcessMeter::new(),
            process_second: 0,
            heard: vec![0; threads],
            beat,
            end,
        }
    }

    fn command(&mut self, context: &mut Context<Self>, desired: Desired) {
        let known = self
            .runs
            .get(&desired.run)
            .map(|run| run.known)
            .or_else(|| self.ended.get(&desired.run).copied());
        match decide(known, &desired) {
            Action::Prepare => self.prepare(context, desired),
            Action::Start => self.start_run(&desired),
            Action::Stop => self.stop_run(&desired),
            Action::SayEnded => self.say_ended(desired.run),
            Action::Ignore(why) => tracing::debug!(run = %desired.run, why, "command ignored"),
        }
    }

    fn start_run(&mut self, desired: &Desired) {
        let Some(live) = self.runs.get_mut(&desired.run) else {
            return;
        };
        live.known.update(desired);
        // The run's seconds are the engine's, so that no second is cut in two.
        let epoch = self.engine.epoch();
        let base = epoch.elapsed().as_secs() + 1;
        live.base = Some(base);
        live.begin = epoch + Duration::from_secs(base);
        let begin = live.begin;
        for shard in &self.shards {
            shard.do_send(Go {
                run: desired.run,
                begin,
            });
        }
    }

    fn stop_run(&mut self, desired: &Desired) {
        if let Some(live) = self.runs.get_mut(&desired.run) {
            live.known.update(desired);
            live.stopped = true;
        }
        for shard in &self.shards {
            shard.do_send(Stop { run: desired.run });
        }
    }

    pub(super) fn say_ended(&self, run: RunId) {
        let node = self.config.node.clone();
        let cause = shared::wire::EndCause::Finished;
        publish(
            &*self.bus,
            &self.config.node,
            &Report::Ended { run, node, cause },
        );
    }

    pub(super) fn forget(&mut self, run: RunId) {
        if let Some(live) = self.runs.remove(&run) {
            if self.ended.len() >= ENDED_MAX {
                self.ended.clear();
            }
            self.ended.insert(run, live.known.ended());
        }
    }

    fn tick(&mut self) {
        self.beat.bump();
        let engine_second = self.engine.epoch().elapsed().as_secs();
        if engine_second > self.process_second {
            self.process_second = engine_second;
            let figures = self.process.read();
            for live in self.runs.values_mut() {
                live.meter.process(figures);
            }
        }
        let heard = self.heard.iter().copied().min().unwrap_or(0);
        let mut over = Vec::new();
        for (run, live) in &mut self.runs {
            if live.base.is_some() {
                live.meter.advance(live.begin.elapsed());
            }
            let complete = live.is_complete(heard);
            if complete {
                live.meter.finish();
                over.push(*run);
            }
            while let Some(frame) = live.meter.poll() {
                publish(
                    &*self.bus,
                    &self.config.node,
                    &Report::Frame(Box::new(frame)),
                );
            }
        }
        for run in over {
            self.forget(run);
            self.say_ended(run);
        }
    }

    fn status(&self) {
        let endpoints = self.runs.values().map(|live| live.endpoints).sum();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let free = self
            .engine
            .shard(0)
            .map_or(0, |media| media.free_ports(self.config.address));
        let status = NodeStatus {
            node: self.config.node.clone(),
            region: self.config.region.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            free_descriptors: limits::free_descriptors(),
            free_ports: u32::try_from(free).unwrap_or(u32::MAX),
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            endpoints,
            ..NodeStatus::default()
        };
        publish(&*self.bus, &self.config.node, &Report::Status(status));
    }
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let subject = command_subject(&self.config.node);
        let mut commands = self.bus.subscribe(&subject, COMMANDS_CAPACITY);
        let own = context.address();
        actix_rt::spawn(async move {
            while let Some(message) = commands.next().await {
                match decode::<Desired>(&message.payload) {
                    Ok(desired) => own.do_send(FromCoordinator(Box::new(desired))),
                    Err(error) => tracing::error!(%error, "a command could not be read"),
                }
            }
        });
        self.status();
        context.run_interval(STATUS_EVERY, |node, _| node.status());
        context.run_interval(METER_TICK, |node, _| node.tick());
    }
}

impl Handler<FromCoordinator> for NodeActor {
    type Result = ();

    fn handle(&mut self, message: FromCoordinator, context: &mut Self::Context) {
        self.command(context, *message.0);
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

impl Handler<Drain> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {
        self.end.send_replace(Some(NodeEnd::Drained));
    }
}

impl Handler<Shutdown> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, context: &mut Self::Context) {
        use actix::ActorContext;
        context.stop();
    }
}
