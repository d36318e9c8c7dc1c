//! The actor itself: the bus in, the cores, the writer and the bus out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::{Actor, AsyncContext, Context, Handler, Message, StreamHandler, WeakAddr};
use futures_util::stream;
use shared::bus::{Bus, BusMessage, REPORTS_CAPACITY, Subscription};
use shared::id::{NodeId, RunId};
use shared::wire::{Desired, DesiredState, REPORTS, Report, command_subject, decode, encode};

use crate::core::Now;
use crate::core::nodes::Nodes;
use crate::core::plan::{Plan, Usage};
use crate::core::run::{Input, Output, Record, Run, World};
use crate::live::{Board, Shown};
use crate::store::{Command, Writer};

/// Decides through its cores what happens to every run.
pub(crate) struct CoordinatorActor {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) writer: Writer,
    pub(super) plan: Plan,
    pub(super) epoch: u64,
    pub(super) nodes: Nodes,
    pub(super) runs: BTreeMap<RunId, LiveRun>,
    /// The same runs, for those who watch.
    pub(super) board: Arc<Board>,
    reports: Option<Subscription>,
    overflow: Overflow,
    unreadable: u64,
}

/// A run and who watches it.
pub(super) struct LiveRun {
    pub(super) core: Run,
    pub(super) shown: Arc<Shown>,
}

/// Reports that the full queue refused, as seen so far.
#[derive(Default)]
struct Overflow {
    told: u64,
    /// The subscription's own counter cannot be read while the stream holds it.
    counter: Arc<std::sync::atomic::AtomicU64>,
}

impl CoordinatorActor {
    /// Subscribes at once, so that no report between this and the actor's start is lost.
    pub(crate) fn new(
        bus: Arc<dyn Bus>,
        writer: Writer,
        plan: Plan,
        epoch: u64,
        board: Arc<Board>,
    ) -> Self {
        let reports = bus.subscribe(REPORTS, REPORTS_CAPACITY);
        Self {
            bus,
            writer,
            plan,
            epoch,
            nodes: Nodes::default(),
            runs: BTreeMap::new(),
            board,
            reports: Some(reports),
            overflow: Overflow::default(),
            unreadable: 0,
        }
    }

    /// What runs that have not ended use.
    pub(super) fn usage(&self, but: RunId) -> Usage {
        let live = self
            .runs
            .iter()
            .filter(|(run, live)| **run != but && !live.core.status().is_terminal());
        live.fold(Usage::default(), |usage, (_, live)| Usage {
            runs: usage.runs + 1,
            endpoints: usage.endpoints.saturating_add(live.core.endpoints()),
        })
    }

    /// Feeds one input to a run and performs everything it puts out.
    pub(super) fn drive(&mut self, run: RunId, input: Input, address: &WeakAddr<Self>) {
        let usage = self.usage(run);
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        let world = World {
            nodes: &self.nodes,
            usage,
        };
        live.core.handle(now(), input, &world);
        self.perform(run, address);
    }

    /// Performs what a run put out, in its order, through the writer's queue.
    pub(super) fn perform(&mut self, run: RunId, address: &WeakAddr<Self>) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        while let Some(output) = live.core.poll() {
            enroll(&live.shown, &output);
            let command = match output {
                Output::Move(step) => {
                    tracing::info!(%run, status = %step.status, reason = %step.reason, "{}", step.sentence);
                    Command::Move(run, step)
                }
                Output::Store(record) => Command::Record(run, record),
                Output::Live(update) => {
                    let shown = Arc::clone(&live.shown);
                    let board = Arc::clone(&self.board);
                    Command::Then(Box::new(move || {
                        let ended = update.status.is_terminal();
                        shown.show(*update);
                        if ended {
                            board.retire(run);
                        }
                    }))
                }
                Output::Send(node, desired) => {
                    let bus = Arc::clone(&self.bus);
                    let address = address.clone();
                    Command::Then(Box::new(move || {
                        send(bus.as_ref(), &address, run, node, &desired);
                    }))
                }
            };
            if self.writer.push(command).is_err() {
                tracing::error!(%run, "the storage thread has ended");
            }
        }
    }

    fn message(&mut self, message: &BusMessage, address: &WeakAddr<Self>) {
        let report: Report = match decode(&message.payload) {
            Ok(report) => report,
            Err(error) => {
                self.unreadable += 1;
                tracing::warn!(subject = %message.subject, %error, count = self.unreadable, "a node's message cannot be read");
                return;
            }
        };
        let at = now();
        if let Report::Status(status) = report {
            self.nodes.status(at.instant, status);
            self.wake(address);
            return;
        }
        let Some((run, node)) = origin(&report) else {
            return;
        };
        if let Some(node) = node {
            self.nodes.heard(at.instant, node);
        }
        self.drive(run, Input::Report(report), address);
    }

    fn wake(&mut self, address: &WeakAddr<Self>) {
        self.nodes.look(now().instant);
        let refused = self
            .overflow
            .counter
            .load(std::sync::atomic::Ordering::Relaxed);
        let lost = refused.saturating_sub(self.overflow.told);
        self.overflow.told = refused;
        let live: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, live)| !live.core.status().is_terminal())
            .map(|(run, _)| *run)
            .collect();
        for run in live {
            if lost > 0 {
                self.drive(run, Input::Overflow(lost), address);
            }
            self.drive(run, Input::Wake, address);
        }
    }

    /// Ended runs are read from storage; only the newest few stay for those who still watch.
    pub(super) fn forget_the_ended(&mut self) {
        while self.runs.len() >= RUNS_KEPT {
            let Some(ended) = self
                .runs
                .iter()
                .find_map(|(run, live)| live.core.status().is_terminal().then_some(*run))
            else {
                return;
            };
            self.runs.remove(&ended);
            self.board.remove(ended);
        }
    }
}

impl Actor for CoordinatorActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if let Some(reports) = self.reports.take() {
            let counter = Arc::clone(&self.overflow.counter);
            context.add_stream(stream::unfold(reports, move |mut reports| {
                let counter = Arc::clone(&counter);
                async move {
                    let message = reports.next().await?;
                    counter.store(reports.refused(), std::sync::atomic::Ordering::Relaxed);
                    Some((message, reports))
                }
            }));
        }
        context.run_interval(WAKE_EVERY, |actor, context| {
            actor.wake(&context.address().downgrade());
        });
    }
}

impl StreamHandler<BusMessage> for CoordinatorActor {
    fn handle(&mut self, message: BusMessage, context: &mut Self::Context) {
        self.message(&message, &context.address().downgrade());
    }

    /// The bus is gone: whoever still waits is answered from storage, runs end as lost nodes.
    fn finished(&mut self, _: &mut Self::Context) {}
}

/// Something that a run's core must hear of.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Trouble {
    run: RunId,
    input: Input,
}

impl Trouble {
    /// Storing failed.
    pub(crate) fn storage(run: RunId, error: String) -> Self {
        Self {
            run,
            input: Input::StorageFailed(error),
        }
    }
}

impl Handler<Trouble> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, trouble: Trouble, context: &mut Self::Context) {
        self.drive(trouble.run, trouble.input, &context.address().downgrade());
    }
}

/// Keeps the list of endpoints up with what the run takes in.
fn enroll(shown: &Shown, output: &Output) {
    // None: it has ended, and what comes late is not taken in either.
    let _ = shown.with_roster(|roster| match output {
        Output::Send(node, desired) if desired.state == DesiredState::Prepared => {
            roster.recast(&desired.test);
            roster.assign(node, &desired.shares);
        }
        Output::Store(Record::Frame(frame)) => roster.frame(frame),
        Output::Store(Record::Report(report)) => roster.report(report),
        Output::Store(Record::Trace(trace)) => roster.trace(trace.endpoint),
        Output::Send(..) | Output::Store(_) | Output::Move(_) | Output::Live(_) => {}
    });
}

fn send(
    bus: &dyn Bus,
    address: &WeakAddr<CoordinatorActor>,
    run: RunId,
    node: NodeId,
    desired: &Desired,
) {
    let published = match encode(desired) {
        Ok(payload) => bus.publish(&command_subject(&node), payload),
        Err(error) => {
            tracing::error!(%run, %node, %error, "a command cannot be written");
            shared::bus::Published::default()
        }
    };
    if (published.delivered == 0 || published.refused > 0)
        && let Some(address) = address.upgrade()
    {
        // Bounded by the commands that were sent: one answer each.
        address.do_send(Trouble {
            run,
            input: Input::Undelivered(node),
        });
    }
}

/// The run, and the sender where the message names it.
fn origin(report: &Report) -> Option<(RunId, Option<&NodeId>)> {
    match report {
        Report::Status(_) => None,
        Report::Prepared { run, node, .. } | Report::Ended { run, node } => {
            Some((*run, Some(node)))
        }
        Report::Frame(frame) => Some((frame.run, Some(&frame.node))),
        Report::Endpoint(report) => Some((report.run, Some(&report.node))),
        Report::Trace(trace) => Some((trace.run, None)),
    }
}

/// Both clocks.
pub(super) fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant: Instant::now(),
        unix_ms: since.map_or(0, crate::core::millis),
    }
}

/// How often deadlines are looked at.
const WAKE_EVERY: Duration = Duration::from_millis(200);
/// Runs in memory; those above it that have ended are only in storage.
const RUNS_KEPT: usize = 64;
