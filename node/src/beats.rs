//! Signs of life of the node's own loops, for a watchdog: a counter for each loop that its thread
//! bumps every time round. What does not move any more hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One loop's counter. Clones are the same counter.
#[derive(Clone, Debug, Default)]
pub struct Beat(Arc<AtomicU64>);

impl Beat {
    /// The loop went round once more.
    pub fn bump(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it went round.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Every loop of one node. Each goes round at least once in [`Beats::EVERY`] while it is well.
#[derive(Clone, Debug, Default)]
pub struct Beats {
    pub(crate) node: Beat,
    pub(crate) shards: Vec<Beat>,
    pub(crate) media: Vec<Beat>,
}

impl Beats {
    /// The slowest loop goes round this often; a watchdog allows it many times as long.
    pub const EVERY: std::time::Duration = std::time::Duration::from_millis(500);

    /// The counters of the node's actor, its signalling threads and its media threads, by name.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, u64)> {
        let numbered = |name: &'static str, beats: &[Beat]| -> Vec<(String, u64)> {
            let named = beats.iter().enumerate();
            named
                .map(|(index, beat)| (format!("{name}-{index}"), beat.count()))
                .collect()
        };
        let mut counts = vec![("node".to_owned(), self.node.count())];
        counts.extend(numbered("shard", &self.shards));
        counts.extend(numbered("media", &self.media));
        counts
    }

    /// The loops that have not moved since `before`, which is an earlier [`Self::counts`].
    #[must_use]
    pub fn stuck_since(&self, before: &[(String, u64)]) -> Vec<String> {
        let now = self.counts();
        let same = before.iter().filter(|then| now.contains(then));
        same.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_does_not_move_is_named() {
        let beats = Beats {
            shards: vec![Beat::default(); 1],
            media: vec![Beat::default(), Beat::default()],
            ..Beats::default()
        };
        let before = beats.counts();
        beats.node.bump();
        beats.media[1].bump();
        assert_eq!(beats.stuck_since(&before), ["shard-0", "media-0"]);
    }
}
