//! Token buckets: how often one key may ask, how often one address may be wrong.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Buckets of a table, at most. Those who come after share one.
const BUCKETS_MAX: usize = 16_384;
/// Between two looks for buckets that are full again, at least.
const SWEEP: Duration = Duration::from_secs(1);

/// Buckets of one kind, each filled at the same rate.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    per_second: f64,
    burst: f64,
    table: Mutex<Table<K>>,
}

#[derive(Debug)]
struct Table<K> {
    buckets: HashMap<K, Bucket>,
    /// Of all who found no room in the table.
    rest: Bucket,
    swept: Option<Instant>,
    refused: u64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Option<Instant>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// `per_second` tokens come back a second; a bucket holds `burst`.
    pub(crate) fn new(per_second: f64, burst: f64) -> Self {
        Self {
            per_second: per_second.max(f64::MIN_POSITIVE),
            burst: burst.max(1.0),
            table: Mutex::new(Table {
                buckets: HashMap::new(),
                rest: Bucket {
                    tokens: burst.max(1.0),
                    at: None,
                },
                swept: None,
                refused: 0,
            }),
        }
    }

    /// Takes a token. Errors: seconds until there is one.
    pub(crate) fn take(&self, key: K, now: Instant) -> Result<(), u64> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if !table.buckets.contains_key(&key) && table.buckets.len() >= BUCKETS_MAX {
            self.sweep(&mut table, now);
        }
        let room = table.buckets.len() < BUCKETS_MAX;
        let new = Bucket {
            tokens: self.burst,
            at: None,
        };
        let bucket = if room || table.buckets.contains_key(&key) {
            table.buckets.entry(key).or_insert(new)
        } else {
            &mut table.rest
        };
        bucket.fill(now, self.per_second, self.burst);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = ((1.0 - bucket.tokens) / self.per_second).ceil();
        table.refused += 1;
        Err((wait as u64).max(1))
    }

    /// How often there was no token, since the start.
    #[cfg(test)]
    pub(crate) fn refused(&self) -> u64 {
        self.table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .refused
    }

    /// Forgets buckets that are full again: a new one would be the same.
    fn sweep(&self, table: &mut Table<K>, now: Instant) {
        if table.swept.is_some_and(|last| now < last + SWEEP) {
            return;
        }
        table.swept = Some(now);
        table.buckets.retain(|_, bucket| {
            bucket.fill(now, self.per_second, self.burst);
            bucket.tokens < self.burst
        });
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant, per_second: f64, burst: f64) {
        let since = self
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.tokens = (self.tokens + since.as_secs_f64() * per_second).min(burst);
        self.at = Some(now);
    }
}

/// Whom an address stands for: an IPv6 host has a whole /64 to choose from.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let buckets = Buckets::new(10.0, 3.0);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(buckets.take("a", start), Ok(()));
        }
        assert_eq!(buckets.take("a", start), Err(1));
        assert_eq!(buckets.take("b", start), Ok(()), "others have their own");
        let later = start + Duration::from_millis(100);
        assert_eq!(buckets.take("a", later), Ok(()));
        assert_eq!(buckets.take("a", later), Err(1));
        assert_eq!(buckets.refused(), 2);
    }

    #[test]
    fn a_slow_bucket_says_how_long() {
        let buckets = Buckets::new(0.5, 1.0);
        let start = Instant::now();
        assert_eq!(buckets.take(1, start), Ok(()));
        assert_eq!(buckets.take(1, start), Err(2));
    }

    #[test]
    fn the_table_is_bounded_whoever_comes() {
        let buckets = Buckets::new(1.0, 2.0);
        let start = Instant::now();
        let granted = (0..BUCKETS_MAX as u64 + 1_000)
            .filter(|key| buckets.take(*key, start).is_ok())
            .count();
        assert_eq!(granted, BUCKETS_MAX + 2, "the rest share one bucket");
        let later = start + Duration::from_secs(2);
        assert_eq!(buckets.take(u64::MAX, later), Ok(()));
        let table = buckets.table.lock().expect("not poisoned");
        assert_eq!(table.buckets.len(), 1, "full buckets are forgotten");
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let one: IpAddr = "2001:db8::1".parse().expect("an address");
        let two: IpAddr = "2001:db8::ffff:2".parse().expect("an address");
        let other: IpAddr = "2001:db8:0:1::1".parse().expect("an address");
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(source(one), source(two));
        assert_ne!(source(one), source(other));
        assert_eq!(source(mapped), "192.0.2.1".parse::<IpAddr>().expect("v4"));
    }
}
