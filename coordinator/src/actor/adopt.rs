//! Taking over runs that an earlier coordinator left alive on other machines.
//!
//! Their nodes go on as long as their leases last, and keep what they measure. What is read here is how
//! far the run was when it was last written down; whether its nodes still hold it they tell in their
//! renewals, and what is missing they send again.

use std::sync::Arc;

use actix::WeakAddr;
use shared::id::RunId;
use shared::phase::RunStatus;

use super::coordinator::{CoordinatorActor, now};
use super::live_run::LiveRun;
use crate::core::limits::Limits;
use crate::core::record::RunRecord;
use crate::core::roster::Roster;
use crate::core::run::{Backlog, Input, Output, Run};
use crate::handle::CoordinatorConfig;
use crate::live::Shown;
use crate::store::{Command, Meta, Reader, StoreError};

/// A run that goes on.
pub(crate) struct Adopted {
    record: RunRecord,
    core: Run,
    /// For those who watch, from the start on.
    pub(super) shown: Arc<Shown>,
}

/// What becomes of a run that was left alive.
pub(super) enum Fate {
    /// Its nodes may still hold it.
    GoesOn(Box<Adopted>),
    /// It is ended.
    Ends {
        /// No node can call for it any more.
        is_silent: bool,
    },
}

impl Adopted {
    /// Which.
    pub(super) fn run(&self) -> RunId {
        self.record.id
    }
}

/// Reads what is needed to go on with a run.
pub(super) fn read(meta: &Meta, record: &RunRecord, config: &CoordinatorConfig) -> Fate {
    // Nobody was told to call yet.
    if !matches!(record.status(), RunStatus::Running | RunStatus::Stopping) {
        return Fate::Ends { is_silent: true };
    }
    let (core, roster) = match try_read(meta, record) {
        Ok(Some(read)) => read,
        Ok(None) => return Fate::Ends { is_silent: false },
        Err(error) => {
            tracing::error!(run = %record.id, %error, "a run that was left alive cannot be taken over");
            return Fate::Ends { is_silent: false };
        }
    };
    let here = |node| Some(node) == config.embedded.as_ref();
    if core.shares().any(|(node, _)| here(node)) {
        // What was carried here died with the process.
        let is_silent = core.shares().all(|(node, _)| here(node));
        return Fate::Ends { is_silent };
    }
    Fate::GoesOn(Box::new(Adopted {
        record: record.clone(),
        core,
        shown: Arc::new(Shown::new(roster)),
    }))
}

fn try_read(meta: &Meta, record: &RunRecord) -> Result<Option<(Run, Roster)>, StoreError> {
    let Some(checkpoint) = meta.checkpoint(record.id)? else {
        return Ok(None);
    };
    let reader = Reader::open(meta, record.id)?;
    let test = reader.header()?.test;
    let core = Run::adopt(now(), meta.epoch(), record, test, &checkpoint);
    let core = core.map_err(|source| StoreError::Record {
        what: "how far a run is",
        source,
    })?;
    let mut roster = reader.roster()?;
    for (node, shares) in core.shares() {
        roster.assign(node, shares);
    }
    Ok(Some((core, roster)))
}

impl CoordinatorActor {
    /// Goes on with a run: from now on it is as if this coordinator had started it.
    pub(super) fn take_over(&mut self, adopted: Adopted, address: &WeakAddr<Self>) {
        let Adopted {
            record,
            core,
            shown,
        } = adopted;
        let run = record.id;
        tracing::info!(%run, status = %record.status(), "a run of an earlier coordinator is taken over");
        self.push(Command::Adopt(run));
        let test = self.outward.is_on().then(|| Arc::new(core.test().clone()));
        let live = LiveRun {
            shown: Some(shown),
            test,
            core: Some(core),
            ..LiveRun::left(record, Limits::local(&self.plan))
        };
        self.runs.insert(run, live);
        self.drive(run, Input::Wake, address);
    }

    /// Frees what a run holds that ended before this coordinator's start.
    pub(super) fn free(&mut self, run: RunId, address: &WeakAddr<Self>) {
        let newest = self.updating.get(&run).cloned();
        let Some(record) = newest.or_else(|| self.control.runs().find(run)) else {
            return;
        };
        let mut live = LiveRun::left((*record).clone(), Limits::local(&self.plan));
        live.has_ended = true;
        live.backlog.push(Output::Release);
        self.runs.insert(run, live);
        self.perform(run, address);
    }
}

impl LiveRun {
    /// A run that an earlier coordinator had accepted and stored.
    fn left(record: RunRecord, limits: Limits) -> Self {
        let limits = Limits {
            credits: record.reserved_endpoint_ms > 0,
            ..limits
        };
        Self {
            core: None,
            record,
            shown: None,
            test: None,
            limits,
            pools: Vec::new(),
            found: Vec::new(),
            document: None,
            backlog: Backlog::default(),
            is_stored: true,
            has_ended: false,
            waiting: Vec::new(),
            parked: Vec::new(),
        }
    }
}
