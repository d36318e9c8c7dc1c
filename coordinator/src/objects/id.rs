//! Ids of new objects: unique also where many are made in one millisecond.

use std::sync::atomic::{AtomicU64, Ordering};

use shared::id::RunId;

use super::ObjectError;

/// Makes ids that grow; a burst runs ahead of the clock by a microsecond an id.
#[derive(Debug, Default)]
pub(super) struct IdSource(AtomicU64);

impl IdSource {
    /// A new id: of this moment, above every one before it.
    pub(super) fn next(&self, now: u64) -> Result<u64, ObjectError> {
        let wanted = RunId::new(now, random()?).0;
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(wanted.max(last.wrapping_add(1)))
            });
        // The closure never refuses, so both arms hold the value before.
        let last = before.unwrap_or_else(|last| last);
        Ok(wanted.max(last.wrapping_add(1)))
    }
}

fn random() -> Result<u32, ObjectError> {
    getrandom::u32().map_err(|error| ObjectError::Storage(format!("no randomness: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_millisecond_are_all_different_and_grow() {
        let source = IdSource::default();
        let mut last = 0;
        for _ in 0..100_000 {
            let id = source.next(1_700_000_000_000).unwrap();
            assert!(id > last);
            last = id;
        }
    }
}
