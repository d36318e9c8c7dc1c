//! What an endpoint plays: silence, a tone, the built-in speech-like clip, a WAV file.
//!
//! Owns: making and reading the samples, resampling them once, and the library of encoded clips
//! that all streams share. Never: reads a file itself (octets are handed in), sends a packet.
//! Source: RFC 3551 §4.1 (levels), DESIGN decision 2 (encode once, fan out).

mod library;
mod resample;
mod speech;
mod tone;
mod wav;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use library::{ClipLibrary, SourceError};
pub use wav::WavError;

/// What is played, before it is encoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Digital silence; packets are sent all the same.
    Silence,
    /// A sine of this frequency at -20 dBov.
    Tone {
        /// Hertz, 1 up to 3,400.
        hz: u32,
    },
    /// The built-in speech-like clip.
    Speech,
    /// Samples of a file, read by [`Wav::read`] or given by [`Wav::from_samples`].
    Wav(Wav),
}

/// Mono audio of a WAV file. Cloning shares the samples.
#[derive(Clone, Debug)]
pub struct Wav {
    rate: u32,
    samples: Arc<[i16]>,
    fingerprint: u64,
}

impl PartialEq for Wav {
    fn eq(&self, other: &Self) -> bool {
        self.rate == other.rate
            && self.fingerprint == other.fingerprint
            && (Arc::ptr_eq(&self.samples, &other.samples) || self.samples == other.samples)
    }
}

impl Eq for Wav {}

impl Hash for Wav {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint.hash(state);
    }
}
