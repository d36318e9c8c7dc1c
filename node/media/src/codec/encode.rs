//! Encoding a whole clip, once, at load time.
//!
//! Never: runs per stream or per packet (DESIGN decision 2).
//! Source: RFC 3551 §4.5, RFC 7587 §4.2; ITU-T G.711, G.722.

use std::ops::Range;

use audio_codec::Encoder;
use audio_codec::g722::G722Encoder;
use audio_codec::opus::OpusEncoder;
use bytes::Bytes;
use thiserror::Error;

use super::{CodecId, EncodedClip, g711};

/// Why a clip cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The codec makes no packets of this length.
    #[error("{} makes no packets of {ptime_ms} ms: use {}", codec.name(), ptimes(*codec))]
    Ptime {
        /// The codec asked for.
        codec: CodecId,
        /// The packet length asked for.
        ptime_ms: u32,
    },
    /// There are no samples.
    #[error("there is no audio to encode")]
    Empty,
    /// The codec library refused a frame.
    #[error("the {} encoder refused frame {frame}: {reason}", codec.name())]
    Refused {
        /// The codec asked for.
        codec: CodecId,
        /// Number of the frame, from 0.
        frame: usize,
        /// What the library says.
        reason: String,
    },
}

/// Encodes `samples` into payloads of `ptime_ms` each.
///
/// Shape: mono samples at [`CodecId::sample_rate`]; the last payload is filled up with silence.
/// Errors: [`EncodeError::Ptime`], [`EncodeError::Empty`], [`EncodeError::Refused`].
/// Bounds: one allocation for all payloads; 0.2 ms per Opus frame, 10 µs per G.722 frame.
///
/// # Errors
/// See above.
pub fn encode(codec: CodecId, ptime_ms: u32, samples: &[i16]) -> Result<EncodedClip, EncodeError> {
    if !codec.supports_ptime(ptime_ms) {
        return Err(EncodeError::Ptime { codec, ptime_ms });
    }
    if samples.is_empty() {
        return Err(EncodeError::Empty);
    }
    let per_frame = (codec.sample_rate() / 1_000 * ptime_ms) as usize;
    let mut encoder = FrameEncoder::new(codec);
    let mut payloads = Vec::new();
    let mut ranges: Vec<Range<usize>> = Vec::with_capacity(samples.len().div_ceil(per_frame));
    let mut frame = Vec::with_capacity(per_frame);
    for chunk in samples.chunks(per_frame) {
        frame.clear();
        frame.extend_from_slice(chunk);
        frame.resize(per_frame, 0);
        let start = payloads.len();
        encoder
            .push(&frame, &mut payloads)
            .map_err(|reason| EncodeError::Refused {
                codec,
                frame: ranges.len(),
                reason,
            })?;
        ranges.push(start..payloads.len());
    }
    let payloads = Bytes::from(payloads);
    Ok(EncodedClip {
        frames: ranges
            .into_iter()
            .map(|range| payloads.slice(range))
            .collect(),
        ptime_ms,
        ticks_per_frame: codec.ticks(ptime_ms),
    })
}

enum FrameEncoder {
    Ulaw,
    Alaw,
    G722(Box<G722Encoder>),
    Opus(Box<OpusEncoder>),
}

impl FrameEncoder {
    fn new(codec: CodecId) -> Self {
        match codec {
            CodecId::Pcmu => Self::Ulaw,
            CodecId::Pcma => Self::Alaw,
            CodecId::G722 => Self::G722(Box::new(G722Encoder::new())),
            CodecId::Opus => {
                let mut encoder = OpusEncoder::new(codec.sample_rate(), 1);
                encoder.set_bitrate(OPUS_BITS_PER_SECOND);
                Self::Opus(Box::new(encoder))
            }
        }
    }

    /// Appends the payload of one frame to `out`.
    fn push(&mut self, frame: &[i16], out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Ulaw => out.extend(frame.iter().map(|sample| g711::ulaw_encode(*sample))),
            Self::Alaw => out.extend(frame.iter().map(|sample| g711::alaw_encode(*sample))),
            Self::G722(encoder) => push_with(encoder.as_mut(), frame, out)?,
            Self::Opus(encoder) => push_with(encoder.as_mut(), frame, out)?,
        }
        Ok(())
    }
}

fn push_with(encoder: &mut dyn Encoder, frame: &[i16], out: &mut Vec<u8>) -> Result<(), String> {
    let mut packet = vec![0; encoder.max_encode_bytes(frame.len())];
    let written = encoder
        .encode_into(frame, &mut packet)
        .map_err(|error| format!("{error:?}"))?;
    if written == 0 {
        return Err("it wrote nothing".to_owned());
    }
    out.extend(packet.iter().take(written));
    Ok(())
}

fn ptimes(codec: CodecId) -> &'static str {
    match codec {
        CodecId::Opus => "10, 20, 40 or 60 ms",
        CodecId::Pcmu | CodecId::Pcma | CodecId::G722 => "10, 20, 30, 40, 50 or 60 ms",
    }
}

/// What RFC 7587 §3.1.1 calls the sweet spot for wideband speech is 16 to 20 kbit/s; a little
/// above it, so that the encoder never has to narrow the band.
const OPUS_BITS_PER_SECOND: i32 = 24_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(codec: CodecId, milliseconds: u32) -> Vec<i16> {
        let rate = codec.sample_rate();
        (0..rate / 1_000 * milliseconds)
            .map(|n| {
                let phase = f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate);
                (phase.sin() * 8_000.0) as i16
            })
            .collect()
    }

    #[test]
    fn every_codec_makes_payloads_of_every_packet_length_it_supports() {
        for codec in CodecId::ALL {
            for ptime_ms in (10..=60)
                .step_by(10)
                .filter(|ptime| codec.supports_ptime(*ptime))
            {
                let clip = encode(codec, ptime_ms, &sine(codec, 600)).unwrap();
                assert_eq!(clip.frames.len(), 600usize.div_ceil(ptime_ms as usize));
                assert_eq!(clip.ticks_per_frame, codec.clock_rate() / 1_000 * ptime_ms);
                for frame in &clip.frames {
                    match codec {
                        // 64 kbit/s: eight octets a millisecond.
                        CodecId::Pcmu | CodecId::Pcma | CodecId::G722 => {
                            assert_eq!(frame.len(), 8 * ptime_ms as usize);
                        }
                        CodecId::Opus => assert!((3..=1_275).contains(&frame.len())),
                    }
                }
            }
        }
    }

    #[test]
    fn opus_packets_last_as_long_as_their_timestamp_says() {
        for ptime_ms in [10, 20, 40, 60] {
            let clip = encode(CodecId::Opus, ptime_ms, &sine(CodecId::Opus, 600)).unwrap();
            for frame in &clip.frames {
                assert_eq!(
                    super::super::level::opus_milliseconds(frame),
                    Some(ptime_ms)
                );
            }
        }
    }

    #[test]
    fn a_packet_length_that_a_codec_lacks_is_refused_with_those_it_has() {
        let error = encode(CodecId::Opus, 30, &[0; 480]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "opus makes no packets of 30 ms: use 10, 20, 40 or 60 ms"
        );
        assert_eq!(encode(CodecId::Pcmu, 20, &[]), Err(EncodeError::Empty));
    }

    #[test]
    fn the_last_payload_is_filled_up_and_all_share_one_allocation() {
        let clip = encode(CodecId::Pcmu, 20, &[1_000; 161]).unwrap();
        assert_eq!(clip.frames.len(), 2);
        assert_eq!(clip.frames[1][1..], [0xff; 159]);
        assert_eq!(
            clip.frames[0].as_ptr().wrapping_add(160),
            clip.frames[1].as_ptr()
        );
    }
}
