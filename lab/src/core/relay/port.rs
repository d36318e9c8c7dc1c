//! The words of the relay: calls, ends, sockets, targets, and what becomes of a packet.

use std::net::SocketAddr;
use std::time::Instant;

/// A call's number at the relay; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionId(pub(crate) u64);

/// The two ends of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// Who sent the INVITE.
    Caller,
    /// Who was called.
    Callee,
}

impl Side {
    /// The other end.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }

    /// 0 for the caller, 1 for the callee.
    pub(super) fn index(self) -> usize {
        match self {
            Self::Caller => 0,
            Self::Callee => 1,
        }
    }
}

/// One socket of a session: the one that `side` sends to and hears from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Port {
    /// The call.
    pub(crate) session: SessionId,
    /// The media line, from 0.
    pub(crate) line: u8,
    /// Whose socket.
    pub(crate) side: Side,
    /// The odd one of the pair.
    pub(crate) rtcp: bool,
}

/// Where one end of a media line wants its packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// Address for RTP.
    pub(crate) rtp: Option<SocketAddr>,
    /// Address for RTCP, where it has its own.
    pub(crate) rtcp: Option<SocketAddr>,
    /// The end offered or accepted RTCP on the RTP port.
    pub(crate) mux: bool,
}

/// What the relay says about a packet that just arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Send it now, from `from` to `to`.
    Forward {
        /// The socket it leaves through.
        from: Port,
        /// Where it goes.
        to: SocketAddr,
        /// Send it twice.
        twice: bool,
    },
    /// It is held; [`Relay::due`] gives it back.
    Held,
    /// It is lost on purpose.
    Lost,
    /// It came from elsewhere than the SDP said.
    Stranger,
    /// No target, or no room.
    Refused,
    /// Neither RTP nor RTCP.
    Invalid,
    /// No such session any more.
    Unknown,
}

/// A held packet whose time has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The socket it leaves through.
    pub(crate) from: Port,
    /// Where it goes.
    pub(crate) to: SocketAddr,
    /// When it arrived.
    pub(crate) received: Instant,
    /// It is a copy.
    pub(crate) duplicate: bool,
    /// Its octets.
    pub(crate) data: Box<[u8]>,
}
