//! WAV files, from octets in memory to mono 16-bit samples.
//!
//! Owns: what is accepted and the sentence for what is not. Never: opens a file.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Cursor;

use hound::{SampleFormat, WavReader, WavSpec};
use thiserror::Error;

use super::Wav;

/// What is wrong with a WAV file, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WavError {
    /// Not a RIFF WAVE file of linear samples.
    #[error(
        "not a readable WAV file ({reason}): linear PCM of 8, 16, 24 or 32 bits, or 32-bit float, is needed; for example `ffmpeg -i in.mp3 -ar 16000 -ac 1 out.wav`"
    )]
    Format {
        /// What the reader says.
        reason: String,
    },
    /// The data ends before the header says.
    #[error("the file is cut: its header promises {promised} samples, {present} are there")]
    Cut {
        /// Samples over all channels by the header.
        promised: u32,
        /// Samples over all channels present.
        present: u32,
    },
    /// Too many channels.
    #[error("the file has {channels} channels: 1 or 2 are needed")]
    Channels {
        /// As the header says.
        channels: u16,
    },
    /// A rate outside what resampling is made for.
    #[error("the file has {rate} samples a second: 8000 up to 96000 are needed")]
    Rate {
        /// As the header says.
        rate: u32,
    },
    /// No audio.
    #[error("the file has no audio in it")]
    Empty,
    /// Too much audio.
    #[error("the file lasts {seconds} s: {MAX_SECONDS} s are the most; a clip is played in a loop")]
    TooLong {
        /// Its length.
        seconds: u32,
    },
}

impl Wav {
    /// Reads a WAV file.
    ///
    /// Shape: the octets of the file; stereo is mixed down. 8, 16, 24, 32 bits or 32-bit float.
    /// Errors: each variant of [`WavError`]. Bounds: ten minutes of audio.
    ///
    /// # Errors
    /// See above.
    pub fn read(file: &[u8]) -> Result<Self, WavError> {
        let mut reader = WavReader::new(Cursor::new(file)).map_err(format_error)?;
        let spec = reader.spec();
        let promised = reader.len();
        check(spec, promised)?;
        let mut interleaved = Vec::with_capacity(promised.min(PREALLOCATE) as usize);
        let full = 1i64 << (spec.bits_per_sample.clamp(1, 32) - 1);
        let result = match spec.sample_format {
            SampleFormat::Int => collect(reader.samples::<i32>(), &mut interleaved, |sample| {
                (i64::from(sample) * 32_768 / full).clamp(-32_768, 32_767) as i16
            }),
            SampleFormat::Float => collect(reader.samples::<f32>(), &mut interleaved, |sample| {
                (sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16
            }),
        };
        let present = u32::try_from(interleaved.len()).unwrap_or(u32::MAX);
        match result {
            Ok(()) if present == promised => {}
            Ok(()) | Err(hound::Error::IoError(_)) => {
                return Err(WavError::Cut { promised, present });
            }
            Err(error) => return Err(format_error(error)),
        }
        let channels = usize::from(spec.channels.max(1));
        let mono = interleaved.chunks(channels).map(|frame| {
            let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
            (sum / frame.len().max(1) as i32) as i16
        });
        Self::from_samples(spec.sample_rate, mono.collect())
    }

    /// Mono samples that are already in memory.
    ///
    /// # Errors
    /// [`WavError::Rate`], [`WavError::Empty`], [`WavError::TooLong`].
    pub fn from_samples(rate: u32, samples: Vec<i16>) -> Result<Self, WavError> {
        check_audio(rate, samples.len() as u64)?;
        let mut hasher = DefaultHasher::new();
        rate.hash(&mut hasher);
        samples.hash(&mut hasher);
        Ok(Self {
            rate,
            samples: samples.into(),
            fingerprint: hasher.finish(),
        })
    }

    /// Samples a second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The audio.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }
}

fn check(spec: WavSpec, promised: u32) -> Result<(), WavError> {
    if !matches!(spec.channels, 1 | 2) {
        return Err(WavError::Channels {
            channels: spec.channels,
        });
    }
    check_audio(
        spec.sample_rate,
        u64::from(promised / u32::from(spec.channels)),
    )
}

fn check_audio(rate: u32, samples: u64) -> Result<(), WavError> {
    if !(8_000..=96_000).contains(&rate) {
        return Err(WavError::Rate { rate });
    }
    if samples == 0 {
        return Err(WavError::Empty);
    }
    let seconds = u32::try_from(samples.div_ceil(u64::from(rate))).unwrap_or(u32::MAX);
    if seconds > MAX_SECONDS {
        return Err(WavError::TooLong { seconds });
    }
    Ok(())
}

fn collect<S>(
    samples: impl Iterator<Item = Result<S, hound::Error>>,
    into: &mut Vec<i16>,
    convert: impl Fn(S) -> i16,
) -> Result<(), hound::Error> {
    for sample in samples {
        into.push(convert(sample?));
    }
    Ok(())
}

fn format_error(error: hound::Error) -> WavError {
    let reason = match error {
        hound::Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "it ends within its header".to_owned()
        }
        other => other.to_string(),
    };
    WavError::Format { reason }
}

/// Ten minutes: a clip is a loop, and 48 kHz samples of it take 58 MB while it is loaded.
pub(super) const MAX_SECONDS: u32 = 600;
/// A header may promise more than the file holds; room for more is made as samples come.
const PREALLOCATE: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(channels: u16, rate: u32, bits: u16, format: SampleFormat, frames: u32) -> Vec<u8> {
        let spec = WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: bits,
            sample_format: format,
        };
        let mut octets = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut octets, spec).unwrap();
        for _ in 0..frames {
            for channel in 0..channels {
                // Half of full scale on the left, none on the right.
                let half = if channel == 0 { 1i64 << (bits - 2) } else { 0 };
                match format {
                    SampleFormat::Int => writer.write_sample(half as i32).unwrap(),
                    SampleFormat::Float => {
                        writer
                            .write_sample(if channel == 0 { 0.5f32 } else { 0.0 })
                            .unwrap();
                    }
                }
            }
        }
        writer.finalize().unwrap();
        octets.into_inner()
    }

    #[test]
    fn every_promised_format_is_read_at_its_level() {
        for rate in [8_000, 16_000, 44_100, 48_000] {
            for bits in [8, 16, 24, 32] {
                let mono = Wav::read(&file(1, rate, bits, SampleFormat::Int, 100)).unwrap();
                assert_eq!(
                    (mono.rate(), mono.samples()),
                    (rate, &[16_384; 100][..]),
                    "{bits} bits"
                );
                let stereo = Wav::read(&file(2, rate, bits, SampleFormat::Int, 100)).unwrap();
                assert_eq!(stereo.samples(), [8_192; 100], "{bits} bits");
            }
        }
        let float = Wav::read(&file(1, 16_000, 32, SampleFormat::Float, 10)).unwrap();
        assert_eq!(float.samples(), [16_383; 10]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let whole = file(1, 8_000, 16, SampleFormat::Int, 100);
        assert!(matches!(
            Wav::read(b"ID3 not a wave"),
            Err(WavError::Format { .. })
        ));
        assert!(matches!(
            Wav::read(&whole[..20]),
            Err(WavError::Format { .. })
        ));
        assert_eq!(
            Wav::read(&whole[..whole.len() - 20]),
            Err(WavError::Cut {
                promised: 100,
                present: 90
            })
        );
        assert_eq!(
            Wav::read(&file(1, 8_000, 16, SampleFormat::Int, 0)),
            Err(WavError::Empty)
        );
        assert_eq!(
            Wav::read(&file(3, 8_000, 16, SampleFormat::Int, 3)),
            Err(WavError::Channels { channels: 3 })
        );
        assert_eq!(
            Wav::read(&file(1, 4_000, 16, SampleFormat::Int, 3)),
            Err(WavError::Rate { rate: 4_000 })
        );
        assert_eq!(
            Wav::from_samples(8_000, vec![0; 8_000 * 601]),
            Err(WavError::TooLong { seconds: 601 })
        );
    }

    #[test]
    fn mangled_files_never_panic() {
        let whole = file(2, 16_000, 16, SampleFormat::Int, 40);
        for cut in 0..whole.len() {
            let _ = Wav::read(&whole[..cut]);
            for flip in [0x01, 0x80, 0xff] {
                let mut mangled = whole.clone();
                mangled[cut] ^= flip;
                let _ = Wav::read(&mangled);
            }
        }
    }

    #[test]
    fn equality_is_by_content() {
        let one = Wav::from_samples(8_000, vec![1, 2, 3]).unwrap();
        let same = Wav::from_samples(8_000, vec![1, 2, 3]).unwrap();
        let other = Wav::from_samples(8_000, vec![1, 2, 4]).unwrap();
        assert_eq!(one, same);
        assert_ne!(one, other);
    }
}
