//! What a stream must know before its first packet.
//!
//! Owns: nothing but data. Never: sockets, addresses or threads (those are the engine's).

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::codec::{CodecId, EncodedClip};

/// Everything that offer/answer and the test file fixed for one stream at one end of a call.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Our SSRC.
    pub ssrc: u32,
    /// `endpoint@clockdomain`. Where the far end's CNAME has the same part behind the `@`, both
    /// share one clock and the one-way delay can be measured. At most 255 octets go on the wire.
    pub cname: String,
    /// The payload type that we send.
    pub payload_type: u8,
    /// Payload types of the agreed codec that may arrive.
    pub accept_payload_types: SmallVec<[u8; 4]>,
    /// Payload type of RFC 4733 telephone events, counted but not timed.
    pub telephone_event: Option<u8>,
    /// The agreed codec.
    pub codec: CodecId,
    /// Milliseconds of audio in a packet.
    pub ptime_ms: u32,
    /// The receiver conceals losses: picks the codec's Bpl.
    pub plc: bool,
    /// What is sent, in a loop. None: nothing is sent.
    pub clip: Option<Arc<EncodedClip>>,
    /// We send.
    pub send: bool,
    /// We expect to receive.
    pub receive: bool,
    /// Sequence number of the first packet.
    pub first_sequence: u16,
    /// Timestamp of the first packet.
    pub first_timestamp: u32,
    /// The calculated interval Td of RFC 3550 §6.3.1; zero: no RTCP is sent.
    pub rtcp_interval: Duration,
    /// Send RTCP XR (RFC 3611): VoIP metrics and reference times.
    pub rtcp_xr: bool,
    /// The playout buffer that the measurement assumes.
    pub playout: Playout,
    /// Decode what arrives for level, silence and clipping: costs CPU, so for samples only.
    pub sampled: bool,
    /// Addresses are IPv6: the bit rates count a header of 40 instead of 20 octets.
    pub ipv6: bool,
    /// Seed of the RTCP interval's randomness.
    pub seed: u64,
}

/// The playout (de-jitter) buffer that is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Playout {
    /// A constant delay above the quickest packets.
    Fixed {
        /// That delay.
        delay_ms: u32,
    },
    /// A delay that follows the jitter.
    Adaptive {
        /// It never plays sooner.
        min_ms: u32,
        /// It never waits longer.
        max_ms: u32,
    },
}
