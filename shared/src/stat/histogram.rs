//! A log-linear histogram of whole numbers with a bounded relative error.
//!
//! Owns counts by bucket in pages that exist only where something was recorded. Never keeps samples,
//! never resizes its buckets, so a merge is exact: commutative, associative, with the empty
//! histogram as its neutral element. The bucket layout is that of HDR histograms.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Counts of `u64` values in a unit that the field beside it states.
///
/// Shape: values below 2^(precision + 1) are kept exactly; larger ones in buckets whose width is at
/// most 2^-precision of the value, read back at the bucket's middle (so within half of that).
/// Bounds: a page of 64 counters (512 octets) for each touched stretch of buckets; at most 22 KB of
/// page table and (65 - precision) * 2^precision counters, which only values over all octaves reach.
/// Never panics; counts saturate.
#[derive(Clone, PartialEq)]
pub struct Histogram {
    precision: u8,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
    pages: Vec<Option<Box<Page>>>,
}

type Page = [u64; PAGE];

impl Histogram {
    /// An empty histogram with [`DEFAULT_PRECISION`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_precision(DEFAULT_PRECISION)
    }

    /// An empty histogram; `precision` is brought into [`MIN_PRECISION`]..=[`MAX_PRECISION`].
    #[must_use]
    pub fn with_precision(precision: u8) -> Self {
        Self {
            precision: precision.clamp(MIN_PRECISION, MAX_PRECISION),
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
            pages: Vec::new(),
        }
    }

    /// Counts one value. O(1).
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value `n` times; 0 changes nothing.
    pub fn record_n(&mut self, value: u64, n: u64) {
        if n == 0 {
            return;
        }
        self.count = self.count.saturating_add(n);
        self.sum = self.sum.saturating_add(u128::from(value) * u128::from(n));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.add(self.bucket(value), n);
    }

    /// Adds all of `other`'s counts.
    ///
    /// Exact where both have the same precision (which all fields of one name have); otherwise
    /// `other`'s buckets are recorded at their middles.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if self.precision == other.precision {
            self.merge_pages(other);
        } else {
            for (bucket, count) in other.buckets() {
                let middle = other.middle(bucket);
                self.add(self.bucket(middle), count);
            }
        }
    }

    fn merge_pages(&mut self, other: &Self) {
        if self.pages.len() < other.pages.len() {
            self.pages.resize_with(other.pages.len(), || None);
        }
        for (mine, theirs) in self.pages.iter_mut().zip(&other.pages) {
            match (mine, theirs) {
                (_, None) => {}
                (Some(mine), Some(theirs)) => {
                    for (sum, part) in mine.iter_mut().zip(theirs.iter()) {
                        *sum = sum.saturating_add(*part);
                    }
                }
                (empty @ None, Some(theirs)) => *empty = Some(theirs.clone()),
            }
        }
    }

    /// The value at quantile `q` (0.0 to 1.0) by nearest rank; none while empty.
    ///
    /// `quantile(0.0)` is the least value, `quantile(1.0)` the largest, both exact.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let q = if q.is_nan() { 0.0 } else { q.clamp(0.0, 1.0) };
        let rank = nearest_rank(q, self.count);
        if rank <= 1 {
            return Some(self.min);
        }
        if rank >= self.count {
            return Some(self.max);
        }
        let mut seen: u64 = 0;
        for (bucket, count) in self.buckets() {
            seen = seen.saturating_add(count);
            if seen >= rank {
                return Some(self.middle(bucket).clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// Values counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// True where nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Exact arithmetic mean; none while empty.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // a mean is a float by nature
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// Exact least value; none while empty.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// Exact largest value; none while empty.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// Forgets everything; the memory goes too.
    pub fn clear(&mut self) {
        *self = Self::with_precision(self.precision);
    }

    /// Bucket number and count of each touched bucket, in the order of their values.
    fn buckets(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.pages.iter().enumerate().flat_map(|(page, counts)| {
            counts.iter().flat_map(move |counts| {
                counts
                    .iter()
                    .enumerate()
                    .filter(|(_, count)| **count > 0)
                    .map(move |(slot, count)| (page * PAGE + slot, *count))
            })
        })
    }

    fn add(&mut self, bucket: usize, n: u64) {
        let page = bucket / PAGE;
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        if let Some(slot) = self.pages.get_mut(page) {
            let counts = slot.get_or_insert_with(|| Box::new([0; PAGE]));
            if let Some(count) = counts.get_mut(bucket % PAGE) {
                *count = count.saturating_add(n);
            }
        }
    }

    fn bucket(&self, value: u64) -> usize {
        let precision = u32::from(self.precision);
        let top = 63 - (value | 1).leading_zeros();
        let shift = top.saturating_sub(precision);
        // At most 65 << 14, so it fits in any usize.
        ((shift as usize) << precision) + (value >> shift) as usize
    }

    fn middle(&self, bucket: usize) -> u64 {
        let precision = u32::from(self.precision);
        let shift = ((bucket >> precision) as u32).saturating_sub(1);
        let head = (bucket - ((shift as usize) << precision)) as u64;
        let low = head << shift;
        low + ((1u64 << shift) >> 1)
    }

    fn bucket_limit(precision: u8) -> usize {
        (65 - usize::from(precision)) << precision
    }
}

/// The rank that `q` asks for: `ceil(q * count)`, from 1.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)] // counts beyond 2^53 would only move the rank by parts in 10^16
pub(super) fn nearest_rank(q: f64, count: u64) -> u64 {
    ((q * count as f64).ceil() as u64).clamp(1, count.max(1))
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("min", &self.min())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

/// What travels: touched buckets only, each as the distance from the one before it and its count.
/// With bincode's varints about three octets a bucket; an empty histogram takes seven.
#[derive(Serialize, Deserialize)]
struct Compact {
    precision: u8,
    sum: u128,
    min: u64,
    max: u64,
    buckets: Vec<(u32, u64)>,
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        let buckets = self
            .buckets()
            .map(|(bucket, count)| {
                let distance = u32::try_from(bucket - before).unwrap_or(u32::MAX);
                before = bucket;
                (distance, count)
            })
            .collect();
        Compact {
            precision: self.precision,
            sum: self.sum,
            min: if self.count == 0 { 0 } else { self.min },
            max: self.max,
            buckets,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let compact = Compact::deserialize(deserializer)?;
        if !(MIN_PRECISION..=MAX_PRECISION).contains(&compact.precision) {
            return Err(D::Error::custom("histogram precision out of range"));
        }
        let mut histogram = Self::with_precision(compact.precision);
        let limit = Self::bucket_limit(compact.precision);
        let mut bucket = 0usize;
        for (distance, count) in compact.buckets {
            bucket = bucket.saturating_add(distance as usize);
            if bucket >= limit || count == 0 {
                return Err(D::Error::custom("histogram bucket out of range"));
            }
            histogram.count = histogram.count.saturating_add(count);
            histogram.add(bucket, count);
        }
        if histogram.count > 0 {
            histogram.sum = compact.sum;
            histogram.min = compact.min;
            histogram.max = compact.max;
        }
        Ok(histogram)
    }
}

/// Relative bucket width 2^-10: a value reads back within 0.05 %.
pub const DEFAULT_PRECISION: u8 = 10;
/// 6 %.
pub const MIN_PRECISION: u8 = 4;
/// 0.006 %.
pub const MAX_PRECISION: u8 = 14;
/// Counters in a page: half a kilobyte.
const PAGE: usize = 64;
