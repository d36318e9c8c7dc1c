//! Whether a file is a WAV file that the engine can play: RIFF, PCM, 16 bit, mono or stereo,
//! 8 kHz or more. The samples themselves are read by the node.

/// What is wrong with the file; none where it can be played.
pub(super) fn fault(octets: &[u8]) -> Option<String> {
    if octets.get(0..4) != Some(b"RIFF") || octets.get(8..12) != Some(b"WAVE") {
        return Some("is no WAV file".to_owned());
    }
    let Some(format) = chunk(octets, *b"fmt ") else {
        return Some("is a WAV file without a format; it seems to be cut".to_owned());
    };
    let (Some(tag), Some(channels), Some(rate), Some(bits)) = (
        word(format, 0),
        word(format, 2),
        long(format, 4),
        word(format, 14),
    ) else {
        return Some("is a WAV file without a format; it seems to be cut".to_owned());
    };
    if ![PCM, EXTENSIBLE].contains(&tag) || bits != 16 {
        return Some(format!(
            "is not 16-bit PCM (format {tag}, {bits} bits); convert it: sox IN.wav -b 16 -e signed OUT.wav"
        ));
    }
    if !(1..=2).contains(&channels) {
        return Some(format!("has {channels} channels; one or two can be played"));
    }
    if !(8_000..=192_000).contains(&rate) {
        return Some(format!(
            "has {rate} samples a second; 8000 or more can be played"
        ));
    }
    if chunk(octets, *b"data").is_none_or(<[u8]>::is_empty) {
        return Some("holds no samples".to_owned());
    }
    None
}

/// What a playable file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WavFormat {
    /// Samples a second.
    pub sample_rate_hz: u32,
    /// 1 or 2.
    pub channels: u16,
    /// How long it plays.
    pub duration_ms: u64,
}

/// The format of a file that can be played, or what is wrong with it.
pub(super) fn format(octets: &[u8]) -> Result<WavFormat, String> {
    if let Some(fault) = fault(octets) {
        return Err(fault);
    }
    let format = chunk(octets, *b"fmt ").unwrap_or_default();
    let samples = chunk(octets, *b"data").unwrap_or_default().len() as u64 / 2;
    let channels = word(format, 2).unwrap_or(1);
    let sample_rate_hz = long(format, 4).unwrap_or(8_000);
    let each_second = u64::from(channels) * u64::from(sample_rate_hz);
    Ok(WavFormat {
        sample_rate_hz,
        channels,
        duration_ms: (samples * 1_000).checked_div(each_second).unwrap_or(0),
    })
}

fn chunk(octets: &[u8], id: [u8; 4]) -> Option<&[u8]> {
    let mut at = 12;
    while let Some(head) = octets.get(at..at + 8) {
        let size = long(head, 4)? as usize;
        let end = at.saturating_add(8).saturating_add(size).min(octets.len());
        if head.get(0..4) == Some(id.as_slice()) {
            return octets.get(at + 8..end);
        }
        // Chunks are padded to even sizes.
        at = at
            .checked_add(8)?
            .checked_add(size)?
            .checked_add(size % 2)?;
    }
    None
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

fn long(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

const PCM: u16 = 1;
const EXTENSIBLE: u16 = 0xFFFE;

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(tag: u16, channels: u16, rate: u32, bits: u16, samples: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        file.extend(tag.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend([0; 6]);
        file.extend(bits.to_le_bytes());
        file.extend(b"data");
        file.extend((samples.len() as u32).to_le_bytes());
        file.extend(samples);
        file
    }

    #[test]
    fn playable_files_pass_and_others_say_why() {
        let good = wav(1, 1, 8_000, 16, &[0; 320]);
        assert_eq!(fault(&good), None);
        let read = format(&wav(1, 2, 16_000, 16, &[0; 64_000])).unwrap();
        assert_eq!((read.sample_rate_hz, read.channels), (16_000, 2));
        assert_eq!(read.duration_ms, 1_000);
        for (octets, part) in [
            (wav(7, 1, 8_000, 8, &[0; 320]), "16-bit PCM"),
            (wav(1, 6, 48_000, 16, &[0; 320]), "6 channels"),
            (wav(1, 1, 4_000, 16, &[0; 320]), "4000 samples"),
            (wav(1, 1, 8_000, 16, &[]), "no samples"),
            (b"ID3".to_vec(), "no WAV"),
        ] {
            let fault = fault(&octets).unwrap_or_default();
            assert!(fault.contains(part), "{fault}");
        }
        for length in 0..good.len() - 320 {
            assert!(fault(&good[..length]).is_some(), "cut at {length}");
        }
    }
}
