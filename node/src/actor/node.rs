//! The node: compares what the coordinator wants with what runs here, starts and stops runs on its
//! shards, closes each second and tells the coordinator.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorFutureExt, Addr, Arbiter, AsyncContext, Context, Handler, Message, WrapFuture,
};
use rustc_hash::FxHashMap;
use shared::bus::{Bus, COMMANDS_CAPACITY};
use shared::id::{NodeId, RunId};
use shared::wire::{Desired, NodeStatus, Problem, Report, command_subject, decode};

use super::plan::RunPlan;
use super::prepare::{Prepared, prepare};
use super::process::ProcessMeter;
use super::shard::{ForStream, Go, Prepare, ShardActor, Stop, stream_parts};
use super::shard_run::publish;
use crate::core::desired::{Action, Known, decide};
use crate::core::endpoint::Input;
use crate::core::layout::lay_out;
use crate::core::meter::{Meter, SourceSecond};
use crate::core::quality;
use crate::net::egress::Egress;
use crate::net::limits;
use crate::net::media::{Engine, EngineConfig, EngineError, MediaReport, MediaSecond, TroubleWhat};

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its name.
    pub node: NodeId,
    /// Its region; blank where there is none.
    pub region: String,
    /// The local address for SIP and RTP; unspecified: the one that routes to the target.
    pub address: IpAddr,
    /// UDP ports for RTP and RTCP.
    pub media_ports: RangeInclusive<u16>,
    /// Signalling and media threads, each; none: one of each for a core.
    pub threads: Option<usize>,
    /// Media files are found from here.
    pub base_dir: PathBuf,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A media thread could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The thread that carries media reports could not be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running node.
pub struct NodeHandle {
    address: Addr<NodeActor>,
    arbiters: Vec<Arbiter>,
}

impl NodeHandle {
    /// True while the node's actor lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.address.connected()
    }

    /// Ends the node's threads. Runs that were live here are cut off.
    pub fn stop(self) {
        self.address.do_send(Shutdown);
        for arbiter in self.arbiters {
            arbiter.stop();
        }
    }
}

/// Threads that one node may have of each kind: stream ids have room for no more.
const THREADS_MAX: usize = 256;

/// Starts a node in this process. Must be called inside an actix system.
///
/// Errors: see [`StartError`].
pub fn start(config: NodeConfig, bus: Arc<dyn Bus>) -> Result<NodeHandle, StartError> {
    if let Err(errno) = limits::raise_descriptor_limit() {
        tracing::warn!(%errno, "the limit of file descriptors could not be raised");
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = config.threads.unwrap_or(cores).clamp(1, THREADS_MAX);
    let engine_config = EngineConfig {
        threads,
        ports: config.media_ports.clone(),
        ..EngineConfig::default()
    };
    let (engine, reports) = Engine::start(engine_config)?;
    let arbiters: Vec<Arbiter> = (0..threads).map(|_| Arbiter::new()).collect();
    let medias: Vec<_> = (0..threads)
        .filter_map(|index| engine.shard(index))
        .collect();
    let address = NodeActor::create(|context| {
        context.set_mailbox_capacity(MAILBOX);
        let own = context.address();
        let shards = arbiters
            .iter()
            .zip(medias)
            .enumerate()
            .map(|(index, (arbiter, media))| {
                let (own, bus) = (own.clone(), Arc::clone(&bus));
                ShardActor::start_in_arbiter(&arbiter.handle(), move |_| {
                    ShardActor::new(index, own, media, bus)
                })
            })
            .collect();
        NodeActor::new(config, bus, engine, shards)
    });
    let target = address.clone();
    std::thread::Builder::new()
        .name("media-reports".to_owned())
        .spawn(move || {
            for report in reports {
                // A full mailbox means that the node's thread is starved; the report is then lost and
                // the second lacks its figures, which the meter counts as silence of that source.
                if target.try_send(FromEngine(report)).is_err() && !target.connected() {
                    return;
                }
            }
        })?;
    Ok(NodeHandle { address, arbiters })
}

/// Ends of all streams of a large run may come at one instant.
const MAILBOX: usize = 65_536;
/// How often the node says that it lives.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// How often seconds are looked at for being complete.
const METER_TICK: Duration = Duration::from_millis(50);
/// Media threads have closed the last second by then.
const LAST_SECOND_PATIENCE: Duration = Duration::from_millis(1_500);

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
}

impl Message for ShardOver {
    type Result = ();
}

struct FromEngine(MediaReport);

impl Message for FromEngine {
    type Result = ();
}

struct FromCoordinator(Box<Desired>);

impl Message for FromCoordinator {
    type Result = ();
}

struct Shutdown;

impl Message for Shutdown {
    type Result = ();
}

struct LiveRun {
    known: Known,
    number: u16,
    meter: Meter,
    /// Engine second in which the run's second 0 began; none before it did.
    base: Option<u64>,
    begin: Instant,
    shards_open: Vec<bool>,
    over_since: Option<Instant>,
    last_media_second: Option<u64>,
    endpoints: u32,
}

/// The node's actor.
pub(super) struct NodeActor {
    config: NodeConfig,
    bus: Arc<dyn Bus>,
    engine: Engine,
    shards: Vec<Addr<ShardActor>>,
    runs: FxHashMap<RunId, LiveRun>,
    /// Runs that ended here: a repeated command for one of them changes nothing.
    ended: FxHashMap<RunId, Known>,
    next_number: u16,
    process: ProcessMeter,
    process_second: u64,
    heard: Vec<u64>,
    clock_domain: String,
}

/// Ended runs that are remembered.
const ENDED_MAX: usize = 1_024;

impl NodeActor {
    fn new(
        config: NodeConfig,
        bus: Arc<dyn Bus>,
        engine: Engine,
        shards: Vec<Addr<ShardActor>>,
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

    fn prepare(&mut self, context: &mut Context<Self>, desired: Desired) {
        self.next_number = (self.next_number + 1) & 0x0fff;
        let number = self.next_number;
        let sources = self.shards.len() + self.engine.threads();
        let count = desired.test.endpoint_count();
        let meter = Meter::new(
            desired.run,
            self.config.node.clone(),
            desired.epoch,
            sources,
            count,
        );
        let live = LiveRun {
            known: Known::prepared(&desired),
            number,
            meter,
            base: None,
            begin: Instant::now(),
            shards_open: vec![true; self.shards.len()],
            over_since: None,
            last_media_second: None,
            endpoints: desired.shares.iter().map(|share| share.count).sum(),
        };
        self.runs.insert(desired.run, live);
        let config = self.config.clone();
        let media = self.engine.shard(0);
        let shards = u32::try_from(self.shards.len()).unwrap_or(u32::MAX);
        let work = tokio::task::spawn_blocking(move || {
            let address = Some(config.address);
            let free = |local| media.as_ref().map_or(0, |media| media.free_ports(local));
            let (test, shares) = (&desired.test, &desired.shares);
            let prepared = prepare(test, shares, address, &config.base_dir, shards, free);
            (desired, prepared)
        });
        let done = work
            .into_actor(self)
            .map(move |result, node, context| match result {
                Ok((desired, prepared)) => node.prepare_shards(context, desired, prepared, number),
                Err(error) => tracing::error!(%error, "the preparation of a run broke off"),
            });
        context.spawn(done);
    }

    fn prepare_shards(
        &mut self,
        context: &mut Context<Self>,
        desired: Desired,
        prepared: Prepared,
        number: u16,
    ) {
        let run = desired.run;
        if !prepared.problems.is_empty() {
            self.answer_prepared(run, prepared.problems);
            return;
        }
        let layout = lay_out(&desired.test, &desired.shares, self.shards.len());
        let plan = Arc::new(RunPlan {
            run,
            number,
            node: self.config.node.clone(),
            egress: Arc::new(Egress::new(&desired.test.allow_targets)),
            locals: prepared.locals,
            clips: prepared.clips,
            clock_domain: self.clock_domain.clone(),
            seed: run.0,
            test: desired.test,
        });
        let asked: Vec<_> = self
            .shards
            .iter()
            .zip(layout)
            .map(|(shard, parts)| {
                shard.send(Prepare {
                    plan: Arc::clone(&plan),
                    parts,
                })
            })
            .collect();
        let answers = async move {
            let mut problems = Vec::new();
            for answer in asked {
                match answer.await {
                    Ok(found) => problems.extend(found),
                    Err(error) => problems.push(Problem {
                        code: "shard_gone".to_owned(),
                        sentence: format!("a signalling thread does not answer: {error}"),
                    }),
                }
            }
            problems
        };
        let done = answers.into_actor(self).map(move |mut problems, node, _| {
            problems.sort_by(|a, b| (&a.code, &a.sentence).cmp(&(&b.code, &b.sentence)));
            problems.dedup();
            node.answer_prepared(run, problems);
        });
        context.spawn(done);
    }

    fn answer_prepared(&mut self, run: RunId, problems: Vec<Problem>) {
        let node = self.config.node.clone();
        if !problems.is_empty() {
            for shard in &self.shards {
                shard.do_send(Stop { run });
            }
            self.forget(run);
        }
        publish(
            &*self.bus,
            &self.config.node,
            &Report::Prepared {
                run,
                node,
                problems,
            },
        );
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
        }
        for shard in &self.shards {
            shard.do_send(Stop { run: desired.run });
        }
    }

    fn say_ended(&self, run: RunId) {
        let node = self.config.node.clone();
        publish(&*self.bus, &self.config.node, &Report::Ended { run, node });
    }

    fn forget(&mut self, run: RunId) {
        if let Some(live) = self.runs.remove(&run) {
            if self.ended.len() >= ENDED_MAX {
                self.ended.clear();
            }
            self.ended.insert(run, live.known.ended());
        }
    }

    fn media_second(&mut self, second: &MediaSecond) {
        if let Some(heard) = self.heard.get_mut(second.thread) {
            *heard = second.engine_second;
        }
        for live in self.runs.values_mut() {
            let Some(run_second) = live.second(second.engine_second) else {
                continue;
            };
            let mut source = SourceSecond {
                second: run_second,
                send_late_us: second.send_late_us.clone(),
                skipped_packets: second.skipped,
                socket_drops: second.socket_drops,
                refused: second.refused_reports,
                strangers: second.strangers + second.ambiguous,
                ..SourceSecond::default()
            };
            for (id, figures) in &second.rows {
                let (number, _, endpoint, _) = stream_parts(*id);
                if number == live.number {
                    let endpoint = shared::id::EndpointIndex(endpoint);
                    quality::samples(figures, |metric, value| {
                        source.samples.push((endpoint, metric, value));
                    });
                }
            }
            live.meter.add(source);
        }
    }

    fn engine_report(&mut self, report: MediaReport) {
        match report {
            MediaReport::Second(second) => self.media_second(&second),
            MediaReport::Ended {
                id,
                engine_second,
                summary,
                last,
            } => {
                let (number, shard, endpoint, call) = stream_parts(id);
                if let Some(live) = self.runs.values_mut().find(|live| live.number == number) {
                    live.last_media_second = live.last_media_second.max(Some(engine_second));
                    if let Some(second) = live.second(engine_second) {
                        let index = shared::id::EndpointIndex(endpoint);
                        let mut samples = Vec::new();
                        quality::samples(&last, |metric, value| {
                            samples.push((index, metric, value));
                        });
                        live.meter.add_part(SourceSecond {
                            second,
                            samples,
                            ..SourceSecond::default()
                        });
                    }
                }
                self.for_stream(shard, number, endpoint, Input::MediaEnded { call, summary });
            }
            MediaReport::Trouble { id: Some(id), what } => {
                let (number, shard, endpoint, call) = stream_parts(id);
                let address = match what {
                    TroubleWhat::Network { address, .. } => Some(address),
                    TroubleWhat::Egress(_)
                    | TroubleWhat::Duplicate
                    | TroubleWhat::Full { .. }
                    | TroubleWhat::Unknown => None,
                };
                let what = what.to_string();
                let trouble = Input::MediaTrouble {
                    call,
                    address,
                    what,
                };
                self.for_stream(shard, number, endpoint, trouble);
            }
            MediaReport::Trouble { id: None, what } => {
                tracing::warn!(%what, "trouble at a shared RTP socket");
            }
        }
    }

    fn for_stream(&self, shard: usize, number: u16, endpoint: u32, input: Input) {
        if let Some(shard) = self.shards.get(shard)
            && shard
                .try_send(ForStream {
                    number,
                    endpoint,
                    input,
                })
                .is_err()
        {
            tracing::error!("a shard's mailbox is full: the end of a stream was lost");
        }
    }

    fn tick(&mut self) {
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
            free_descriptors: u32::try_from(limits::free_descriptors()).unwrap_or(u32::MAX),
            free_ports: u32::try_from(free).unwrap_or(u32::MAX),
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            endpoints,
        };
        publish(&*self.bus, &self.config.node, &Report::Status(status));
    }
}

impl LiveRun {
    /// The run's second in which an engine second lies; none before the run began.
    fn second(&self, engine_second: u64) -> Option<u32> {
        u32::try_from(engine_second.checked_sub(self.base?)?).ok()
    }

    /// True once all shards are over and no whole second of media is still on its way.
    fn is_complete(&self, heard: u64) -> bool {
        let Some(since) = self.over_since else {
            return false;
        };
        let waits_for = self.last_media_second.unwrap_or(0).saturating_sub(1);
        heard >= waits_for || since.elapsed() > LAST_SECOND_PATIENCE
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

    fn handle(&mut self, ShardOver { run, shard }: ShardOver, _: &mut Self::Context) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        if let Some(open) = live.shards_open.get_mut(shard) {
            *open = false;
        }
        if live.over_since.is_none() && live.shards_open.iter().all(|open| !open) {
            live.over_since = Some(Instant::now());
        }
    }
}

impl Handler<Shutdown> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, context: &mut Self::Context) {
        use actix::ActorContext;
        context.stop();
    }
}
