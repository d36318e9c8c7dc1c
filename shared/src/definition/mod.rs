//! A test as it was saved: the same fields in the TOML file, in the API's test object and in a
//! run's frozen copy. Everything here is valid by construction once `parse` has accepted it.

mod mistake;
mod parse;

pub use mistake::Mistake;
pub use parse::{
    ReadFile, SavedDefinition, field, nearest, parse, parse_saved, read_saved, saved_from_json,
};

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::units::Millis;

/// A saved configuration. It never runs by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// What people call it.
    pub name: String,
    /// From the first REGISTER to the start of the teardown, buildup included.
    pub duration: Millis,
    /// The period over which registrations (and the calls that follow them) are spread evenly.
    pub buildup: Millis,
    /// Where accounts register.
    pub registrars: Vec<Registrar>,
    /// At least one. Endpoint numbers follow this order.
    pub groups: Vec<Group>,
    /// What decides between exit code 0 and 99.
    pub thresholds: Vec<Threshold>,
    /// Destinations that may be sent to, besides loopback: `10.0.0.0/8`. Default deny (DESIGN 12).
    pub allow_targets: Vec<Network>,
    /// Endpoints whose SIP trace is kept although they did not fail (failures are always kept).
    pub trace_sample: u32,
    /// What becomes of the run where a node of it is lost.
    pub on_node_loss: OnNodeLoss,
    /// Each endpoint's second is published on the bus too, for subscribers.
    pub publish_endpoints: bool,
}

/// What becomes of a run that loses a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OnNodeLoss {
    /// It ends FAILED.
    #[default]
    Fail,
    /// It goes on without the node's share; the result says what is missing.
    Continue,
}

impl Test {
    /// All endpoints of all groups.
    #[must_use]
    pub fn endpoint_count(&self) -> u32 {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// The first endpoint number of the group at `index`.
    #[must_use]
    pub fn first_endpoint(&self, index: usize) -> u32 {
        self.groups
            .iter()
            .take(index)
            .map(|group| group.count)
            .sum()
    }
}

/// An IP network for the target allow-list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its address.
    pub address: IpAddr,
    /// Leading bits that count: ≤ 32 for IPv4, ≤ 128 for IPv6.
    pub prefix: u8,
}

impl Network {
    /// True where `candidate` lies in this network. IPv4-mapped IPv6 is compared as IPv4.
    #[must_use]
    pub fn contains(&self, candidate: IpAddr) -> bool {
        match (self.address.to_canonical(), candidate.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.prefix.min(32));
                (u64::from(u32::from(net)) >> shift) == (u64::from(u32::from(ip)) >> shift)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.prefix.min(128));
                shift == 128 || (u128::from(net) >> shift) == (u128::from(ip) >> shift)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// How SIP is carried. TLS, WSS and RFC 3263 selection come with a later issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Transport {
    /// RFC 3261 §18 over UDP.
    Udp,
    /// RFC 3261 §18 over TCP.
    Tcp,
}

/// A SIP registrar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registrar {
    /// The name groups refer to.
    pub name: String,
    /// The domain of the address of record and of the REGISTER's Request-URI.
    pub domain: String,
    /// The host to send to; the domain where it is not given.
    pub host: String,
    /// The port to send to; 5060 where it is not given.
    pub port: u16,
    /// How SIP travels to it.
    pub transport: Transport,
    /// `host:port` that every REGISTER and INVITE is sent through instead, as a loose route.
    pub outbound_proxy: Option<String>,
    /// The expiry asked for, in seconds.
    pub expires_s: u32,
}

/// A SIP account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The user part of the address of record.
    pub username: String,
    /// The user name in digests.
    pub auth_username: String,
    /// The secret. Never printed.
    pub password: String,
    /// Blank: taken from the challenge.
    pub realm: Option<String>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Whom a group's endpoints call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// An external SIP URI.
    Uri(String),
    /// Another group, by its position: endpoint *i* calls endpoint *i* of it.
    Group(u16),
    /// Calls are received.
    Receives,
    /// Registers and stays registered; no calls.
    Nobody,
}

/// A codec of this engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Codec {
    /// G.711 µ-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
    /// G.722 64 kbit/s, payload type 9.
    G722,
    /// Opus (RFC 7587), dynamic payload type.
    Opus,
}

impl Codec {
    /// The name in SDP and in test files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }
}

/// What an endpoint plays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Signalling only: SDP is exchanged, no packet is sent.
    None,
    /// A sine tone of this frequency.
    Tone {
        /// Hertz.
        hz: u32,
    },
    /// The built-in speech-like clip.
    Speech,
    /// A WAV file: 8 or 16 kHz or more, mono or stereo, 16-bit.
    Wav {
        /// Where it is, relative to the test file.
        path: String,
    },
}

/// How RTP sockets are made (DESIGN 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketMode {
    /// A connected socket per stream, as a real device.
    Own,
    /// One unconnected socket per media thread.
    Shared,
}

/// The playout buffer whose discards count as loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Playout {
    /// Constant delay.
    Fixed {
        /// Delay in milliseconds.
        delay_ms: u32,
    },
    /// Follows the jitter between two bounds.
    Adaptive {
        /// Least delay.
        min_ms: u32,
        /// Largest delay.
        max_ms: u32,
    },
}

/// Endpoints that share a registrar, media and a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Unique in the test.
    pub name: String,
    /// How many endpoints.
    pub count: u32,
    /// Position in [`Test::registrars`]; none: endpoints do not register.
    pub registrar: Option<u16>,
    /// One per endpoint where a registrar is named (exactly `count`), else may be empty.
    pub accounts: Vec<Account>,
    /// Whom they call.
    pub target: Target,
    /// In order of preference; at least one.
    pub codecs: Vec<Codec>,
    /// What they play.
    pub media: Media,
    /// Packetisation time: 10, 20, 30, 40 or 60 ms.
    pub ptime_ms: u32,
    /// How long a call lasts from its answer; none: until the test's duration is over.
    pub call_duration: Option<Millis>,
    /// How long a callee rings before it answers.
    pub ring_time: Millis,
    /// Where their SIP socket listens; none: a free port of the node's address.
    pub sip_bind: Option<std::net::SocketAddr>,
    /// A SIP socket each instead of one per shard.
    pub sip_socket_per_endpoint: bool,
    /// For groups without a registrar: how SIP travels.
    pub transport: Transport,
    /// How RTP sockets are made.
    pub sockets: SocketMode,
    /// Offer and accept RTP and RTCP on one port (RFC 5761).
    pub rtcp_mux: bool,
    /// Mean time between RTCP reports.
    pub rtcp_interval: Millis,
    /// Send RTCP XR VoIP metrics (RFC 3611).
    pub rtcp_xr: bool,
    /// The playout buffer model.
    pub playout: Playout,
    /// Packet-loss concealment assumed at the receiver for G.711 (Bpl 25.1 instead of 4.3).
    pub plc: bool,
    /// DSCP of RTP packets, 0–63.
    pub dscp_rtp: u8,
    /// DSCP of SIP packets, 0–63.
    pub dscp_sip: u8,
    /// Only nodes of this region; none: of any.
    pub region: Option<String>,
    /// Only these nodes; empty: any.
    pub nodes: Vec<NodeId>,
}

/// `metric.aggregate op value`: `mos.p5 >= 3.8`, `call_success >= 99.5%`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// As it was written.
    pub text: String,
    /// Catalogue key or run ratio.
    pub metric: String,
    /// `p1`, `p5`, `p50`, `p95`, `p99`, `avg`, `worst`, `min`, `max`; none for a ratio.
    pub aggregate: Option<String>,
    /// Only this group; none: the whole run.
    pub group: Option<String>,
    /// How it compares.
    pub op: Comparison,
    /// In the metric's unit; percent for ratios.
    pub value: f64,
}

/// How a threshold compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
}
