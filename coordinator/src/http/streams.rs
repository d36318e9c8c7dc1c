//! Places for live streams: bounded over all keys and for each key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::id::KeyId;

use super::problem::ApiError;
use actix_web::http::StatusCode;

/// The places. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    all: usize,
    each: usize,
    /// Streams by key, and how many were refused since the start. At most `all` entries.
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    by_key: HashMap<KeyId, usize>,
    all: usize,
    refused: u64,
}

/// A place, given back when dropped: keep it in the stream.
#[derive(Debug)]
pub(crate) struct Place {
    key: KeyId,
    taken: Arc<Mutex<Taken>>,
}

impl Streams {
    /// `all` streams at once, `each` of one key.
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self {
            all,
            each,
            taken: Arc::default(),
        }
    }

    /// Takes a place. Errors: 429 where the key or the service has none left.
    pub(crate) fn take(&self, key: KeyId) -> Result<Place, ApiError> {
        let mut taken = lock(&self.taken);
        let own = taken.by_key.get(&key).copied().unwrap_or(0);
        if own >= self.each || taken.all >= self.all {
            taken.refused += 1;
            let (of, limit) = if own >= self.each {
                ("this key", self.each)
            } else {
                ("the service", self.all)
            };
            return Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_streams",
                format!("{of} has all of its {limit} live streams open; close one first"),
            )
            .retry_after(1));
        }
        taken.all += 1;
        taken.by_key.insert(key, own + 1);
        Ok(Place {
            key,
            taken: Arc::clone(&self.taken),
        })
    }

    /// Streams that are open, and how many were refused since the start.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let taken = lock(&self.taken);
        (taken.all, taken.refused)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all = taken.all.saturating_sub(1);
        match taken.by_key.get_mut(&self.key) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.by_key.remove(&self.key);
            }
        }
    }
}

/// A panic while the counters were held leaves them whole: they change in single steps.
fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let streams = Streams::new(3, 2);
        let first = streams.take(KeyId(1)).expect("free");
        let _second = streams.take(KeyId(1)).expect("free");
        assert!(streams.take(KeyId(1)).is_err(), "the key has two");
        let _third = streams.take(KeyId(2)).expect("free");
        assert!(streams.take(KeyId(3)).is_err(), "the service has three");
        assert_eq!(streams.counts(), (3, 2));
        drop(first);
        assert!(streams.take(KeyId(3)).is_ok());
        assert_eq!(streams.counts(), (2, 2));
    }
}
