//! Interarrival jitter, exact for our figures and in integers for reception reports.
//!
//! Owns: J. Never: arrival clocks (transit times come in).
//! Source: RFC 3550 §6.4.1, §A.8.

/// Estimates interarrival jitter for one RTP source.
///
/// Shape: one call per packet in arrival order, duplicates left out; packets that repeat the
/// timestamp before them are left out by the caller. Units: ticks of the RTP clock.
/// Bounds: O(1), no allocation. Never panics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jitter {
    last: Option<f64>,
    exact: f64,
    /// Scaled by 16, as in RFC 3550 §A.8.
    scaled: u32,
    sum: f64,
    samples: u64,
    max: f64,
    second_max: f64,
    second_samples: u32,
}

impl Jitter {
    /// Takes a packet's transit time: arrival minus timestamp, on any constant offset.
    #[inline]
    pub fn update(&mut self, transit: f64) {
        if let Some(last) = self.last {
            let difference = (transit - last).abs();
            self.exact += (difference - self.exact) / 16.0;
            // RFC 3550 §A.8 has whole ticks on both sides.
            let ticks = whole_ticks(transit).abs_diff(whole_ticks(last));
            let whole = u32::try_from(ticks).unwrap_or(u32::MAX).min(u32::MAX >> 8);
            self.scaled = self
                .scaled
                .saturating_add(whole)
                .saturating_sub((self.scaled + 8) >> 4);
        }
        self.last = Some(transit);
        self.sum += self.exact;
        self.samples += 1;
        self.max = self.max.max(self.exact);
        self.second_max = self.second_max.max(self.exact);
        self.second_samples += 1;
    }

    /// The next packet has nothing before it to be compared with: new source, restart, resume.
    pub fn forget_last(&mut self) {
        self.last = None;
    }

    /// The transit time that the next packet is compared with.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.last
    }

    /// J now.
    #[must_use]
    pub fn exact(&self) -> f64 {
        self.exact
    }

    /// J as a reception report carries it.
    #[must_use]
    pub fn reported(&self) -> u32 {
        self.scaled >> 4
    }

    /// Mean of J over all packets; none before the second packet.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.samples > 1).then(|| self.sum / self.samples as f64)
    }

    /// Largest J; none before the second packet.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.samples > 1).then_some(self.max)
    }

    /// J at the end of the second and its largest value within; none where no packet came.
    pub fn close_second(&mut self) -> Option<(f64, f64)> {
        let figures =
            (self.second_samples > 0 && self.samples > 1).then_some((self.exact, self.second_max));
        self.second_max = 0.0;
        self.second_samples = 0;
        figures
    }
}

/// Rounds down, through a conversion: `floor` is a call on the baseline x86-64.
fn whole_ticks(transit: f64) -> i64 {
    const ABOVE_ALL: f64 = (1_u64 << 40) as f64;
    (transit + ABOVE_ALL) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(differences: &[f64]) -> (Vec<f64>, Vec<u32>) {
        let mut jitter = Jitter::default();
        let mut transit = 1_000.0;
        jitter.update(transit);
        let mut exact = Vec::new();
        let mut reported = Vec::new();
        for difference in differences {
            transit += difference;
            jitter.update(transit);
            exact.push(jitter.exact());
            reported.push(jitter.reported());
        }
        (exact, reported)
    }

    #[test]
    fn the_oracle_of_a_single_displaced_packet_in_both_forms() {
        let (exact, reported) = run(&[0.0, 80.0, 80.0, 0.0, 0.0, 0.0]);
        for (got, want) in exact.iter().zip([0.0, 5.0, 9.6875, 9.0820, 8.5144, 7.9823]) {
            assert!((got - want).abs() < 1e-4, "{got} is not {want}");
        }
        assert_eq!(reported, [0, 5, 9, 9, 8, 7]);
    }

    #[test]
    fn a_constant_difference_converges_to_itself() {
        let (exact, _) = run(&[16.0, -16.0, 16.0, -16.0, 16.0, -16.0]);
        for (got, want) in exact
            .iter()
            .zip([1.0, 1.9375, 2.8164, 3.6404, 4.4129, 5.1371])
        {
            assert!((got - want).abs() < 1e-4, "{got} is not {want}");
        }
        let alternating: Vec<f64> = (0..100)
            .map(|i| if i % 2 == 0 { 160.0 } else { -160.0 })
            .collect();
        let (exact, _) = run(&alternating);
        assert!((exact[99] - 159.748).abs() < 1e-3, "{}", exact[99]);
    }

    #[test]
    fn a_second_without_packets_has_no_jitter() {
        let mut jitter = Jitter::default();
        assert_eq!(jitter.close_second(), None);
        jitter.update(0.0);
        assert_eq!(jitter.close_second(), None, "one packet has no difference");
        jitter.update(16.0);
        jitter.update(16.0);
        let (end, max) = jitter.close_second().expect("two differences");
        assert!(max > end);
        assert_eq!(jitter.close_second(), None);
        assert!(jitter.max().expect("samples") >= max);
    }
}
