//! The signalling core: what the lab does with every SIP message.
//!
//! Owns the registrar, the call table, authentication, faults and held messages. Contract: one
//! `handle`, then `poll` until `None`, then wait until `next_deadline`. It is a stateless proxy
//! (RFC 3261 §16.11): no transaction is kept, so a repetition takes the same way as the original.

mod answer;
mod forward;
mod register;
mod request;
mod response;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use sip::wire::Message;

use crate::config::LabConfig;
use crate::stats::SipStats;

use super::auth::Authenticator;
use super::calls::{Calls, MediaCommand};
use super::registrar::{Limits, Registrar};
use super::relay::SessionId;
use super::route::{Flow, Own};

/// What happens to the lab.
#[derive(Debug)]
pub(crate) enum Input {
    /// A message came in.
    Message(Message, Flow),
    /// Octets came in that are no message, with the answer that they deserve.
    Rejected(Option<Bytes>, Flow),
    /// The deadline has passed.
    Timeout,
    /// A pair of relay ports is bound; the even one.
    PortReady(u16),
    /// A call's media is silent.
    MediaIdle(SessionId),
    /// The system would not take a message.
    SendFailed,
    /// A message could not be delivered, because its connection is gone.
    FlowLost,
}

/// What the lab wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Send these octets there.
    Send(Flow, Bytes),
    /// Tell the relay; before anything that is sent later.
    Media(MediaCommand),
}

/// Registrar and proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    config: LabConfig,
    own: Own,
    secret: u64,
    authenticator: Authenticator,
    registrar: Registrar,
    calls: Calls,
    held: BinaryHeap<Reverse<Held>>,
    order: u64,
    outputs: VecDeque<Output>,
    stats: SipStats,
}

/// A request that a fault holds back.
#[derive(Debug)]
struct Held {
    at: Instant,
    order: u64,
    message: Message,
    flow: Flow,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl Proxy {
    /// A lab that answers for `address`; `secret` makes its nonces and tags.
    pub(crate) fn new(now: Instant, config: LabConfig, address: SocketAddr, secret: u64) -> Self {
        let mut domains = config.domains.clone();
        domains.push(config.realm.clone());
        let limits = Limits {
            min_expires_s: config.min_expires_s,
            max_expires_s: config.max_expires_s,
        };
        Self {
            own: Own { address, domains },
            secret,
            authenticator: Authenticator::new(
                now,
                config.auth.clone(),
                config.accounts.clone(),
                config.realm.clone(),
                secret,
            ),
            registrar: Registrar::new(limits),
            calls: Calls::new(address.ip(), config.relay.is_some(), !config.allow_public),
            held: BinaryHeap::new(),
            order: 0,
            outputs: VecDeque::new(),
            stats: SipStats::default(),
            config,
        }
    }

    /// Takes one input.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Message(message, flow) => self.message(now, &message, flow),
            Input::Rejected(answer, flow) => {
                self.stats.malformed += 1;
                if let Some(answer) = answer {
                    self.stats.answered += 1;
                    self.outputs.push_back(Output::Send(flow, answer));
                }
            }
            Input::Timeout => {}
            Input::PortReady(port) => self.calls.port_ready(port),
            Input::MediaIdle(id) => self.calls.idle(id, &mut self.stats),
            Input::SendFailed => self.stats.send_errors += 1,
            Input::FlowLost => self.stats.dropped += 1,
        }
        self.calls.expire(now, &mut self.stats);
        self.registrar.expire(now);
        self.release_held(now);
        while let Some(command) = self.calls.command() {
            self.outputs.push_back(Output::Media(command));
        }
    }

    /// What is to be done next.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle` with [`Input::Timeout`] at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let held = self.held.peek().map(|Reverse(held)| held.at);
        [
            held,
            self.calls.next_deadline(),
            self.registrar.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// How many bound pairs of relay ports it would like to be given.
    pub(crate) fn ports_wanted(&self) -> usize {
        self.calls.ports_wanted()
    }

    /// What has been counted.
    pub(crate) fn stats(&self) -> SipStats {
        SipStats {
            registered_now: self.registrar.registered() as u64,
            expired: self.registrar.expired(),
            calls_now: self.calls.live() as u64,
            ..self.stats
        }
    }

    fn message(&mut self, now: Instant, message: &Message, flow: Flow) {
        if message.is_request() {
            self.stats.requests += 1;
            self.request(now, message, flow, false);
        } else {
            self.stats.responses += 1;
            self.response(now, message);
        }
    }

    /// Holds a request back until `at`.
    fn hold(&mut self, at: Instant, message: &Message, flow: Flow) {
        if self.held.len() >= MAX_HELD {
            self.stats.refused += 1;
            return;
        }
        self.stats.faults_slow += 1;
        self.order += 1;
        let held = Held {
            at,
            order: self.order,
            message: message.clone(),
            flow,
        };
        self.held.push(Reverse(held));
    }

    fn release_held(&mut self, now: Instant) {
        while self.held.peek().is_some_and(|Reverse(held)| held.at <= now) {
            let Some(Reverse(held)) = self.held.pop() else {
                return;
            };
            self.request(now, &held.message, held.flow, true);
        }
    }
}

/// Requests held back at once: 10 s of 2,000 requests a second.
const MAX_HELD: usize = 20_000;

#[cfg(test)]
mod agents;
#[cfg(test)]
mod tests;
