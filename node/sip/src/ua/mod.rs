//! The crate's face: one SIP user agent as a sans-IO core.
//!
//! Owns the order of things: one input, then every output, then the next input. Routes inputs to the
//! registration, the calls and the transactions, which decide. Never opens a socket, reads a clock,
//! resolves a name or looks into a body.
//!
//! Deviates from RFC 3261 §18.1.1: a request of more than 1300 octets does not change from UDP to
//! TCP, because a load test says which transport it tests. For the same reason the `transport`
//! parameter of a URI is not followed. RFC 4028 is not supported: `timer` is never advertised, so a
//! peer that wants its refresh does it itself, and its UPDATE or re-INVITE is answered.

mod auth;
mod config;
mod context;
mod event;
mod id;
mod options;
mod outbox;
mod receive;
mod redirect;
mod request;
mod respond;
mod retry;

use std::time::{Duration, Instant};

use bytes::Bytes;

pub use config::{Destination, HostPort, RegistrarConfig, TimerConfig, Transport, UaConfig};
pub use event::{CallRef, Command, Event, FailureKind, Input, Output};
pub use respond::answer_destination;

pub(crate) use auth::{Authorization, Usage, authorization_lines};
pub(crate) use context::{Context, Inbound};
pub(crate) use outbox::Outbox;
pub(crate) use redirect::Target;
pub(crate) use request::{BODY_TYPE, RequestText, address_of_record};
pub(crate) use retry::{Next, Retry};

use crate::registration::Registration;
use crate::session::Call;
use crate::transaction::{Expiry, Owner, TransactionId};
use crate::wire::Uri;

/// One SIP user agent: a registration and calls.
///
/// Shape: `handle` one input, `poll` until `None`, then wait until `next_deadline` or the next
/// input. Bounds: no allocation but for messages, calls and transactions; at most 16 calls and 256
/// transactions of each kind at once. Never panics, whatever the peer sends.
#[derive(Debug)]
pub struct UserAgent {
    context: Context,
    registration: Option<Box<Registration>>,
    calls: Vec<Call>,
    options: Vec<options::Probe>,
    /// The number of the last call that was received.
    incoming: u32,
}

impl UserAgent {
    /// Makes an agent that does nothing until its first input.
    pub fn new(config: UaConfig, now: Instant) -> Self {
        Self {
            context: Context::new(config, now),
            registration: None,
            calls: Vec::new(),
            options: Vec::new(),
            incoming: CallRef::FIRST_INCOMING.wrapping_sub(1),
        }
    }

    /// Takes one input; drain [`UserAgent::poll`] before the next.
    ///
    /// `now` must not go backwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.context.now = now;
        match input {
            Input::Message {
                message,
                from,
                transport,
            } => {
                if message.is_request() {
                    self.on_request(message, from, transport);
                } else {
                    self.on_response(&message);
                }
            }
            Input::Timeout => self.on_timeout(),
            Input::TransportError { to, error } => {
                for (owner, id) in self.context.transactions.on_transport_error(to) {
                    self.on_transport_error(owner, id, &error);
                }
            }
            Input::DestinationRefused { to, error } => {
                for (owner, id) in self.context.transactions.on_refused(&to) {
                    self.on_transport_error(owner, id, &error);
                }
            }
            Input::Command(command) => self.on_command(command),
        }
        self.calls.retain(|call| !call.is_finished());
    }

    /// Gives the next output, in order, or `None` when there is nothing more to do now.
    pub fn poll(&mut self) -> Option<Output> {
        self.context.out.pop()
    }

    /// When [`Input::Timeout`] is due; `None` if nothing waits for time.
    pub fn next_deadline(&self) -> Option<Instant> {
        let calls = self.calls.iter().filter_map(Call::next_deadline);
        let registration = self.registration.iter().filter_map(|it| it.next_deadline());
        calls
            .chain(registration)
            .chain(self.context.transactions.next_deadline())
            .min()
    }

    /// Whether no transaction, dialog or registration is alive.
    pub fn is_idle(&self) -> bool {
        self.context.transactions.is_empty()
            && self.calls.is_empty()
            && self
                .registration
                .as_ref()
                .is_none_or(|registration| registration.is_idle())
    }

    /// Whether nothing is alive but transactions that only absorb repetitions: dropping the agent
    /// now costs no peer its answer unless a packet was lost.
    pub fn is_quiet(&self) -> bool {
        self.context.transactions.is_quiet()
            && self.calls.iter().all(Call::is_over)
            && self
                .registration
                .as_ref()
                .is_none_or(|registration| registration.is_idle())
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Register => {
                let context = &mut self.context;
                let expires_s = context
                    .config
                    .registrar
                    .as_ref()
                    .map_or(0, |it| it.expires_s);
                self.registration
                    .get_or_insert_with(|| Box::new(Registration::new(context, expires_s)))
                    .register(context);
            }
            Command::Unregister => match &mut self.registration {
                Some(registration) => registration.unregister(&mut self.context),
                None => self
                    .context
                    .out
                    .event(Event::UnregisterFailed { code: None }),
            },
            Command::Options { target } => self.ask_options(&target),
            Command::Invite {
                call,
                target,
                offer,
            } => self.dial(call, &target, offer),
            Command::Cancel { call }
            | Command::Bye { call }
            | Command::Ring { call }
            | Command::Answer { call, .. }
            | Command::Reject { call, .. }
            | Command::Reinvite { call, .. }
            | Command::AnswerOffer { call, .. }
            | Command::RejectOffer { call, .. } => {
                match self.calls.iter_mut().find(|known| known.id() == call) {
                    Some(known) => known.on_command(&mut self.context, command),
                    None => {
                        let text = format!("{} for call {}, which is over", command.name(), call.0);
                        self.context.out.warn(text);
                    }
                }
            }
        }
    }

    fn dial(&mut self, call: CallRef, target: &Uri, offer: Option<Bytes>) {
        if call.is_incoming() || self.calls.iter().any(|known| known.id() == call) {
            let text = format!("call {} was not made: its number is taken", call.0);
            self.context.out.warn(text);
        } else if self.live_calls() >= receive::MAX_CALLS {
            self.context.out.event(Event::CallFailed {
                call,
                code: None,
                reason: "too many calls of one endpoint at once".to_owned(),
                kind: FailureKind::Protocol,
                delay: Duration::ZERO,
            });
        } else {
            self.calls
                .push(Call::dial(&mut self.context, call, target, offer));
        }
    }

    /// The calls that are not over; one that is over only waits to repeat its ACK.
    fn live_calls(&self) -> usize {
        self.calls.iter().filter(|call| !call.is_over()).count()
    }

    fn on_timeout(&mut self) {
        let context = &mut self.context;
        let timers = &context.config.timers;
        let expired = context
            .transactions
            .on_timeout(context.now, timers, &mut context.out);
        for (owner, id, expiry) in expired {
            self.on_expiry(owner, id, expiry);
        }
        if let Some(registration) = &mut self.registration {
            registration.on_timeout(&mut self.context);
        }
        for call in &mut self.calls {
            call.on_timeout(&mut self.context);
        }
    }

    fn on_expiry(&mut self, owner: Owner, id: TransactionId, expiry: Expiry) {
        match owner {
            Owner::Registration => {
                if let Some(registration) = &mut self.registration {
                    registration.on_expiry(&mut self.context, id, expiry);
                }
            }
            Owner::Options => self.on_options_lost(id),
            Owner::Call(call, purpose) => {
                if let Some(call) = self.calls.iter_mut().find(|known| known.id() == call) {
                    call.on_expiry(&mut self.context, purpose, id, expiry);
                }
            }
        }
    }

    fn on_transport_error(&mut self, owner: Owner, id: TransactionId, error: &str) {
        match owner {
            Owner::Registration => {
                if let Some(registration) = &mut self.registration {
                    registration.on_transport_error(&mut self.context, id, error);
                }
            }
            Owner::Options => self.on_options_lost(id),
            Owner::Call(call, purpose) => {
                if let Some(call) = self.calls.iter_mut().find(|known| known.id() == call) {
                    call.on_transport_error(&mut self.context, purpose, id, error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
