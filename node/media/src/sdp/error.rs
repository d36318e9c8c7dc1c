//! Why two descriptions lead to no call, as a type and as a sentence.

use thiserror::Error;

/// What stands in the way of an agreement. The answerer refuses the offer with 488.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NegotiationError {
    /// There is no body.
    #[error("the peer sent no session description")]
    Missing,
    /// More octets or lines than are ever needed.
    #[error(
        "the peer's session description is too large: {octets} octets, {MAX_OCTETS} are the most"
    )]
    TooLarge {
        /// Its size.
        octets: usize,
    },
    /// Not SDP, even after repair.
    #[error("the peer's session description cannot be read: {reason}")]
    Unreadable {
        /// The line and what is wrong with it.
        reason: String,
    },
    /// No `m=audio` line.
    #[error("the peer's session description has no audio: {found}")]
    NoAudio {
        /// What it has instead.
        found: String,
    },
    /// Every audio line has port 0.
    #[error("the peer refused the audio stream (port 0)")]
    Refused,
    /// A transport profile that is not spoken here.
    #[error("the peer wants the profile {profile}; only RTP/AVP (unencrypted) is supported")]
    Profile {
        /// As written, cut at 40 characters.
        profile: String,
    },
    /// No codec in common.
    #[error("no codec in common: the peer has {theirs}; we have {ours}")]
    NoCommonCodec {
        /// The peer's, as `name/clock`.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// No usable connection address.
    #[error("the peer's media address is not usable: {reason}")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
}

/// Far above any audio description, far below what could hurt.
pub(super) const MAX_OCTETS: usize = 32_768;
