//! The check of a lab's configuration: every problem at once.

use super::{Action, Faults, LabConfig, Loss, RelayConfig};
use crate::error::LabError;

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

/// More threads than this help nobody.
const MAX_RELAY_THREADS: usize = 64;
/// Bounds what a delay can make the relay hold: 10 s.
const MAX_DELAY_MS: f64 = 10_000.0;
