//! The sender's media clock against ours.
//!
//! Owns: a straight line through the quickest transit of each second: queueing only ever adds, so
//! minima show the clocks. Never: a figure that is mostly noise (it is absent instead).

/// Estimates clock drift from per-second minimum transit times.
///
/// Units: seconds and milliseconds in, parts per million out; positive where the sender runs fast.
/// Bounds: constant size; running sums of a least-squares line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drift {
    origin: Option<(f64, f64)>,
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
    outliers: u32,
}

impl Drift {
    /// Takes a second's smallest transit time.
    pub fn update(&mut self, at_s: f64, transit_ms: f64) {
        let (x0, y0) = *self.origin.get_or_insert((at_s, transit_ms));
        let (x, y) = (at_s - x0, transit_ms - y0);
        if self.n >= POINTS_MIN && (y - self.predict(x)).abs() > OUTLIER_MS {
            self.outliers += 1;
            if self.outliers >= OUTLIERS_MAX {
                // The path changed: the old line says nothing about the new one.
                *self = Self::default();
            }
            return;
        }
        self.outliers = 0;
        self.n += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
        self.yy += y * y;
    }

    /// Parts per million; none before ten seconds, or while its standard error is too large.
    #[must_use]
    pub fn ppm(&self) -> Option<f64> {
        if self.n < POINTS_MIN {
            return None;
        }
        let spread = self.xx - self.x * self.x / self.n;
        if spread <= 0.0 {
            return None;
        }
        let slope = self.slope();
        let rest = (self.yy - self.y * self.y / self.n) - slope * slope * spread;
        let error = (rest.max(0.0) / (self.n - 2.0) / spread).sqrt();
        // A millisecond a second is a thousand parts per million.
        (error * 1_000.0 <= ERROR_MAX_PPM).then_some(-slope * 1_000.0)
    }

    fn slope(&self) -> f64 {
        let spread = self.xx - self.x * self.x / self.n;
        if spread > 0.0 {
            (self.xy - self.x * self.y / self.n) / spread
        } else {
            0.0
        }
    }

    fn predict(&self, x: f64) -> f64 {
        self.y / self.n + self.slope() * (x - self.x / self.n)
    }
}

/// Seconds before a line is drawn.
const POINTS_MIN: f64 = 10.0;
/// Farther off the line than this is a changed path or a stall, not a clock.
const OUTLIER_MS: f64 = 20.0;
/// So many in a row, and the line begins anew.
const OUTLIERS_MAX: u32 = 3;
/// Quartz is within about this: a coarser estimate would say nothing.
const ERROR_MAX_PPM: f64 = 50.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_sender_is_positive_and_absent_before_ten_seconds() {
        let mut drift = Drift::default();
        for second in 0..60 {
            assert_eq!(drift.ppm().is_some(), second >= 10, "second {second}");
            // A sender 80 ppm fast: each second its timestamps gain 0.08 ms on our clock.
            let noise = f64::from(second * 7 % 5) * 0.05;
            drift.update(f64::from(second), 5.0 - 0.08 * f64::from(second) + noise);
        }
        let ppm = drift.ppm().expect("sixty points");
        assert!((ppm - 80.0).abs() < 5.0, "{ppm}");
    }

    #[test]
    fn noise_gives_no_figure() {
        let mut drift = Drift::default();
        for second in 0..12_u32 {
            drift.update(f64::from(second), f64::from(second * 7919 % 13));
        }
        assert_eq!(drift.ppm(), None);
    }

    #[test]
    fn a_changed_path_begins_a_new_line() {
        let mut drift = Drift::default();
        for second in 0..20 {
            drift.update(f64::from(second), 5.0);
        }
        for second in 20..60 {
            drift.update(f64::from(second), 105.0 + 0.01 * f64::from(second));
        }
        let ppm = drift.ppm().expect("a new line");
        assert!((ppm + 10.0).abs() < 0.5, "{ppm}");
    }
}
