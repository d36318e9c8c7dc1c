//! What a user agent is told once, at its birth: who it is, where it lives, whom it registers with.
//!
//! Owns the configuration values and the address types that outputs carry. Never resolves a name
//! and never opens a socket: a [`HostPort::Name`] leaves the crate as it is.
//! Source: RFC 3261 §8.1.1, §17.1.1.1 (timers), §18.1.1 (transport).

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use smol_str::SmolStr;

use crate::digest::Credentials;

/// The transport that carries a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams: requests and final INVITE answers are retransmitted.
    Udp,
    /// A stream: the transport repeats for us, so the transaction timers A, E and G stay off.
    Tcp,
}

impl Transport {
    /// The token of the Via header's sent-protocol (RFC 3261 §20.42).
    pub fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// The value of the `transport` URI parameter (RFC 3261 §19.1.1).
    pub fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    /// Whether the transport itself delivers or reports a failure (RFC 3261 §17.1.1.1).
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp => true,
        }
    }
}

/// Where a message goes: an address, or a name that the shell resolves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPort {
    /// A numeric address and port.
    Ip(SocketAddr),
    /// A host name and port, not resolved here.
    Name(SmolStr, u16),
}

impl fmt::Display for HostPort {
    /// Prints `192.0.2.1:5060`, `[2001:db8::1]:5060` or `example.org:5060`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// The next hop of one message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The host to send to.
    pub host: HostPort,
    /// The transport to send by.
    pub transport: Transport,
}

/// The registrar of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrarConfig {
    /// Where REGISTER is sent when there is no outbound proxy.
    pub address: HostPort,
    /// The lifetime asked for, in seconds.
    pub expires_s: u32,
}

/// The base values of the timers of RFC 3261 §17 (table 4); every other timer follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerConfig {
    /// Round-trip estimate.
    pub t1: Duration,
    /// Longest retransmission interval of non-INVITE requests and INVITE responses.
    pub t2: Duration,
    /// Longest time a message stays in the network.
    pub t4: Duration,
    /// How long an INVITE client waits for a final answer after a provisional one. This is not a
    /// timer of RFC 3261 (a UAC rings for ever); it bounds the call of a peer that never stops
    /// ringing. Like a proxy's Timer C, it is more than three minutes.
    pub ringing: Duration,
}

impl Default for TimerConfig {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            ringing: Duration::from_secs(185),
        }
    }
}

/// Everything one user agent needs to know; plain data, never changed after [`super::UserAgent::new`].
#[derive(Debug, Clone)]
pub struct UaConfig {
    /// User part of the address of record.
    pub user: SmolStr,
    /// Domain of the address of record, without a port.
    pub domain: SmolStr,
    /// Display name of From, unquoted.
    pub display: Option<SmolStr>,
    /// Via's sent-by and Contact's host and port.
    pub local: SocketAddr,
    /// The transport of every request.
    pub transport: Transport,
    /// Whom to register with; `None` makes [`super::Command::Register`] fail.
    pub registrar: Option<RegistrarConfig>,
    /// A pre-loaded loose Route for REGISTER and INVITE (RFC 3261 §8.1.2).
    pub outbound_proxy: Option<HostPort>,
    /// What answers a 401 or 407.
    pub credentials: Option<Credentials>,
    /// The timers' base values.
    pub timers: TimerConfig,
    /// User part of Contact; carries the shell's demultiplexing index.
    pub contact_user: SmolStr,
    /// Leads every Call-ID of this agent; carries the shell's demultiplexing index.
    pub call_id_prefix: SmolStr,
    /// Follows `z9hG4bK` in every branch of this agent.
    pub branch_prefix: SmolStr,
    /// Value of User-Agent and Server; empty leaves them out.
    pub user_agent: SmolStr,
    /// Seed of tags, branches and Call-IDs: two agents with one seed and one prefix collide.
    pub seed: u64,
}
