//! What a lab is asked to be: addresses, accounts, authentication, relay, impairments, faults.
//!
//! Owns the plain data that a caller fills in and its check. Never opens a socket.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::error::LabError;

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

impl LabConfig {
    /// Checks the whole configuration.
    ///
    /// Errors: [`LabError::Config`] with every problem found, not only the first.
    pub fn check(&self) -> Result<(), LabError> {
        let mut problems = Vec::new();
        if !self.allow_public && !self.bind.ip().is_loopback() {
            problems.push(format!(
                "bind: {} is not a loopback address; the lab is open to anyone who reaches it, \
                 so this needs allow_public",
                self.bind.ip()
            ));
        }
        if self.bind.ip().is_unspecified() {
            problems.push(
                "bind: name one address, not the unspecified one; \
                 it goes into Via and Record-Route"
                    .to_owned(),
            );
        }
        if self.realm.is_empty() || self.realm.contains(['"', '\\', '\r', '\n']) {
            problems.push("realm: must be non-empty, without quotes or line ends".to_owned());
        }
        if self.min_expires_s > self.max_expires_s {
            problems.push(format!(
                "min_expires_s: {} is above max_expires_s {}",
                self.min_expires_s, self.max_expires_s
            ));
        }
        if (self.auth.register || self.auth.invite) && self.auth.algorithms.is_empty() {
            problems.push("auth.algorithms: at least one is needed to challenge".to_owned());
        }
        self.faults.check(&mut problems);
        if let Some(relay) = &self.relay {
            relay.check(&mut problems);
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(LabError::Config { problems })
        }
    }
}

impl Faults {
    fn check(&self, problems: &mut Vec<String>) {
        for (method, list) in [
            ("invite", &self.invite),
            ("register", &self.register),
            ("bye", &self.bye),
        ] {
            for fault in list {
                percent(problems, &format!("faults.{method}"), fault.percent);
                if let Action::Answer { code, .. } = fault.action
                    && !(300..=699).contains(&code)
                {
                    problems.push(format!(
                        "faults.{method}: code {code} is not within 300..699"
                    ));
                }
            }
            let sum: f64 = list.iter().map(|fault| fault.percent).sum();
            if sum > 100.0 + 1e-9 {
                problems.push(format!("faults.{method}: the percentages add up to {sum}"));
            }
        }
    }
}

impl RelayConfig {
    fn check(&self, problems: &mut Vec<String>) {
        let room = u32::from(*self.ports.end()).saturating_sub(u32::from(*self.ports.start()));
        if *self.ports.start() < 1024 || room < 3 {
            problems.push(format!(
                "relay.ports: {}..={} must start at 1024 or above and hold at least four ports",
                self.ports.start(),
                self.ports.end()
            ));
        }
        if !(1..=MAX_RELAY_THREADS).contains(&self.threads) {
            problems.push(format!(
                "relay.threads: {} is not within 1..=64",
                self.threads
            ));
        }
        if self.idle_s == 0 {
            problems.push("relay.idle_s: must be at least 1".to_owned());
        }
        let impair = &self.impair;
        for (key, ms) in [
            ("delay_ms", impair.delay_ms),
            ("jitter_ms", impair.jitter_ms),
        ] {
            if !(0.0..=MAX_DELAY_MS).contains(&ms) {
                problems.push(format!("relay.impair.{key}: {ms} is not within 0..=10000"));
            }
        }
        percent(problems, "relay.impair.duplicate_pct", impair.duplicate_pct);
        percent(problems, "relay.impair.reorder_pct", impair.reorder_pct);
        match impair.loss {
            Loss::None => {}
            Loss::Random { percent: value } => percent(problems, "relay.impair.loss", value),
            Loss::Gilbert { p, q } => {
                percent(problems, "relay.impair.loss.p", p);
                percent(problems, "relay.impair.loss.q", q);
            }
        }
    }
}

fn percent(problems: &mut Vec<String>, key: &str, value: f64) {
    if !(0.0..=100.0).contains(&value) {
        problems.push(format!("{key}: {value} is not a percentage within 0..=100"));
    }
}

/// A few lines for people: where the lab listens, whom it admits, what it breaks.
impl fmt::Display for LabConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transports = if self.tcp { "UDP and TCP" } else { "UDP" };
        writeln!(
            out,
            "SIP lab on {} ({transports}), realm \"{}\"",
            self.bind, self.realm
        )?;
        match &self.accounts {
            Accounts::Any => writeln!(out, "accounts: any NAME with the password pw-NAME")?,
            Accounts::Listed(map) => writeln!(out, "accounts: {} listed", map.len())?,
        }
        match &self.relay {
            None => writeln!(out, "media: not relayed")?,
            Some(relay) => writeln!(
                out,
                "media: relayed through ports {}..={}, {}",
                relay.ports.start(),
                relay.ports.end(),
                relay.impair
            )?,
        }
        for (method, list) in [
            ("INVITE", &self.faults.invite),
            ("REGISTER", &self.faults.register),
            ("BYE", &self.faults.bye),
        ] {
            for fault in list {
                writeln!(out, "{method}: {} % {}", fault.percent, fault.action)?;
            }
        }
        write!(out, "seed {}", self.seed)
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return write!(out, "unimpaired");
        }
        match self.loss {
            Loss::None => write!(out, "no loss")?,
            Loss::Random { percent } => write!(out, "{percent} % random loss")?,
            Loss::Gilbert { p, q } => write!(out, "bursty loss (p {p} %, q {q} %)")?,
        }
        write!(
            out,
            ", delay {} ms, jitter 0..{} ms, {} % duplicated, {} % reordered",
            self.delay_ms, self.jitter_ms, self.duplicate_pct, self.reorder_pct
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer {
                code,
                retry_after_s: None,
            } => write!(out, "answered {code}"),
            Self::Answer {
                code,
                retry_after_s: Some(seconds),
            } => {
                write!(out, "answered {code}, Retry-After {seconds} s")
            }
            Self::Silence => write!(out, "never answered"),
            Self::Slow { ms } => write!(out, "served {ms} ms late"),
        }
    }
}

/// More threads than this help nobody.
const MAX_RELAY_THREADS: usize = 64;
/// Bounds what a delay can make the relay hold: 10 s.
const MAX_DELAY_MS: f64 = 10_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_their_own_check() {
        assert_eq!(LabConfig::default().check(), Ok(()));
        let config = LabConfig {
            relay: Some(RelayConfig::default()),
            ..LabConfig::default()
        };
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn a_public_bind_needs_permission() {
        let bind: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let config = LabConfig {
            bind,
            ..LabConfig::default()
        };
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .contains("allow_public")
        );
        let config = LabConfig {
            allow_public: true,
            ..config
        };
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let fault = Fault {
            action: Action::Answer {
                code: 200,
                retry_after_s: None,
            },
            percent: 60.0,
        };
        let mut config = LabConfig {
            realm: String::new(),
            min_expires_s: 9,
            max_expires_s: 8,
            faults: Faults {
                invite: vec![fault, fault],
                ..Faults::default()
            },
            ..LabConfig::default()
        };
        config.relay = Some(RelayConfig {
            impair: Impairment {
                loss: Loss::Random { percent: 101.0 },
                ..Impairment::default()
            },
            ..RelayConfig::default()
        });
        let Err(LabError::Config { problems }) = config.check() else {
            panic!("must be refused")
        };
        assert_eq!(problems.len(), 6, "{problems:?}");
    }

    #[test]
    fn the_banner_says_what_is_broken() {
        let config = LabConfig {
            faults: Faults {
                invite: vec![Fault {
                    action: Action::Answer {
                        code: 503,
                        retry_after_s: Some(2),
                    },
                    percent: 5.0,
                }],
                ..Faults::default()
            },
            relay: Some(RelayConfig {
                impair: Impairment {
                    loss: Loss::Random { percent: 2.0 },
                    ..Default::default()
                },
                ..Default::default()
            }),
            ..LabConfig::default()
        };
        let text = config.to_string();
        assert!(
            text.contains("INVITE: 5 % answered 503, Retry-After 2 s"),
            "{text}"
        );
        assert!(text.contains("2 % random loss"), "{text}");
        assert!(text.contains("password pw-NAME"), "{text}");
    }
}
