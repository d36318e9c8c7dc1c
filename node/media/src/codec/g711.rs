//! G.711 companding, both laws: octets to 16-bit samples by table, samples to octets by segment.
//!
//! Never: knows packets. Source: ITU-T G.711 tables 1 and 2, in 16-bit arithmetic.

/// Encodes one sample as µ-law.
pub(crate) fn ulaw_encode(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (i32::from(sample).abs().min(ULAW_CLIP) + ULAW_BIAS).unsigned_abs();
    // The biased magnitude lies in 132..=32767, so its highest bit is one of 7..=14.
    let segment = (31 - magnitude.leading_zeros()).saturating_sub(7);
    let mantissa = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | low_octet((segment << 4) | mantissa))
}

/// Encodes one sample as A-law.
pub(crate) fn alaw_encode(sample: i16) -> u8 {
    let magnitude = if sample < 0 { !sample } else { sample }.unsigned_abs() >> 4;
    let mut mantissa = u32::from(magnitude);
    if mantissa > 15 {
        let mut segment = 1;
        while mantissa > 31 {
            mantissa >>= 1;
            segment += 1;
        }
        mantissa = (mantissa - 16) | (segment << 4);
    }
    let sign: u8 = if sample < 0 { 0 } else { 0x80 };
    (low_octet(mantissa) | sign) ^ 0x55
}

/// Decodes a µ-law octet.
pub(crate) fn ulaw_decode(octet: u8) -> i16 {
    ULAW[octet as usize]
}

/// Decodes an A-law octet.
pub(crate) fn alaw_decode(octet: u8) -> i16 {
    ALAW[octet as usize]
}

/// Callers hand in seven bits at most.
fn low_octet(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

const fn ulaw_level(octet: u8) -> i16 {
    let code = !octet;
    let level = ((((code & 0x0f) as i32) << 3) + ULAW_BIAS) << ((code & 0x70) >> 4);
    let signed = if code & 0x80 != 0 {
        ULAW_BIAS - level
    } else {
        level - ULAW_BIAS
    };
    signed as i16
}

const fn alaw_level(octet: u8) -> i16 {
    let code = octet ^ 0x55;
    let segment = (code & 0x70) >> 4;
    let mut level = (((code & 0x0f) as i32) << 4) + 8;
    if segment > 0 {
        level += 0x100;
    }
    if segment > 1 {
        level <<= segment - 1;
    }
    (if code & 0x80 != 0 { level } else { -level }) as i16
}

const fn table(alaw: bool) -> [i16; 256] {
    let mut levels = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        levels[octet] = if alaw {
            alaw_level(octet as u8)
        } else {
            ulaw_level(octet as u8)
        };
        octet += 1;
    }
    levels
}

const ULAW_BIAS: i32 = 132;
/// The largest magnitude that the bias does not push out of 15 bits.
const ULAW_CLIP: i32 = 32_635;
static ULAW: [i16; 256] = table(false);
static ALAW: [i16; 256] = table(true);

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample lies within half a step of the level it goes to, and louder samples never go to
    /// quieter levels. At the seams of segments the decision values of G.711 are not the middle
    /// between two levels, so "nearest" would ask for too much.
    fn assert_within_half_a_step(
        encode: fn(i16) -> u8,
        decode: fn(u8) -> i16,
        half_step: fn(u8) -> i32,
    ) {
        let mut last = i32::MIN;
        for sample in i16::MIN..=i16::MAX {
            let octet = encode(sample);
            let level = i32::from(decode(octet));
            let error = (level - i32::from(sample)).abs();
            let clipped = i32::from(sample).abs() > i32::from(decode(encode(i16::MAX)));
            assert!(
                error <= half_step(octet) || clipped,
                "{sample} became {level}"
            );
            assert!(level >= last, "{sample} became {level} after {last}");
            last = level;
        }
    }

    #[test]
    fn both_laws_stay_within_half_a_step() {
        assert_within_half_a_step(ulaw_encode, ulaw_decode, |octet| {
            4 << ((!octet & 0x70) >> 4)
        });
        assert_within_half_a_step(alaw_encode, alaw_decode, |octet| {
            8 << (((octet ^ 0x55) & 0x70) >> 4).saturating_sub(1)
        });
    }

    #[test]
    fn every_octet_survives_a_round_trip() {
        for octet in 0..=255u8 {
            assert_eq!(alaw_encode(alaw_decode(octet)), octet);
            // 0x7f is minus zero: it comes back as plus zero, 0xff.
            let expected = if octet == 0x7f { 0xff } else { octet };
            assert_eq!(ulaw_encode(ulaw_decode(octet)), expected);
        }
    }

    #[test]
    fn known_points_of_the_tables_hold() {
        assert_eq!(ulaw_encode(0), 0xff);
        assert_eq!(ulaw_encode(i16::MAX), 0x80);
        assert_eq!(ulaw_encode(i16::MIN), 0x00);
        assert_eq!(alaw_encode(0), 0xd5);
        assert_eq!(alaw_encode(i16::MAX), 0xaa);
        assert_eq!(alaw_encode(i16::MIN), 0x2a);
        assert_eq!(ulaw_decode(0x80), 32_124);
        assert_eq!(alaw_decode(0xaa), 32_256);
    }
}
