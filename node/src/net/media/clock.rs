//! One time for a media thread: `CLOCK_MONOTONIC` nanoseconds, the `Instant` the cores take, and the
//! wall clock that kernel timestamps and RTCP speak.
//!
//! Kernel receive timestamps are `CLOCK_REALTIME`. They are moved to the monotonic clock by an offset
//! that is sampled ten times a second, so that a stepped or slewed wall clock never looks like
//! jitter. The wall clock for RTCP is fixed at the engine's start for the same reason: round-trip
//! times are differences of it (RFC 3550 §6.4.1), and only differences matter here.

use std::time::{Duration, Instant};

use crate::net::media::time;

/// How often [`Clock::sample`] should be called.
pub(super) const SAMPLE_EVERY_MS: u64 = 100;

/// A kernel timestamp older than this is not believed: no socket buffer of ours holds more.
const ARRIVAL_AGE_MAX_NS: u64 = 10_000_000_000;

/// A change of the offset between two samples that only a clock step explains.
const STEP_NS: i64 = 1_000_000;

/// The epoch that all threads of one engine share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    instant: Instant,
    mono_ns: u64,
    wall_offset_ns: i64,
}

impl Epoch {
    /// Reads the three clocks once.
    #[must_use]
    pub(super) fn now() -> Self {
        let instant = Instant::now();
        let mono_ns = time::monotonic_ns();
        Self {
            instant,
            mono_ns,
            wall_offset_ns: offset(time::realtime_ns(), mono_ns),
        }
    }

    /// The monotonic reading of the epoch.
    #[must_use]
    pub(super) fn mono_ns(&self) -> u64 {
        self.mono_ns
    }

    /// The `Instant` of a monotonic reading.
    #[must_use]
    pub(super) fn instant(&self, mono_ns: u64) -> Instant {
        match mono_ns.checked_sub(self.mono_ns) {
            Some(after) => self.instant + Duration::from_nanos(after),
            None => self
                .instant
                .checked_sub(Duration::from_nanos(self.mono_ns - mono_ns))
                .unwrap_or(self.instant),
        }
    }

    /// Nanoseconds since 1970 of a monotonic reading, on a wall clock that never steps.
    #[must_use]
    pub(super) fn wall_ns(&self, mono_ns: u64) -> u64 {
        mono_ns.saturating_add_signed(self.wall_offset_ns)
    }
}

/// Moves kernel timestamps to the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    offset_ns: i64,
    previous_offset_ns: i64,
    steps: u64,
}

impl Clock {
    /// Starts with one reading of both clocks.
    #[must_use]
    pub(super) fn new(real_ns: u64, mono_ns: u64) -> Self {
        let offset_ns = offset(real_ns, mono_ns);
        Self {
            offset_ns,
            previous_offset_ns: offset_ns,
            steps: 0,
        }
    }

    /// Takes a new reading of both clocks.
    pub(super) fn sample(&mut self, real_ns: u64, mono_ns: u64) {
        let offset_ns = offset(real_ns, mono_ns);
        if (offset_ns - self.offset_ns).abs() > STEP_NS {
            self.steps += 1;
        }
        self.previous_offset_ns = self.offset_ns;
        self.offset_ns = offset_ns;
    }

    /// Wall-clock steps seen so far.
    #[must_use]
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// The monotonic time of a kernel timestamp.
    ///
    /// Shape: a timestamp that lies in the future or too far back is tried with the offset before
    /// the last sample (the packet came before a clock step), then given up for `now_ns`.
    #[must_use]
    pub(super) fn arrival(&self, real_ns: Option<u64>, now_ns: u64) -> u64 {
        let Some(real_ns) = real_ns else {
            return now_ns;
        };
        [self.offset_ns, self.previous_offset_ns]
            .into_iter()
            .map(|offset_ns| real_ns.saturating_add_signed(offset_ns.saturating_neg()))
            .find_map(|mono_ns| believed(mono_ns, now_ns))
            .unwrap_or(now_ns)
    }
}

/// Timestamps a little ahead of `now_ns` are rounding of the offset: they mean now.
fn believed(mono_ns: u64, now_ns: u64) -> Option<u64> {
    if mono_ns > now_ns {
        return (mono_ns - now_ns < STEP_NS.unsigned_abs()).then_some(now_ns);
    }
    (now_ns - mono_ns < ARRIVAL_AGE_MAX_NS).then_some(mono_ns)
}

fn offset(real_ns: u64, mono_ns: u64) -> i64 {
    i64::try_from(i128::from(real_ns) - i128::from(mono_ns)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;

    #[test]
    fn a_timestamp_is_moved_by_the_offset() {
        let clock = Clock::new(1_000 * SECOND, 10 * SECOND);
        let now = 11 * SECOND;
        assert_eq!(
            clock.arrival(Some(1_000 * SECOND + 995 * MS), now),
            now - 5 * MS
        );
        assert_eq!(clock.arrival(None, now), now);
    }

    #[test]
    fn a_timestamp_just_ahead_means_now() {
        let clock = Clock::new(1_000 * SECOND, 10 * SECOND);
        assert_eq!(
            clock.arrival(Some(1_001 * SECOND + 300), 11 * SECOND),
            11 * SECOND
        );
    }

    #[test]
    fn packets_from_before_a_step_keep_their_time_and_nonsense_means_now() {
        let mut clock = Clock::new(1_000 * SECOND, 10 * SECOND);
        let now = 11 * SECOND;
        clock.sample(5_001 * SECOND, now);
        assert_eq!(clock.steps(), 1);
        let before = 1_000 * SECOND + 990 * MS;
        assert_eq!(clock.arrival(Some(before), now), now - 10 * MS);
        let after = 5_001 * SECOND - 10 * MS;
        assert_eq!(clock.arrival(Some(after), now), now - 10 * MS);
        assert_eq!(clock.arrival(Some(9_000 * SECOND), now), now);
    }

    #[test]
    fn slewing_is_no_step() {
        let mut clock = Clock::new(1_000 * SECOND, 10 * SECOND);
        clock.sample(1_000 * SECOND + 100 * MS + 50_000, 10 * SECOND + 100 * MS);
        assert_eq!(clock.steps(), 0);
    }

    #[test]
    fn the_epoch_maps_both_ways_in_time() {
        let epoch = Epoch::now();
        let later = epoch.instant(epoch.mono_ns() + SECOND);
        let earlier = epoch.instant(epoch.mono_ns() - SECOND);
        assert_eq!(later.duration_since(earlier), Duration::from_secs(2));
        assert_eq!(
            epoch.wall_ns(epoch.mono_ns() + SECOND) - epoch.wall_ns(epoch.mono_ns()),
            SECOND
        );
    }
}
