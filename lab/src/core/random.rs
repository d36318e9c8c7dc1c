//! Seeded randomness: one generator, one hash, no global state.
//!
//! SplitMix64 (Steele, Lea, Flood 2014) passes the statistical tests that a percentage needs and
//! is eight lines; a dependency would bring a tree for less.

/// SplitMix64: a 64-bit generator whose whole state is its seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence that belongs to `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        finish(self.0)
    }

    /// Uniform over 0.0..1.0.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True in `percent` of the draws. Draws even for 0 and 100, so that sequences stay aligned.
    pub(crate) fn percent(&mut self, percent: f64) -> bool {
        self.unit() * 100.0 < percent
    }
}

/// A number that depends on `seed` and on every octet and boundary of `parts`.
pub(crate) fn hash(seed: u64, parts: &[&[u8]]) -> u64 {
    // FNV-1a gathers, the SplitMix64 finisher spreads.
    let mut state = 0xCBF2_9CE4_8422_2325 ^ finish(seed);
    for part in parts {
        for octet in *part {
            state = (state ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        state = (state ^ 0x1FF).wrapping_mul(0x0000_0100_0000_01B3);
    }
    finish(state)
}

fn finish(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence_comes_out() {
        // The first outputs of SplitMix64 from state 1234567, as widely published.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn percentages_hold() {
        for percent in [0.0, 1.0, 5.0, 50.0, 100.0] {
            let mut random = Random::new(7);
            let hits = (0..100_000).filter(|_| random.percent(percent)).count();
            let share = hits as f64 / 1000.0;
            assert!(
                (share - percent).abs() < 0.5,
                "seed 7: {share} for {percent}"
            );
        }
    }

    #[test]
    fn boundaries_count_in_the_hash() {
        assert_ne!(hash(1, &[b"ab", b"c"]), hash(1, &[b"a", b"bc"]));
        assert_ne!(hash(1, &[b"ab"]), hash(2, &[b"ab"]));
        assert_eq!(hash(1, &[b"ab"]), hash(1, &[b"ab"]));
    }
}
