//! When the kernel took a packet, as an `Instant`.
//!
//! The kernel stamps with the wall clock (`SO_TIMESTAMPNS`). Stamps are moved to the monotonic clock
//! by an offset that is sampled regularly, so that neither a step of the wall clock nor the time that
//! a thread waits for its processor looks like a delay of the network. Never: touches a socket.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Moves the kernel's stamps to the clock of the relay.
#[derive(Debug)]
pub(super) struct Clock {
    /// The wall clock's distance from 1970 at `origin`, now and before the last sample.
    offset: Duration,
    previous: Duration,
    origin: Instant,
    next_sample: Instant,
}

impl Clock {
    /// Starts with a reading of both clocks.
    pub(super) fn new() -> Self {
        let origin = Instant::now();
        let (at, wall, _) = read_both();
        let offset = wall.saturating_sub(at.saturating_duration_since(origin));
        Self {
            offset,
            previous: offset,
            origin,
            next_sample: origin + SAMPLE_EVERY,
        }
    }

    /// Reads both clocks anew where it is time; a reading that was interrupted waits for a better one.
    pub(super) fn look(&mut self, now: Instant) {
        if now < self.next_sample {
            return;
        }
        let (at, wall, doubt) = read_both();
        if doubt <= DOUBT_MAX {
            self.sample(at, wall);
        }
    }

    fn sample(&mut self, at: Instant, wall: Duration) {
        self.previous = self.offset;
        self.offset = wall.saturating_sub(at.saturating_duration_since(self.origin));
        self.next_sample = at + SAMPLE_EVERY;
    }

    /// The moment of a kernel stamp (time since 1970) that was read at `now`.
    ///
    /// Shape: never later than `now`. A stamp from the future or too far back is tried with the
    /// offset before the last sample (the packet came before a step of the clock), then given up
    /// for `now`.
    pub(super) fn arrival(&self, stamp: Option<Duration>, now: Instant) -> Instant {
        let believed = |stamp: Duration| {
            [self.offset, self.previous].into_iter().find_map(|offset| {
                let at = self.origin.checked_add(stamp.checked_sub(offset)?)?;
                if at > now {
                    // A little ahead is the rounding of the offset.
                    return (at - now < AHEAD_MAX).then_some(now);
                }
                (now - at < AGE_MAX).then_some(at)
            })
        };
        stamp.and_then(believed).unwrap_or(now)
    }
}

/// Both clocks at one moment, and how far apart the readings around the wall clock's were: the
/// closest of a few tries, as the thread may lose its processor between two readings.
fn read_both() -> (Instant, Duration, Duration) {
    let read = || {
        let before = Instant::now();
        let wall = SystemTime::now();
        let doubt = before.elapsed();
        // A clock before 1970 gives stamps that `arrival` does not believe.
        let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        (before + doubt / 2, wall, doubt)
    };
    let mut best = read();
    for _ in 1..TRIES {
        if best.2 <= DOUBT_SMALL {
            break;
        }
        let next = read();
        if next.2 < best.2 {
            best = next;
        }
    }
    best
}

const SAMPLE_EVERY: Duration = Duration::from_millis(100);
const TRIES: u32 = 5;
/// A reading of both clocks that nothing came between.
const DOUBT_SMALL: Duration = Duration::from_micros(2);
/// What a reading may leave open to be taken at all.
const DOUBT_MAX: Duration = Duration::from_micros(50);
/// A stamp further ahead was made before the wall clock was set back.
const AHEAD_MAX: Duration = Duration::from_millis(1);
/// A stamp further back was made before the wall clock was set forward: no packet waits so long.
const AGE_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const WALL: Duration = Duration::from_secs(1_000);

    fn clock(origin: Instant) -> Clock {
        Clock {
            offset: WALL,
            previous: WALL,
            origin,
            next_sample: origin,
        }
    }

    #[test]
    fn a_stamp_is_moved_by_the_offset_and_never_past_now() {
        let origin = Instant::now();
        let (clock, now) = (clock(origin), origin + 40 * MS);
        assert_eq!(clock.arrival(Some(WALL + 33 * MS), now), origin + 33 * MS);
        assert_eq!(clock.arrival(Some(WALL + 40 * MS + MS / 2), now), now);
        assert_eq!(clock.arrival(None, now), now);
    }

    #[test]
    fn packets_from_before_a_step_keep_their_time_and_nonsense_means_now() {
        let origin = Instant::now();
        for step in [5_000, 100] {
            let (mut clock, now) = (clock(origin), origin + 40 * MS);
            let stepped = Duration::from_secs(step);
            clock.sample(now, stepped);
            let before = clock.arrival(Some(WALL + 30 * MS), now);
            assert_eq!(before, origin + 30 * MS, "to {step} s");
            let after = clock.arrival(Some(stepped - 5 * MS), now);
            assert_eq!(after, now - 5 * MS, "to {step} s");
            assert_eq!(clock.arrival(Some(Duration::from_secs(9_000)), now), now);
            assert_eq!(clock.arrival(Some(Duration::ZERO), now), now);
        }
    }

    #[test]
    fn the_real_clocks_agree_with_themselves() {
        let mut clock = Clock::new();
        clock.look(Instant::now() + SAMPLE_EVERY);
        let before = Instant::now();
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = Instant::now();
        let at = clock.arrival(Some(stamp), now);
        assert!(at <= now && before.saturating_duration_since(at) < MS);
    }
}
