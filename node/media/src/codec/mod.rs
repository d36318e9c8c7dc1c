//! The codecs of this engine: what they are called, how they tick and how clips are encoded.
//!
//! Owns: payload names, clock rates, encoding at load time, level metering of sampled payloads.
//! Never: sends, times or counts a packet (that is `stream`), reads a file (that is `source`).
//! Source: RFC 3551 §4.5, §6; RFC 7587; ITU-T G.711, G.722.

mod encode;
mod g711;
mod level;

use bytes::Bytes;

pub use encode::{EncodeError, encode};
pub use level::{Level, Meter};

/// A codec that calls can be made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CodecId {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Opus, mono, wideband audio in the 48 kHz RTP clock.
    Opus,
}

impl CodecId {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus];

    /// The encoding name in SDP. Names are compared without regard to case (RFC 8866 §6.6).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// Ticks of the RTP timestamp per second.
    ///
    /// G.722 ticks at 8,000 although it samples at 16,000 (RFC 3551 §4.5.2); Opus always at 48,000
    /// (RFC 7587 §4.1).
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Opus => 48_000,
        }
    }

    /// Samples per second of the audio that the encoder takes.
    #[must_use]
    pub fn sample_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8_000,
            Self::G722 | Self::Opus => 16_000,
        }
    }

    /// The payload type that RFC 3551 §6 fixes; for Opus the dynamic one that we offer.
    #[must_use]
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
            Self::Opus => 111,
        }
    }

    /// True where packets of `ptime_ms` can be made: multiples of 10 ms up to 60; for Opus only
    /// its frame sizes (RFC 6716 §2.1.4).
    #[must_use]
    pub fn supports_ptime(self, ptime_ms: u32) -> bool {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => matches!(ptime_ms, 10 | 20 | 30 | 40 | 50 | 60),
            Self::Opus => matches!(ptime_ms, 10 | 20 | 40 | 60),
        }
    }

    /// RTP timestamp ticks in a packet of `ptime_ms`.
    #[must_use]
    pub fn ticks(self, ptime_ms: u32) -> u32 {
        (self.clock_rate() / 1_000).saturating_mul(ptime_ms)
    }
}

/// A clip ready to be sent: one payload per packet, played in a loop.
///
/// Shape: all payloads lie behind each other in one allocation; each of `frames` is a view of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedClip {
    /// At least one; in playing order.
    pub frames: Vec<Bytes>,
    /// Milliseconds of audio in each.
    pub ptime_ms: u32,
    /// RTP timestamp ticks in each.
    pub ticks_per_frame: u32,
}

/// The level of samples, for tests of sources.
#[cfg(test)]
pub(crate) fn level_dbov(samples: &[i16]) -> Option<f32> {
    level::level(samples).map(|level| level.dbov)
}
