//! Changing the sample rate of a whole clip, at load time.
//!
//! A windowed sinc whose length grows with the ratio, so that going down to 8 kHz does not fold
//! what lies above 4 kHz into the band. The codec library's resampler has a fixed 24 taps, which
//! is too short for that. Never: runs on a live stream.

/// Resamples mono audio.
///
/// Bounds: O(output × taps); at most [`PHASES_MAX`] filter phases are computed.
pub(super) fn resample(input: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to || from == 0 || to == 0 {
        return input.to_vec();
    }
    let divisor = gcd(from, to);
    let (up, down) = (u64::from(to / divisor), u64::from(from / divisor));
    let bank = Bank::new(from, to, up.min(PHASES_MAX));
    let length = (input.len() as u64 * up).div_ceil(down);
    (0..length)
        .map(|n| {
            let position = n * down;
            bank.at(input, position / up, position % up, up)
        })
        .collect()
}

/// The filter, once per fraction of an input sample.
struct Bank {
    half: usize,
    phases: Vec<Vec<f32>>,
}

impl Bank {
    fn new(from: u32, to: u32, count: u64) -> Self {
        // Relative to the input's rate; 0.92 leaves room for the filter's slope.
        let cutoff = (f64::from(to) / f64::from(from)).min(1.0) * 0.92;
        let half = (f64::from(LOBES) / cutoff).ceil() as usize;
        let phases = (0..count)
            .map(|phase| filter(half, cutoff, phase as f64 / count as f64))
            .collect();
        Self { half, phases }
    }

    /// The output at input position `whole + part / up`.
    fn at(&self, input: &[i16], whole: u64, part: u64, up: u64) -> i16 {
        let phase = part * self.phases.len() as u64 / up;
        let taps = self
            .phases
            .get(phase as usize)
            .map_or(&[][..], Vec::as_slice);
        let first = whole as i64 - self.half as i64 + 1;
        let sum: f32 = taps
            .iter()
            .enumerate()
            .filter_map(|(tap, weight)| {
                let index = usize::try_from(first + tap as i64).ok()?;
                input.get(index).map(|sample| f32::from(*sample) * weight)
            })
            .sum();
        sum.clamp(-32_768.0, 32_767.0).round() as i16
    }
}

/// Weights for the input samples round a position `part` behind the sample number `half - 1`.
fn filter(half: usize, cutoff: f64, part: f64) -> Vec<f32> {
    let weights: Vec<f64> = (0..2 * half)
        .map(|tap| {
            let distance = tap as f64 - (half as f64 - 1.0) - part;
            let window = (std::f64::consts::FRAC_PI_2 * distance / half as f64)
                .cos()
                .max(0.0)
                .powi(2);
            sinc(distance * cutoff) * window
        })
        .collect();
    // Gain 1 at 0 Hz for every phase.
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

fn sinc(x: f64) -> f64 {
    let angle = std::f64::consts::PI * x;
    if angle.abs() < 1e-9 {
        1.0
    } else {
        angle.sin() / angle
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Zero crossings of the sinc on each side.
const LOBES: u32 = 16;
/// 44,100 to 8,000 Hz needs 80, 11,025 to 16,000 needs 640; odd rates are rounded to this grid.
const PHASES_MAX: u64 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, rate: u32) -> Vec<i16> {
        (0..rate)
            .map(|n| {
                ((f64::from(n) * hz * std::f64::consts::TAU / f64::from(rate)).sin() * 8_000.0)
                    as i16
            })
            .collect()
    }

    fn middle_level(samples: &[i16]) -> f32 {
        let quarter = samples.len() / 4;
        crate::codec::level_dbov(&samples[quarter..samples.len() - quarter]).unwrap()
    }

    #[test]
    fn a_tone_in_the_band_keeps_its_level_and_frequency() {
        for from in [
            8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 44_101,
        ] {
            for to in [8_000, 16_000] {
                let input = sine(1_000.0, from);
                let output = resample(&input, from, to);
                assert!(
                    output.len().abs_diff(to as usize) <= 1,
                    "{from} to {to}: {}",
                    output.len()
                );
                let change = middle_level(&output) - middle_level(&input);
                assert!(change.abs() < 0.1, "{from} to {to}: {change} dB");
                let rising = output
                    .windows(2)
                    .filter(|pair| pair[0] < 0 && pair[1] >= 0)
                    .count();
                assert!(
                    (997..=1_002).contains(&rising),
                    "{from} to {to}: {rising} Hz"
                );
            }
        }
    }

    #[test]
    fn what_lies_above_the_new_band_is_taken_out_and_not_folded_in() {
        for (from, hz) in [(48_000, 5_000.0), (48_000, 11_000.0), (44_100, 7_000.0)] {
            let level = middle_level(&resample(&sine(hz, from), from, 8_000));
            assert!(level < -55.0, "{hz} Hz at {from} leaves {level} dBov");
        }
    }
}
