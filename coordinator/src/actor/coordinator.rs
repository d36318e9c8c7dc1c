//! The actor itself: the bus in, the cores, the writer and the bus out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::{Actor, AsyncContext, Context, Handler, Message, StreamHandler, WeakAddr};
use futures_util::stream;
use shared::bus::{Bus, BusMessage, REPORTS_CAPACITY, Subscription};
use shared::id::{NodeId, OrganizationId, RunId};
use shared::wire::{ClusterId, REPORTS};
use tokio::sync::oneshot;

use super::adopt::Adopted;
use super::audit::Auditor;
use super::bus::Line;
use super::commit::Transfers;
use super::live_run::LiveRun;
use super::published::Published;
use super::recover::Recovered;
use crate::core::Now;
use crate::core::accounts::AccountsInUse;
use crate::core::cluster::Cluster;
use crate::core::ledger::Ledger;
use crate::core::plan::Plan;
use crate::core::queue::StartQueue;
use crate::core::record::RunRecord;
use crate::core::run::Input;
use crate::failpoint::{self, failpoint};
use crate::live::Board;
use crate::outward::Outward;
use crate::store::{Control, Writer};

/// Decides through its cores what happens to every run.
pub(crate) struct CoordinatorActor {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) writer: Writer,
    pub(super) control: Control,
    pub(super) plan: Plan,
    pub(super) cluster: ClusterId,
    pub(super) epoch: u64,
    /// The node that lives in this process.
    pub(super) embedded: Option<NodeId>,
    /// For subscribers.
    pub(super) outward: Outward,
    pub(super) line: Line,
    pub(super) nodes: Cluster,
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
    /// Runs of an earlier coordinator that go on.
    adopted: Vec<Adopted>,
    /// Runs that ended and whose slots are not free: nodes that nobody hears may still call. They are
    /// freed once a lease and its grace have passed since the start.
    unsettled: Vec<RunId>,
}

/// What the actor is made of beside its cores.
pub(crate) struct Parts {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) writer: Writer,
    pub(crate) plan: Plan,
    pub(crate) cluster: ClusterId,
    pub(crate) epoch: u64,
    pub(crate) starts_at_once: u32,
    pub(crate) outward: Outward,
    pub(crate) embedded: Option<NodeId>,
    pub(crate) board: Arc<Board>,
    pub(crate) published: Arc<Published>,
    /// The books and the sums of what is stored, as the start found them.
    pub(crate) recovered: Recovered,
}

/// Reports that the full queue refused, as seen so far.
#[derive(Default)]
struct Overflow {
    /// The subscription's own counter cannot be read while the stream holds it.
    counter: Arc<AtomicU64>,
}

impl CoordinatorActor {
    /// Subscribes at once, so that no report between this and the actor's start is lost.
    pub(crate) fn new(parts: Parts) -> Self {
        let reports = parts.bus.subscribe(REPORTS, REPORTS_CAPACITY);
        let drained = parts.recovered.drained;
        let actor = Self {
            outward: parts.outward,
            line: Line::default(),
            embedded: parts.embedded,
            cluster: parts.cluster,
            bus: parts.bus,
            control: parts.writer.control(),
            writer: parts.writer,
            plan: parts.plan,
            epoch: parts.epoch,
            nodes: Cluster::new(now().instant, drained.clone()),
            runs: BTreeMap::new(),
            board: parts.board,
            published: parts.published,
            ledger: parts.recovered.ledger,
            transfers: BTreeMap::new(),
            accounts: parts.recovered.accounts,
            queue: StartQueue::new(parts.starts_at_once),
            auditor: Auditor::new(parts.recovered.replays),
            broken: None,
            drained,
            updating: BTreeMap::new(),
            granting: BTreeSet::new(),
            closing: None,
            reports: Some(reports),
            overflow: Overflow::default(),
            adopted: parts.recovered.adopted,
            unsettled: parts.recovered.unsettled,
        };
        for adopted in &actor.adopted {
            actor.board.put(adopted.run(), Arc::clone(&adopted.shown));
        }
        for organization in actor.ledger.organizations() {
            actor.publish(organization);
        }
        actor
    }

    fn wake(&mut self, address: &WeakAddr<Self>) {
        self.nodes.look(now().instant);
        self.look_after_bus(self.overflow.counter.load(Ordering::Relaxed));
        for run in self.driven() {
            self.drive(run, Input::Wake, address);
        }
        if !self.unsettled.is_empty() && self.nodes.has_outlived_former_leases(now().instant) {
            for run in std::mem::take(&mut self.unsettled) {
                self.free(run, address);
            }
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
                    counter.store(reports.refused(), Ordering::Relaxed);
                    Some((message, reports))
                }
            }));
        }
        context.set_mailbox_capacity(MAILBOX);
        let address = context.address().downgrade();
        for adopted in std::mem::take(&mut self.adopted) {
            self.take_over(adopted, &address);
        }
        failpoint(failpoint::AFTER_ADOPT);
        self.wake(&address);
        context.run_interval(WAKE_EVERY, |actor, context| {
            actor.wake(&context.address().downgrade());
        });
        context.run_interval(AUDIT_EVERY, |actor, context| {
            actor.audit(false, None, &context.address().downgrade());
        });
        self.audit(false, None, &address);
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
    /// A checkpoint is on disk.
    pub(super) fn checkpointed(run: RunId, number: u64) -> Self {
        Self {
            run,
            input: Input::Checkpointed(number),
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
