//! A WAV file for peers that play one.

use std::path::PathBuf;

use crate::Scratch;

/// Writes a 440 Hz sine of 16-bit samples into the scratch folder.
pub fn write_sine(
    scratch: &Scratch,
    name: &str,
    rate: u32,
    channels: u16,
    seconds: u32,
) -> PathBuf {
    let frames = rate * seconds;
    let data = frames * u32::from(channels) * 2;
    let mut file = Vec::with_capacity(data as usize + 44);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + data).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0");
    file.extend_from_slice(&channels.to_le_bytes());
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(rate * u32::from(channels) * 2).to_le_bytes());
    file.extend_from_slice(&(channels * 2).to_le_bytes());
    file.extend_from_slice(&16u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&data.to_le_bytes());
    for frame in 0..frames {
        let phase = f64::from(frame) * 440.0 * std::f64::consts::TAU / f64::from(rate);
        let sample = (phase.sin() * 8_000.0) as i16;
        for _ in 0..channels {
            file.extend_from_slice(&sample.to_le_bytes());
        }
    }
    scratch.write(name, file)
}
