//! Renewals in, leases out.

use std::time::Instant;

use shared::id::NodeId;
use shared::wire::{LEASE_TTL, Lease, LeaseVerdict, LifeId, Order, Renew};

use super::{Cluster, FORMER_KEPT, Known, LIVES_MAX, NODES_MAX};
use crate::core::Now;

/// What a renewal changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// To be answered with the lease. Runs are to hear of it.
    Granted {
        /// The life that this one replaced just now.
        replaced: Option<LifeId>,
    },
    /// To be answered with this and no orders.
    Denied(LeaseVerdict),
    /// Older than what is known of its life: not to be answered.
    Outdated,
}

impl Cluster {
    /// Takes a renewal that came under `node`'s name from a process of `life`.
    pub(crate) fn renewed(
        &mut self,
        now: Now,
        node: &NodeId,
        life: LifeId,
        renew: &Renew,
    ) -> Renewal {
        self.look(now.instant);
        if let Err(reason) = self.may_join(now.instant, node, life, renew) {
            self.counts.refused += 1;
            return Renewal::Denied(LeaseVerdict::Refused(reason));
        }
        let Some(known) = self.known.get_mut(node) else {
            self.known
                .insert(node.clone(), Known::new(now.instant, life, renew));
            return Renewal::Granted { replaced: None };
        };
        if known.life == life {
            if renew.sent_boot_us <= known.sent_boot_us {
                self.counts.outdated += 1;
                return Renewal::Outdated;
            }
            known.renew(now.instant, renew);
            return Renewal::Granted { replaced: None };
        }
        if known.former.iter().any(|(former, _)| *former == life) {
            self.counts.displaced += 1;
            return Renewal::Denied(LeaseVerdict::Displaced);
        }
        let (first_boot_us, first_unix_us) = known.first;
        if renew.sent_boot_us <= first_boot_us && renew.sent_unix_us <= first_unix_us {
            // Sent before the present life began by both clocks: a late word of a dead one.
            self.counts.outdated += 1;
            return Renewal::Outdated;
        }
        let replaced = known.life;
        let mut former = std::mem::take(&mut known.former);
        former.push((replaced, known.seen));
        if former.len() > LIVES_MAX {
            former.remove(0);
        }
        *known = Known {
            former,
            ..Known::new(now.instant, life, renew)
        };
        Renewal::Granted {
            replaced: Some(replaced),
        }
    }

    fn may_join(
        &self,
        now: Instant,
        node: &NodeId,
        life: LifeId,
        renew: &Renew,
    ) -> Result<(), String> {
        if renew.status.node != *node {
            return Err(format!(
                "The node calls itself `{}` but speaks under the name `{node}`.",
                renew.status.node
            ));
        }
        if !is_name(&node.0) {
            return Err(format!(
                "`{node}` cannot be a node's name: 1 to {NAME_MAX} letters, digits, `-` and `_`."
            ));
        }
        match self.known.get(node) {
            None if self.known.len() >= NODES_MAX => Err(format!(
                "The cluster knows {NODES_MAX} nodes already and takes no further ones; restart the coordinator to forget those that are gone."
            )),
            Some(known)
                if known.life != life
                    && known.former.len() >= LIVES_MAX
                    && known.former.iter().all(|(former, seen)| {
                        *former != life && now.saturating_duration_since(*seen) < FORMER_KEPT
                    }) =>
            {
                Err(format!(
                    "Node `{node}` was started {LIVES_MAX} times within {} s; look at its log, or whether two processes share the name.",
                    FORMER_KEPT.as_secs()
                ))
            }
            _ => Ok(()),
        }
    }

    /// The answer to `renew`, which came at `received_unix_us`. `orders`: everything that the runs
    /// want of this life.
    pub(crate) fn lease(
        &self,
        received_unix_us: i64,
        sent_unix_us: i64,
        node: &NodeId,
        renew: &Renew,
        verdict: LeaseVerdict,
        orders: Vec<Order>,
    ) -> Lease {
        Lease {
            renewal_boot_us: renew.sent_boot_us,
            renewal_unix_us: renew.sent_unix_us,
            received_unix_us,
            sent_unix_us,
            verdict,
            orders,
            drain: self.drained.contains(node),
        }
    }

    /// Until when a message that leaves now may be obeyed: on the node's own boot clock, in
    /// microseconds. 0 (never) for a life that has not renewed.
    pub(crate) fn expires_boot_us(&self, now: Instant, node: &NodeId, life: LifeId) -> u64 {
        let known = self.known.get(node).filter(|known| known.life == life);
        known.map_or(0, |known| {
            let since = now.saturating_duration_since(known.came) + LEASE_TTL;
            let since = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
            known.sent_boot_us.saturating_add(since)
        })
    }
}

impl Known {
    fn new(now: Instant, life: LifeId, renew: &Renew) -> Self {
        Self {
            life,
            status: renew.status.clone(),
            seen: now,
            came: now,
            sent_boot_us: renew.sent_boot_us,
            sent_unix_us: renew.sent_unix_us,
            first: (renew.sent_boot_us, renew.sent_unix_us),
            clock: renew.clock,
            refused: renew.refused,
            former: Vec::new(),
        }
    }

    fn renew(&mut self, now: Instant, renew: &Renew) {
        self.status.clone_from(&renew.status);
        self.seen = now;
        self.came = now;
        self.sent_boot_us = renew.sent_boot_us;
        self.sent_unix_us = renew.sent_unix_us;
        self.clock = renew.clock.or(self.clock);
        self.refused = renew.refused;
    }
}

/// A token of a subject, and nothing that needs escaping anywhere.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(fits)
}

/// Octets of a node's name.
const NAME_MAX: usize = 64;
