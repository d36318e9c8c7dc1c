//! Unique identifiers: branches, tags, Call-IDs (RFC 3261 §8.1.1.4, §8.1.1.7, §19.3).
//!
//! Owns the agent's only random source, seeded at its birth. Random is enough here: no identifier
//! guards a secret, it only must not repeat.

use smol_str::{SmolStr, SmolStrBuilder};

/// Makes the identifiers of one agent.
#[derive(Debug)]
pub(crate) struct Ids {
    state: u64,
    sequence: u32,
}

impl Ids {
    /// Starts from a seed; the same seed gives the same identifiers.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            sequence: 0,
        }
    }

    /// The next 64 random bits (SplitMix64).
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A tag with 60 random bits (RFC 3261 §19.3 asks for at least 32).
    pub(crate) fn tag(&mut self) -> SmolStr {
        let mut text = SmolStrBuilder::new();
        push_base32(&mut text, self.next_u64() >> 4, TAG_DIGITS);
        text.finish()
    }

    /// A branch: the magic cookie, the agent's prefix, a number that never repeats (§8.1.1.7).
    pub(crate) fn branch(&mut self, prefix: &str) -> SmolStr {
        let mut text = SmolStrBuilder::new();
        text.push_str(MAGIC_COOKIE);
        text.push_str(prefix);
        self.push_unique(&mut text);
        text.finish()
    }

    /// A Call-ID: the agent's prefix and a number that never repeats.
    pub(crate) fn call_id(&mut self, prefix: &str) -> SmolStr {
        let mut text = SmolStrBuilder::new();
        text.push_str(prefix);
        self.push_unique(&mut text);
        text.finish()
    }

    /// 20 bits of sequence (unique within the agent for a million requests) and 30 random bits
    /// (so that neither a wrap nor a restarted agent repeats).
    fn push_unique(&mut self, text: &mut SmolStrBuilder) {
        self.sequence = self.sequence.wrapping_add(1);
        let random = self.next_u64() >> 34;
        push_base32(
            text,
            (u64::from(self.sequence) & 0xF_FFFF) << 30 | random,
            UNIQUE_DIGITS,
        );
    }
}

fn push_base32(text: &mut SmolStrBuilder, value: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = (value >> (place * 5)) & 31;
        text.push(char::from(ALPHABET[digit as usize]));
    }
}

/// RFC 3261 §8.1.1.7: what a branch of this RFC begins with.
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";
/// Lower case only: branches and tags compare case-insensitively, so no digit may be lost.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const TAG_DIGITS: u32 = 12;
const UNIQUE_DIGITS: u32 = 10;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn identifiers_do_not_repeat_and_carry_their_prefix() {
        let mut ids = Ids::new(1);
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let branch = ids.branch("ab");
            assert!(branch.starts_with("z9hG4bKab"));
            assert!(seen.insert(branch));
            assert!(seen.insert(ids.call_id("cd")));
            assert!(seen.insert(ids.tag()));
        }
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let (mut one, mut two) = (Ids::new(7), Ids::new(7));
        assert_eq!(one.tag(), two.tag());
        assert_eq!(one.branch("x"), two.branch("x"));
        assert_ne!(Ids::new(8).tag(), Ids::new(7).tag());
    }
}
