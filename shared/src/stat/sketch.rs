//! Distribution of one metric's values, which are fractions and may be negative.
//!
//! Owns two histograms (values and mirrored negative values) over whole numbers: the value times the
//! resolution of its unit. Sums are kept as whole numbers too, so that a merge gives the same mean
//! in any order.

use serde::{Deserialize, Serialize};

use super::histogram::{Histogram, nearest_rank};
use crate::metric::{Better, Unit};
use crate::result::Distribution;

/// How finely a unit's values are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolution {
    /// Whole steps in one unit.
    pub steps: u32,
    /// The histogram's precision in bits.
    pub precision: u8,
}

impl Resolution {
    /// The resolution that a unit needs.
    ///
    /// MOS: exactly 0.001 up to 8.19. Milliseconds and others: 0.1 % above 5 µs (0.005), and steps
    /// of 0.00001 below. Counts, octets and bit rates: exact to 1,023, then 0.1 %.
    #[must_use]
    pub fn of(unit: Unit) -> Self {
        let (steps, precision) = match unit {
            Unit::Mos => (1_000, 12),
            Unit::RFactor | Unit::Percent | Unit::Dbov => (1_000, 10),
            Unit::Milliseconds => (100_000, 9),
            Unit::Ppm | Unit::Ratio | Unit::PacketsPerSecond => (1_000, 9),
            Unit::Count | Unit::Bytes | Unit::BitsPerSecond => (1, 9),
        };
        Self { steps, precision }
    }
}

/// A mergeable distribution of fractions.
///
/// Shape: `record` any finite value (NaN and infinities are left out: absent is not 0); read
/// quantiles or a whole [`Distribution`]. Bounds: as two [`Histogram`]s. Never panics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    resolution: Resolution,
    /// Sum in billionths of the unit.
    sum: i128,
    min: f64,
    max: f64,
    positive: Histogram,
    negative: Histogram,
}

impl Sketch {
    /// An empty sketch for values in `unit`.
    #[must_use]
    pub fn new(unit: Unit) -> Self {
        let resolution = Resolution::of(unit);
        Self {
            resolution,
            sum: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            positive: Histogram::with_precision(resolution.precision),
            negative: Histogram::with_precision(resolution.precision),
        }
    }

    /// Counts one value. O(1).
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and the sign was taken
    pub fn record(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.sum = self
            .sum
            .saturating_add(i128::from((value * SUM_STEPS).round() as i64));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let steps = (value.abs() * f64::from(self.resolution.steps)).round() as u64;
        if value < 0.0 && steps > 0 {
            self.negative.record(steps);
        } else {
            self.positive.record(steps);
        }
    }

    /// Adds all of `other`'s values. Exact, commutative and associative for one unit.
    pub fn merge(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
    }

    /// Values counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.positive.count().saturating_add(self.negative.count())
    }

    /// True where nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Sum of all values.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // read for people, 53 bits are enough
    pub fn sum(&self) -> f64 {
        self.sum as f64 / SUM_STEPS
    }

    /// Arithmetic mean; none while empty.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // as above
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum() / count as f64)
    }

    /// The value at quantile `q` (0.0 to 1.0) by nearest rank, within the unit's resolution.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = nearest_rank(q.clamp(0.0, 1.0), count);
        let below = self.negative.count();
        let value = if rank <= below {
            // The largest magnitude is the least value.
            let mirrored = below - rank + 1;
            -self.at_rank(&self.negative, mirrored)
        } else {
            self.at_rank(&self.positive, rank - below)
        };
        Some(value.clamp(self.min, self.max))
    }

    #[allow(clippy::cast_precision_loss)] // ranks and steps stay far below 2^53
    fn at_rank(&self, histogram: &Histogram, rank: u64) -> f64 {
        // Half a rank down keeps `ceil` from stepping past the rank by rounding.
        let q = (rank as f64 - 0.5) / histogram.count().max(1) as f64;
        histogram.quantile(q).unwrap_or(0) as f64 / f64::from(self.resolution.steps)
    }

    /// Everything a reader wants to know; none while empty. `better` decides what `worst` is.
    #[must_use]
    pub fn distribution(&self, better: Better) -> Option<Distribution> {
        let worst = match better {
            Better::Higher => self.min,
            Better::Lower | Better::Neither => self.max,
        };
        Some(Distribution {
            count: self.count(),
            mean: self.mean()?,
            min: shortest(self.min),
            p1: self.quantile(0.01)?,
            p5: self.quantile(0.05)?,
            p50: self.quantile(0.50)?,
            p95: self.quantile(0.95)?,
            p99: self.quantile(0.99)?,
            max: shortest(self.max),
            worst: shortest(worst),
        })
    }
}

/// Values arrive as `f32`; the double that prints like it did: 4.41, not 4.409999847412109.
#[allow(clippy::cast_possible_truncation)] // only where the narrower float is the same number
fn shortest(value: f64) -> f64 {
    let narrow = value as f32;
    if f64::from(narrow) == value {
        narrow.to_string().parse().unwrap_or(value)
    } else {
        value
    }
}

/// Steps of the sum in one unit.
const SUM_STEPS: f64 = 1e9;
