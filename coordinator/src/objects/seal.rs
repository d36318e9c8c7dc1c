//! Secrets at rest: XChaCha20-Poly1305 with a random nonce of 24 octets.
//!
//! Owns the format of a sealed secret and what it is bound to: a sealed password that is moved to
//! another account, registrar or organization does not open. Never prints key or content.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use super::ObjectError;
use super::master::MasterKey;

/// Seals and opens with one master key.
#[derive(Clone)]
pub(super) struct Sealer(XChaCha20Poly1305);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// What a secret is bound to.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    /// Organization.
    pub(super) organization: u64,
    /// Registrar; 0 where it is none's.
    pub(super) owner: u64,
    /// User name, or what takes its place.
    pub(super) name: &'a [u8],
    /// Which of its fields.
    pub(super) field: &'static str,
}

impl Bound<'_> {
    /// Unambiguous: numbers of fixed length, then the texts with their lengths before them.
    fn octets(&self) -> Vec<u8> {
        let mut octets = vec![KEY_VERSION];
        octets.extend_from_slice(&self.organization.to_be_bytes());
        octets.extend_from_slice(&self.owner.to_be_bytes());
        for text in [self.name, self.field.as_bytes()] {
            octets.extend_from_slice(&(text.len() as u64).to_be_bytes());
            octets.extend_from_slice(text);
        }
        octets
    }
}

impl Sealer {
    pub(super) fn new(key: &MasterKey) -> Self {
        Self(XChaCha20Poly1305::new(key.octets().into()))
    }

    /// Key version, nonce, sealed content.
    pub(super) fn seal(&self, bound: &Bound<'_>, content: &[u8]) -> Result<Vec<u8>, ObjectError> {
        let failed =
            |what: &str| ObjectError::Storage(format!("a secret cannot be sealed: {what}"));
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| failed(&error.to_string()))?;
        let payload = Payload {
            msg: content,
            aad: &bound.octets(),
        };
        let sealed = self.0.encrypt(XNonce::from_slice(&nonce), payload);
        let sealed = sealed.map_err(|_| failed("it is too long"))?;
        let mut octets = Vec::with_capacity(1 + NONCE + sealed.len());
        octets.push(KEY_VERSION);
        octets.extend_from_slice(&nonce);
        octets.extend_from_slice(&sealed);
        Ok(octets)
    }

    /// The content; none where the key, what it is bound to or an octet is another.
    pub(super) fn open(&self, bound: &Bound<'_>, octets: &[u8]) -> Option<Vec<u8>> {
        let (version, rest) = octets.split_first()?;
        let (nonce, sealed) = rest.split_at_checked(NONCE)?;
        if *version != KEY_VERSION {
            return None;
        }
        let payload = Payload {
            msg: sealed,
            aad: &bound.octets(),
        };
        self.0.decrypt(XNonce::from_slice(nonce), payload).ok()
    }
}

/// Which master key: leaves room for a change of keys.
const KEY_VERSION: u8 = 1;
/// Octets of a nonce: so many that random ones never meet.
const NONCE: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(octet: u8) -> Sealer {
        Sealer::new(&MasterKey::of([octet; 32]))
    }

    const BOUND: Bound<'static> = Bound {
        organization: 1,
        owner: 2,
        name: b"alice",
        field: "password",
    };

    #[test]
    fn a_secret_opens_only_with_its_key_where_it_belongs_and_whole() {
        let sealed = sealer(1).seal(&BOUND, b"secret").unwrap();
        assert_eq!(sealer(1).open(&BOUND, &sealed).unwrap(), b"secret");
        assert_eq!(sealer(2).open(&BOUND, &sealed), None);
        for other in [
            Bound {
                organization: 3,
                ..BOUND
            },
            Bound { owner: 3, ..BOUND },
            Bound {
                name: b"bob",
                ..BOUND
            },
            Bound {
                field: "body",
                ..BOUND
            },
        ] {
            assert_eq!(sealer(1).open(&other, &sealed), None);
        }
        for place in 0..sealed.len() {
            assert_eq!(
                sealer(1).open(&BOUND, &sealed[..place]),
                None,
                "cut at {place}"
            );
            let mut broken = sealed.clone();
            broken[place] ^= 1;
            assert_eq!(sealer(1).open(&BOUND, &broken), None, "octet {place}");
        }
    }

    #[test]
    fn the_same_secret_never_looks_the_same() {
        let first = sealer(1).seal(&BOUND, b"secret").unwrap();
        assert_ne!(first, sealer(1).seal(&BOUND, b"secret").unwrap());
        assert!(!first.windows(6).any(|part| part == b"secret"));
    }
}
