//! The server's side: reads the answer to a challenge and checks it.
//!
//! Owns: parsing Authorization and Proxy-Authorization, recomputing the hash. Never: judges the
//! nonce or its count; who made the nonce does.
//! Source: RFC 7616 §3.4; RFC 3261 §22.4.

use smol_str::SmolStr;

use super::hash::Algorithm;
use super::pairs;
use crate::wire::Method;

/// The protection that an answer claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qop {
    /// `auth`
    Auth,
    /// `auth-int`
    AuthInt,
}

/// Digest credentials as a client sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestResponse {
    /// The user name, plain.
    pub username: SmolStr,
    /// The realm, plain.
    pub realm: SmolStr,
    /// The nonce.
    pub nonce: SmolStr,
    /// The digest URI exactly as sent.
    pub uri: SmolStr,
    /// The hash.
    pub response: SmolStr,
    /// The algorithm; MD5 when none was named.
    pub algorithm: Algorithm,
    /// The client nonce.
    pub cnonce: Option<SmolStr>,
    /// The nonce count as sent: eight hex digits.
    pub nc: Option<SmolStr>,
    /// The protection; `None` for RFC 2069.
    pub qop: Option<Qop>,
    /// The opaque value given back.
    pub opaque: Option<SmolStr>,
}

impl DigestResponse {
    /// Reads a header value.
    ///
    /// Errors: `None` when it is not Digest, a mandatory part is missing, or algorithm, qop or nc
    /// are not understood.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (scheme, pairs) = pairs::groups(value)?.into_iter().next()?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let find = |name: &str| {
            pairs
                .iter()
                .find(|pair| pair.name.eq_ignore_ascii_case(name))
                .map(|pair| SmolStr::new(&pair.value))
        };
        let qop = match find("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some(Qop::Auth),
            Some(qop) if qop.eq_ignore_ascii_case("auth-int") => Some(Qop::AuthInt),
            Some(_) => return None,
        };
        let (cnonce, nc) = (find("cnonce"), find("nc"));
        let counted = nc
            .as_ref()
            .is_some_and(|nc| nc.len() == 8 && nc.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if qop.is_some() && (cnonce.is_none() || !counted) {
            return None;
        }
        Some(Self {
            username: find("username")?,
            realm: find("realm")?,
            nonce: find("nonce")?,
            uri: find("uri")?,
            response: find("response")?,
            algorithm: Algorithm::from_token(find("algorithm").as_deref().unwrap_or("MD5"))?,
            cnonce,
            nc,
            qop,
            opaque: find("opaque"),
        })
    }

    /// The nonce count as a number.
    pub fn count(&self) -> Option<u32> {
        self.nc
            .as_deref()
            .and_then(|nc| u32::from_str_radix(nc, 16).ok())
    }

    /// Whether the hash is that of `password` for this method and body.
    pub fn verify(&self, method: &Method, password: &str, body: &[u8]) -> bool {
        let hash = self.algorithm.hash;
        let cnonce = self.cnonce.as_deref().unwrap_or_default();
        let user_hash = self
            .algorithm
            .user_hash(&self.username, &self.realm, password);
        let ha1 = self.algorithm.ha1(user_hash, &self.nonce, cnonce);
        let (method, uri) = (method.as_str().as_bytes(), self.uri.as_bytes());
        let ha2 = match self.qop {
            Some(Qop::AuthInt) => hash.of(&[method, uri, hash.of(&[body]).as_bytes()]),
            Some(Qop::Auth) | None => hash.of(&[method, uri]),
        };
        let nonce = self.nonce.as_bytes();
        let expected = match self.qop {
            Some(qop) => {
                let nc = self.nc.as_deref().unwrap_or_default();
                let qop: &[u8] = if qop == Qop::Auth {
                    b"auth"
                } else {
                    b"auth-int"
                };
                hash.of(&[
                    ha1.as_bytes(),
                    nonce,
                    nc.as_bytes(),
                    cnonce.as_bytes(),
                    qop,
                    ha2.as_bytes(),
                ])
            }
            None => hash.of(&[ha1.as_bytes(), nonce, ha2.as_bytes()]),
        };
        self.response.eq_ignore_ascii_case(&expected)
    }
}
