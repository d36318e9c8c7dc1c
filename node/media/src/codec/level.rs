//! How loud a received payload is, for the streams that are sampled.
//!
//! Never: runs on every stream; keeps audio. A payload that does not decode has no level.
//! Source: RFC 6464 §3 (dBov), RFC 6716 §3.1 (table of contents octet).

use audio_codec::Decoder;
use audio_codec::g722::G722Decoder;
use audio_codec::opus::OpusDecoder;

use super::{CodecId, g711};

/// Level of one payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Root mean square relative to overload (a full-scale square wave), -127.0 up to 0.0.
    pub dbov: f32,
    /// Samples decoded.
    pub samples: u32,
    /// Samples at full scale.
    pub clipped: u32,
}

/// Measures the payloads of one stream.
///
/// Shape: every payload of the stream, in order; G.722 and Opus carry state from one to the next.
/// Bounds: below 0.1 µs per G.711 payload of 20 ms, 6 µs G.722, 25 µs Opus; an Opus meter holds
/// about 100 KB, so only sampled streams have one.
pub struct Meter {
    decoder: FrameDecoder,
    pcm: Vec<i16>,
}

impl Meter {
    /// A meter for a stream of `codec`.
    #[must_use]
    pub fn new(codec: CodecId) -> Self {
        let decoder = match codec {
            CodecId::Pcmu => FrameDecoder::Ulaw,
            CodecId::Pcma => FrameDecoder::Alaw,
            CodecId::G722 => FrameDecoder::G722(Box::new(G722Decoder::new())),
            CodecId::Opus => FrameDecoder::Opus(Box::new(OpusDecoder::new(codec.sample_rate(), 1))),
        };
        Self {
            decoder,
            pcm: Vec::new(),
        }
    }

    /// Decodes and measures one payload; `None` where it does not decode or is too long.
    pub fn measure(&mut self, payload: &[u8]) -> Option<Level> {
        if payload.is_empty() || payload.len() > MAX_PAYLOAD {
            return None;
        }
        self.pcm.clear();
        match &mut self.decoder {
            FrameDecoder::Ulaw => self
                .pcm
                .extend(payload.iter().map(|o| g711::ulaw_decode(*o))),
            FrameDecoder::Alaw => self
                .pcm
                .extend(payload.iter().map(|o| g711::alaw_decode(*o))),
            FrameDecoder::G722(decoder) => decode(decoder.as_mut(), payload, &mut self.pcm)?,
            FrameDecoder::Opus(decoder) => {
                // The library decodes into a buffer of 20 ms.
                if opus_milliseconds(payload)? > 20 {
                    return None;
                }
                decode(decoder.as_mut(), payload, &mut self.pcm)?;
            }
        }
        level(&self.pcm)
    }
}

enum FrameDecoder {
    Ulaw,
    Alaw,
    G722(Box<G722Decoder>),
    Opus(Box<OpusDecoder>),
}

fn decode(decoder: &mut dyn Decoder, payload: &[u8], pcm: &mut Vec<i16>) -> Option<()> {
    pcm.resize(decoder.max_decode_samples(payload.len()), 0);
    let written = decoder.decode_into(payload, pcm).ok()?;
    pcm.truncate(written);
    Some(())
}

/// The level of samples; `None` where there are none.
pub(crate) fn level(pcm: &[i16]) -> Option<Level> {
    let samples = u32::try_from(pcm.len()).ok().filter(|count| *count > 0)?;
    let energy: f64 = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let rms = (energy / f64::from(samples)).sqrt();
    let clipped = pcm
        .iter()
        .filter(|sample| sample.unsigned_abs() >= FULL_SCALE)
        .count();
    Some(Level {
        dbov: (20.0 * (rms / 32_768.0).log10()).clamp(-127.0, 0.0) as f32,
        samples,
        clipped: u32::try_from(clipped).unwrap_or(u32::MAX),
    })
}

/// How much audio an Opus packet holds; `None` where its header is cut.
///
/// Source: RFC 6716 §3.1 table 2, §3.2.
pub(crate) fn opus_milliseconds(packet: &[u8]) -> Option<u32> {
    let contents = *packet.first()?;
    let config = contents >> 3;
    let tenths = match config {
        0..=11 => [100, 200, 400, 600].get(usize::from(config & 3)),
        12..=15 => [100, 200].get(usize::from(config & 1)),
        _ => [25, 50, 100, 200].get(usize::from(config & 3)),
    }?;
    let frames = match contents & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(*packet.get(1)? & 0x3f),
    };
    Some((tenths * frames).div_ceil(10))
}

/// The largest µ-law level is 32,124: at and above it a sample counts as clipped.
const FULL_SCALE: u16 = 32_124;
/// More than 60 ms of any codec here.
const MAX_PAYLOAD: usize = 1_500;

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    fn sine(rate: u32, peak: f64) -> Vec<i16> {
        (0..rate)
            .map(|n| {
                let phase = f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate);
                (phase.sin() * peak) as i16
            })
            .collect()
    }

    #[test]
    fn a_sine_keeps_its_level_through_every_codec() {
        // Peak 4,634 is 3,277 RMS: a tenth of full scale, -20 dBov.
        for codec in CodecId::ALL {
            let clip = encode(codec, 20, &sine(codec.sample_rate(), 4_634.0)).unwrap();
            let mut meter = Meter::new(codec);
            let levels: Vec<f32> = clip
                .frames
                .iter()
                .map(|frame| meter.measure(frame).unwrap().dbov)
                .collect();
            for level in levels.iter().skip(5) {
                assert!((level + 20.0).abs() < 1.0, "{codec:?}: {level} dBov");
            }
        }
    }

    #[test]
    fn silence_has_the_lowest_level_and_clipping_is_counted() {
        let mut meter = Meter::new(CodecId::Pcma);
        assert_eq!(
            Meter::new(CodecId::Pcmu)
                .measure(&[0xff; 160])
                .unwrap()
                .dbov,
            -127.0
        );
        assert_eq!(meter.measure(&[0xaa; 80]).unwrap().clipped, 80);
        assert_eq!(meter.measure(&[]), None);
    }

    #[test]
    fn any_octets_are_measured_or_refused_but_never_panic() {
        let seed = 7u64;
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        for codec in CodecId::ALL {
            let mut meter = Meter::new(codec);
            for round in 0..3_000 {
                let length = usize::from(next()) * (1 + round % 3);
                let payload: Vec<u8> = (0..length).map(|_| next()).collect();
                if let Some(level) = meter.measure(&payload) {
                    assert!(
                        (-127.0..=0.0).contains(&level.dbov),
                        "seed {seed} round {round}"
                    );
                }
            }
        }
    }
}
