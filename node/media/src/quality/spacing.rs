//! Time between the packets of a stream, by second.
//!
//! Owns: min, mean and max of the distance between arrivals. Never: what a packet holds.

/// Distances between arrivals. Units: nanoseconds in, milliseconds out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spacing {
    last: Option<i64>,
    min: i64,
    max: i64,
    sum: i64,
    count: u32,
}

/// A second's distances in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpacingFigures {
    /// Shortest.
    pub min_ms: f64,
    /// Mean.
    pub mean_ms: f64,
    /// Longest.
    pub max_ms: f64,
}

impl Spacing {
    /// Takes an arrival.
    #[inline]
    pub fn update(&mut self, arrival_ns: i64) {
        if let Some(last) = self.last {
            // Kernel times of two sockets' queues may be out of order by a little.
            let distance = (arrival_ns - last).max(0);
            self.min = if self.count == 0 {
                distance
            } else {
                self.min.min(distance)
            };
            self.max = if self.count == 0 {
                distance
            } else {
                self.max.max(distance)
            };
            self.sum += distance;
            self.count += 1;
        }
        self.last = Some(arrival_ns);
    }

    /// The time on hold is no distance between packets.
    pub fn forget_last(&mut self) {
        self.last = None;
    }

    /// This second's figures; none where no distance ended in it.
    pub fn close_second(&mut self) -> Option<SpacingFigures> {
        let figures = (self.count > 0).then(|| SpacingFigures {
            min_ms: self.min as f64 / 1e6,
            mean_ms: self.sum as f64 / f64::from(self.count) / 1e6,
            max_ms: self.max as f64 / 1e6,
        });
        *self = Self {
            last: self.last,
            ..Self::default()
        };
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_belongs_to_the_second_in_which_it_ends() {
        let mut spacing = Spacing::default();
        spacing.update(0);
        assert_eq!(spacing.close_second(), None);
        spacing.update(20_000_000);
        spacing.update(50_000_000);
        let second = spacing.close_second().expect("two distances");
        assert_eq!(
            (second.min_ms, second.mean_ms, second.max_ms),
            (20.0, 25.0, 30.0)
        );
        assert_eq!(spacing.close_second(), None);
    }
}
