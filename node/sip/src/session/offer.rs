//! Changing the session of an answered call: re-INVITE both ways, UPDATE received.
//!
//! Owns whose turn it is. A body is opaque: it is an offer because of where it stands.
//!
//! | state    | received re-INVITE, UPDATE with a body                             |
//! |----------|--------------------------------------------------------------------|
//! | Idle     | to the user, Theirs                                                |
//! | Ours     | 491 (RFC 3261 §14.2, RFC 3311 §5.2)                                |
//! | Theirs   | 500 with Retry-After (the same)                                    |
//! | InAnswer | 491                                                                |
//! | any      | 491 while our 2xx awaits its ACK; 487 once BYE left                |
//!
//! An UPDATE without a body only refreshes the target: 200 at once.
//! Source: RFC 3261 §14; RFC 3311 §5.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Stage;
use super::acks::{Acknowledged, Acks};
use super::answered::{Answered, Ending};
use super::outgoing::body_of;
use super::within::{Draft, Within};
use crate::transaction::{Owner, Purpose, TransactionId};
use crate::ua::{BODY_TYPE, Context, Event, Inbound};
use crate::wire::{Message, Method, Name};

/// Whose offer is open.
#[derive(Debug)]
pub(super) enum OfferState {
    /// Nobody's.
    Idle,
    /// Ours left in a re-INVITE.
    Ours(Box<Within>),
    /// The peer's awaits the user's answer.
    Theirs(Box<Inbound>),
    /// The peer's 2xx carried it; the ACK waits for the user's answer.
    InAnswer(Box<LateOffer>),
}

/// A 2xx with an offer, not acknowledged yet.
#[derive(Debug)]
pub(crate) struct LateOffer {
    pub(crate) invite: TransactionId,
    pub(crate) cseq: u32,
    pub(crate) authorization: Vec<u8>,
}

impl LateOffer {
    pub(super) fn acknowledged(&self) -> Acknowledged<'_> {
        Acknowledged {
            invite: self.invite,
            cseq: self.cseq,
            authorization: &self.authorization,
        }
    }
}

/// Our offer met the peer's (491) and leaves again at a random time (RFC 3261 §14.1).
#[derive(Debug)]
pub(super) struct Glare {
    pub(super) at: Instant,
    offer: Bytes,
}

impl OfferState {
    /// The transaction of the peer's re-INVITE that is not answered yet.
    pub(super) fn open_invite(&self) -> Option<TransactionId> {
        match self {
            Self::Theirs(inbound) if inbound.message.method() == Some(&Method::Invite) => {
                Some(inbound.transaction)
            }
            Self::Theirs(_) | Self::Idle | Self::Ours(_) | Self::InAnswer(_) => None,
        }
    }
}

impl Answered {
    /// Sends our changed offer, at once or when the dialog's INVITE in progress is done.
    pub(crate) fn reinvite(mut self: Box<Self>, context: &mut Context, offer: Bytes) -> Stage {
        let (call, code) = (self.call, Some(491));
        let waiting = self.glare.is_some() || matches!(self.offer, OfferState::Ours(_));
        if waiting || !matches!(self.ending, Ending::No) {
            context.out.event(Event::OfferRefused { call, code });
        } else if self.may_reinvite() {
            self.send_reinvite(context, offer);
        } else {
            self.wait_out_glare(context, offer);
        }
        Stage::Answered(self)
    }

    /// RFC 3261 §14.1: one INVITE of a dialog at a time.
    fn may_reinvite(&self) -> bool {
        matches!(self.offer, OfferState::Idle)
            && matches!(self.ending, Ending::No)
            && self.unacknowledged.is_none()
    }

    fn send_reinvite(&mut self, context: &mut Context, offer: Bytes) {
        let contact = context.letterhead.contact();
        let lines = format!("Contact: {contact}\r\n{REINVITE_LINES}");
        let draft = Draft {
            purpose: Purpose::Reinvite,
            method: Method::Invite,
            lines: lines.into_bytes().into_boxed_slice(),
            body: Some(offer),
        };
        match Within::send(context, self.call, &mut self.dialog, draft) {
            Some(within) => self.offer = OfferState::Ours(within),
            None => self.refused(context, None),
        }
    }

    fn refused(&mut self, context: &mut Context, code: Option<u16>) {
        self.offer = OfferState::Idle;
        context.out.event(Event::OfferRefused {
            call: self.call,
            code,
        });
    }

    pub(super) fn on_reinvite_response(
        mut self: Box<Self>,
        context: &mut Context,
        acks: &mut Acks,
        id: TransactionId,
        response: &Message,
    ) -> Stage {
        let code = response.status().unwrap_or(0);
        let OfferState::Ours(within) = &mut self.offer else {
            self.on_late_reinvite_response(context, acks, id, response);
            return Stage::Answered(self);
        };
        match code {
            100..=199 => {}
            200..=299 => {
                let answer = Acknowledged {
                    invite: within.transaction(),
                    cseq: within.cseq(),
                    authorization: within.authorization_lines(),
                };
                self.dialog.refresh_target(response);
                acks.send(context, &self.dialog, answer, None);
                self.offer = OfferState::Idle;
                let body = body_of(response);
                context.out.event(Event::OfferAnswered {
                    call: self.call,
                    body,
                });
            }
            _ if within.again(context, &mut self.dialog, response) => {}
            491 => {
                let offer = within.body().cloned().unwrap_or_default();
                self.offer = OfferState::Idle;
                self.wait_out_glare(context, offer);
            }
            // RFC 3261 §12.2.1.2: the peer does not know the dialog any more.
            408 | 481 => {
                self.refused(context, Some(code));
                return self.send_bye(context, false);
            }
            _ => self.refused(context, Some(code)),
        }
        Stage::Answered(self)
    }

    /// A 2xx to a re-INVITE that is repeated, or whose outcome does not matter any more, still
    /// wants its ACK.
    fn on_late_reinvite_response(
        &self,
        context: &mut Context,
        acks: &mut Acks,
        invite: TransactionId,
        response: &Message,
    ) {
        let is_2xx = response
            .status()
            .is_some_and(|code| (200..=299).contains(&code));
        if is_2xx && !acks.repeat(context, invite, response.to_tag()) {
            let answer = Acknowledged {
                invite,
                cseq: response.cseq().0,
                authorization: &[],
            };
            acks.send(context, &self.dialog, answer, None);
        }
    }

    /// RFC 3261 §14.1: the owner of the Call-ID waits 2.1 to 4 s, the other side 0 to 2 s.
    fn wait_out_glare(&mut self, context: &mut Context, offer: Bytes) {
        let (low_ms, high_ms) = if self.call.is_incoming() {
            (0, 2000)
        } else {
            (2100, 4000)
        };
        let wait = context.random_between(
            Duration::from_millis(low_ms),
            Duration::from_millis(high_ms),
        );
        let at = context.now + wait;
        self.glare = Some(Box::new(Glare { at, offer }));
    }

    pub(super) fn on_offer_timeout(&mut self, context: &mut Context) {
        let Some(glare) = self.glare.take_if(|glare| context.now >= glare.at) else {
            return;
        };
        if self.may_reinvite() {
            self.send_reinvite(context, glare.offer);
        } else {
            // The peer's turn is not over yet.
            self.wait_out_glare(context, glare.offer);
        }
    }

    /// RFC 3261 §14.1 with §12.2.1.2: no answer at all is treated as 408, so the dialog ends.
    pub(super) fn on_reinvite_lost(mut self: Box<Self>, context: &mut Context) -> Stage {
        if !matches!(self.offer, OfferState::Ours(_)) {
            return Stage::Answered(self);
        }
        self.refused(context, None);
        self.send_bye(context, false)
    }

    /// The peer rings about a re-INVITE for minutes: give it up.
    pub(super) fn cancel_reinvite(self: Box<Self>, context: &mut Context) -> Stage {
        if let OfferState::Ours(within) = &self.offer {
            context.cancel(
                within.transaction(),
                Owner::Call(self.call, Purpose::Cancel),
            );
        }
        Stage::Answered(self)
    }

    pub(super) fn on_reinvite(&mut self, context: &mut Context, inbound: Inbound) {
        if self.may_offer(context, &inbound) {
            self.take_offer(context, inbound, Method::Invite);
        }
    }

    pub(super) fn on_update(&mut self, context: &mut Context, inbound: Inbound) {
        if inbound.message.body().is_empty() {
            self.dialog.refresh_target(&inbound.message);
            context.accept(&inbound);
        } else if self.may_offer(context, &inbound) {
            self.take_offer(context, inbound, Method::Update);
        }
    }

    fn take_offer(&mut self, context: &mut Context, inbound: Inbound, method: Method) {
        let (call, body) = (self.call, body_of(&inbound.message));
        self.offer = OfferState::Theirs(Box::new(inbound));
        context.out.event(Event::Offer { call, body, method });
    }

    /// Refuses an offer that comes at the wrong time.
    fn may_offer(&self, context: &mut Context, inbound: &Inbound) -> bool {
        if !matches!(self.ending, Ending::No) {
            context.refuse(inbound, 487);
            return false;
        }
        match &self.offer {
            OfferState::Theirs(_) => {
                let wait_s = context
                    .random_between(Duration::ZERO, Duration::from_secs(10))
                    .as_secs();
                context.respond(inbound, 500, "", "", |response| {
                    response.header_display(Name::RetryAfter, wait_s)
                });
                false
            }
            OfferState::Ours(_) | OfferState::InAnswer(_) => {
                context.refuse(inbound, 491);
                false
            }
            OfferState::Idle if self.unacknowledged.is_some() => {
                context.refuse(inbound, 491);
                false
            }
            OfferState::Idle => true,
        }
    }

    /// Sends the user's answer to the peer's offer.
    pub(crate) fn answer_offer(
        mut self: Box<Self>,
        context: &mut Context,
        acks: &mut Acks,
        body: &Bytes,
    ) -> Stage {
        match std::mem::replace(&mut self.offer, OfferState::Idle) {
            OfferState::Theirs(inbound) => {
                self.dialog.refresh_target(&inbound.message);
                let contact = context.letterhead.contact().to_owned();
                let bytes = context.respond(&inbound, 200, "", "", |response| {
                    response
                        .header(Name::Contact, contact)
                        .body(BODY_TYPE, body)
                });
                if inbound.message.method() == Some(&Method::Invite)
                    && let Some(to) = context.transactions.invite_destination(inbound.transaction)
                {
                    let (sent, (cseq, _)) = ((to.clone(), bytes), inbound.message.cseq());
                    self.await_ack(context, sent, cseq, false);
                }
            }
            OfferState::InAnswer(late) => {
                acks.send(context, &self.dialog, late.acknowledged(), Some(body));
            }
            other => {
                self.offer = other;
                context
                    .out
                    .warn("no offer of the peer awaits an answer".to_owned());
            }
        }
        Stage::Answered(self)
    }

    /// Refuses the peer's offer; one in a 2xx cannot be refused but by ending the call.
    pub(crate) fn reject_offer(
        mut self: Box<Self>,
        context: &mut Context,
        acks: &mut Acks,
        code: u16,
    ) -> Stage {
        match std::mem::replace(&mut self.offer, OfferState::Idle) {
            OfferState::Theirs(inbound) => context.refuse(&inbound, code),
            OfferState::InAnswer(late) => {
                acks.send(context, &self.dialog, late.acknowledged(), None);
                return self.send_bye(context, false);
            }
            other => {
                self.offer = other;
                context
                    .out
                    .warn("no offer of the peer awaits an answer".to_owned());
            }
        }
        Stage::Answered(self)
    }

    /// The peer gave its re-INVITE up (RFC 3261 §9.2): 487.
    pub(crate) fn on_reinvite_cancelled(mut self: Box<Self>, context: &mut Context) -> Stage {
        self.drop_theirs(context);
        context
            .out
            .warn("the peer cancelled its re-INVITE".to_owned());
        Stage::Answered(self)
    }

    /// Forgets open offers; the peer's gets 487 (RFC 3261 §15.1.2).
    pub(super) fn drop_offers(&mut self, context: &mut Context) {
        self.glare = None;
        self.drop_theirs(context);
    }

    fn drop_theirs(&mut self, context: &mut Context) {
        if let OfferState::Theirs(inbound) = std::mem::replace(&mut self.offer, OfferState::Idle) {
            context.refuse(&inbound, 487);
        }
    }
}

const REINVITE_LINES: &str = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO\r\n";
