//! This node's wall clock against the coordinator's, measured with every renewal as NTP does.
//!
//! Samples are kept against the boot clock, which no one sets: where the node's wall clock is moved,
//! the offset moves with it at once. Event order never depends on it (DESIGN 9).
//! Source: RFC 5905 §8 (offset and delay) and §10 (of several samples, the shortest round trip).

use std::collections::VecDeque;

use shared::wire::{ClockOffset, Lease};

use super::node::Moment;

/// Samples that are kept: 16 s of them, so that a coordinator whose clock was set is followed soon.
pub const SAMPLES_MAX: usize = 8;
/// Two clocks part by at most this much: 500 µs in a second, the most that the kernel will slew.
const DRIFT_PPM: u64 = 500;

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Our boot clock minus the coordinator's wall clock, in microseconds.
    offset_us: i64,
    error_us: u64,
    boot_us: u64,
}

impl Sample {
    /// The bound grows with age.
    fn error_at(&self, boot_us: u64) -> u64 {
        let age_us = boot_us.saturating_sub(self.boot_us);
        self.error_us.saturating_add(age_us / 1_000_000 * DRIFT_PPM)
    }
}

/// Keeps the best of the last samples.
#[derive(Clone, Debug, Default)]
pub struct ClockCore {
    samples: VecDeque<Sample>,
}

impl ClockCore {
    /// Takes the answer to a renewal, which came at `now`. An answer whose times contradict each
    /// other (a clock was set on its way) is no sample.
    pub fn answer(&mut self, now: Moment, lease: &Lease) {
        let Some(sample) = Self::sample(now, lease) else {
            return;
        };
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    fn sample(now: Moment, lease: &Lease) -> Option<Sample> {
        let sent = i64::try_from(lease.renewal_boot_us).ok()?;
        let came = i64::try_from(now.boot_us).ok()?;
        let held = lease.sent_unix_us.checked_sub(lease.received_unix_us)?;
        let round = came.checked_sub(sent)?.checked_sub(held)?;
        if held < 0 || round < 0 {
            return None;
        }
        let there = sent.checked_sub(lease.received_unix_us)?;
        let back = came.checked_sub(lease.sent_unix_us)?;
        Some(Sample {
            offset_us: there.checked_add(back)? / 2,
            // Rounded up: the bound must hold.
            error_us: u64::try_from(round).ok()?.div_ceil(2),
            boot_us: now.boot_us,
        })
    }

    /// The offset now; none before the first answer.
    #[must_use]
    pub fn offset(&self, now: Moment) -> Option<ClockOffset> {
        let best = self
            .samples
            .iter()
            .min_by_key(|sample| sample.error_at(now.boot_us))?;
        let boot = i64::try_from(now.boot_us).ok()?;
        let wall_over_boot = now.unix_us.checked_sub(boot)?;
        Some(ClockOffset {
            offset_us: wall_over_boot.checked_add(best.offset_us)?,
            error_us: best.error_at(now.boot_us),
        })
    }

    /// Another coordinator: its clock is another.
    pub fn clear(&mut self) {
        self.samples.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::wire::LeaseVerdict;

    /// The coordinator's wall clock where the node's boot clock is 0.
    const UNIX: i64 = 1_700_000_000_000_000;

    /// A renewal sent at `sent`, there after `out`, answered after `held`, back after `back`; the
    /// node's wall clock is `ahead` of the coordinator's.
    fn exchange(
        core: &mut ClockCore,
        sent: u64,
        out: u64,
        held: u64,
        back: u64,
        ahead: i64,
    ) -> Moment {
        let at = |boot: u64| UNIX + boot as i64;
        let now = Moment {
            boot_us: sent + out + held + back,
            unix_us: at(sent + out + held + back) + ahead,
        };
        let lease = Lease {
            renewal_boot_us: sent,
            renewal_unix_us: at(sent) + ahead,
            received_unix_us: at(sent + out),
            sent_unix_us: at(sent + out + held),
            verdict: LeaseVerdict::Granted,
            orders: vec![],
            drain: false,
        };
        core.answer(now, &lease);
        now
    }

    #[test]
    fn the_true_offset_lies_within_the_bound_whatever_the_way() {
        let ahead = -600_000_000;
        for (out, back) in [(100, 100), (1, 9_000), (9_000, 1), (0, 0), (70_001, 30_000)] {
            let mut core = ClockCore::default();
            let now = exchange(&mut core, 5_000_000, out, 250, back, ahead);
            let found = core.offset(now).unwrap();
            assert!(
                found.offset_us.abs_diff(ahead) <= found.error_us,
                "{out} {back}"
            );
            assert_eq!(found.error_us, (out + back).div_ceil(2));
        }
    }

    #[test]
    fn the_shortest_round_trip_of_the_last_ones_counts() {
        let mut core = ClockCore::default();
        exchange(&mut core, 0, 40_000, 0, 10, 0);
        exchange(&mut core, 2_000_000, 50, 0, 50, 0);
        let now = exchange(&mut core, 4_000_000, 10, 0, 30_000, 0);
        // 50 µs, and 2 s of drift.
        assert_eq!(core.offset(now).unwrap().error_us, 50 + 2 * DRIFT_PPM);
        for n in 3..20 {
            let last = exchange(&mut core, n * 2_000_000, 300, 0, 300, 0);
            assert!(core.offset(last).unwrap().error_us <= 300 + 16 * DRIFT_PPM);
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_the_offset_at_once() {
        let mut core = ClockCore::default();
        let now = exchange(&mut core, 1_000_000, 100, 0, 100, 0);
        let set = Moment {
            unix_us: now.unix_us + 3_600_000_000,
            ..now
        };
        assert_eq!(core.offset(set).unwrap().offset_us, 3_600_000_000);
    }

    #[test]
    fn times_that_contradict_each_other_are_no_sample() {
        let mut core = ClockCore::default();
        let lease = |received: i64, sent: i64| Lease {
            renewal_boot_us: 1_000,
            renewal_unix_us: 0,
            received_unix_us: received,
            sent_unix_us: sent,
            verdict: LeaseVerdict::Granted,
            orders: vec![],
            drain: false,
        };
        let now = Moment {
            boot_us: 2_000,
            unix_us: 0,
        };
        for (received, sent) in [
            (0, -1),
            (0, 5_000),
            (i64::MIN, i64::MAX),
            (i64::MAX, i64::MIN),
        ] {
            core.answer(now, &lease(received, sent));
        }
        assert_eq!(core.offset(now), None);
    }
}
