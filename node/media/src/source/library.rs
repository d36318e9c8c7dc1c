//! The clips of a process: each (source, codec, packet length) is encoded once and shared.
//!
//! Never: is asked per packet. Source: DESIGN decision 2.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::resample::resample;
use super::{Source, speech, tone};
use crate::codec::{CodecId, EncodeError, EncodedClip, encode};

/// Why a source cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// A tone that no codec here carries.
    #[error("a tone of {hz} Hz cannot be carried: 1 up to {MAX_TONE_HZ} Hz are possible")]
    Tone {
        /// As asked.
        hz: u32,
    },
    /// It cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Too many different clips.
    #[error(
        "{MAX_CLIPS} different clips are loaded already: use fewer sources, codecs or packet lengths"
    )]
    Full,
}

/// All clips that were asked for so far.
///
/// Bounds: at most 256 clips; each of at most ten minutes (4.8 MB at 64 kbit/s).
#[derive(Debug, Default)]
pub struct ClipLibrary {
    clips: HashMap<(Source, CodecId, u32), Arc<EncodedClip>>,
}

impl ClipLibrary {
    /// An empty library.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The clip of `source` for `codec` in packets of `ptime_ms`; encoded at the first request.
    ///
    /// Bounds: a hash look-up where it is known; else as [`encode`].
    ///
    /// # Errors
    /// Each variant of [`SourceError`].
    pub fn clip(
        &mut self,
        source: &Source,
        codec: CodecId,
        ptime_ms: u32,
    ) -> Result<Arc<EncodedClip>, SourceError> {
        let key = (source.clone(), codec, ptime_ms);
        if let Some(clip) = self.clips.get(&key) {
            return Ok(Arc::clone(clip));
        }
        if self.clips.len() >= MAX_CLIPS {
            return Err(SourceError::Full);
        }
        let samples = samples(source, codec.sample_rate())?;
        let clip = Arc::new(encode(codec, ptime_ms, &samples)?);
        self.clips.insert(key, Arc::clone(&clip));
        Ok(clip)
    }
}

fn samples(source: &Source, rate: u32) -> Result<Vec<i16>, SourceError> {
    match source {
        Source::Silence => Ok(vec![0; (rate / 1_000 * SILENCE_MS) as usize]),
        Source::Tone { hz } if !(1..=MAX_TONE_HZ).contains(hz) => {
            Err(SourceError::Tone { hz: *hz })
        }
        Source::Tone { hz } => Ok(tone::tone(*hz, rate)),
        Source::Speech => Ok(resample(&speech::speech(), speech::RATE, rate)),
        Source::Wav(wav) => Ok(resample(wav.samples(), wav.rate(), rate)),
    }
}

const MAX_CLIPS: usize = 256;
/// The telephone band (ITU-T G.712).
const MAX_TONE_HZ: u32 = 3_400;
/// A multiple of every packet length but 50 ms, where the last packet is filled up.
const SILENCE_MS: u32 = 120;

#[cfg(test)]
mod tests {
    use super::super::Wav;
    use super::*;
    use crate::codec::Meter;

    #[test]
    fn a_clip_is_encoded_once_and_shared() {
        let mut library = ClipLibrary::new();
        let first = library.clip(&Source::Speech, CodecId::Pcmu, 20).unwrap();
        let second = library.clip(&Source::Speech, CodecId::Pcmu, 20).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(first.frames.len(), 402);
        let other = library.clip(&Source::Speech, CodecId::Pcma, 20).unwrap();
        assert_ne!(first, other);
    }

    #[test]
    fn every_source_plays_through_every_codec() {
        let mut library = ClipLibrary::new();
        let wav = Wav::from_samples(44_100, vec![500; 44_100]).unwrap();
        for source in [
            Source::Silence,
            Source::Tone { hz: 440 },
            Source::Speech,
            Source::Wav(wav),
        ] {
            for codec in CodecId::ALL {
                let clip = library.clip(&source, codec, 20).unwrap();
                assert!(clip.frames.iter().all(|frame| !frame.is_empty()));
            }
        }
    }

    #[test]
    fn speech_sounds_and_pauses_after_coding() {
        let mut library = ClipLibrary::new();
        for codec in CodecId::ALL {
            let clip = library.clip(&Source::Speech, codec, 20).unwrap();
            let mut meter = Meter::new(codec);
            let levels: Vec<f32> = clip
                .frames
                .iter()
                .map(|frame| meter.measure(frame).unwrap().dbov)
                .collect();
            let loud = levels.iter().filter(|level| **level > -30.0).count();
            let quiet = levels.iter().filter(|level| **level < -50.0).count();
            assert!(
                loud > 150 && quiet > 80,
                "{codec:?}: {loud} loud, {quiet} quiet"
            );
        }
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        let mut library = ClipLibrary::new();
        let tone = library.clip(&Source::Tone { hz: 0 }, CodecId::Pcmu, 20);
        assert_eq!(tone, Err(SourceError::Tone { hz: 0 }));
        let opus = library.clip(&Source::Speech, CodecId::Opus, 30);
        assert!(matches!(
            opus,
            Err(SourceError::Encode(EncodeError::Ptime { .. }))
        ));
    }

    #[test]
    fn the_library_is_bounded() {
        let mut library = ClipLibrary::new();
        for hz in 1..=256 {
            library
                .clip(&Source::Tone { hz }, CodecId::Pcmu, 60)
                .unwrap();
        }
        let more = library.clip(&Source::Tone { hz: 300 }, CodecId::Pcmu, 60);
        assert_eq!(more, Err(SourceError::Full));
    }
}
