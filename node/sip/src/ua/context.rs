//! What every part of the agent shares: configuration, identifiers, the outbox, the transactions.
//!
//! Owns sending in and out of transactions. Decides nothing about calls or registrations.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smol_str::SmolStr;

use super::id::Ids;
use super::request::{BODY_TYPE, Letterhead};
use super::respond;
use super::{Destination, HostPort, Outbox, Transport, UaConfig};
use crate::dialog::next_hop;
use crate::digest::DigestClient;
use crate::session::ALLOW;
use crate::transaction::{Outgoing, Owner, Table, TransactionId};
use crate::wire::{Host, Message, Method, Name, ResponseWriter, Uri, reason_phrase};

/// The shared parts of one agent.
#[derive(Debug)]
pub(crate) struct Context {
    /// The time of the input that is being handled.
    pub(crate) now: Instant,
    pub(crate) config: UaConfig,
    pub(crate) ids: Ids,
    pub(crate) letterhead: Letterhead,
    pub(crate) out: Outbox,
    pub(crate) transactions: Table,
    /// The registrar's nonces, for reuse; made at the first challenge.
    pub(crate) registration_digest: Option<Box<DigestClient>>,
    /// The nonces of the way of calls.
    pub(crate) call_digest: Option<Box<DigestClient>>,
}

/// A request of the peer that awaits our answer.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) message: Message,
    pub(crate) source: SocketAddr,
    pub(crate) transaction: TransactionId,
}

impl Context {
    pub(crate) fn new(config: UaConfig, now: Instant) -> Self {
        Self {
            now,
            ids: Ids::new(config.seed),
            letterhead: Letterhead::new(&config),
            out: Outbox::default(),
            transactions: Table::default(),
            registration_digest: None,
            call_digest: None,
            config,
        }
    }

    /// Sends a request in a new client transaction.
    ///
    /// Errors: `None` when too many transactions are alive; a warning says so.
    pub(crate) fn request(
        &mut self,
        owner: Owner,
        method: Method,
        branch: SmolStr,
        to: HostPort,
        bytes: Bytes,
    ) -> Option<TransactionId> {
        let to = Destination {
            host: to,
            transport: self.config.transport,
        };
        let request = Outgoing {
            owner,
            method,
            branch,
            to,
            bytes,
        };
        let id = self
            .transactions
            .request(self.now, &self.config.timers, request, &mut self.out);
        if id.is_none() {
            self.out
                .warn("too many transactions are alive, a request was not sent".to_owned());
        }
        id
    }

    /// Gives an INVITE up; `false` if that is not possible yet or any more.
    pub(crate) fn cancel(&mut self, invite: TransactionId, owner: Owner) -> bool {
        self.transactions
            .cancel(self.now, &self.config.timers, invite, owner, &mut self.out)
    }

    /// Sends an answer without a dialog's header fields.
    pub(crate) fn refuse(&mut self, inbound: &Inbound, code: u16) {
        self.respond(inbound, code, "", "", |response| response);
    }

    /// Answers 200 with what this agent can do (RFC 3261 §11.2), which also suits INFO and UPDATE.
    pub(crate) fn accept(&mut self, inbound: &Inbound) {
        let contact = self.letterhead.contact().to_owned();
        self.respond(inbound, 200, "", "", |response| {
            response
                .header(Name::Contact, contact)
                .header(Name::Allow, ALLOW)
                .header(Name::Accept, BODY_TYPE)
                .header(Name::Supported, "100rel")
        });
    }

    /// Sends an answer with a body or further header fields; an empty `reason` takes the RFC's, an
    /// empty `tag` makes one.
    pub(crate) fn respond<'b>(
        &mut self,
        inbound: &Inbound,
        code: u16,
        reason: &str,
        tag: &str,
        lines: impl FnOnce(ResponseWriter<'b>) -> ResponseWriter<'b>,
    ) -> Bytes {
        let made;
        let tag = match tag {
            "" => {
                made = self.ids.tag();
                made.as_str()
            }
            tag => tag,
        };
        let bytes = lines(self.start_response(inbound, code, reason, tag)).finish();
        self.answer(inbound.transaction, code, bytes.clone());
        bytes
    }

    /// Starts an answer that the caller of this completes and sends by [`Context::answer`].
    pub(crate) fn start_response<'b>(
        &self,
        inbound: &Inbound,
        code: u16,
        reason: &str,
        tag: &str,
    ) -> ResponseWriter<'b> {
        let reason = if reason.is_empty() {
            reason_phrase(code)
        } else {
            reason
        };
        let response = ResponseWriter::to_source(&inbound.message, inbound.source, code, reason);
        let response = response.to_tag(tag);
        match self.config.user_agent.as_str() {
            "" => response,
            name => response.header(Name::Server, name),
        }
    }

    /// The 100 to an INVITE (RFC 3261 §8.2.6.1: without a To tag).
    pub(crate) fn trying(&self, invite: &Message, source: SocketAddr) -> Bytes {
        ResponseWriter::to_source(invite, source, 100, reason_phrase(100)).finish()
    }

    /// Sends the octets of an answer.
    pub(crate) fn answer(&mut self, transaction: TransactionId, code: u16, bytes: Bytes) {
        let timers = &self.config.timers;
        self.transactions
            .respond(self.now, timers, transaction, code, bytes, &mut self.out);
    }

    /// Answers a request without keeping anything of it, when no transaction can be opened.
    pub(crate) fn answer_stateless(
        &mut self,
        request: &Message,
        source: SocketAddr,
        transport: Transport,
        code: u16,
    ) {
        let response = ResponseWriter::to_source(request, source, code, reason_phrase(code))
            .to_tag(&self.ids.tag())
            .header(Name::RetryAfter, OVERLOAD_RETRY_AFTER_S);
        let to = respond::answer_destination(&request.top_via(), source, transport);
        self.out.transmit(&to, &response.finish(), false);
    }

    /// Where a request outside a dialog goes (RFC 3261 §8.1.2): the outbound proxy; without one the
    /// registrar for its own domain and for numbers, else where the URI leads.
    pub(crate) fn first_hop(&self, target: &Uri) -> Option<HostPort> {
        if let Some(proxy) = &self.config.outbound_proxy {
            return Some(proxy.clone());
        }
        let registrar = self
            .config
            .registrar
            .as_ref()
            .map(|registrar| registrar.address.clone());
        let at_home = match &target.host {
            Host::Name(name) => {
                target.port.is_none()
                    && (name.is_empty() || name.eq_ignore_ascii_case(&self.config.domain))
            }
            Host::V4(_) | Host::V6(_) => {
                target.port.is_none() && target.host.to_string() == self.config.domain.as_str()
            }
        };
        registrar.filter(|_| at_home).or_else(|| next_hop(target))
    }

    /// The From, To and Call-ID lines of a request outside a dialog.
    pub(crate) fn identity(&self, local_tag: &str, to: &str, call_id: &str) -> Box<[u8]> {
        let from = self.letterhead.sender();
        format!("From: {from};tag={local_tag}\r\nTo: <{to}>\r\nCall-ID: {call_id}\r\n")
            .into_bytes()
            .into_boxed_slice()
    }

    /// A random time between two bounds.
    pub(crate) fn random_between(&mut self, low: Duration, high: Duration) -> Duration {
        let span_us = u64::try_from((high - low).as_micros()).unwrap_or(u64::MAX);
        low + Duration::from_micros(self.ids.next_u64() % span_us.max(1))
    }
}

/// Retry-After of a 503, in seconds: one T1-to-Timer-F lifetime is over by then at the latest.
const OVERLOAD_RETRY_AFTER_S: &str = "5";
