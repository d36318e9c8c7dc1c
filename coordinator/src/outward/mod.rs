//! What subscribers on the bus see: status and figures of runs, nodes; JSON, a contract (PRODUCT §8,
//! docs/PROTOCOL.md). Never: waits, or keeps anything. Who calls it has stored before what it tells.

mod message;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Serialize;
use shared::api::Node;
use shared::bus::{Bus, token};
use shared::definition::Test;
use shared::id::RunId;
use shared::result::LiveUpdate;
use shared::wire::Frame;

use crate::core::summary::AggregateSecond;
use message::{EndpointMetrics, Metrics, NodeStatus, Status};

/// Publishes to subscribers. Clones are the same publisher; cheap.
#[derive(Clone, Default)]
pub(crate) struct Outward {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    bus: Arc<dyn Bus>,
    published: AtomicU64,
    refused: AtomicU64,
}

/// What became of messages for subscribers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutwardCounts {
    /// Handed to the bus.
    pub(crate) published: u64,
    /// Not taken: the bus is not connected or full. Subscribers find them in the HTTP API.
    pub(crate) refused: u64,
}

impl Outward {
    /// To a bus that others listen on. [`Self::default`] publishes nothing: for a process alone.
    pub(crate) fn new(bus: Arc<dyn Bus>) -> Self {
        Self {
            inner: Some(Arc::new(Inner {
                bus,
                published: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            })),
        }
    }

    /// False where nothing is published.
    pub(crate) fn is_on(&self) -> bool {
        self.inner.is_some()
    }

    /// How a run stands: at each change of its status, and once a second.
    pub(crate) fn status(&self, update: &LiveUpdate) {
        let subject = || format!("carillon.v1.runs.{}.status", token(&update.run));
        self.publish(subject, || Status::new(update));
    }

    /// A complete second of the whole run; where the test has one group only, of that as well.
    pub(crate) fn second(&self, run: RunId, test: &Test, second: &AggregateSecond) {
        let subject = || format!("carillon.v1.runs.{run}.metrics");
        self.publish(subject, || Metrics::new(run, None, second));
        if let [only] = test.groups.as_slice() {
            self.group(run, &only.name, second);
        }
    }

    /// A complete second of a group, by its position in the test.
    pub(crate) fn group_second(
        &self,
        run: RunId,
        test: &Test,
        group: u16,
        second: &AggregateSecond,
    ) {
        if let Some(group) = test.groups.get(usize::from(group)) {
            self.group(run, &group.name, second);
        }
    }

    fn group(&self, run: RunId, name: &str, second: &AggregateSecond) {
        let subject = || format!("carillon.v1.runs.{run}.groups.{}.metrics", token(name));
        self.publish(subject, || Metrics::new(run, Some(name), second));
    }

    /// A second of each endpoint of a frame, where the test asks for it (`publish_endpoints`).
    pub(crate) fn frame(&self, test: &Test, frame: &Frame) {
        if !test.publish_endpoints {
            return;
        }
        for (row, endpoint) in frame.endpoints.iter().enumerate() {
            let subject = || {
                format!(
                    "carillon.v1.runs.{}.endpoints.{endpoint}.metrics",
                    frame.run
                )
            };
            self.publish(subject, || {
                EndpointMetrics::new(test, frame, row, *endpoint)
            });
        }
    }

    /// A node: whenever its state changes, and every two seconds.
    pub(crate) fn node(&self, node: &Node) {
        let subject = || format!("carillon.v1.nodes.{}.status", token(&node.name));
        self.publish(subject, || NodeStatus::new(node));
    }

    /// What became of everything published so far.
    pub(crate) fn counts(&self) -> OutwardCounts {
        let Some(inner) = &self.inner else {
            return OutwardCounts::default();
        };
        OutwardCounts {
            published: inner.published.load(Ordering::Relaxed),
            refused: inner.refused.load(Ordering::Relaxed),
        }
    }

    fn publish<T: Serialize>(&self, subject: impl Fn() -> String, make: impl Fn() -> T) {
        let Some(inner) = &self.inner else {
            return;
        };
        let is_taken = inner.bus.is_connected()
            && match serde_json::to_vec(&make()) {
                Ok(text) => inner.bus.publish(&subject(), Bytes::from(text)).refused == 0,
                Err(error) => {
                    tracing::error!(subject = subject(), %error, "cannot be written as JSON");
                    false
                }
            };
        let counter = if is_taken {
            &inner.published
        } else {
            &inner.refused
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Outward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Outward").field(&self.counts()).finish()
    }
}

#[cfg(test)]
mod tests;
