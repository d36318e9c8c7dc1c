//! Audits: what is stored, added up on a thread for that, beside what the actor has in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{AsyncContext, Handler, Message, MessageResult, WeakAddr};
use shared::api::LedgerEntry;
use shared::id::{OrganizationId, RunId};
use tokio::sync::oneshot;

use super::coordinator::{CoordinatorActor, now};
use crate::core::audit::{AuditReport, Replay, Seen, report};
use crate::core::record::RunRecord;
use crate::handle::RequestError;
use crate::store::{Control, StoreError, keys};

/// The sums of what is stored, by organization.
pub(super) type Replays = BTreeMap<OrganizationId, Replay>;

/// Who waits for an audit.
type Answer = oneshot::Sender<Result<AuditReport, RequestError>>;

/// Audits under way and asked for.
pub(super) struct Auditor {
    replays: Arc<Mutex<Replays>>,
    running: bool,
    /// One more is wanted when the present one is done; true: of everything.
    again: Option<bool>,
    answers: Vec<Answer>,
    next_answers: Vec<Answer>,
}

impl Auditor {
    pub(super) fn new(replays: Replays) -> Self {
        Self {
            replays: Arc::new(Mutex::new(replays)),
            running: false,
            again: None,
            answers: Vec::new(),
            next_answers: Vec::new(),
        }
    }
}

/// Check every invariant now, from the first entry on.
#[derive(Message)]
#[rtype(result = "oneshot::Receiver<Result<AuditReport, RequestError>>")]
pub(crate) struct Audit;

/// An audit is done.
#[derive(Message)]
#[rtype(result = "()")]
struct Audited(Result<AuditReport, StoreError>);

impl CoordinatorActor {
    /// Audits, or asks for one more where one is under way. `whole`: from the first entry on, else
    /// only those that came since.
    pub(super) fn audit(&mut self, whole: bool, answer: Option<Answer>, address: &WeakAddr<Self>) {
        if self.auditor.running {
            self.auditor.again = Some(whole || self.auditor.again == Some(true));
            self.auditor.next_answers.extend(answer);
            return;
        }
        self.auditor.running = true;
        self.auditor.answers.extend(answer);
        let organizations: Vec<OrganizationId> = self.ledger.organizations().collect();
        let (books, holders) = (self.ledger.faults(), self.idle_holders());
        let replays = Arc::clone(&self.auditor.replays);
        let control = self.control.clone();
        let address = address.clone();
        tokio::task::spawn_blocking(move || {
            let mut replays = replays.lock().unwrap_or_else(PoisonError::into_inner);
            if whole {
                replays.clear();
            }
            let found = look(&control, &organizations, &mut replays, books, &holders);
            if let Some(actor) = address.upgrade() {
                // Bounded: one audit at a time.
                actor.do_send(Audited(found));
            }
        });
    }

    /// Runs that hold a slot and of which nothing is on its way to the disk.
    fn idle_holders(&self) -> Vec<RunId> {
        let idle = |run: &RunId| {
            self.runs
                .get(run)
                .is_none_or(|live| !live.backlog.is_committing())
        };
        self.ledger.holders().filter(idle).collect()
    }
}

impl Handler<Audit> for CoordinatorActor {
    type Result = MessageResult<Audit>;

    fn handle(&mut self, _: Audit, context: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.audit(true, Some(answer), &context.address().downgrade());
        MessageResult(answered)
    }
}

impl Handler<Audited> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, audited: Audited, context: &mut Self::Context) {
        self.auditor.running = false;
        match &audited.0 {
            Ok(report) => {
                let broken = report.stops_new_runs();
                if let Some(broken) = &broken {
                    tracing::error!(%broken, "the books are not consistent: nothing new is started");
                }
                for invariant in report.invariants.iter().filter(|i| !i.holds) {
                    tracing::error!(name = %invariant.name, detail = %invariant.detail, "an invariant does not hold");
                }
                self.broken = broken;
            }
            Err(error) => tracing::error!(%error, "the books cannot be read for an audit"),
        }
        for answer in self.auditor.answers.drain(..) {
            let found = match &audited.0 {
                Ok(report) => Ok(report.clone()),
                Err(error) => Err(RequestError::Storage(error.to_string())),
            };
            // Whoever asked may have given up.
            let _ = answer.send(found);
        }
        if let Some(whole) = self.auditor.again.take() {
            self.auditor.answers = std::mem::take(&mut self.auditor.next_answers);
            self.audit(whole, None, &context.address().downgrade());
        }
    }
}

/// Reads on, and compares. What is stored moves on meanwhile: a difference counts only where it
/// stays, since a run's record and its entry are written together but read one after the other.
fn look(
    control: &Control,
    organizations: &[OrganizationId],
    replays: &mut Replays,
    books: Vec<String>,
    holders: &[RunId],
) -> Result<AuditReport, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        for organization in organizations {
            let replay = replays.entry(*organization).or_default();
            read_on(control, *organization, replay)?;
        }
        let live = control.runs().all(RunRecord::holds);
        let seen = Seen {
            live: live.iter().map(AsRef::as_ref).collect(),
            books: books.clone(),
            slots: leaked(control, holders),
        };
        let found = report(now().unix_ms, replays, &seen);
        let settled = found.invariants.iter().all(|invariant| invariant.holds);
        if settled || tries >= TRIES_MAX {
            return Ok(found);
        }
        // On a thread of its own; a commit under way takes a flush.
        std::thread::sleep(TRY_AGAIN_AFTER);
    }
}

/// Slots that are held for runs which hold nothing any more.
fn leaked(control: &Control, holders: &[RunId]) -> Vec<String> {
    let has_ended = |record: &Arc<RunRecord>| !record.holds();
    let ended = holders.iter().filter(|run| {
        control
            .runs()
            .find(**run)
            .is_some_and(|record| has_ended(&record))
    });
    ended
        .map(|run| format!("run {run} has ended and holds a slot"))
        .collect()
}

/// Adds the entries that came since.
pub(super) fn read_on(
    control: &Control,
    organization: OrganizationId,
    replay: &mut Replay,
) -> Result<(), StoreError> {
    loop {
        let after = keys::ledger(organization, replay.sequence());
        let entries: Vec<(keys::Key, LedgerEntry)> = control.scan(
            &keys::ledger_of(organization),
            Some(&after),
            ENTRIES_AT_ONCE,
        )?;
        for (_, entry) in &entries {
            replay.add(entry);
        }
        if entries.len() < ENTRIES_AT_ONCE {
            return Ok(());
        }
    }
}

/// Entries read at once.
const ENTRIES_AT_ONCE: usize = 1_000;
/// Looks before a difference is believed.
const TRIES_MAX: u32 = 20;
/// More than a flush takes.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);
