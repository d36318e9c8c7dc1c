//! The built-in clip: something like speech, computed, the same in every process.
//!
//! Voiced syllables (a glottal pulse train through three formants), unvoiced bursts (noise through
//! one resonance) and pauses, in the rhythm of phrases, so that level meters, silence detectors
//! and codecs see what they see in a call. Never: says anything.
//! Source: ITU-T P.59 (talk-spurt and pause lengths) for the rhythm; formants after Peterson and
//! Barney's means for vowels.

/// The rate that [`speech`] is computed at.
pub(super) const RATE: u32 = 16_000;

/// 8.04 s of speech-like audio at [`RATE`]; -20 dBov while active.
///
/// 8.04 s is a multiple of every packet length, so the loop needs no filling. The clip begins and
/// ends in a pause.
pub(super) fn speech() -> Vec<i16> {
    let mut noise = Noise(SEED);
    let mut audio: Vec<f64> = Vec::with_capacity(TOTAL);
    let mut active = vec![false; TOTAL];
    for segment in RHYTHM {
        let from = audio.len();
        match *segment {
            Segment::Pause(milliseconds) => audio.resize(from + samples(milliseconds), 0.0),
            Segment::Voiced(milliseconds, vowel, pitch) => {
                voiced(
                    &mut audio,
                    samples(milliseconds),
                    &VOWELS[vowel as usize],
                    pitch,
                    &mut noise,
                );
            }
            Segment::Unvoiced(milliseconds, hz) => {
                unvoiced(&mut audio, samples(milliseconds), hz, &mut noise);
            }
        }
        if !matches!(segment, Segment::Pause(_)) {
            let to = audio.len().min(TOTAL);
            active.get_mut(from..to).unwrap_or_default().fill(true);
        }
    }
    audio.resize(TOTAL, 0.0);
    scale(&audio, &active)
}

/// Brings the active part to -20 dBov and rounds.
fn scale(audio: &[f64], active: &[bool]) -> Vec<i16> {
    let talking = audio.iter().zip(active).filter(|(_, active)| **active);
    let (energy, count) = talking.fold((0.0, 0.0), |(energy, count), (sample, _)| {
        (energy + sample * sample, count + 1.0)
    });
    let gain = ACTIVE_RMS
        / (energy / f64::max(count, 1.0))
            .sqrt()
            .max(f64::MIN_POSITIVE);
    audio
        .iter()
        .map(|sample| (sample * gain).clamp(-32_000.0, 32_000.0).round() as i16)
        .collect()
}

/// A syllable: pulses at `pitch` that falls by an eighth, through the vowel's formants.
fn voiced(audio: &mut Vec<f64>, length: usize, vowel: &Vowel, pitch: f64, noise: &mut Noise) {
    let mut formants = vowel.map(|(hz, width, gain)| (Resonator::new(hz, width), gain));
    let mut phase = 0.0;
    let mut glottis = 0.0;
    let start = audio.len();
    for n in 0..length {
        let progress = n as f64 / length as f64;
        phase += pitch * (1.0 - progress / 8.0) / f64::from(RATE);
        let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
        phase %= 1.0;
        // One pole at about 200 Hz gives the pulses the slope of a glottal wave.
        glottis = 0.92 * glottis + pulse + 0.01 * noise.next();
        let sum: f64 = formants
            .iter_mut()
            .map(|(formant, gain)| *gain * formant.next(glottis))
            .sum();
        audio.push(sum * envelope(progress));
    }
    normalise(audio.get_mut(start..).unwrap_or_default(), 1.0);
}

/// A fricative: noise round `hz`, ten decibels below a vowel.
fn unvoiced(audio: &mut Vec<f64>, length: usize, hz: f64, noise: &mut Noise) {
    let mut filter = Resonator::new(hz, 1_200.0);
    let start = audio.len();
    for n in 0..length {
        let progress = n as f64 / length as f64;
        audio.push(filter.next(noise.next()) * envelope(progress));
    }
    normalise(audio.get_mut(start..).unwrap_or_default(), 0.32);
}

/// Rises in the first eighth, falls in the last quarter.
fn envelope(progress: f64) -> f64 {
    (progress * 8.0).min((1.0 - progress) * 4.0).clamp(0.0, 1.0)
}

fn normalise(part: &mut [f64], rms: f64) {
    let energy: f64 = part.iter().map(|sample| sample * sample).sum();
    let now = (energy / part.len().max(1) as f64).sqrt();
    if now > 0.0 {
        part.iter_mut().for_each(|sample| *sample *= rms / now);
    }
}

fn samples(milliseconds: u32) -> usize {
    (RATE / 1_000 * milliseconds) as usize
}

/// A second-order resonance.
struct Resonator {
    a1: f64,
    a2: f64,
    gain: f64,
    y1: f64,
    y2: f64,
}

impl Resonator {
    fn new(hz: f64, width: f64) -> Self {
        let radius = (-std::f64::consts::PI * width / f64::from(RATE)).exp();
        let angle = std::f64::consts::TAU * hz / f64::from(RATE);
        Self {
            a1: 2.0 * radius * angle.cos(),
            a2: -radius * radius,
            gain: 1.0 - radius,
            y1: 0.0,
            y2: 0.0,
        }
    }

    fn next(&mut self, input: f64) -> f64 {
        let output = self.gain * input + self.a1 * self.y1 + self.a2 * self.y2;
        self.y2 = self.y1;
        self.y1 = output;
        output
    }
}

/// White noise from a fixed seed (a 64-bit linear congruential generator), -1.0 up to 1.0.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from((self.0 >> 33) as u32) / f64::from(1u32 << 30) - 1.0
    }
}

/// Formants: frequency, bandwidth, gain.
type Vowel = [(f64, f64, f64); 3];

#[derive(Clone, Copy)]
enum Segment {
    /// Milliseconds.
    Pause(u32),
    /// Milliseconds, position in [`VOWELS`], hertz of the pitch at its start.
    Voiced(u32, u8, f64),
    /// Milliseconds, hertz of the noise band.
    Unvoiced(u32, f64),
}

const VOWELS: [Vowel; 4] = [
    [
        (730.0, 90.0, 1.0),
        (1_090.0, 110.0, 0.6),
        (2_440.0, 160.0, 0.3),
    ],
    [
        (270.0, 60.0, 1.0),
        (2_290.0, 110.0, 0.4),
        (3_010.0, 170.0, 0.3),
    ],
    [
        (300.0, 60.0, 1.0),
        (870.0, 90.0, 0.5),
        (2_240.0, 150.0, 0.1),
    ],
    [
        (530.0, 80.0, 1.0),
        (1_840.0, 110.0, 0.5),
        (2_480.0, 160.0, 0.3),
    ],
];

/// Four phrases, 8,040 ms in all.
const RHYTHM: &[Segment] = &[
    Segment::Pause(200),
    Segment::Unvoiced(90, 4_200.0),
    Segment::Voiced(180, 3, 128.0),
    Segment::Voiced(140, 0, 134.0),
    Segment::Pause(50),
    Segment::Unvoiced(70, 3_400.0),
    Segment::Voiced(210, 1, 126.0),
    Segment::Voiced(160, 2, 118.0),
    Segment::Unvoiced(110, 4_800.0),
    Segment::Voiced(260, 0, 112.0),
    Segment::Pause(500),
    Segment::Voiced(150, 2, 136.0),
    Segment::Unvoiced(60, 3_800.0),
    Segment::Voiced(190, 3, 132.0),
    Segment::Voiced(170, 1, 127.0),
    Segment::Pause(40),
    Segment::Voiced(200, 0, 121.0),
    Segment::Unvoiced(100, 4_500.0),
    Segment::Voiced(130, 3, 117.0),
    Segment::Pause(60),
    Segment::Voiced(280, 2, 108.0),
    Segment::Pause(680),
    Segment::Unvoiced(80, 4_000.0),
    Segment::Voiced(170, 1, 141.0),
    Segment::Voiced(150, 0, 138.0),
    Segment::Unvoiced(90, 3_600.0),
    Segment::Voiced(220, 3, 130.0),
    Segment::Pause(50),
    Segment::Voiced(180, 2, 124.0),
    Segment::Voiced(160, 0, 119.0),
    Segment::Unvoiced(120, 4_700.0),
    Segment::Voiced(300, 1, 110.0),
    Segment::Pause(600),
    Segment::Voiced(160, 0, 133.0),
    Segment::Unvoiced(70, 3_900.0),
    Segment::Voiced(210, 3, 126.0),
    Segment::Voiced(170, 2, 120.0),
    Segment::Unvoiced(100, 4_400.0),
    Segment::Voiced(320, 0, 106.0),
    Segment::Pause(860),
];

const SEED: u64 = 0x0ca4_1110;
const TOTAL: usize = 8_040 * (RATE as usize / 1_000);
/// -20 dBov.
const ACTIVE_RMS: f64 = 3_276.8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_has_its_length_level_and_pauses() {
        let clip = speech();
        assert_eq!(clip.len(), TOTAL);
        let written: u32 = RHYTHM
            .iter()
            .map(|segment| match segment {
                Segment::Pause(ms) | Segment::Voiced(ms, ..) | Segment::Unvoiced(ms, _) => *ms,
            })
            .sum();
        assert_eq!(written, 8_040);
        let frames: Vec<f32> = clip
            .chunks(320)
            .map(|frame| crate::codec::level_dbov(frame).unwrap())
            .collect();
        let active = frames.iter().filter(|level| **level > -45.0).count() as f64;
        let share = active / frames.len() as f64;
        assert!(
            (0.45..0.75).contains(&share),
            "{share} of the clip is active"
        );
        let talking: Vec<i16> = clip.iter().copied().filter(|sample| *sample != 0).collect();
        let level = crate::codec::level_dbov(&talking).unwrap();
        assert!((level + 20.0).abs() < 1.0, "{level} dBov while active");
        assert!(
            clip.iter().all(|sample| sample.unsigned_abs() < 32_000),
            "it clips"
        );
    }

    #[test]
    fn the_clip_is_the_same_every_time() {
        assert_eq!(speech(), speech());
    }
}
