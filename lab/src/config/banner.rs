//! A lab's configuration for people.

use std::fmt;

use super::{Accounts, Action, Impairment, LabConfig, Loss};

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
