//! What an endpoint is told at its birth, and what it says and hears afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::codec::{CodecId, EncodedClip};
use media::stream::{Playout, StreamConfig, StreamSummary};
use shared::id::{EndpointIndex, GroupIndex, NodeId, RunId};
use shared::metric::MetricId;
use shared::phase::Phase;
use shared::wire::{EndpointReport, Trace};
use sip::ua::{Destination, Transport, UaConfig};

use crate::core::trace::TraceBounds;

/// What all endpoints of one group on one node share.
#[derive(Debug)]
pub struct Profile {
    /// The run.
    pub run: RunId,
    /// The node.
    pub node: NodeId,
    /// The group.
    pub group: GroupIndex,
    /// Codecs, in order of preference.
    pub codecs: Vec<CodecId>,
    /// Encoded once for each codec and ptime; none: signalling only.
    pub clips: Option<Vec<(CodecId, Arc<EncodedClip>)>>,
    /// Packetisation time asked for.
    pub ptime_ms: u32,
    /// From the answer to the BYE; none: until the deadline.
    pub call_duration: Option<Duration>,
    /// How long a callee rings.
    pub ring_time: Duration,
    /// Offer and accept one port for RTP and RTCP.
    pub rtcp_mux: bool,
    /// Mean time between reports.
    pub rtcp_interval: Duration,
    /// Send XR.
    pub rtcp_xr: bool,
    /// Playout buffer model.
    pub playout: Playout,
    /// Packet-loss concealment assumed.
    pub plc: bool,
    /// `registrar 127.0.0.1:5070 over UDP`, for sentences; blank where the group does not register.
    pub registrar: String,
    /// The address others call: `127.0.0.1:5070` after the `@`; blank: by Contact.
    pub aor_domain: String,
    /// When teardown begins, after the run's begin.
    pub duration: Duration,
    /// Longest time a call may ring before it is cancelled.
    pub ring_limit: Duration,
    /// Behind the `@` of every CNAME: ends that share it share a clock.
    pub clock_domain: String,
    /// Decode what arrives for level, silence and clipping: small runs only.
    pub sampled_audio: bool,
    /// Bounds of the trace.
    pub trace: TraceBounds,
}

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Calls once.
    Caller,
    /// Receives the one call of its partner, then is done.
    Partner,
    /// Receives any number of calls, one at a time, until the duration is over.
    Receiver,
    /// Registers and stays.
    Idle,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct EndpointSpec {
    /// Its number in the run.
    pub index: EndpointIndex,
    /// Its place in the group.
    pub place: u32,
    /// What it does.
    pub role: Role,
    /// Its user agent.
    pub ua: UaConfig,
    /// Seed of SSRC, sequence numbers and the like.
    pub seed: u64,
}

/// Local ports of one call's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPorts {
    /// RTP.
    pub rtp: SocketAddr,
    /// RTCP; equal to `rtp` only where it is multiplexed.
    pub rtcp: SocketAddr,
}

/// Everything the media engine needs to start a stream on reserved ports.
#[derive(Debug)]
pub struct MediaStart {
    /// The call's number inside this endpoint.
    pub call: u32,
    /// Where to send RTP.
    pub remote_rtp: SocketAddr,
    /// Where to send RTCP.
    pub remote_rtcp: SocketAddr,
    /// The peer's SSRC, where SDP said it.
    pub remote_ssrc: Option<u32>,
    /// The stream.
    pub stream: StreamConfig,
}

/// What an endpoint hears.
#[derive(Debug)]
pub enum Input {
    /// Its time has come: register, or be ready. `due` is when it should have been.
    Begin {
        /// The intended time.
        due: Instant,
    },
    /// Call somebody. `due` is when it should have been.
    Dial {
        /// A SIP URI.
        target: String,
        /// The intended time.
        due: Instant,
    },
    /// The callee it was to call failed.
    NoCallee {
        /// Why.
        reason: String,
    },
    /// The caller that would have called it is over without a call.
    NoCaller,
    /// A SIP message for it.
    Sip {
        /// The message.
        message: sip::wire::Message,
        /// Its source.
        from: SocketAddr,
        /// Its transport.
        transport: Transport,
    },
    /// Sending to an address failed.
    TransportError {
        /// The address.
        to: SocketAddr,
        /// What the system said.
        error: String,
    },
    /// A destination was refused by the allow-list or could not be resolved.
    DestinationRefused {
        /// The destination.
        to: Destination,
        /// Why.
        error: String,
    },
    /// The answer to [`Output::Reserve`].
    Reserved {
        /// The call.
        call: u32,
        /// The ports, or a sentence.
        ports: Result<LocalPorts, String>,
    },
    /// The stream could not be started: nothing will flow.
    MediaRefused {
        /// The call.
        call: u32,
        /// A sentence.
        what: String,
    },
    /// A running stream has trouble.
    MediaTrouble {
        /// The call.
        call: u32,
        /// Packets to this address do not arrive, where that is the trouble.
        address: Option<SocketAddr>,
        /// A sentence.
        what: String,
    },
    /// The engine ended a stream.
    MediaEnded {
        /// The call.
        call: u32,
        /// Whole-call figures.
        summary: Box<StreamSummary>,
    },
    /// [`super::EndpointCore::next_deadline`] has come.
    Timeout,
    /// The run is being stopped: end what is live, un-register.
    Stop,
    /// The lease is gone: end the call and send nothing else.
    Fence,
}

/// What an endpoint wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a SIP message.
    Transmit {
        /// The next hop.
        to: Destination,
        /// The message.
        bytes: Bytes,
    },
    /// Reserve media ports; answer by [`Input::Reserved`] at once.
    Reserve {
        /// The call.
        call: u32,
    },
    /// Start the stream on the reserved ports.
    StartMedia(Box<MediaStart>),
    /// Change the direction or the far end of a stream.
    RedirectMedia {
        /// The call.
        call: u32,
        /// Where to send RTP.
        remote_rtp: SocketAddr,
        /// Where to send RTCP.
        remote_rtcp: SocketAddr,
        /// Send.
        send: bool,
        /// Receive.
        receive: bool,
    },
    /// End the stream, or release ports that never carried one.
    StopMedia {
        /// The call.
        call: u32,
    },
    /// It can be called now.
    Ready {
        /// At this URI.
        uri: String,
    },
    /// A foreign Call-ID leads to this endpoint from now on (or no longer).
    ClaimCallId {
        /// The Call-ID.
        call_id: String,
        /// True: claim; false: release.
        claimed: bool,
    },
    /// A value for the meter.
    Sample(MetricId, f32),
    /// The phase moved forward.
    Phase(Phase),
    /// It is over. Nothing follows.
    Ended {
        /// How.
        report: Box<EndpointReport>,
        /// Its SIP messages.
        trace: Option<Box<Trace>>,
    },
}
