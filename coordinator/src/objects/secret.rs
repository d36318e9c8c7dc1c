//! Secrets of API keys: `clk_<id, 16 hexadecimal digits>_<43 characters of base 62>`.
//!
//! Owns their shape and their hash. Never stores nor prints one.

use sha2::{Digest, Sha256};
use shared::id::KeyId;

use super::ObjectError;

/// A new secret of 256 random bits.
pub(super) fn generate(key: KeyId) -> Result<String, ObjectError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| ObjectError::Storage(format!("no randomness: {error}")))?;
    Ok(format!("{PREFIX}{key}_{}", base62(random)))
}

/// The key that a secret says it is of; none where it has not the shape of one.
pub(super) fn key_of(secret: &str) -> Option<KeyId> {
    let (id, rest) = secret.strip_prefix(PREFIX)?.split_once('_')?;
    let shaped = id.len() == 16
        && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && rest.len() == DIGITS
        && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    shaped.then(|| id.parse().ok()).flatten()
}

/// What is stored of a secret. It has 256 random bits, so a quick hash is enough.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A number of 256 bits in 43 digits: 62^43 is just above 2^256.
fn base62(mut number: [u8; 32]) -> String {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for octet in &mut number {
            let value = (rest << 8) | u32::from(*octet);
            *octet = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        let index = usize::try_from(rest).unwrap_or(0);
        *digit = ALPHABET.get(index).copied().unwrap_or(b'0');
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

const PREFIX: &str = "clk_";
const DIGITS: usize = 43;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_holds_its_key_and_is_never_the_same() {
        let key = KeyId(0x0193_f2a4_c5d6_e7f8);
        let secret = generate(key).unwrap();
        assert_eq!(secret.len(), 4 + 16 + 1 + 43);
        assert_eq!(key_of(&secret), Some(key));
        assert_ne!(secret, generate(key).unwrap());
    }

    #[test]
    fn numbers_are_written_in_full() {
        assert_eq!(base62([0; 32]), "0".repeat(43));
        let mut sixty_two = [0; 32];
        sixty_two[31] = 62;
        assert_eq!(base62(sixty_two), format!("{}10", "0".repeat(41)));
        let most = base62([255; 32]);
        assert_eq!(most.len(), 43);
        assert!(most > base62([254; 32]));
    }

    #[test]
    fn other_texts_are_no_secrets() {
        let good = generate(KeyId(7)).unwrap();
        for length in 0..good.len() {
            assert_eq!(key_of(&good[..length]), None, "{length}");
        }
        for text in [
            "",
            "clk__",
            &good.to_uppercase(),
            &good.replace("clk", "sk"),
            &format!("{good}0"),
            &format!("{}é", &good[..good.len() - 2]),
        ] {
            assert_eq!(key_of(text), None, "{text}");
        }
    }
}
