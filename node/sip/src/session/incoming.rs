//! A call that we receive, until its INVITE has a final answer.
//!
//! Owns 180, reliable 180, 200, refusal, and the caller's CANCEL.
//!
//! | input                | action                                                     |
//! |----------------------|------------------------------------------------------------|
//! | command Ring         | 180; reliable if the INVITE requires 100rel                |
//! | command Answer       | 200, repeated by `answered` until the ACK                  |
//! | command Reject       | 300-699                                                    |
//! | CANCEL               | 487, IncomingCancelled                                     |
//! | BYE                  | 200 to it, 487, IncomingCancelled (RFC 3261 §15.1.2)       |
//! | PRACK                | 200 and no more repetition, or 481                         |
//! | UPDATE with an offer | 500 with Retry-After: ours is still owed (RFC 3311 §5.2)   |
//! | no PRACK for 64*T1   | 500, IncomingCancelled (RFC 3262 §3)                       |
//!
//! Source: RFC 3261 §9.2, §13.3; RFC 3262 §3.

use std::time::Instant;

use bytes::Bytes;

use super::Stage;
use super::answered::Answered;
use super::reliable::Reliable;
use super::repeat::{Patience, Repeat};
use crate::dialog::{Dialog, Order};
use crate::transaction::TransactionId;
use crate::ua::{BODY_TYPE, CallRef, Context, Event, Inbound};
use crate::wire::{Message, Method, Name, ResponseWriter};

/// An INVITE of the peer without a final answer.
#[derive(Debug)]
pub(crate) struct Incoming {
    call: CallRef,
    invite: Inbound,
    dialog: Dialog,
    /// Present when the INVITE requires 100rel.
    reliable: Option<Box<Reliable>>,
}

impl Incoming {
    /// Takes a call.
    pub(crate) fn receive(
        context: &mut Context,
        call: CallRef,
        invite: Inbound,
        dialog: Dialog,
    ) -> Stage {
        let required = invite
            .message
            .values(Name::Require)
            .any(|tag| tag.eq_ignore_ascii_case(b"100rel"));
        let first_rseq = (context.ids.next_u64() >> 33) as u32;
        let cseq = invite.message.cseq().0;
        let reliable = required.then(|| Box::new(Reliable::new(cseq, first_rseq)));
        Stage::Incoming(Box::new(Self {
            call,
            invite,
            dialog,
            reliable,
        }))
    }

    /// Sends 180.
    pub(crate) fn ring(mut self: Box<Self>, context: &mut Context) -> Stage {
        if self.reliable.is_some() && self.invite.message.body().is_empty() {
            // RFC 3262 §5: the first reliable answer to an INVITE without an offer must carry one.
            context
                .out
                .warn("180 left out: it would have to carry the offer".to_owned());
            return Stage::Incoming(self);
        }
        let rseq = match &self.reliable {
            Some(reliable) => match reliable.next_rseq() {
                Some(rseq) => Some(rseq),
                // One at a time (RFC 3262 §3); it is being repeated anyhow.
                None => return Stage::Incoming(self),
            },
            None => None,
        };
        let mut response = self.start(context, 180);
        if let Some(rseq) = rseq {
            response = response
                .header(Name::Require, "100rel")
                .header_display(Name::RSeq, rseq);
        }
        let bytes = response.finish();
        context.answer(self.invite.transaction, 180, bytes.clone());
        if let Some(reliable) = &mut self.reliable
            && let Some(to) = context
                .transactions
                .invite_destination(self.invite.transaction)
        {
            let timers = &context.config.timers;
            reliable.sent(Repeat::provisional(context.now, timers, to.clone(), bytes));
        }
        Stage::Incoming(self)
    }

    /// Sends 200.
    pub(crate) fn answer(self: Box<Self>, context: &mut Context, body: &Bytes) -> Stage {
        let bytes = self
            .start(context, 200)
            .header(Name::Allow, super::ALLOW)
            .header(Name::Supported, "100rel")
            .body(BODY_TYPE, body)
            .finish();
        let Some(to) = context
            .transactions
            .invite_destination(self.invite.transaction)
            .cloned()
        else {
            // The transaction outlives every call that is not answered.
            context
                .out
                .warn("the INVITE of this call is gone".to_owned());
            return Stage::Over;
        };
        context.answer(self.invite.transaction, 200, bytes.clone());
        let Self {
            call,
            invite,
            dialog,
            reliable,
        } = *self;
        let cseq = invite.message.cseq().0;
        Answered::receiving(context, call, dialog, (to, bytes), cseq, reliable)
    }

    /// An answer that makes the dialog: with Contact and Record-Route (RFC 3261 §12.1.1).
    fn start<'b>(&self, context: &Context, code: u16) -> ResponseWriter<'b> {
        context
            .start_response(&self.invite, code, "", self.dialog.local_tag())
            .record_route(&self.invite.message)
            .header(Name::Contact, context.letterhead.contact())
    }

    /// Sends 300-699.
    pub(crate) fn reject(self: Box<Self>, context: &mut Context, code: u16, reason: &str) -> Stage {
        let tag = self.dialog.local_tag().clone();
        context.respond(&self.invite, code, reason, &tag, |response| response);
        Stage::Over
    }

    /// The caller gave up.
    pub(crate) fn on_cancel(self: Box<Self>, context: &mut Context) -> Stage {
        context
            .out
            .event(Event::IncomingCancelled { call: self.call });
        self.reject(context, 487, "")
    }

    /// Takes a request of the early dialog.
    pub(crate) fn on_request(
        mut self: Box<Self>,
        context: &mut Context,
        inbound: Inbound,
    ) -> Stage {
        let (cseq, method) = inbound.message.cseq();
        if self.dialog.receive(cseq) == Order::OutOfOrder {
            context.refuse(&inbound, 500);
            return Stage::Incoming(self);
        }
        match method {
            Method::Bye => {
                context.refuse(&inbound, 200);
                return self.on_cancel(context);
            }
            Method::Prack => {
                let known = self
                    .reliable
                    .as_mut()
                    .is_some_and(|it| it.take(&inbound.message));
                context.refuse(&inbound, if known { 200 } else { 481 });
            }
            Method::Invite => self.refuse_for_now(context, &inbound),
            Method::Update if !inbound.message.body().is_empty() => {
                self.refuse_for_now(context, &inbound);
            }
            // `ua::receive` lets no other method through but these.
            _ => context.accept(&inbound),
        }
        Stage::Incoming(self)
    }

    fn refuse_for_now(&self, context: &mut Context, inbound: &Inbound) {
        context.respond(inbound, 500, "", "", |response| {
            response.header(Name::RetryAfter, "5")
        });
    }

    /// Repeats a reliable 180.
    pub(crate) fn on_timeout(mut self: Box<Self>, context: &mut Context) -> Stage {
        let repeat = self
            .reliable
            .as_mut()
            .and_then(|reliable| reliable.repeat());
        let patience = repeat.map(|repeat| repeat.on_timeout(context.now, &mut context.out));
        match patience {
            None | Some(Patience::Waiting) => Stage::Incoming(self),
            Some(Patience::Exhausted) => {
                context.out.warn("no PRACK for the reliable 180".to_owned());
                context
                    .out
                    .event(Event::IncomingCancelled { call: self.call });
                self.reject(context, 500, "")
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.reliable
            .as_ref()
            .and_then(|reliable| reliable.next_deadline())
    }

    /// The transaction of the INVITE.
    pub(crate) fn transaction(&self) -> TransactionId {
        self.invite.transaction
    }

    /// Whether a request of the peer belongs to this call's early dialog.
    pub(crate) fn owns_request(&self, request: &Message) -> bool {
        self.dialog.owns_request(request)
    }

    /// Whether this INVITE reached us once already on another path (RFC 3261 §8.2.2.2).
    pub(crate) fn is_merged_with(&self, request: &Message) -> bool {
        let known = &self.invite.message;
        known.call_id() == request.call_id()
            && known.from_tag() == request.from_tag()
            && known.cseq().0 == request.cseq().0
    }
}
