//! What a lab has counted: a snapshot for callers and tests.
//!
//! Plain data. Counting happens in the cores; a snapshot is exact for everything that a lab
//! thread had handled when the question reached it.

/// A snapshot of a running lab, or the final count of one that was shut down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabStats {
    /// Signalling.
    pub sip: SipStats,
    /// Media, per call in order of their beginning. The newest [`MAX_ENDED_CALLS`] of the calls
    /// that ended stay listed; `media_total` holds all of them.
    pub calls: Vec<CallMedia>,
    /// Sum over every call there ever was, both directions.
    pub media_total: Direction,
    /// Datagrams on relay ports that could not be handed on because the system refused.
    pub relay_send_errors: u64,
    /// Lines that the packet log could not take in time.
    pub log_lines_lost: u64,
}

/// Signalling counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SipStats {
    /// Users with at least one live contact.
    pub registered_now: u64,
    /// REGISTERs that made or refreshed a contact.
    pub registrations: u64,
    /// REGISTERs that removed the last contact of a user.
    pub unregistrations: u64,
    /// Contacts that ran out without being removed.
    pub expired: u64,
    /// 401 and 407 sent, stale nonces included.
    pub challenges: u64,
    /// Requests with wrong credentials.
    pub wrong_credentials: u64,
    /// Calls offered to a callee (INVITE sent on; retransmissions not counted).
    pub calls: u64,
    /// Calls answered with 2xx.
    pub calls_answered: u64,
    /// Calls ended by BYE.
    pub calls_ended: u64,
    /// Calls that ended without 2xx.
    pub calls_failed: u64,
    /// Calls in progress, ringing ones included.
    pub calls_now: u64,
    /// Requests received, retransmissions included.
    pub requests: u64,
    /// Responses received.
    pub responses: u64,
    /// Messages sent on to a peer.
    pub forwarded: u64,
    /// Responses made by the lab itself.
    pub answered: u64,
    /// Requests answered by a fault.
    pub faults_answered: u64,
    /// Requests swallowed by a fault.
    pub faults_silent: u64,
    /// Requests held back by a fault.
    pub faults_slow: u64,
    /// Datagrams or stream octets that were no SIP message.
    pub malformed: u64,
    /// Messages dropped: a response without our Via, an ACK to our own answer, a dead flow.
    pub dropped: u64,
    /// Calls, bindings, held messages or targets refused because a bound was reached or the
    /// target lies outside of loopback.
    pub refused: u64,
    /// Messages that the system would not take.
    pub send_errors: u64,
}

/// One call's media.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallMedia {
    /// Call-ID of the call.
    pub call_id: String,
    /// The relay has closed it.
    pub ended: bool,
    /// From the caller to the callee.
    pub to_callee: Direction,
    /// From the callee to the caller.
    pub to_caller: Direction,
}

/// Counts of one direction. For RTP: `received = relayed + dropped + refused + queued`, with
/// duplicates counted apart and `queued` what is still held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Direction {
    /// RTP packets that arrived from the right source.
    pub received: u64,
    /// RTP packets sent on, duplicates not counted.
    pub relayed: u64,
    /// RTP packets lost on purpose.
    pub dropped: u64,
    /// RTP packets sent a second time.
    pub duplicated: u64,
    /// RTP packets that changed places with their successor.
    pub reordered: u64,
    /// RTP packets that were held back by delay, jitter or reordering.
    pub delayed: u64,
    /// RTP or RTCP packets for which the queue had no room, or with no known target.
    pub refused: u64,
    /// Packets from an address other than the SDP's (with `strict_source`).
    pub strangers: u64,
    /// RTCP packets that arrived.
    pub rtcp_received: u64,
    /// RTCP packets sent on.
    pub rtcp_relayed: u64,
    /// RTCP packets lost on purpose.
    pub rtcp_dropped: u64,
    /// Datagrams that are neither RTP nor RTCP.
    pub invalid: u64,
}

impl Direction {
    /// Loss made by the relay, in percent of the RTP packets that arrived; `None` without any.
    pub fn loss_pct(&self) -> Option<f64> {
        (self.received > 0).then(|| self.dropped as f64 * 100.0 / self.received as f64)
    }

    /// Adds another direction's counts.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.relayed += other.relayed;
        self.dropped += other.dropped;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.delayed += other.delayed;
        self.refused += other.refused;
        self.strangers += other.strangers;
        self.rtcp_received += other.rtcp_received;
        self.rtcp_relayed += other.rtcp_relayed;
        self.rtcp_dropped += other.rtcp_dropped;
        self.invalid += other.invalid;
    }
}

/// How many ended calls a relay thread keeps for [`LabStats::calls`]; older ones live on in the
/// total only.
pub const MAX_ENDED_CALLS: usize = 20_000;
