//! Challenges: the value of WWW-Authenticate and Proxy-Authenticate.
//!
//! Owns: parsing. Never: chooses among challenges (the client does).
//! Source: RFC 7616 §3.3; RFC 3261 §20.44, §22; RFC 8760 §2.

use smol_str::SmolStr;

use super::hash::Algorithm;
use super::pairs;

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Challenge {
    /// The scheme as written (`Digest`, `Basic` …).
    pub scheme: SmolStr,
    /// The realm, quoted-pairs resolved.
    pub realm: SmolStr,
    /// The nonce.
    pub nonce: SmolStr,
    /// The opaque value to give back.
    pub opaque: Option<SmolStr>,
    /// Whether only the nonce was too old: the credentials are fine.
    pub stale: bool,
    /// The algorithm token as written; absent means MD5.
    pub algorithm: Option<SmolStr>,
    /// The qop list; `None` when the challenge has none (RFC 2069).
    pub qop: Option<QopOptions>,
}

/// Which protections a challenge offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QopOptions {
    /// `auth`.
    pub auth: bool,
    /// `auth-int`.
    pub auth_int: bool,
}

impl Challenge {
    /// Reads a header value with one challenge.
    ///
    /// Errors: `None` when it is malformed. A scheme other than Digest is not an error.
    pub fn parse(value: &[u8]) -> Option<Self> {
        Self::parse_all(value)?.into_iter().next()
    }

    /// Reads a header value with one or more challenges (RFC 7235 §4.1), in order.
    pub fn parse_all(value: &[u8]) -> Option<Vec<Self>> {
        let groups = pairs::groups(value)?;
        Some(
            groups
                .into_iter()
                .map(|(scheme, pairs)| Self::from_pairs(scheme, &pairs))
                .collect(),
        )
    }

    /// The algorithm; `None` when it is not supported.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_token(self.algorithm.as_deref().unwrap_or("MD5"))
    }

    /// Whether it can be answered: Digest, with a nonce, a supported algorithm and qop.
    pub fn is_supported(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
            && !self.nonce.is_empty()
            && self.algorithm().is_some()
            && self.qop.is_none_or(|qop| qop.auth || qop.auth_int)
    }

    fn from_pairs(scheme: &str, pairs: &[pairs::Pair<'_>]) -> Self {
        let mut challenge = Self {
            scheme: SmolStr::new(scheme),
            ..Self::default()
        };
        for pair in pairs {
            let value = SmolStr::new(&pair.value);
            match pair.name {
                name if name.eq_ignore_ascii_case("realm") => challenge.realm = value,
                name if name.eq_ignore_ascii_case("nonce") => challenge.nonce = value,
                name if name.eq_ignore_ascii_case("opaque") => challenge.opaque = Some(value),
                name if name.eq_ignore_ascii_case("stale") => {
                    challenge.stale = value.eq_ignore_ascii_case("true")
                }
                name if name.eq_ignore_ascii_case("algorithm") => challenge.algorithm = Some(value),
                name if name.eq_ignore_ascii_case("qop") => {
                    let offers = |wanted: &str| {
                        value
                            .split(',')
                            .any(|one| one.trim().eq_ignore_ascii_case(wanted))
                    };
                    challenge.qop = Some(QopOptions {
                        auth: offers("auth"),
                        auth_int: offers("auth-int"),
                    });
                }
                _ => {}
            }
        }
        challenge
    }
}
