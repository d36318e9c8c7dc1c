//! Messages from the network: which part of the agent takes them.
//!
//! Owns the order of the checks on a request: retransmission, CANCEL, method and extensions, dialog,
//! new call. Source: RFC 3261 §8.1.3, §8.2, §9.2, §11.2, §12.2.2, §13.3.1.

use std::net::SocketAddr;

use smol_str::{SmolStr, ToSmolStr};

use super::context::Inbound;
use super::{CallRef, Event, Transport, UserAgent, respond};
use crate::dialog::Dialog;
use crate::session::Call;
use crate::transaction::{Owner, Received, ServerKey, TransactionId};
use crate::wire::check::{self, Capabilities};
use crate::wire::{Message, Method, Name, NameAddr, Uri};

impl UserAgent {
    pub(super) fn on_response(&mut self, response: &Message) {
        let context = &mut self.context;
        let (code, (_, method)) = (response.status().unwrap_or(0), response.cseq());
        if !check::response_is_for_endpoint(response) {
            context
                .out
                .unexpected(format!("{code} to {method} with a second Via"));
            return;
        }
        let timers = &context.config.timers;
        let received =
            context
                .transactions
                .receive_response(context.now, timers, response, &mut context.out);
        match received {
            Received::ForOwner(owner, id) => self.deliver(owner, id, response),
            Received::Repeated => {
                context.out.event(Event::RetransmissionReceived {
                    method: method.clone(),
                });
            }
            // A 18x that was overtaken by its 200, or another branch's refusal.
            Received::Stray => {}
            Received::Unmatched => {
                context
                    .out
                    .unexpected(format!("{code} to {method} that belongs to nothing"));
            }
        }
    }

    fn deliver(&mut self, owner: Owner, id: TransactionId, response: &Message) {
        match owner {
            Owner::Registration => {
                if let Some(registration) = &mut self.registration {
                    registration.on_response(&mut self.context, id, response);
                }
            }
            Owner::Options => self.on_options_response(id, response),
            Owner::Call(call, purpose) => {
                if let Some(call) = self.calls.iter_mut().find(|known| known.id() == call) {
                    call.on_response(&mut self.context, purpose, id, response);
                }
            }
        }
    }

    pub(super) fn on_request(
        &mut self,
        request: Message,
        source: SocketAddr,
        transport: Transport,
    ) {
        let Some(method) = request.method().cloned() else {
            return;
        };
        let via = request.top_via();
        let key = ServerKey::of(&request, &via);
        let context = &mut self.context;
        let timers = &context.config.timers;
        let received = context.transactions.receive_request(
            context.now,
            timers,
            &key,
            method == Method::Ack,
            &mut context.out,
        );
        match received {
            Received::Repeated => {
                context.out.event(Event::RetransmissionReceived { method });
                return;
            }
            Received::Stray => return,
            Received::ForOwner(..) | Received::Unmatched => {}
        }
        if method == Method::Ack {
            self.on_ack(&request);
            return;
        }
        let to = respond::answer_destination(&via, source, transport);
        let trying = (method == Method::Invite).then(|| self.context.trying(&request, source));
        let Some(transaction) = self
            .context
            .transactions
            .serve(self.context.now, key, to, trying)
        else {
            self.context
                .answer_stateless(&request, source, transport, 503);
            self.context
                .out
                .warn("too many transactions are alive, a request got 503".to_owned());
            return;
        };
        let inbound = Inbound {
            message: request,
            source,
            transaction,
        };
        match method {
            Method::Cancel => self.on_cancel(&inbound),
            _ => self.on_new_request(inbound, &method),
        }
    }

    fn on_ack(&mut self, ack: &Message) {
        match self.calls.iter_mut().find(|call| call.owns_request(ack)) {
            Some(call) => call.on_ack(&mut self.context, ack),
            // The ACK of a repeated 2xx whose call is over, or a stranger's; nothing answers ACK.
            None => self
                .context
                .out
                .unexpected("ACK that belongs to no call".to_owned()),
        }
    }

    /// RFC 3261 §9.2.
    fn on_cancel(&mut self, inbound: &Inbound) {
        let key = ServerKey::of_cancelled(&inbound.message, &inbound.message.top_via());
        match self.context.transactions.find_server(&key) {
            None => self.context.refuse(inbound, 481),
            Some(invite) => {
                self.context.refuse(inbound, 200);
                // After the final answer a CANCEL has no effect.
                let context = &mut self.context;
                let _ = self
                    .calls
                    .iter_mut()
                    .any(|call| call.on_cancel(context, invite));
            }
        }
    }

    fn on_new_request(&mut self, inbound: Inbound, method: &Method) {
        if let Err(refusal) = check_request(&inbound.message, method) {
            self.context.respond(
                &inbound,
                refusal.code,
                refusal.reason,
                "",
                |mut response| {
                    for (name, value) in &refusal.headers {
                        response = response.header(*name, value);
                    }
                    response
                },
            );
            return;
        }
        if inbound.message.to_tag().is_some() {
            match self
                .calls
                .iter_mut()
                .find(|call| call.owns_request(&inbound.message))
            {
                Some(call) => call.on_request(&mut self.context, inbound),
                None => self.context.refuse(&inbound, 481),
            }
            return;
        }
        match method {
            Method::Invite => self.on_invite(inbound),
            Method::Options | Method::Info => self.context.accept(&inbound),
            // BYE, PRACK and UPDATE live in dialogs only.
            _ => self.context.refuse(&inbound, 481),
        }
    }

    fn on_invite(&mut self, inbound: Inbound) {
        let invite = &inbound.message;
        if self.calls.iter().any(|call| call.is_merged_with(invite)) {
            self.context.refuse(&inbound, 482);
            return;
        }
        if self.live_calls() >= MAX_CALLS {
            self.context.refuse(&inbound, 486);
            self.context
                .out
                .warn("too many calls at once, one more got 486".to_owned());
            return;
        }
        let tag = self.context.ids.tag();
        let dialog = match Dialog::of_request(invite, tag) {
            Ok(dialog) => dialog,
            Err(error) => {
                self.context.refuse(&inbound, 400);
                self.context.out.warn(format!("an INVITE got 400: {error}"));
                return;
            }
        };
        let call = self.next_incoming();
        let request_user = Uri::parse(invite.request_uri())
            .ok()
            .and_then(|uri| uri.user);
        let event = Event::Incoming {
            call,
            from: from_uri(invite),
            call_id: SmolStr::new(invite.call_id()),
            request_user: request_user.unwrap_or_default(),
            offer: (!invite.body().is_empty()).then(|| invite.body_bytes()),
        };
        self.calls
            .push(Call::receive(&mut self.context, call, inbound, dialog));
        self.context.out.event(event);
    }

    fn next_incoming(&mut self) -> CallRef {
        self.incoming = self.incoming.wrapping_add(1) | CallRef::FIRST_INCOMING;
        CallRef(self.incoming)
    }
}

/// The From URI; the whole value if it cannot be read.
fn from_uri(invite: &Message) -> SmolStr {
    let from = invite.header(Name::From).unwrap_or_default();
    match NameAddr::parse(from) {
        Ok(address) => address.uri.to_smolstr(),
        Err(_) => SmolStr::from(String::from_utf8_lossy(from)),
    }
}

/// Checks what this agent supports; the body of an INFO is of no interest to it.
fn check_request(request: &Message, method: &Method) -> Result<(), check::Refusal> {
    let content_types: &[&str] = match method {
        Method::Info => return Ok(()),
        _ => &[super::BODY_TYPE],
    };
    let capabilities = Capabilities {
        methods: METHODS,
        schemes: &["sip", "sips", "tel"],
        option_tags: &["100rel"],
        content_types,
    };
    check::check_request(request, &capabilities)
}

const METHODS: &[Method] = &[
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Options,
    Method::Prack,
    Method::Update,
    Method::Info,
];
/// An endpoint is one person with one phone; more calls at once are a flood.
pub(super) const MAX_CALLS: usize = 16;
