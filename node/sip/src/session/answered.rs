//! A call with a 2xx, ours or the peer's, until its BYE is answered.
//!
//! Owns the dialog, the ACK that our 2xx awaits, and the end. Changing the session is in `offer`.
//!
//! | input                  | action                                                      |
//! |------------------------|-------------------------------------------------------------|
//! | ACK                    | Confirmed; a BYE that waited for it leaves                  |
//! | no ACK for 64*T1       | AckMissing, BYE (RFC 3261 §13.3.1.4)                        |
//! | command Bye            | BYE; a callee waits for the ACK first (RFC 3261 §15)        |
//! | BYE                    | 200, RemoteBye; open requests of the peer get 487           |
//! | answer to BYE          | ByeCompleted or ByeFailed; over in both cases (§15.1.1)     |
//! | INFO, OPTIONS, PRACK   | 200 (PRACK that fits nothing: 481)                          |
//! | re-INVITE, UPDATE      | see `offer`                                                 |
//! | out of order CSeq      | 500 (RFC 3261 §12.2.2)                                      |

use std::time::Instant;

use bytes::Bytes;

use super::Stage;
use super::acks::{Acknowledged, Acks};
use super::offer::{Glare, LateOffer, OfferState};
use super::outgoing::body_of;
use super::reliable::Reliable;
use super::repeat::{Patience, Repeat};
use super::within::{Draft, Within};
use crate::dialog::{Dialog, Order};
use crate::transaction::{Expiry, Purpose, TransactionId};
use crate::ua::{CallRef, Context, Destination, Event, Inbound};
use crate::wire::{Message, Method};

/// A call with a confirmed dialog.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(super) call: CallRef,
    pub(super) dialog: Dialog,
    pub(super) unacknowledged: Option<Box<Unacknowledged>>,
    pub(super) offer: OfferState,
    pub(super) glare: Option<Box<Glare>>,
    pub(super) ending: Ending,
    /// A reliable 1xx of ours whose PRACK may still come.
    reliable: Option<Box<Reliable>>,
}

/// Our 2xx that awaits its ACK.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    pub(super) repeat: Repeat,
    pub(super) cseq: u32,
    /// It answers the INVITE that made the call, not a re-INVITE.
    pub(super) first: bool,
}

/// How far the end of the call is.
#[derive(Debug)]
pub(super) enum Ending {
    /// The call goes on.
    No,
    /// BYE leaves when the ACK comes.
    AfterAck,
    /// BYE left.
    Bye(Box<OurBye>),
}

#[derive(Debug)]
pub(super) struct OurBye {
    within: Box<Within>,
    /// The user was told already that the call failed.
    quiet: bool,
    /// The peer's own BYE crossed ours.
    crossed: bool,
}

impl Answered {
    fn new(call: CallRef, dialog: Dialog) -> Box<Self> {
        Box::new(Self {
            call,
            dialog,
            unacknowledged: None,
            offer: OfferState::Idle,
            glare: None,
            ending: Ending::No,
            reliable: None,
        })
    }

    /// The caller's call: the 2xx came and the ACK left.
    pub(crate) fn calling(call: CallRef, dialog: Dialog) -> Stage {
        Stage::Answered(Self::new(call, dialog))
    }

    /// The caller's call when the 2xx carries the offer: the ACK waits for the user's answer.
    pub(crate) fn calling_late(call: CallRef, dialog: Dialog, late: LateOffer) -> Stage {
        let mut answered = Self::new(call, dialog);
        answered.offer = OfferState::InAnswer(Box::new(late));
        Stage::Answered(answered)
    }

    /// The callee's call: the 2xx left and is repeated until its ACK.
    pub(crate) fn receiving(
        context: &Context,
        call: CallRef,
        dialog: Dialog,
        sent: (Destination, Bytes),
        cseq: u32,
        reliable: Option<Box<Reliable>>,
    ) -> Stage {
        let mut answered = Self::new(call, dialog);
        answered.reliable = reliable;
        answered.await_ack(context, sent, cseq, true);
        Stage::Answered(answered)
    }

    /// A call that was answered too late: BYE at once, without telling the user again.
    pub(crate) fn discard(context: &mut Context, call: CallRef, dialog: Dialog) -> Stage {
        Self::new(call, dialog).send_bye(context, true)
    }

    pub(super) fn await_ack(
        &mut self,
        context: &Context,
        (to, bytes): (Destination, Bytes),
        cseq: u32,
        first: bool,
    ) {
        let repeat = Repeat::answer(context.now, &context.config.timers, to, bytes);
        self.unacknowledged = Some(Box::new(Unacknowledged {
            repeat,
            cseq,
            first,
        }));
    }

    /// Ends the call for the user.
    pub(crate) fn bye(mut self: Box<Self>, context: &mut Context, acks: &mut Acks) -> Stage {
        match self.ending {
            Ending::No => {}
            // Asked for twice: it is on its way.
            Ending::AfterAck | Ending::Bye(_) => return Stage::Answered(self),
        }
        if self
            .unacknowledged
            .as_ref()
            .is_some_and(|waiting| waiting.first)
        {
            self.ending = Ending::AfterAck;
            return Stage::Answered(self);
        }
        if let OfferState::InAnswer(late) = &self.offer {
            acks.send(context, &self.dialog, late.acknowledged(), None);
        }
        self.send_bye(context, false)
    }

    pub(super) fn send_bye(mut self: Box<Self>, context: &mut Context, quiet: bool) -> Stage {
        self.drop_offers(context);
        self.unacknowledged = None;
        let call = self.call;
        let draft = Draft {
            purpose: Purpose::Bye,
            method: Method::Bye,
            lines: Box::default(),
            body: None,
        };
        match Within::send(context, call, &mut self.dialog, draft) {
            Some(within) => {
                self.ending = Ending::Bye(Box::new(OurBye {
                    within,
                    quiet,
                    crossed: false,
                }));
                Stage::Answered(self)
            }
            None => {
                if !quiet {
                    context.out.event(Event::ByeFailed { call, code: None });
                }
                Stage::Over
            }
        }
    }

    /// Takes an answer to a request of this dialog.
    pub(crate) fn on_response(
        self: Box<Self>,
        context: &mut Context,
        acks: &mut Acks,
        (purpose, id): (Purpose, TransactionId),
        response: &Message,
    ) -> Stage {
        match purpose {
            Purpose::Bye => self.on_bye_response(context, response),
            Purpose::Reinvite => self.on_reinvite_response(context, acks, id, response),
            // Their answers change nothing any more.
            Purpose::Invite | Purpose::Cancel | Purpose::Prack | Purpose::StrayBye => {
                Stage::Answered(self)
            }
        }
    }

    fn on_bye_response(mut self: Box<Self>, context: &mut Context, response: &Message) -> Stage {
        let code = response.status().unwrap_or(0);
        let Ending::Bye(bye) = &mut self.ending else {
            return Stage::Answered(self);
        };
        if code < 200 || bye.within.again(context, &mut self.dialog, response) {
            return Stage::Answered(self);
        }
        let call = self.call;
        let delay = context.now.saturating_duration_since(bye.within.started());
        if bye.quiet {
            return Stage::Over;
        }
        // A crossing BYE may have ended the dialog before ours came: 481 is as good as 200 then.
        context.out.event(match code {
            200..=299 => Event::ByeCompleted { call, delay, code },
            _ if bye.crossed => Event::ByeCompleted { call, delay, code },
            _ => Event::ByeFailed {
                call,
                code: Some(code),
            },
        });
        Stage::Over
    }

    /// Takes the expiry of a request of this dialog.
    pub(crate) fn on_expiry(
        self: Box<Self>,
        context: &mut Context,
        purpose: Purpose,
        expiry: Expiry,
    ) -> Stage {
        match (purpose, expiry) {
            (Purpose::Bye, Expiry::NoAnswer) => self.on_bye_lost(context),
            (Purpose::Reinvite, Expiry::NoAnswer) => self.on_reinvite_lost(context),
            (Purpose::Reinvite, Expiry::RangTooLong) => self.cancel_reinvite(context),
            // RFC 3261 §14.1: what is lost besides does not end the call.
            _ => Stage::Answered(self),
        }
    }

    /// Takes a failure to send a request of this dialog.
    pub(crate) fn on_transport_error(
        self: Box<Self>,
        context: &mut Context,
        purpose: Purpose,
    ) -> Stage {
        self.on_expiry(context, purpose, Expiry::NoAnswer)
    }

    fn on_bye_lost(self: Box<Self>, context: &mut Context) -> Stage {
        let call = self.call;
        if let Ending::Bye(bye) = &self.ending
            && !bye.quiet
        {
            context.out.event(match bye.crossed {
                true => Event::RemoteBye { call },
                false => Event::ByeFailed { call, code: None },
            });
        }
        Stage::Over
    }

    /// Takes an ACK of this dialog.
    pub(crate) fn on_ack(mut self: Box<Self>, context: &mut Context, ack: &Message) -> Stage {
        let (cseq, _) = ack.cseq();
        let waiting = match self.unacknowledged.take() {
            Some(waiting) if waiting.cseq == cseq => waiting,
            other => {
                // The answer to a repeated 2xx.
                self.unacknowledged = other;
                context.out.event(Event::RetransmissionReceived {
                    method: Method::Ack,
                });
                return Stage::Answered(self);
            }
        };
        let (call, body) = (self.call, body_of(ack));
        if waiting.first {
            let delay = waiting.repeat.age(context.now);
            context.out.event(Event::Confirmed { call, body, delay });
        } else if body.is_some() {
            // Our 2xx to an empty re-INVITE carried the offer.
            context.out.event(Event::OfferAnswered { call, body });
        }
        match self.ending {
            Ending::AfterAck => self.send_bye(context, false),
            Ending::No | Ending::Bye(_) => Stage::Answered(self),
        }
    }

    /// Takes a request of this dialog, ACK and CANCEL apart.
    pub(crate) fn on_request(
        mut self: Box<Self>,
        context: &mut Context,
        inbound: Inbound,
    ) -> Stage {
        let (cseq, method) = inbound.message.cseq();
        if self.dialog.receive(cseq) == Order::OutOfOrder {
            context.refuse(&inbound, 500);
            return Stage::Answered(self);
        }
        match method {
            Method::Bye => return self.on_remote_bye(context, &inbound),
            Method::Invite => self.on_reinvite(context, inbound),
            Method::Update => self.on_update(context, inbound),
            Method::Prack => {
                let known = self
                    .reliable
                    .as_mut()
                    .is_some_and(|it| it.take(&inbound.message));
                context.refuse(&inbound, if known { 200 } else { 481 });
            }
            // `ua::receive` lets no other method through but these.
            _ => context.accept(&inbound),
        }
        Stage::Answered(self)
    }

    fn on_remote_bye(mut self: Box<Self>, context: &mut Context, inbound: &Inbound) -> Stage {
        context.refuse(inbound, 200);
        if let Ending::Bye(bye) = &mut self.ending {
            bye.crossed = true;
            return Stage::Answered(self);
        }
        self.drop_offers(context);
        context.out.event(Event::RemoteBye { call: self.call });
        Stage::Over
    }

    /// Performs what is due.
    pub(crate) fn on_timeout(mut self: Box<Self>, context: &mut Context) -> Stage {
        self.on_offer_timeout(context);
        let Some(waiting) = &mut self.unacknowledged else {
            return Stage::Answered(self);
        };
        match waiting.repeat.on_timeout(context.now, &mut context.out) {
            Patience::Waiting => Stage::Answered(self),
            Patience::Exhausted => {
                context.out.event(Event::AckMissing { call: self.call });
                self.send_bye(context, false)
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let repeat = self
            .unacknowledged
            .as_ref()
            .map(|waiting| waiting.repeat.next_deadline());
        let glare = self.glare.as_ref().map(|glare| glare.at);
        repeat.into_iter().chain(glare).min()
    }

    /// Whether a request of the peer belongs to this dialog.
    pub(crate) fn owns_request(&self, request: &Message) -> bool {
        self.dialog.owns_request(request)
    }

    /// Whether this 2xx is the one whose ACK waits for the user's answer.
    pub(crate) fn owes_ack(&self, response: &Message) -> bool {
        matches!(self.offer, OfferState::InAnswer(_))
            && self.dialog.has_remote_tag(response.to_tag())
    }

    /// The transaction of the re-INVITE that awaits the user's answer.
    pub(crate) fn open_invite(&self) -> Option<TransactionId> {
        self.offer.open_invite()
    }

    /// Ends the dialog of a fork's further 2xx: ACK, then BYE.
    pub(crate) fn end_stray(
        context: &mut Context,
        acks: &mut Acks,
        call: CallRef,
        mut dialog: Dialog,
        answer: Acknowledged<'_>,
    ) {
        acks.send(context, &dialog, answer, None);
        let draft = Draft {
            purpose: Purpose::StrayBye,
            method: Method::Bye,
            lines: Box::default(),
            body: None,
        };
        // Its answer changes nothing, so nothing of it is kept.
        let _ = Within::send(context, call, &mut dialog, draft);
    }
}
