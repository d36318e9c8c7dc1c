//! From PENDING to RUNNING: the checks, the wait for a start slot, the nodes' preparation.

use std::time::Duration;

use shared::definition::Account;
use shared::id::NodeId;
use shared::phase::RunStatus;
use shared::wire::{LifeId, Problem};

use super::member::Member;
use super::{Began, Run, TEARDOWN_WITHIN, World, names};
use crate::core::Now;
use crate::core::aggregate::Aggregate;
use crate::core::allocate;
use crate::core::cluster::Cluster;
use crate::core::placement;
use crate::core::validate::{self, Context, validate};

impl Run {
    /// PENDING, and a node has reported or the wait for one is over: it is to be admitted or refused.
    pub(crate) fn is_due(&self, now: Now, nodes: &Cluster) -> bool {
        let waited = self.deadline.is_none_or(|deadline| now.instant >= deadline);
        // Nodes find a coordinator that has just started one after the other.
        let settled = nodes.is_older_than(now.instant, NODE_WAIT)
            || placement::problems(now.instant, &self.frozen.test, nodes).is_empty();
        self.status() == RunStatus::Pending
            && (waited || (settled && nodes.online(now.instant).next().is_some()))
    }

    /// Checks everything at once: QUEUED, or CANNOT_RUN_FOR_NOW.
    pub(super) fn admit(
        &mut self,
        now: Now,
        limits: Vec<Problem>,
        accounts: Vec<(u16, Vec<Account>)>,
        world: &World<'_>,
    ) {
        if self.status() != RunStatus::Pending {
            return;
        }
        let picked: Vec<u16> = accounts.iter().map(|(group, _)| *group).collect();
        for (group, accounts) in accounts {
            if let Some(group) = self.frozen.test.groups.get_mut(usize::from(group)) {
                group.accounts = accounts;
            }
        }
        let context = Context {
            limits,
            picked: &picked,
            nodes: world.nodes,
            missing_media: &self.frozen.missing_media,
        };
        let problems = validate(now.instant, &self.frozen.test, context);
        if !problems.is_empty() {
            self.cannot_run(now, problems);
            return;
        }
        let nodes = self.allocate(now, world);
        let sentence = format!(
            "The test is valid; {} endpoints were given to {}.",
            self.endpoints(),
            names(&nodes)
        );
        // It waits for its start slot as long as it takes.
        self.deadline = None;
        self.go(now, RunStatus::Queued, "validated", sentence);
    }

    /// QUEUED, and it has its start slot. The nodes may have changed since it was admitted.
    pub(super) fn prepare(&mut self, now: Now, world: &World<'_>) {
        if !self.waits_for_slot() {
            return;
        }
        let mut problems = Vec::new();
        validate::capacity(now.instant, &self.frozen.test, world.nodes, &mut problems);
        if !problems.is_empty() {
            self.cannot_run(now, problems);
            return;
        }
        let nodes = self.allocate(now, world);
        self.aggregate =
            Aggregate::new(self.frozen.id, self.frozen.epoch, &self.frozen.test, &nodes);
        self.deadline = Some(now.instant + PREPARE_WITHIN);
        for index in 0..self.members.len() {
            self.tell_to_prepare(now, index);
        }
    }

    /// QUEUED, and no node was told anything yet.
    pub(super) fn waits_for_slot(&self) -> bool {
        let told = self.members.iter().any(|member| member.told.is_some());
        self.status() == RunStatus::Queued && !told
    }

    fn allocate(&mut self, now: Now, world: &World<'_>) -> Vec<NodeId> {
        let online: Vec<_> = world.nodes.online(now.instant).collect();
        self.members = allocate::allocate(&self.frozen.test, &online)
            .into_iter()
            .filter_map(|(node, shares)| {
                let life = world.nodes.life(&node)?;
                Some(Member::new(node, life, shares))
            })
            .collect();
        self.nodes().cloned().collect()
    }

    /// A node has everything ready, or says why not.
    pub(super) fn ready(
        &mut self,
        now: Now,
        (node, life): (&NodeId, LifeId),
        run_epoch: u64,
        problems: Vec<Problem>,
    ) {
        let ours = run_epoch == self.frozen.epoch;
        let member = self
            .members
            .iter_mut()
            .find(|member| member.node == *node && member.life == life && ours);
        let Some(member) = member else {
            self.untaken.foreign += 1;
            return;
        };
        if self.status.current() != RunStatus::Queued {
            // The answer to an order that was sent twice.
            return;
        }
        if !problems.is_empty() {
            self.cannot_run(now, problems);
            return;
        }
        member.ready = true;
        if !self.members.iter().all(|member| member.ready) {
            return;
        }
        self.began = Some(Began {
            unix_ms: now.unix_ms,
            at: now.instant,
            before: Duration::ZERO,
        });
        self.pending.changed = true;
        self.pending.urgent = true;
        let test = &self.frozen.test;
        self.deadline = Some(now.instant + test.duration.duration() + TEARDOWN_WITHIN);
        let sentence = format!(
            "{} endpoints begin to register and call over {}; the run lasts {}.",
            self.endpoints(),
            test.buildup,
            test.duration
        );
        // The nodes are told once this is on disk.
        self.go(now, RunStatus::Running, "started", sentence);
    }
}

/// How long a PENDING run waits for the first node: more than two of a node's reports.
pub(super) const NODE_WAIT: Duration = Duration::from_secs(5);
/// Binding sockets and encoding clips takes seconds, not minutes.
pub(super) const PREPARE_WITHIN: Duration = Duration::from_secs(60);
