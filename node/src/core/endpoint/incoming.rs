//! The endpoint as callee: ring, answer, wait for the ACK.

use std::time::Instant;

use shared::metric;
use shared::phase::{Outcome, Phase};
use sip::ua::{CallRef, Command, Event};

use super::call::{Call, CallState};
use super::{EndpointCore, Output, Role, Script};

impl EndpointCore {
    pub(super) fn callee_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Incoming {
                call,
                call_id,
                offer,
                ..
            } => {
                self.incoming(now, call, call_id.to_string(), offer);
            }
            Event::IncomingCancelled { call } => self.cancelled(now, call),
            Event::Confirmed { call, body, delay } => {
                match self.call_with(call).map(|call| call.state) {
                    Some(CallState::Answered) => {
                        self.sample_ms(metric::CALL_ACK, delay);
                        self.confirmed(now, body.as_ref());
                    }
                    // We hung up before the ACK came; the BYE waited for it (RFC 3261 §15).
                    Some(CallState::Ending) => {
                        self.sample_ms(metric::CALL_ACK, delay);
                        self.established();
                    }
                    _ => {}
                }
            }
            Event::AckMissing { call } => {
                let established = self.call_with(call).map(|call| call.report.established);
                if established == Some(false) {
                    let reason = "no ACK came for our 200 within 64*T1";
                    self.conclude(Outcome::CallFailed, reason.to_owned());
                    self.sample(metric::CALL_FAILED, 1.0);
                    self.end_call(now);
                } else if established == Some(true) {
                    let reason = "no ACK came for our 200 to a re-INVITE within 64*T1";
                    self.conclude(Outcome::TeardownError, reason.to_owned());
                    self.end_call(now);
                }
            }
            // Not a callee's event.
            _ => {}
        }
    }

    fn incoming(
        &mut self,
        now: Instant,
        reference: CallRef,
        call_id: String,
        offer: Option<bytes::Bytes>,
    ) {
        let receives = matches!(self.spec.role, Role::Receiver | Role::Partner);
        let refusal = if !receives {
            Some((480, "This endpoint takes no calls"))
        } else if self.script != Script::Active {
            Some((480, "Not ready or leaving"))
        } else if self.call.is_some() {
            Some((486, "Busy Here"))
        } else {
            None
        };
        if let Some((code, reason)) = refusal {
            let reason = reason.into();
            self.outputs.push_back(Output::ClaimCallId {
                call_id,
                claimed: false,
            });
            self.command(
                now,
                Command::Reject {
                    call: reference,
                    code,
                    reason,
                },
            );
            return;
        }
        let number = self.next_number();
        let mut call = Call::new(reference, number, self.next_ssrc(), false);
        call.state = CallState::Pending;
        call.offer = offer;
        call.report.started_ms = self.since_begin_ms(now);
        call.report.call_id.clone_from(&call_id);
        self.call = Some(Box::new(call));
        self.outputs.push_back(Output::ClaimCallId {
            call_id,
            claimed: true,
        });
        self.sample(metric::CALL_INCOMING, 1.0);
        self.phase_to(Phase::Calling);
        self.command(now, Command::Ring { call: reference });
        self.phase_to(Phase::Ringing);
        if self.profile.ring_time.is_zero() {
            self.answer(now);
        } else {
            self.answer_at = Some(now + self.profile.ring_time);
        }
    }

    /// The ring time is over: ask for ports; the 200 follows with them.
    pub(super) fn answer(&mut self, _now: Instant) {
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        if call.state == CallState::Pending && !call.report.caller {
            let call = call.number;
            self.outputs.push_back(Output::Reserve { call });
        }
    }

    pub(super) fn answer_with_media(&mut self, now: Instant) {
        let cname = self.cname();
        let profile = std::rc::Rc::clone(&self.profile);
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        let reference = call.reference;
        let Some(local) = call.local_media(&profile, cname) else {
            return;
        };
        self.phase_to(Phase::Negotiating);
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        let (body, agreed) = match call.offer.take() {
            None => (media::sdp::offer(&local), None),
            Some(offer) => match media::sdp::answer(&local, &offer) {
                Ok((body, agreed)) => (body, Some(agreed)),
                Err(error) => {
                    let reason = format!("the caller's offer cannot be accepted: {error}");
                    call.report.code = Some(488);
                    self.call_code = Some(488);
                    self.conclude(Outcome::NegotiationFailed, reason);
                    self.sample(metric::CALL_FAILED, 1.0);
                    let reason = "Not Acceptable Here".into();
                    self.command(
                        now,
                        Command::Reject {
                            call: reference,
                            code: 488,
                            reason,
                        },
                    );
                    self.settle(now);
                    return;
                }
            },
        };
        call.state = CallState::Answered;
        call.answered_at = Some(now);
        call.report.code = Some(200);
        if let Some(agreed) = agreed {
            // We can hear from now on; we speak once the ACK says that the caller can hear.
            self.start_media(agreed, false);
        }
        self.command(
            now,
            Command::Answer {
                call: reference,
                body,
            },
        );
    }

    fn confirmed(&mut self, now: Instant, body: Option<&bytes::Bytes>) {
        let leave_at = self.begin + self.profile.duration + super::PARTNER_GRACE;
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        call.state = CallState::Up;
        let had_offer = call.agreed.is_some();
        self.hang_up_at = Some(leave_at);
        self.established();
        let usable = if had_offer {
            self.redirect_media();
            true
        } else {
            // RFC 3261 §13.2.1: our 200 carried the offer, so the ACK carries the answer.
            self.take_answer(body)
        };
        if usable {
            self.phase_to(Phase::Incall);
        } else {
            self.hang_up(now);
        }
    }

    fn established(&mut self) {
        if let Some(call) = self.call.as_deref_mut() {
            call.report.established = true;
        }
        self.call_code = Some(200);
        self.sample(metric::CALL_ESTABLISHED, 1.0);
    }

    fn cancelled(&mut self, now: Instant, reference: CallRef) {
        if self.call_with(reference).is_none() {
            return;
        }
        self.answer_at = None;
        if let Some(call) = self.call.as_deref_mut() {
            call.report.code = Some(487);
        }
        self.call_code = Some(487);
        self.sample(metric::CALL_FAILED, 1.0);
        self.conclude(
            Outcome::CompletedWithWarnings,
            "the caller cancelled before the call was answered".to_owned(),
        );
        self.settle(now);
    }
}
