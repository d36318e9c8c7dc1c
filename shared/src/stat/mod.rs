//! Mergeable statistics: the same figures whether samples are recorded in one place or in many and
//! merged, in any order. No average of averages, no percentile of percentiles (PRODUCT §5).

mod histogram;
mod sketch;

pub use histogram::{DEFAULT_PRECISION, Histogram, MAX_PRECISION, MIN_PRECISION};
pub use sketch::{Resolution, Sketch};

#[cfg(test)]
mod tests;
