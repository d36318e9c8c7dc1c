//! Every decision of the coordinator, pure: no clock, socket, task, lock or storage in here.
//!
//! Time comes in as [`Now`]; what is to be done comes out as [`run::Output`].

pub(crate) mod accounts;
pub(crate) mod aggregate;
pub(crate) mod allocate;
pub(crate) mod audit;
pub(crate) mod cluster;
pub(crate) mod counts;
pub(crate) mod failures;
pub(crate) mod generator;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod outcome;
pub(crate) mod part;
pub(crate) mod placement;
pub(crate) mod plan;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod roster;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod summary;
pub(crate) mod validate;
pub(crate) mod verdict;

use std::time::{Duration, Instant};

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// For spans and deadlines.
    pub(crate) instant: Instant,
    /// For people: milliseconds since 1970.
    pub(crate) unix_ms: u64,
}

/// Whole milliseconds of a span.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
