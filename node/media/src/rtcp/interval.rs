//! When the next RTCP compound is due.
//!
//! Owns: the randomised interval between two members. Never: a clock.
//! Source: RFC 3550 §6.2, §6.3.1, §A.7. Bandwidth is not shared among many here: the calculated
//! interval Td is what the test asks for, and members do not come and go, so the reconsideration of
//! §6.3.3 has nothing to reconsider; its compensation stays, as every peer's does.

use std::time::Duration;

use crate::seeded::Random;

/// Draws intervals: Td times uniform [0.5, 1.5), by e - 3/2.
#[derive(Clone, Debug)]
pub struct Interval {
    calculated: Duration,
    random: Random,
}

impl Interval {
    /// `calculated` is Td; equal seeds draw equal intervals.
    #[must_use]
    pub fn new(calculated: Duration, seed: u64) -> Self {
        Self {
            calculated,
            random: Random::new(seed),
        }
    }

    /// Before the first report: half of Td (RFC 3550 §6.2). None where Td is zero: no RTCP.
    pub fn first(&mut self) -> Option<Duration> {
        self.draw(self.calculated / 2)
    }

    /// Between reports. None where Td is zero.
    pub fn following(&mut self) -> Option<Duration> {
        self.draw(self.calculated)
    }

    fn draw(&mut self, calculated: Duration) -> Option<Duration> {
        let factor = (self.random.unit() + 0.5) / COMPENSATION;
        (!calculated.is_zero()).then(|| calculated.mul_f64(factor))
    }
}

/// e - 3/2 (RFC 3550 §6.3.1 step 5).
const COMPENSATION: f64 = std::f64::consts::E - 1.5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_spread_over_half_to_one_and_a_half_and_fixed_by_the_seed() {
        let mut interval = Interval::new(Duration::from_secs(5), 42);
        let mut again = Interval::new(Duration::from_secs(5), 42);
        let first = interval.first().expect("RTCP is on");
        assert_eq!(again.first(), Some(first));
        assert!(
            first >= Duration::from_secs_f64(1.25 / COMPENSATION),
            "{first:?}"
        );
        assert!(
            first < Duration::from_secs_f64(3.75 / COMPENSATION),
            "{first:?}"
        );
        let draws: Vec<f64> = (0..10_000)
            .filter_map(|_| interval.following())
            .map(|t| t.as_secs_f64())
            .collect();
        let low = draws.iter().copied().fold(f64::MAX, f64::min) * COMPENSATION;
        let high = draws.iter().copied().fold(0.0, f64::max) * COMPENSATION;
        let mean = draws.iter().sum::<f64>() / 10_000.0 * COMPENSATION;
        assert!(
            (2.5..2.51).contains(&low) && (7.49..7.5).contains(&high),
            "{low} {high}"
        );
        assert!((mean - 5.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn no_interval_means_no_rtcp() {
        let mut interval = Interval::new(Duration::ZERO, 1);
        assert_eq!((interval.first(), interval.following()), (None, None));
    }
}
