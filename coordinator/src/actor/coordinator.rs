//! The actor itself: the bus in, the cores, the writer and the bus out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::{Actor, AsyncContext, Context, Handler, Message, StreamHandler, WeakAddr};
use futures_util::stream;
use shared::bus::{Bus, BusMessage, REPORTS_CAPACITY, Subscription};
use shared::id::{NodeId, OrganizationId, RunId};
use shared::wire::{REPORTS, Report, decode};
use tokio::sync::oneshot;

use super::audit::Auditor;
use super::commit::Transfers;
use super::live_run::LiveRun;
use super::published::Published;
use super::recover::Recovered;
use crate::core::Now;
use crate::core::accounts::AccountsInUse;
use crate::core::ledger::Ledger;
use crate::core::nodes::Nodes;
use crate::core::plan::Plan;
use crate::core::queue::StartQueue;
use crate::core::record::RunRecord;
use crate::core::run::Input;
use crate::failpoint::{self, failpoint};
use crate::handle::BusHealth;
use crate::live::Board;
use crate::store::{Control, Writer};

/// Decides through its cores what happens to every run.
pub(crate) struct CoordinatorActor {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) writer: Writer,
    pub(super) control: Control,
    pub(super) plan: Plan,
    pub(super) epoch: u64,
    pub(super) nodes: Nodes,
    pub(super) runs: BTreeMap<RunId, LiveRun>,
    /// The same runs, for those who watch.
    pub(super) board: Arc<Board>,
    pub(super) published: Arc<Published>,
    pub(super) ledger: Ledger,
    pub(super) transfers: BTreeMap<OrganizationId, Transfers>,
    pub(super) accounts: AccountsInUse,
    pub(super) queue: StartQueue,
    pub(super) auditor: Auditor,
    /// Why the books are not to be trusted; nothing new starts then.
    pub(super) broken: Option<String>,
    pub(super) bus_health: BusHealth,
    /// Nodes that an operator drained, as stored.
    pub(super) drained: BTreeSet<NodeId>,
    /// The newest change of a run's label on its way to the disk.
    pub(super) updating: BTreeMap<RunId, Arc<RunRecord>>,
    /// Grants under way, by their ids.
    pub(super) granting: BTreeSet<String>,
    /// Set while shutting down: whom to tell once everything has ended.
    pub(super) closing: Option<Vec<oneshot::Sender<()>>>,
    reports: Option<Subscription>,
    overflow: Overflow,
    unreadable: u64,
}

/// What the actor is made of beside its cores.
pub(crate) struct Parts {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) writer: Writer,
    pub(crate) plan: Plan,
    pub(crate) epoch: u64,
    pub(crate) starts_at_once: u32,
    pub(crate) bus_health: BusHealth,
    pub(crate) board: Arc<Board>,
    pub(crate) published: Arc<Published>,
    /// The books and the sums of what is stored, as the start found them.
    pub(crate) recovered: Recovered,
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
    pub(crate) fn new(parts: Parts) -> Self {
        let reports = parts.bus.subscribe(REPORTS, REPORTS_CAPACITY);
        let actor = Self {
            bus: parts.bus,
            control: parts.writer.control(),
            writer: parts.writer,
            plan: parts.plan,
            epoch: parts.epoch,
            nodes: Nodes::default(),
            runs: BTreeMap::new(),
            board: parts.board,
            published: parts.published,
            ledger: parts.recovered.ledger,
            transfers: BTreeMap::new(),
            accounts: AccountsInUse::default(),
            queue: StartQueue::new(parts.starts_at_once),
            auditor: Auditor::new(parts.recovered.replays),
            broken: None,
            bus_health: parts.bus_health,
            drained: parts.recovered.drained,
            updating: BTreeMap::new(),
            granting: BTreeSet::new(),
            closing: None,
            reports: Some(reports),
            overflow: Overflow::default(),
            unreadable: 0,
        };
        for organization in actor.ledger.organizations() {
            actor.publish(organization);
        }
        actor
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
        if matches!(report, Report::Ended { .. }) {
            failpoint(failpoint::AFTER_LAST_REPORT);
        }
        self.drive(run, Input::Report(report), address);
    }

    fn wake(&mut self, address: &WeakAddr<Self>) {
        self.nodes.look(now().instant);
        let refused = self
            .overflow
            .counter
            .load(std::sync::atomic::Ordering::Relaxed);
        self.board.count_bus(self.unreadable, refused);
        let lost = refused.saturating_sub(self.overflow.told);
        self.overflow.told = refused;
        let live: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, live)| live.core.is_some() && !live.status().is_terminal())
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
                .find_map(|(run, live)| (live.has_ended && live.core.is_none()).then_some(*run))
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
        context.set_mailbox_capacity(MAILBOX);
        context.run_interval(WAKE_EVERY, |actor, context| {
            actor.wake(&context.address().downgrade());
        });
        context.run_interval(AUDIT_EVERY, |actor, context| {
            actor.audit(false, None, &context.address().downgrade());
        });
        self.audit(false, None, &context.address().downgrade());
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
    /// Nobody took a command off the bus.
    pub(super) fn undelivered(run: RunId, node: NodeId) -> Self {
        Self {
            run,
            input: Input::Undelivered(node),
        }
    }

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

/// The run, and the sender where the message names it.
fn origin(report: &Report) -> Option<(RunId, Option<&NodeId>)> {
    match report {
        Report::Status(_) | Report::Tells(_) => None,
        Report::Prepared { run, node, .. } | Report::Ended { run, node, .. } => {
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

/// Requests that wait for the actor; further callers wait for their place.
const MAILBOX: usize = 4_096;
/// How often the books are audited where nothing ends.
const AUDIT_EVERY: Duration = Duration::from_secs(60);
/// How often deadlines are looked at.
const WAKE_EVERY: Duration = Duration::from_millis(200);
/// Runs in memory; those above it that have ended are only in storage.
const RUNS_KEPT: usize = 64;
