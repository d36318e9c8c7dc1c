//! The digest algorithms and the hashes of RFC 7616 §3.4.
//!
//! Owns: algorithm tokens and H(), A1, A2. Never: keeps a password longer than a call.
//! Source: RFC 7616 §3.3, §3.4.1 to §3.4.3; RFC 8760 §2.1.

use md5::{Digest, Md5};
use sha2::{Sha256, Sha512_256};
use smol_str::{SmolStr, SmolStrBuilder};

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    /// MD5, 32 hex digits.
    Md5,
    /// SHA-256, 64 hex digits.
    Sha256,
    /// SHA-512/256, 64 hex digits.
    Sha512_256,
}

/// A digest algorithm: the hash, and whether A1 is bound to the session. Ordered by strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Algorithm {
    /// The hash.
    pub hash: Hash,
    /// Whether it is the `-sess` variant.
    pub session: bool,
}

impl Algorithm {
    /// Reads an algorithm token, in any case.
    ///
    /// Errors: `None` for one that is not supported.
    pub fn from_token(token: &str) -> Option<Self> {
        let (name, session) = match token
            .len()
            .checked_sub(5)
            .and_then(|at| token.split_at_checked(at))
        {
            Some((name, suffix)) if suffix.eq_ignore_ascii_case("-sess") => (name, true),
            _ => (token, false),
        };
        let hash = if name.eq_ignore_ascii_case("MD5") {
            Hash::Md5
        } else if name.eq_ignore_ascii_case("SHA-256") {
            Hash::Sha256
        } else if name.eq_ignore_ascii_case("SHA-512-256") {
            Hash::Sha512_256
        } else {
            return None;
        };
        Some(Self { hash, session })
    }

    /// H(A1) without the session part: `H(username:realm:password)`.
    pub fn user_hash(self, username: &str, realm: &str, password: &str) -> SmolStr {
        self.hash
            .of(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()])
    }

    /// H(A1) for a nonce pair, from the user hash (RFC 7616 §3.4.2).
    pub fn ha1(self, user_hash: SmolStr, nonce: &str, cnonce: &str) -> SmolStr {
        if self.session {
            self.hash
                .of(&[user_hash.as_bytes(), nonce.as_bytes(), cnonce.as_bytes()])
        } else {
            user_hash
        }
    }
}

impl Hash {
    /// The lower-case hex digest of the parts joined by colons.
    pub fn of(self, parts: &[&[u8]]) -> SmolStr {
        match self {
            Self::Md5 => joined::<Md5>(parts),
            Self::Sha256 => joined::<Sha256>(parts),
            Self::Sha512_256 => joined::<Sha512_256>(parts),
        }
    }
}

fn joined<D: Digest>(parts: &[&[u8]]) -> SmolStr {
    let mut digest = D::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    let mut hex = SmolStrBuilder::new();
    for byte in digest.finalize() {
        for nibble in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    hex.finish()
}
