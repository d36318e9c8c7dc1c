//! A sine that loops without a seam.
//!
//! Source: RFC 6464 §3 (dBov).

/// Three seconds of a sine of `hz` at -20 dBov.
///
/// A whole number of hertz fits any whole number of seconds, and three seconds fit every packet
/// length, so that the loop has no seam.
pub(super) fn tone(hz: u32, rate: u32) -> Vec<i16> {
    (0..rate * SECONDS)
        .map(|n| {
            // Within one second the phase repeats exactly; reducing first keeps it exact.
            let turns = f64::from((n % rate) * hz % rate) / f64::from(rate);
            ((turns * std::f64::consts::TAU).sin() * PEAK).round() as i16
        })
        .collect()
}

const SECONDS: u32 = 3;
/// A tenth of full scale as root mean square: 32,768 / 10 · √2.
const PEAK: f64 = 4_634.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tone_has_its_level_and_its_frequency() {
        let samples = tone(1_000, 8_000);
        assert_eq!(samples.len(), 24_000);
        let level = crate::codec::level_dbov(&samples).unwrap();
        assert!((level + 20.0).abs() < 0.05, "{level}");
        let rising = samples
            .windows(2)
            .filter(|pair| pair[0] < 0 && pair[1] >= 0)
            .count();
        assert!((2_999..=3_000).contains(&rising), "{rising}");
    }
}
