//! One run as the node's actor keeps it: how it stands with the coordinator, its open seconds, and
//! when it is complete.

use std::time::{Duration, Instant};

use crate::core::meter::Meter;

/// One run on this node.
pub(super) struct LiveRun {
    pub(super) number: u16,
    pub(super) meter: Meter,
    /// Engine second in which the run's second 0 began; none before it did.
    pub(super) base: Option<u64>,
    /// When that engine second began: the run's seconds count from here.
    pub(super) grid: Instant,
    pub(super) shards_open: Vec<bool>,
    pub(super) over_since: Option<Instant>,
    pub(super) last_media_second: Option<u64>,
    pub(super) endpoints: u32,
    /// Nothing of it lives any more, and the core knows.
    pub(super) over_told: bool,
    /// A stop came, perhaps before the shards knew of the run.
    pub(super) stopped: bool,
}

impl LiveRun {
    /// The run's second in which an engine second lies; none before the run began.
    pub(super) fn second(&self, engine_second: u64) -> Option<u32> {
        u32::try_from(engine_second.checked_sub(self.base?)?).ok()
    }

    /// True once all shards are over and no whole second of media is still on its way.
    pub(super) fn is_complete(&self, heard: u64) -> bool {
        let Some(since) = self.over_since else {
            return false;
        };
        let waits_for = self.last_media_second.unwrap_or(0).saturating_sub(1);
        heard >= waits_for || since.elapsed() > LAST_SECOND_PATIENCE
    }
}

/// Media threads have closed the last second by then.
const LAST_SECOND_PATIENCE: Duration = Duration::from_millis(3_000);
