//! A call that we make, until its INVITE has a 2xx or fails.
//!
//! Owns the repetitions of INVITE (challenge, redirection, 503), provisional answers, CANCEL.
//!
//! | input               | action                                                  |
//! |---------------------|---------------------------------------------------------|
//! | 1xx                 | Progress; PRACK if reliable; CANCEL if given up          |
//! | 2xx                 | ACK, Answered; if given up ACK, BYE, CallFailed          |
//! | 401, 407, 3xx, 503  | INVITE again, within the bounds of `ua::retry`           |
//! | other final         | CallFailed                                              |
//! | Timer B, error      | next redirection target, or CallFailed                  |
//! | Timer C             | CANCEL, then CallFailed                                 |
//!
//! Source: RFC 3261 §9.1, §13.2; RFC 3262 §4.

use std::time::{Duration, Instant};

use bytes::Bytes;
use smol_str::{SmolStr, ToSmolStr};

use super::early::EarlyDialogs;
use super::{Acks, Stage};
use crate::dialog::Dialog;
use crate::session::acks::Acknowledged;
use crate::session::answered::Answered;
use crate::session::offer::LateOffer;
use crate::transaction::{Expiry, Owner, Purpose, TransactionId};
use crate::ua::{
    CallRef, Context, Event, FailureKind, HostPort, Inbound, Next, RequestText, Retry, Target,
    Usage, authorization_lines,
};
use crate::wire::{Message, Method, Uri};

/// An INVITE without a 2xx.
#[derive(Debug)]
pub(crate) struct Outgoing {
    call: CallRef,
    started: Instant,
    /// From, To and Call-ID lines.
    identity: Box<[u8]>,
    call_id: SmolStr,
    local_tag: SmolStr,
    request_uri: SmolStr,
    host: HostPort,
    offer: Option<Bytes>,
    cseq: u32,
    authorization: Vec<u8>,
    transaction: TransactionId,
    retry: Retry,
    /// When the INVITE leaves again after a 503.
    retry_at: Option<Instant>,
    responded: bool,
    early: EarlyDialogs,
    giving_up: Option<GivingUp>,
}

/// Why a call is given up before its answer.
#[derive(Debug)]
struct GivingUp {
    kind: FailureKind,
    reason: &'static str,
    cancel_sent: bool,
}

impl Outgoing {
    /// Sends the first INVITE.
    pub(crate) fn dial(
        context: &mut Context,
        call: CallRef,
        target: &Uri,
        offer: Option<Bytes>,
    ) -> Stage {
        let Some(host) = context.first_hop(target) else {
            context.out.event(Event::CallFailed {
                call,
                code: None,
                reason: format!("{target} names no host and there is no proxy to ask"),
                kind: FailureKind::Protocol,
                delay: Duration::ZERO,
            });
            return Stage::Over;
        };
        let local_tag = context.ids.tag();
        let call_id = context.ids.call_id(&context.config.call_id_prefix);
        let request_uri = target.to_smolstr();
        let identity = context.identity(&local_tag, &request_uri, &call_id);
        let mut outgoing = Self {
            call,
            started: context.now,
            identity,
            call_id,
            local_tag,
            request_uri,
            host,
            offer,
            cseq: 0,
            authorization: Vec::new(),
            transaction: TransactionId::NONE,
            retry: Retry::default(),
            retry_at: None,
            responded: false,
            early: EarlyDialogs::default(),
            giving_up: None,
        };
        if outgoing.send(context) {
            context.out.event(Event::CallSent { call });
            return Stage::Outgoing(Box::new(outgoing));
        }
        outgoing.fail(
            context,
            None,
            "too many transactions are alive".to_owned(),
            FailureKind::Transport,
        )
    }

    fn send(&mut self, context: &mut Context) -> bool {
        self.cseq += 1;
        self.early = EarlyDialogs::default();
        let body = self.offer.as_deref();
        let (uri, method) = (self.request_uri.clone(), Method::Invite);
        self.authorization = authorization_lines(
            context,
            Usage::Call,
            &method,
            &uri,
            body.unwrap_or_default(),
        );
        let branch = context.ids.branch(&context.config.branch_prefix);
        let extensions = match body {
            Some(_) => INVITE_LINES,
            // Without an offer a reliable 1xx could carry one, which only a PRACK could answer.
            None => INVITE_LINES_WITHOUT_OFFER,
        };
        let bytes = RequestText::new(&context.letterhead, &method, &uri, &branch)
            .raw(context.letterhead.route())
            .raw(&self.identity)
            .cseq(self.cseq, &method)
            .contact()
            .raw(&self.authorization)
            .raw(extensions.as_bytes())
            .finish(body);
        let owner = Owner::Call(self.call, Purpose::Invite);
        match context.request(owner, method, branch, self.host.clone(), bytes) {
            Some(id) => {
                self.transaction = id;
                true
            }
            None => false,
        }
    }

    /// Takes an answer to the INVITE.
    pub(crate) fn on_response(
        mut self: Box<Self>,
        context: &mut Context,
        acks: &mut Acks,
        response: &Message,
    ) -> Stage {
        let code = response.status().unwrap_or(0);
        if !self.responded && !matches!(code, 401 | 407) {
            self.responded = true;
            let delay = self.delay(context);
            context.out.event(Event::FirstResponse {
                call: self.call,
                delay,
            });
        }
        match code {
            100..=199 => self.on_provisional(context, code, response),
            200..=299 => return self.on_success(context, acks, code, response),
            _ => return self.on_failure(context, code, response),
        }
        Stage::Outgoing(self)
    }

    fn on_provisional(&mut self, context: &mut Context, code: u16, response: &Message) {
        if self.giving_up.is_some() {
            self.send_cancel(context);
            return;
        }
        if code == 100
            || !self
                .early
                .acknowledge(context, self.call, &self.request_uri, response)
        {
            return;
        }
        let body = body_of(response);
        let delay = self.delay(context);
        context.out.event(Event::Progress {
            call: self.call,
            code,
            body,
            delay,
        });
    }

    fn on_success(
        mut self: Box<Self>,
        context: &mut Context,
        acks: &mut Acks,
        code: u16,
        response: &Message,
    ) -> Stage {
        let mut dialog = match Dialog::of_response(response, &self.request_uri) {
            Ok(dialog) => dialog,
            Err(error) => {
                let reason = format!("{code} with a {error}, so no ACK can be sent");
                return self.fail(context, Some(code), reason, FailureKind::Protocol);
            }
        };
        self.early.continue_cseq(&mut dialog);
        let answer = Acknowledged {
            invite: self.transaction,
            cseq: self.cseq,
            authorization: &self.authorization,
        };
        if let Some(giving_up) = self.giving_up.take() {
            acks.send(context, &dialog, answer, None);
            let reason = format!("{}; answered meanwhile and ended by BYE", giving_up.reason);
            self.fail(context, Some(code), reason, giving_up.kind);
            return Answered::discard(context, self.call, dialog);
        }
        let (call, delay, body) = (self.call, self.delay(context), body_of(response));
        let answered = Event::Answered {
            call,
            code,
            body,
            delay,
        };
        if self.offer.is_none() {
            // RFC 3261 §13.2.2.4: the offer is in the 2xx, so the ACK waits for our answer to it.
            context.out.event(answered);
            let Self {
                transaction: invite,
                cseq,
                authorization,
                ..
            } = *self;
            let late = LateOffer {
                invite,
                cseq,
                authorization,
            };
            return Answered::calling_late(call, dialog, late);
        }
        acks.send(context, &dialog, answer, None);
        context.out.event(answered);
        Answered::calling(call, dialog)
    }

    fn on_failure(
        mut self: Box<Self>,
        context: &mut Context,
        code: u16,
        response: &Message,
    ) -> Stage {
        if let Some(giving_up) = &self.giving_up {
            let (kind, reason) = (giving_up.kind, giving_up.reason.to_owned());
            return self.fail(context, Some(code), reason, kind);
        }
        match self.retry.judge(context, Usage::Call, response) {
            Next::Again => self.send_or_fail(context),
            Next::Elsewhere(target) => self.redirect(context, target),
            Next::Later(wait) => {
                self.retry_at = Some(context.now + wait);
                Stage::Outgoing(self)
            }
            Next::Never(reason) => self.fail(context, Some(code), reason, FailureKind::Refused),
        }
    }

    fn redirect(mut self: Box<Self>, context: &mut Context, target: Target) -> Stage {
        let through_proxy = context.config.outbound_proxy.is_some() && target.uri.is_some();
        if !through_proxy {
            self.host = target.host;
        }
        if let Some(uri) = target.uri {
            self.request_uri = uri;
        }
        self.send_or_fail(context)
    }

    fn send_or_fail(mut self: Box<Self>, context: &mut Context) -> Stage {
        if self.send(context) {
            return Stage::Outgoing(self);
        }
        let reason = "too many transactions are alive".to_owned();
        self.fail(context, None, reason, FailureKind::Transport)
    }

    /// Gives the call up; the CANCEL waits for a provisional answer (RFC 3261 §9.1).
    pub(crate) fn give_up(
        mut self: Box<Self>,
        context: &mut Context,
        kind: FailureKind,
        reason: &'static str,
    ) -> Stage {
        if self.retry_at.is_some() {
            return self.fail(context, None, reason.to_owned(), kind);
        }
        if self.giving_up.is_none() {
            self.giving_up = Some(GivingUp {
                kind,
                reason,
                cancel_sent: false,
            });
            self.send_cancel(context);
        }
        Stage::Outgoing(self)
    }

    fn send_cancel(&mut self, context: &mut Context) {
        let Some(giving_up) = self.giving_up.as_mut().filter(|it| !it.cancel_sent) else {
            return;
        };
        let owner = Owner::Call(self.call, Purpose::Cancel);
        giving_up.cancel_sent = context.cancel(self.transaction, owner);
    }

    /// Takes the expiry of the INVITE's transaction.
    pub(crate) fn on_expiry(mut self: Box<Self>, context: &mut Context, expiry: Expiry) -> Stage {
        match expiry {
            Expiry::Nothing => Stage::Outgoing(self),
            Expiry::RangTooLong => self.give_up(
                context,
                FailureKind::Timeout,
                "no final answer while ringing",
            ),
            Expiry::NoAnswer => match (&self.giving_up, self.retry.after_silence()) {
                (Some(giving_up), _) => {
                    let (kind, reason) = (giving_up.kind, giving_up.reason);
                    self.fail(
                        context,
                        None,
                        format!("{reason}; the peer did not confirm it"),
                        kind,
                    )
                }
                (None, Some(target)) => self.redirect(context, target),
                (None, None) => {
                    let reason = format!("no answer from {}", self.host);
                    self.fail(context, None, reason, FailureKind::Timeout)
                }
            },
        }
    }

    /// Takes a failure to send the INVITE.
    pub(crate) fn on_transport_error(
        mut self: Box<Self>,
        context: &mut Context,
        error: &str,
    ) -> Stage {
        if let (None, Some(target)) = (&self.giving_up, self.retry.after_silence()) {
            return self.redirect(context, target);
        }
        let reason = format!("{} cannot be reached: {error}", self.host);
        self.fail(context, None, reason, FailureKind::Transport)
    }

    /// Sends the INVITE again when the wait of a 503 is over.
    pub(crate) fn on_timeout(mut self: Box<Self>, context: &mut Context) -> Stage {
        if self.retry_at.is_none_or(|at| context.now < at) {
            return Stage::Outgoing(self);
        }
        self.retry_at = None;
        self.send_or_fail(context)
    }

    /// Takes a request of an early dialog.
    pub(crate) fn on_request(self: Box<Self>, context: &mut Context, inbound: &Inbound) -> Stage {
        match inbound.message.cseq().1 {
            Method::Bye => {
                // RFC 3261 §15: a callee may not send BYE on an early dialog, but one that does
                // will not answer any more.
                context.refuse(inbound, 200);
                let reason = "the peer ended the call before it answered";
                return self.give_up(context, FailureKind::Protocol, reason);
            }
            // RFC 3311 §5.2: our offer in the INVITE is not answered yet.
            Method::Update if !inbound.message.body().is_empty() => context.refuse(inbound, 491),
            Method::Invite => context.refuse(inbound, 491),
            Method::Prack => context.refuse(inbound, 481),
            // `ua::receive` lets no other method through but these.
            _ => context.accept(inbound),
        }
        Stage::Outgoing(self)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(crate) fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// The PRACKs of this call take their answers here.
    pub(crate) fn early(&mut self) -> &mut EarlyDialogs {
        &mut self.early
    }

    /// Whether a request of the peer belongs to one of the early dialogs.
    pub(crate) fn owns_request(&self, request: &Message) -> bool {
        self.call_id == request.call_id() && request.to_tag() == Some(self.local_tag.as_str())
    }

    fn delay(&self, context: &Context) -> Duration {
        context.now.saturating_duration_since(self.started)
    }

    fn fail(
        &self,
        context: &mut Context,
        code: Option<u16>,
        reason: String,
        kind: FailureKind,
    ) -> Stage {
        let (call, delay) = (self.call, self.delay(context));
        context.out.event(Event::CallFailed {
            call,
            code,
            reason,
            kind,
            delay,
        });
        Stage::Over
    }
}

/// A message's body, if it has one.
pub(crate) fn body_of(message: &Message) -> Option<Bytes> {
    (!message.body().is_empty()).then(|| message.body_bytes())
}

const INVITE_LINES: &str = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO\r\n\
    Supported: 100rel\r\nAccept: application/sdp\r\n";
const INVITE_LINES_WITHOUT_OFFER: &str =
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO\r\nAccept: application/sdp\r\n";
