//! Digest authentication: reading challenges, answering them, and checking answers.
//!
//! Owns: RFC 7616 hashes, nonce counts, the choice among challenges. Never: makes or ages a
//! server's nonces, or sends; the client nonce comes out of a given seed.
//! Source: RFC 7616; RFC 8760; RFC 3261 §22; RFC 2617 (and RFC 2069 where a challenge has no qop).

mod challenge;
mod client;
mod hash;
mod pairs;
mod response;

pub use challenge::{Challenge, QopOptions};
pub use client::{Credentials, DigestClient, DigestError};
pub use hash::{Algorithm, Hash};
pub use response::{DigestResponse, Qop};

#[cfg(test)]
mod tests;
