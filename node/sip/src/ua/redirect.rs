//! The targets that 3xx answers name, each tried once.
//!
//! Owns the bound on redirection. Source: RFC 3261 §8.1.3.4, §21.3.4 (305), §21.3.5 (380).

use std::collections::VecDeque;

use smol_str::{SmolStr, ToSmolStr};

use super::HostPort;
use crate::dialog::next_hop;
use crate::wire::{Message, Name, NameAddr};

/// Where to try next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The new Request-URI; `None` after a 305, which keeps it.
    pub(crate) uri: Option<SmolStr>,
    /// The next hop, unless an outbound proxy stands in front.
    pub(crate) host: HostPort,
}

/// The redirections of one request.
#[derive(Debug, Default)]
pub(crate) struct Redirects {
    waiting: VecDeque<Target>,
    tried: Vec<SmolStr>,
}

impl Redirects {
    /// Takes the Contacts of a 3xx, highest `q` first; those seen before and those past the bound
    /// are left out.
    pub(crate) fn learn(&mut self, response: &Message) {
        let code = response.status().unwrap_or(0);
        let mut found: Vec<(u32, SmolStr, HostPort)> = response
            .values(Name::Contact)
            .filter_map(|contact| NameAddr::parse(contact).ok())
            .filter_map(|contact| {
                let host = next_hop(&contact.uri)?;
                Some((
                    thousandths(contact.params.get("q")),
                    contact.uri.to_smolstr(),
                    host,
                ))
            })
            .collect();
        found.sort_by_key(|(q, _, _)| std::cmp::Reverse(*q));
        for (_, uri, host) in found {
            if self.tried.len() >= MAX_TARGETS || self.tried.contains(&uri) {
                continue;
            }
            self.tried.push(uri.clone());
            let uri = (code != USE_PROXY).then_some(uri);
            self.waiting.push_back(Target { uri, host });
        }
    }

    /// The next target to try.
    pub(crate) fn next(&mut self) -> Option<Target> {
        self.waiting.pop_front()
    }

    /// Whether the bound was reached, for the reason of a failure.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.tried.len() >= MAX_TARGETS
    }
}

/// `0.5` is 500; absent or malformed is 1000 (RFC 3261 §20.10).
fn thousandths(q: Option<&str>) -> u32 {
    let parsed = q
        .and_then(|q| q.parse::<f32>().ok())
        .filter(|q| (0.0..=1.0).contains(q));
    parsed.map_or(1000, |q| (q * 1000.0).round() as u32)
}

const USE_PROXY: u16 = 305;
/// A request follows at most this many redirections, so that a loop of 302s ends.
pub(crate) const MAX_TARGETS: usize = 5;
