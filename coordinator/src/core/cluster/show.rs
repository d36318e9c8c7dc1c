//! The nodes as people see them.

use std::time::Instant;

use shared::api::{self, NodeState};
use shared::id::NodeId;
use shared::wire::NodeCondition;

use super::{Cluster, Known};
use crate::core::{Now, millis};

impl Cluster {
    /// Every known node as the API shows it, in the order of their names.
    pub(crate) fn list(&self, now: Now) -> Vec<api::Node> {
        self.known
            .values()
            .map(|known| self.show(now, known))
            .collect()
    }

    /// One node as the API shows it.
    pub(crate) fn one(&self, now: Now, node: &NodeId) -> Option<api::Node> {
        self.known.get(node).map(|known| self.show(now, known))
    }

    /// Each known node with its state, for people.
    pub(crate) fn describe(&self, now: Instant) -> String {
        if self.known.is_empty() {
            return "no node has ever reported".to_owned();
        }
        let told = |known: &Known| {
            let (node, state) = (&known.status.node, name(self.state_of(now, known)));
            if known.status.region.is_empty() {
                format!("{node} {state}")
            } else {
                format!("{node} ({}) {state}", known.status.region)
            }
        };
        let mut list: Vec<String> = self.known.values().take(TOLD_MAX).map(told).collect();
        if let Some(more) = self.known.len().checked_sub(TOLD_MAX).filter(|n| *n > 0) {
            list.push(format!("and {more} more"));
        }
        list.join(", ")
    }

    fn show(&self, now: Now, known: &Known) -> api::Node {
        let silent = now.instant.saturating_duration_since(known.seen);
        let status = &known.status;
        let refused = known.refused;
        api::Node {
            name: status.node.0.clone(),
            region: status.region.clone(),
            version: status.version.clone(),
            status: self.state_of(now.instant, known),
            last_seen_unix_ms: now.unix_ms.saturating_sub(millis(silent)),
            cores: status.cores,
            free_descriptors: status.free_descriptors,
            free_ports: status.free_ports,
            endpoints: status.endpoints,
            labels: status.labels.clone(),
            reason: self.reason(now, known),
            capacity_endpoints: Some(status.capacity_endpoints).filter(|measured| *measured > 0),
            cpu_cores: status.cpu_cores,
            resident_bytes: status.resident_bytes,
            clock_offset_ms: known.clock.map(|clock| to_ms(clock.offset_us)),
            clock_error_ms: known
                .clock
                .map(|clock| to_ms(i64::try_from(clock.error_us).unwrap_or(i64::MAX))),
            refused_commands: [
                refused.expired,
                refused.outdated,
                refused.other_life,
                refused.unreadable,
                refused.overflow,
            ]
            .into_iter()
            .fold(0, u64::saturating_add),
        }
    }

    fn reason(&self, now: Now, known: &Known) -> String {
        let silent = now.instant.saturating_duration_since(known.seen);
        match (self.state_of(now.instant, known), &known.status.condition) {
            (NodeState::Offline, _) => format!(
                "Nothing was heard of it for {} s; check that its process and its connection live.",
                silent.as_secs()
            ),
            (NodeState::Error, NodeCondition::Error(reason)) => reason.clone(),
            (NodeState::Draining, NodeCondition::Draining) => {
                "It is being shut down: it ends its work and takes none.".to_owned()
            }
            (NodeState::Draining, _) => "An operator drains it: it takes no new runs.".to_owned(),
            (NodeState::Online | NodeState::Error, _) => String::new(),
        }
    }
}

fn name(state: NodeState) -> &'static str {
    match state {
        NodeState::Online => "ONLINE",
        NodeState::Draining => "DRAINING",
        NodeState::Offline => "OFFLINE",
        NodeState::Error => "ERROR",
    }
}

#[allow(clippy::cast_precision_loss)] // for people
fn to_ms(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}

/// Nodes named in one sentence.
const TOLD_MAX: usize = 20;
