//! Calls: INVITE sessions as caller and as callee.
//!
//! Owns one call's way from INVITE to BYE. Never looks into a body, never opens a transaction of the
//! peer: `ua::receive` does. Source: RFC 3261 §9, §13, §14, §15; RFC 3262; RFC 3311.

mod acks;
mod answered;
mod early;
mod incoming;
mod offer;
mod outgoing;
mod reliable;
mod repeat;
mod within;

use std::time::Instant;

use bytes::Bytes;

use acks::{Acknowledged, Acks};
use answered::Answered;
use incoming::Incoming;
use outgoing::Outgoing;

use crate::dialog::Dialog;
use crate::transaction::{Expiry, Purpose, TransactionId};
use crate::ua::{CallRef, Command, Context, Event, FailureKind, Inbound};
use crate::wire::{Message, Uri};

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    id: CallRef,
    stage: Stage,
    /// The ACKs of a caller, and of a callee that sent re-INVITE.
    acks: Acks,
}

/// How far a call is. Every transition takes one stage and gives the next.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Our INVITE has no 2xx yet.
    Outgoing(Box<Outgoing>),
    /// The peer's INVITE has no final answer yet.
    Incoming(Box<Incoming>),
    /// A 2xx was sent or received.
    Answered(Box<Answered>),
    /// Nothing is left to do but to repeat ACKs.
    Over,
}

impl Call {
    /// Makes a call.
    pub(crate) fn dial(
        context: &mut Context,
        id: CallRef,
        target: &Uri,
        offer: Option<Bytes>,
    ) -> Self {
        let stage = Outgoing::dial(context, id, target, offer);
        Self {
            id,
            stage,
            acks: Acks::default(),
        }
    }

    /// Takes a call that somebody makes.
    pub(crate) fn receive(
        context: &mut Context,
        id: CallRef,
        invite: Inbound,
        dialog: Dialog,
    ) -> Self {
        let stage = Incoming::receive(context, id, invite, dialog);
        Self {
            id,
            stage,
            acks: Acks::default(),
        }
    }

    pub(crate) fn id(&self) -> CallRef {
        self.id
    }

    /// Whether everything of this call is done and forgotten.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Over) && self.acks.is_empty()
    }

    /// Whether the call still needs an answer of the peer or the user.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    fn step(&mut self, transition: impl FnOnce(Stage, &mut Acks) -> Stage) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        self.stage = transition(stage, &mut self.acks);
    }

    /// Performs a command of the user; one that makes no sense in this stage becomes a warning.
    pub(crate) fn on_command(&mut self, context: &mut Context, command: Command) {
        let id = self.id;
        self.step(|stage, acks| match (stage, command) {
            // Hanging up: which request that takes depends on how far the call is, and the peer may
            // have changed that a moment ago.
            (Stage::Outgoing(call), Command::Cancel { .. } | Command::Bye { .. }) => {
                call.give_up(context, FailureKind::Cancelled, "we gave the call up")
            }
            (Stage::Answered(call), Command::Cancel { .. } | Command::Bye { .. }) => {
                call.bye(context, acks)
            }
            (Stage::Incoming(call), Command::Bye { .. }) => call.reject(context, 480, ""),
            (Stage::Incoming(call), Command::Ring { .. }) => call.ring(context),
            (Stage::Incoming(call), Command::Answer { body, .. }) => call.answer(context, &body),
            (Stage::Incoming(call), Command::Reject { code, reason, .. }) => {
                call.reject(context, code.clamp(300, 699), &reason)
            }
            (Stage::Answered(call), Command::Reinvite { offer, .. }) => {
                call.reinvite(context, offer)
            }
            (Stage::Answered(call), Command::AnswerOffer { body, .. }) => {
                call.answer_offer(context, acks, &body)
            }
            (Stage::Answered(call), Command::RejectOffer { code, .. }) => {
                call.reject_offer(context, acks, code.clamp(300, 699))
            }
            (stage, command) => {
                context.out.warn(format!(
                    "{} makes no sense now in call {}",
                    command.name(),
                    id.0
                ));
                stage
            }
        });
    }

    /// Takes an answer to a request of this call.
    pub(crate) fn on_response(
        &mut self,
        context: &mut Context,
        purpose: Purpose,
        transaction: TransactionId,
        response: &Message,
    ) {
        let id = self.id;
        self.step(|stage, acks| match (stage, purpose) {
            (Stage::Outgoing(mut call), Purpose::Prack) => {
                call.early()
                    .on_prack_response(context, transaction, response);
                Stage::Outgoing(call)
            }
            (Stage::Outgoing(call), Purpose::Invite) if call.transaction() == transaction => {
                call.on_response(context, acks, response)
            }
            (Stage::Answered(call), Purpose::Invite) if call.owes_ack(response) => {
                Stage::Answered(call)
            }
            (stage @ (Stage::Answered(_) | Stage::Over), Purpose::Invite) => {
                on_further_answer(context, acks, id, transaction, response);
                stage
            }
            (Stage::Answered(call), _) => {
                call.on_response(context, acks, (purpose, transaction), response)
            }
            // Answers to CANCEL and to a stray BYE change nothing; an INVITE that was repeated for
            // a challenge has its answer.
            (stage @ (Stage::Outgoing(_) | Stage::Incoming(_) | Stage::Over), _) => stage,
        });
    }

    /// Takes the expiry of a request of this call.
    pub(crate) fn on_expiry(
        &mut self,
        context: &mut Context,
        purpose: Purpose,
        transaction: TransactionId,
        expiry: Expiry,
    ) {
        self.step(|stage, _| match stage {
            Stage::Outgoing(call)
                if purpose == Purpose::Invite && call.transaction() == transaction =>
            {
                call.on_expiry(context, expiry)
            }
            Stage::Answered(call) => call.on_expiry(context, purpose, expiry),
            stage @ (Stage::Outgoing(_) | Stage::Incoming(_) | Stage::Over) => stage,
        });
    }

    /// Takes a failure to send a request of this call.
    pub(crate) fn on_transport_error(
        &mut self,
        context: &mut Context,
        purpose: Purpose,
        transaction: TransactionId,
        error: &str,
    ) {
        self.step(|stage, _| match stage {
            Stage::Outgoing(call)
                if purpose == Purpose::Invite && call.transaction() == transaction =>
            {
                call.on_transport_error(context, error)
            }
            Stage::Answered(call) => call.on_transport_error(context, purpose),
            stage @ (Stage::Outgoing(_) | Stage::Incoming(_) | Stage::Over) => stage,
        });
    }

    /// Takes a request within this call, ACK and CANCEL apart.
    pub(crate) fn on_request(&mut self, context: &mut Context, inbound: Inbound) {
        self.step(|stage, _| match stage {
            Stage::Incoming(call) => call.on_request(context, inbound),
            Stage::Answered(call) => call.on_request(context, inbound),
            Stage::Outgoing(call) => call.on_request(context, &inbound),
            Stage::Over => {
                context.refuse(&inbound, 481);
                Stage::Over
            }
        });
    }

    /// Takes an ACK within this call.
    pub(crate) fn on_ack(&mut self, context: &mut Context, ack: &Message) {
        self.step(|stage, _| match stage {
            Stage::Answered(call) => call.on_ack(context, ack),
            stage @ (Stage::Outgoing(_) | Stage::Incoming(_) | Stage::Over) => stage,
        });
    }

    /// Takes the CANCEL of one of the peer's INVITEs; `false` if it is not of this call.
    pub(crate) fn on_cancel(&mut self, context: &mut Context, invite: TransactionId) -> bool {
        let mine = match &self.stage {
            Stage::Incoming(call) => call.transaction() == invite,
            Stage::Answered(call) => call.open_invite() == Some(invite),
            Stage::Outgoing(_) | Stage::Over => false,
        };
        if mine {
            self.step(|stage, _| match stage {
                Stage::Incoming(call) => call.on_cancel(context),
                Stage::Answered(call) => call.on_reinvite_cancelled(context),
                stage @ (Stage::Outgoing(_) | Stage::Over) => stage,
            });
        }
        mine
    }

    /// Performs what is due.
    pub(crate) fn on_timeout(&mut self, context: &mut Context) {
        self.acks.sweep(&context.transactions);
        self.step(|stage, _| match stage {
            Stage::Outgoing(call) => call.on_timeout(context),
            Stage::Incoming(call) => call.on_timeout(context),
            Stage::Answered(call) => call.on_timeout(context),
            Stage::Over => Stage::Over,
        });
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Outgoing(call) => call.next_deadline(),
            Stage::Incoming(call) => call.next_deadline(),
            Stage::Answered(call) => call.next_deadline(),
            Stage::Over => None,
        }
    }

    /// Whether a request of the peer belongs to this call.
    pub(crate) fn owns_request(&self, request: &Message) -> bool {
        match &self.stage {
            Stage::Outgoing(call) => call.owns_request(request),
            Stage::Incoming(call) => call.owns_request(request),
            Stage::Answered(call) => call.owns_request(request),
            Stage::Over => false,
        }
    }

    /// Whether an INVITE reached us once already on another path.
    pub(crate) fn is_merged_with(&self, request: &Message) -> bool {
        match &self.stage {
            Stage::Incoming(call) => call.is_merged_with(request),
            Stage::Outgoing(_) | Stage::Answered(_) | Stage::Over => false,
        }
    }
}

/// A 2xx to an INVITE that has one: the same again wants its ACK again; that of another branch of
/// a fork is acknowledged and ended (RFC 3261 §13.2.2.4). Anything else comes too late: ignored.
fn on_further_answer(
    context: &mut Context,
    acks: &mut Acks,
    call: CallRef,
    invite: TransactionId,
    response: &Message,
) {
    if !response
        .status()
        .is_some_and(|code| (200..=299).contains(&code))
    {
        return;
    }
    let (cseq, method) = response.cseq();
    if acks.repeat(context, invite, response.to_tag()) {
        context.out.event(Event::RetransmissionReceived {
            method: method.clone(),
        });
        return;
    }
    let dialog = Dialog::of_response(response, "");
    match dialog {
        Ok(dialog) if acks.has_room() => {
            context
                .out
                .unexpected("a second answer of a fork; ended by BYE".to_owned());
            let answer = Acknowledged {
                invite,
                cseq,
                authorization: &[],
            };
            Answered::end_stray(context, acks, call, dialog, answer);
        }
        Ok(_) => context
            .out
            .unexpected("one more answer of a fork than is kept".to_owned()),
        Err(_) => context
            .out
            .unexpected("an answer of a fork without a Contact".to_owned()),
    }
}

/// The methods that this agent takes.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO";
