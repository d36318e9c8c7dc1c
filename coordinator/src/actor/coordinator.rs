//! The actor itself: the bus in, the cores, the writer and the bus out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::{Actor, AsyncContext, Context, Handler, Message, StreamHandler, WeakAddr};
use futures_util::stream;
use shared::bus::{Bus, BusMessage, REPORTS_CAPACITY, Subscription};
use shared::id::{NodeId, OrganizationId, RunId};
use shared::wire::{
    ClusterId, Downward, EndCause, Head, LeaseVerdict, LifeId, Message as Envelope, Order, REPORTS,
    Renew, Report, Upward, command_subject, decode, encode,
};
use tokio::sync::oneshot;

use super::audit::Auditor;
use super::commit::Transfers;
use super::live_run::LiveRun;
use super::published::Published;
use super::recover::Recovered;
use crate::core::Now;
use crate::core::accounts::AccountsInUse;
use crate::core::cluster::{Cluster, Renewal};
use crate::core::ledger::Ledger;
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
    /// Messages sent to nodes.
    sent: u64,
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
            nodes: Cluster::new(now().instant, parts.recovered.drained.clone()),
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
            sent: 0,
        };
        for organization in actor.ledger.organizations() {
            actor.publish(organization);
        }
        actor
    }

    fn message(&mut self, message: &BusMessage, address: &WeakAddr<Self>) {
        let Some(node) = sender(&message.subject) else {
            return;
        };
        let Envelope { head, body } = match decode::<Envelope<Upward>>(&message.payload) {
            Ok(message) => message,
            Err(error) => {
                self.unreadable += 1;
                tracing::warn!(subject = %message.subject, %error, count = self.unreadable, "a node's message cannot be read");
                return;
            }
        };
        let life = head.life;
        match body {
            Upward::Renew(renew) => self.renew(&node, &head, &renew, address),
            Upward::Prepared {
                run,
                run_epoch,
                problems,
            } => {
                let input = Input::Prepared {
                    node,
                    life,
                    run_epoch,
                    problems,
                };
                self.drive(run, input, address);
            }
            Upward::Item(item) => {
                let ends = matches!(
                    item.report,
                    Report::Ended {
                        cause: EndCause::Finished | EndCause::Ordered,
                        ..
                    }
                );
                if ends {
                    failpoint(failpoint::AFTER_LAST_REPORT);
                }
                self.drive(item.run, Input::Item { node, life, item }, address);
            }
        }
    }

    fn renew(&mut self, node: &NodeId, head: &Head, renew: &Renew, address: &WeakAddr<Self>) {
        let at = now();
        let life = head.life;
        let verdict = match self.nodes.renewed(at, node, life, renew) {
            Renewal::Outdated => return,
            Renewal::Denied(verdict) => verdict,
            Renewal::Granted { .. } => LeaseVerdict::Granted,
        };
        let mut orders: Vec<Order> = Vec::new();
        if verdict == LeaseVerdict::Granted {
            let live: Vec<RunId> = self.runs.keys().copied().collect();
            for run in live {
                let held = renew.runs.iter().find(|held| held.run == run);
                let input = Input::Renewed {
                    node: node.clone(),
                    life,
                    epoch: head.epoch,
                    held: held.copied(),
                };
                self.drive(run, input, address);
                let core = self.runs.get(&run).and_then(|live| live.core.as_ref());
                orders.extend(core.and_then(|core| core.order(node, life)));
            }
        }
        let unix_us = |now: Now| i64::try_from(now.unix_ms.saturating_mul(1_000)).unwrap_or(0);
        let (came, sent) = (unix_us(at), unix_us(now()));
        let lease = self.nodes.lease(came, sent, node, renew, verdict, orders);
        self.send(node, life, Downward::Lease(Box::new(lease)));
        self.wake(address);
    }

    /// Puts a message under its head and on the bus. What is lost there is asked for again.
    pub(super) fn send(&mut self, node: &NodeId, life: LifeId, body: Downward) {
        self.sent += 1;
        let head = Head {
            cluster: ClusterId(1),
            epoch: self.epoch,
            life,
            sequence: self.sent,
            expires_boot_us: self.nodes.expires_boot_us(now().instant, node, life),
        };
        match encode(&Envelope { head, body }) {
            Ok(payload) => {
                self.bus.publish(&command_subject(node), payload);
            }
            Err(error) => tracing::error!(%node, %error, "a command cannot be written"),
        }
    }

    fn wake(&mut self, address: &WeakAddr<Self>) {
        self.nodes.look(now().instant);
        let refused = self
            .overflow
            .counter
            .load(std::sync::atomic::Ordering::Relaxed);
        self.board.count_bus(self.unreadable, refused);
        let live: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, live)| live.core.is_some())
            .map(|(run, _)| *run)
            .collect();
        for run in live {
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

/// The node whose reports come on a subject.
fn sender(subject: &str) -> Option<NodeId> {
    let name = subject
        .strip_prefix("carillon.internal.nodes.")?
        .strip_suffix(".report")?;
    Some(NodeId(name.to_owned()))
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
