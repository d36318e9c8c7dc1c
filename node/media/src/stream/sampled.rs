//! The sound of a sampled stream: level, silence, clipping, by second.
//!
//! Owns: sums over one second. Never: runs on a stream that is not sampled; keeps audio.

use crate::codec::{CodecId, Meter};

/// A meter and its sums.
pub(super) struct Sampled {
    meter: Meter,
    power: f64,
    frames: u32,
    silent: u32,
    samples: u64,
    clipped: u64,
}

/// A second's sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sound {
    /// Level of the mean power.
    pub(super) level_dbov: f64,
    /// Frames below [`SILENCE_DBOV`].
    pub(super) silence_pct: f64,
    /// Samples at full scale.
    pub(super) clipping_pct: f64,
}

impl Sampled {
    pub(super) fn new(codec: CodecId) -> Self {
        let meter = Meter::new(codec);
        Self {
            meter,
            power: 0.0,
            frames: 0,
            silent: 0,
            samples: 0,
            clipped: 0,
        }
    }

    pub(super) fn take(&mut self, payload: &[u8]) {
        let Some(level) = self.meter.measure(payload) else {
            return;
        };
        let dbov = f64::from(level.dbov);
        self.frames += 1;
        self.silent += u32::from(dbov < SILENCE_DBOV);
        self.power += 10_f64.powf(dbov / 10.0);
        self.samples += u64::from(level.samples);
        self.clipped += u64::from(level.clipped);
    }

    pub(super) fn close_second(&mut self) -> Option<Sound> {
        let frames = f64::from(self.frames);
        let sound = (self.frames > 0).then(|| Sound {
            level_dbov: 10.0 * (self.power / frames).log10(),
            silence_pct: 100.0 * f64::from(self.silent) / frames,
            clipping_pct: 100.0 * self.clipped as f64 / self.samples.max(1) as f64,
        });
        (
            self.power,
            self.frames,
            self.silent,
            self.samples,
            self.clipped,
        ) = (0.0, 0, 0, 0, 0);
        sound
    }
}

const SILENCE_DBOV: f64 = -60.0;
