//! Round-trip time from RTCP.
//!
//! Owns: the arithmetic of LSR and DLSR, of DLRR, and what is absurd. Never: a clock.
//! Source: RFC 3550 §6.4.1; RFC 3611 §4.5.

/// The round trip in milliseconds, where `arrival`, `last` (LSR or LRR) and `delay` (DLSR or DLRR)
/// are in 1/65536 s. None: negative or above [`ROUND_TRIP_MAX_MS`], so one of them is wrong.
///
/// The three are cut to whole units, so a true zero may come out as minus one or two: that is zero.
#[must_use]
pub fn round_trip_ms(arrival: u32, last: u32, delay: u32) -> Option<f64> {
    let units = arrival.wrapping_sub(last).wrapping_sub(delay).cast_signed();
    if units < -ROUNDING_UNITS {
        return None;
    }
    let ms = f64::from(units.max(0)) * 1_000.0 / 65_536.0;
    (ms <= ROUND_TRIP_MAX_MS).then_some(ms)
}

/// Samples of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundTrips {
    sum: f64,
    min: f64,
    max: f64,
    samples: u32,
    rejected: u32,
    newest: Option<f64>,
    second_sum: f64,
    second_samples: u32,
}

impl RoundTrips {
    /// Takes what [`round_trip_ms`] made of a report.
    pub fn take(&mut self, sample: Option<f64>) {
        let Some(ms) = sample else {
            self.rejected = self.rejected.saturating_add(1);
            return;
        };
        self.min = if self.samples == 0 {
            ms
        } else {
            self.min.min(ms)
        };
        self.max = self.max.max(ms);
        self.sum += ms;
        self.samples += 1;
        self.newest = Some(ms);
        self.second_sum += ms;
        self.second_samples += 1;
    }

    /// The newest sample.
    #[must_use]
    pub fn newest(&self) -> Option<f64> {
        self.newest
    }

    /// Mean of all samples.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.sum / f64::from(self.samples))
    }

    /// Smallest and largest.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        (self.samples > 0).then_some((self.min, self.max))
    }

    /// How many were taken and how many dropped.
    #[must_use]
    pub fn counts(&self) -> (u32, u32) {
        (self.samples, self.rejected)
    }

    /// Mean of the samples that came in this second.
    pub fn close_second(&mut self) -> Option<f64> {
        let mean =
            (self.second_samples > 0).then(|| self.second_sum / f64::from(self.second_samples));
        self.second_sum = 0.0;
        self.second_samples = 0;
        mean
    }
}

/// Nothing on Earth takes longer; what says so is a wrong clock or a forged report.
pub const ROUND_TRIP_MAX_MS: f64 = 60_000.0;
const ROUNDING_UNITS: i32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_3550() {
        assert_eq!(
            round_trip_ms(0xB710_8000, 0xB705_2000, 0x0005_4000),
            Some(6_125.0)
        );
    }

    #[test]
    fn negative_and_absurd_values_are_dropped_and_counted() {
        let mut trips = RoundTrips::default();
        trips.take(round_trip_ms(100, 200, 0));
        trips.take(round_trip_ms(61 << 16, 0, 0));
        assert_eq!(
            (trips.counts(), trips.mean(), trips.range()),
            ((0, 2), None, None)
        );
        trips.take(round_trip_ms(100, 100, 1));
        assert_eq!(trips.newest(), Some(0.0), "one unit below zero is rounding");
        trips.take(round_trip_ms(0x0000_2000, 0xFFFF_F000, 0x1000));
        assert_eq!(trips.counts(), (2, 2));
        assert_eq!(trips.range(), Some((0.0, 125.0)), "the middle 32 bits wrap");
        assert_eq!(trips.close_second(), Some(62.5));
        assert_eq!(trips.close_second(), None);
    }
}
