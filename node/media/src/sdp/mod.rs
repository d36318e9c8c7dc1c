//! Session descriptions: what we offer, what we answer, what both sides then agreed on.
//!
//! Owns: the offer/answer model for one audio stream, and how a peer's description is read.
//! Never: decides when to offer, opens a port, sees a SIP header.
//! Source: RFC 3264 (offer/answer), RFC 8866 (SDP), RFC 3551 (static payload types), RFC 4733
//! (telephone-event), RFC 7587 (Opus), RFC 3605 (rtcp), RFC 5761 (rtcp-mux), RFC 5576 (ssrc),
//! RFC 3611 (rtcp-xr).

mod error;
mod fix;
mod negotiate;
mod peer;
mod write;

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use crate::codec::CodecId;

pub use error::NegotiationError;
pub use negotiate::{accept, answer};
pub use write::offer;

/// Which way media flows, seen from the side that wrote the description (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways; the default where nothing is written.
    #[default]
    SendRecv,
    /// The writer sends.
    SendOnly,
    /// The writer receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The attribute's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// True where the writer sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// True where the writer receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// From what the writer does.
    #[must_use]
    pub fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }
}

/// Our side of one audio stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where RTP and RTCP are received.
    pub address: IpAddr,
    /// The RTP port.
    pub rtp_port: u16,
    /// The RTCP port where RTCP does not share the RTP port.
    pub rtcp_port: u16,
    /// Offer and accept RTP and RTCP on one port (RFC 5761).
    pub rtcp_mux: bool,
    /// The SSRC that we send with.
    pub ssrc: u32,
    /// Our canonical name (RFC 3550 §6.5.1).
    pub cname: String,
    /// In order of preference; at least one.
    pub codecs: Vec<CodecId>,
    /// Milliseconds of audio in a packet that we would like to receive and send.
    pub ptime_ms: u32,
    /// What we would like to do.
    pub direction: Direction,
    /// Offer and accept RFC 4733 events.
    pub telephone_event: bool,
    /// Announce RTCP XR VoIP metrics (RFC 3611 §5.1).
    pub rtcp_xr: bool,
    /// `o=` session identifier: constant in a dialog.
    pub session_id: u64,
    /// `o=` version: grows by one with every new description (RFC 3264 §8).
    pub session_version: u64,
}

/// What both sides agreed on: all that a stream needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// What we send.
    pub codec: CodecId,
    /// Its payload type in packets that we send: the peer's number.
    pub send_payload_type: u8,
    /// Payload types that we understand in packets to us: our numbers, the codec's first.
    pub receive_payload_types: SmallVec<[u8; 4]>,
    /// The payload type of RFC 4733 events that the peer wants, at the codec's clock.
    pub telephone_event: Option<u8>,
    /// Where RTP goes.
    pub remote_rtp: SocketAddr,
    /// Where RTCP goes; the same as `remote_rtp` with `rtcp_mux`.
    pub remote_rtcp: SocketAddr,
    /// Whether both agreed to put RTP and RTCP on one port.
    pub rtcp_mux: bool,
    /// Milliseconds of audio in each packet that we send.
    pub ptime_ms: u32,
    /// Whether we send.
    pub send: bool,
    /// Whether we receive.
    pub receive: bool,
    /// The SSRC that the peer announced (RFC 5576).
    pub remote_ssrc: Option<u32>,
    /// The peer put us on hold: it does not want to receive (RFC 3264 §8.4).
    pub remote_hold: bool,
    /// The peer announced RTCP XR VoIP metrics.
    pub rtcp_xr: bool,
    /// Findings about the peer's description, a sentence each.
    pub warnings: Vec<String>,
}
