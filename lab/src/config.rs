//! What a lab is asked to be: addresses, accounts, authentication, relay, impairments, faults.
//!
//! Owns the plain data that a caller fills in and its check. Never opens a socket.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

mod banner;
mod check;

/// Everything a lab needs to start. `LabConfig::default()` is a registrar and proxy on a free
/// loopback UDP port, with authentication, without relay and without faults.
#[derive(Debug, Clone, PartialEq)]
pub struct LabConfig {
    /// Where SIP is received; port 0 takes any free port. Loopback unless `allow_public`.
    pub bind: SocketAddr,
    /// Also listens on TCP, on the same port.
    pub tcp: bool,
    /// Digest realm; also a domain name the lab answers for.
    pub realm: String,
    /// Further host names the lab answers for.
    pub domains: Vec<String>,
    /// Who may register and call.
    pub accounts: Accounts,
    /// What is challenged, and how.
    pub auth: Auth,
    /// The media relay; `None` leaves SDP alone.
    pub relay: Option<RelayConfig>,
    /// Failures made on purpose.
    pub faults: Faults,
    /// Seed of every random decision: the same seed and Call-IDs give the same fates.
    pub seed: u64,
    /// Shortest registration granted, in seconds; a shorter wish is answered 423.
    pub min_expires_s: u32,
    /// Longest registration granted, in seconds; a longer wish is shortened.
    pub max_expires_s: u32,
    /// Granted where a REGISTER names no time, in seconds.
    pub default_expires_s: u32,
    /// Permits a bind address, and SIP and media targets, outside of loopback.
    pub allow_public: bool,
}

/// Which users exist and what their passwords are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    /// Any user NAME exists, with the password `pw-NAME`.
    Any,
    /// Exactly these: user name to password.
    Listed(HashMap<String, String>),
}

impl Accounts {
    /// The password of `user`, or `None` where no such user exists.
    pub fn password(&self, user: &str) -> Option<String> {
        match self {
            Self::Any => Some(format!("pw-{user}")),
            Self::Listed(map) => map.get(user).cloned(),
        }
    }
}

/// Digest authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// REGISTER is challenged with 401.
    pub register: bool,
    /// INVITE, MESSAGE, SUBSCRIBE outside of a dialog are challenged with 407.
    pub invite: bool,
    /// One challenge each, in this order (the peer takes the first that it knows, RFC 7616 §3.7).
    pub algorithms: Vec<DigestAlgorithm>,
    /// A nonce older than this is answered as stale, in seconds.
    pub nonce_lifetime_s: u32,
}

/// Digest algorithms that the lab offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// MD5, RFC 7616 §6.1.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256.
    Sha512_256,
}

impl DigestAlgorithm {
    /// The token on the wire.
    pub fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }
}

/// The RTP/RTCP relay. Every call's media lines get one pair of ports towards each side.
#[derive(Debug, Clone, PartialEq)]
pub struct RelayConfig {
    /// Even ports carry RTP, the odd port above carries RTCP. A call with one media line takes
    /// four ports.
    pub ports: RangeInclusive<u16>,
    /// What happens to RTP.
    pub impair: Impairment,
    /// RTCP suffers `impair` too; otherwise it is delayed by `delay_ms` and nothing else.
    pub rtcp_impaired: bool,
    /// Relays only what comes from the address that the SDP named; others are counted.
    pub strict_source: bool,
    /// Relay threads; calls are spread over them.
    pub threads: usize,
    /// A call in which no packet came for so long is closed, in seconds.
    pub idle_s: u32,
    /// Writes every packet's fate to this file (CSV).
    pub log: Option<PathBuf>,
}

/// The network that the relay plays, the same in both directions. All zero: packets pass at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// Which packets are lost.
    pub loss: Loss,
    /// Constant delay, in milliseconds.
    pub delay_ms: f64,
    /// Random further delay, uniform over 0..=jitter_ms, in milliseconds.
    pub jitter_ms: f64,
    /// Share of packets sent twice, in percent.
    pub duplicate_pct: f64,
    /// Share of packets that change places with their successor, in percent.
    pub reorder_pct: f64,
    /// Jitter does not change the order: a packet leaves no earlier than the one before it.
    pub preserve_order: bool,
}

/// A loss model; every direction of every call has its own, seeded from lab seed and Call-ID.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Nothing is lost.
    None,
    /// Independent loss.
    Random {
        /// Percent of the packets.
        percent: f64,
    },
    /// Bursty loss (Gilbert): the mean loss is p / (p + q), the mean burst 100 / q packets.
    Gilbert {
        /// Chance that the packet after one that passed is lost, in percent.
        p: f64,
        /// Chance that the packet after a lost one passes, in percent.
        q: f64,
    },
}

/// Failures made on purpose, per method. Each list's percentages add up to at most 100; the rest
/// is treated well. One request and its retransmissions always meet the same fate; a new attempt
/// (another CSeq) draws anew. Faults strike after authentication, and never inside of a dialog.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// For INVITE outside of a dialog.
    pub invite: Vec<Fault>,
    /// For REGISTER.
    pub register: Vec<Fault>,
    /// For BYE.
    pub bye: Vec<Fault>,
}

/// One fault and how often it strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// What happens.
    pub action: Action,
    /// How often, in percent of the requests.
    pub percent: f64,
}

/// What a fault does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The lab itself answers.
    Answer {
        /// Status code, 300..=699.
        code: u16,
        /// Seconds in a Retry-After header.
        retry_after_s: Option<u32>,
    },
    /// The request and what belongs to it is swallowed.
    Silence,
    /// The request is served, but so many milliseconds late.
    Slow {
        /// Milliseconds.
        ms: u32,
    },
}

impl Default for LabConfig {
    fn default() -> Self {
        Self {
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            tcp: false,
            realm: "lab.carillon".to_owned(),
            domains: Vec::new(),
            accounts: Accounts::Any,
            auth: Auth::default(),
            relay: None,
            faults: Faults::default(),
            seed: 1,
            min_expires_s: 10,
            max_expires_s: 7200,
            default_expires_s: 3600,
            allow_public: false,
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            register: true,
            invite: true,
            algorithms: vec![DigestAlgorithm::Md5],
            nonce_lifetime_s: 300,
        }
    }
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            ports: 40_000..=48_999,
            impair: Impairment::default(),
            rtcp_impaired: false,
            strict_source: false,
            threads: 1,
            idle_s: 60,
            log: None,
        }
    }
}

impl Default for Impairment {
    fn default() -> Self {
        Self {
            loss: Loss::None,
            delay_ms: 0.0,
            jitter_ms: 0.0,
            duplicate_pct: 0.0,
            reorder_pct: 0.0,
            preserve_order: true,
        }
    }
}

#[cfg(test)]
mod tests;
