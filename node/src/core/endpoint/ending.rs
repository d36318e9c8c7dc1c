//! Ends of a call: BYE either way, CANCEL, a lost dialog, patience that is over.

use std::time::{Duration, Instant};

use shared::metric;
use shared::phase::Outcome;
use shared::wire::CALLS_PER_ENDPOINT_MAX;
use sip::ua::{CallRef, Command};

use super::call::CallState;
use super::{ANSWER_PATIENCE, EndpointCore, MEDIA_PATIENCE, Output, Script, millis};

impl EndpointCore {
    /// Hangs up: BYE where the call is answered, CANCEL where it is not.
    pub(super) fn hang_up(&mut self, now: Instant) {
        self.hang_up_at = None;
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        let reference = call.reference;
        match call.state {
            CallState::Preparing => {
                let reason = "the call was given up before its INVITE left";
                self.conclude(Outcome::CompletedWithWarnings, reason.to_owned());
                self.sample(metric::CALL_FAILED, 1.0);
                self.settle(now);
            }
            CallState::Pending if call.report.caller => {
                call.state = CallState::Ending;
                self.wait(now, ANSWER_PATIENCE);
                self.command(now, Command::Cancel { call: reference });
            }
            CallState::Pending => {
                let reason = "Temporarily Unavailable".into();
                self.answer_at = None;
                self.command(
                    now,
                    Command::Reject {
                        call: reference,
                        code: 480,
                        reason,
                    },
                );
                self.settle(now);
            }
            CallState::Answered | CallState::Up => {
                call.state = CallState::Ending;
                self.wait(now, ANSWER_PATIENCE);
                self.note_duration(now);
                self.stop_speaking();
                self.command(now, Command::Bye { call: reference });
            }
            CallState::Ending | CallState::Settling => {}
        }
    }

    /// We stop sending at the BYE but hear until it is answered: what is under way still counts.
    fn stop_speaking(&mut self) {
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        if let Some(agreed) = call.agreed.as_deref_mut() {
            agreed.send = false;
        }
        self.redirect_media();
    }

    fn note_duration(&mut self, now: Instant) {
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        if !call.report.established || call.report.duration_ms.is_some() {
            return;
        }
        if let Some(answered) = call.answered_at {
            let duration = now.duration_since(answered);
            call.report.duration_ms = Some(millis(duration));
            self.sample_ms(metric::CALL_DURATION, duration);
        }
    }

    pub(super) fn remote_bye(&mut self, now: Instant, reference: CallRef) {
        if self.call_with(reference).is_none() {
            return;
        }
        let planned = self.hang_up_at;
        self.note_duration(now);
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        let early = planned
            .map(|at| at.saturating_duration_since(now))
            .unwrap_or_default();
        let (established, caller) = (call.report.established, call.report.caller);
        if !established && !caller {
            let reason = "the caller hung up before its ACK came";
            self.conclude(Outcome::CompletedWithWarnings, reason.to_owned());
        } else if caller && established && early > EARLY_BYE && self.stop_by.is_none() {
            let lasted = call
                .answered_at
                .map(|at| now.duration_since(at))
                .unwrap_or_default();
            let reason = format!(
                "the far end hung up after {:.1} s, {:.1} s before the call's planned end",
                lasted.as_secs_f64(),
                early.as_secs_f64()
            );
            self.conclude(Outcome::CompletedWithWarnings, reason);
        }
        if established {
            self.sample(metric::CALL_ENDED, 1.0);
        }
        self.settle(now);
    }

    pub(super) fn bye_completed(
        &mut self,
        now: Instant,
        reference: CallRef,
        delay: Duration,
        code: u16,
    ) {
        let Some(call) = self
            .call_with(reference)
            .filter(|call| call.state != CallState::Settling)
        else {
            return;
        };
        if call.report.established {
            self.sample(metric::CALL_ENDED, 1.0);
        }
        // The agent reports a refusal as completed only where both sides hung up at once: then a 481
        // says nothing against anybody, and its time is no delay of a 2xx (RFC 6076 §4.4).
        if code < 300
            && let Some(call) = self.call_with(reference).filter(|it| it.report.established)
        {
            call.report.sdd_ms = Some(millis(delay));
            self.sample_ms(metric::CALL_SDD, delay);
        }
        self.settle(now);
    }

    pub(super) fn bye_failed(&mut self, now: Instant, reference: CallRef, code: Option<u16>) {
        if self
            .call_with(reference)
            .is_none_or(|call| call.state == CallState::Settling)
        {
            return;
        }
        let answer = code.map_or("no answer".to_owned(), |code| code.to_string());
        self.conclude(
            Outcome::TeardownError,
            format!("BYE was not confirmed: {answer}"),
        );
        self.settle(now);
    }

    /// Something outside our control ended the dialog; media ends with it.
    pub(super) fn end_call(&mut self, now: Instant) {
        self.note_duration(now);
        self.settle(now);
    }

    /// No ports: a caller gives up, a callee refuses.
    pub(super) fn no_ports(&mut self, now: Instant) {
        let Some(call) = self.call.as_deref() else {
            return;
        };
        let (reference, caller) = (call.reference, call.report.caller);
        if !caller {
            let reason = "No media ports".into();
            self.command(
                now,
                Command::Reject {
                    call: reference,
                    code: 503,
                    reason,
                },
            );
        }
        self.sample(metric::CALL_FAILED, 1.0);
        self.settle(now);
    }

    /// Signalling of the call is over: end its stream and wait for the figures.
    pub(super) fn settle(&mut self, now: Instant) {
        self.hang_up_at = None;
        self.answer_at = None;
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        if call.state == CallState::Settling {
            return;
        }
        call.state = CallState::Settling;
        let (number, started, reserved) = (call.number, call.media_started, call.ports.is_some());
        if reserved {
            self.outputs.push_back(Output::StopMedia { call: number });
        }
        if started {
            self.wait(now, MEDIA_PATIENCE);
        } else {
            self.call_over(now);
        }
    }

    /// The call and its figures are complete.
    pub(super) fn call_over(&mut self, now: Instant) {
        self.patience_until = None;
        let Some(call) = self.call.take() else { return };
        if !call.report.call_id.is_empty() && !call.report.caller {
            let call_id = call.report.call_id.clone();
            self.outputs.push_back(Output::ClaimCallId {
                call_id,
                claimed: false,
            });
        }
        if self.calls.len() < CALLS_PER_ENDPOINT_MAX {
            self.calls.push(call.report);
        }
        self.leave_if_done(now);
    }

    /// Something that should have answered did not.
    pub(super) fn out_of_patience(&mut self, now: Instant) {
        match self.call_state() {
            Some(CallState::Settling) => {
                let reason = "the media engine gave no summary for the call";
                self.conclude(Outcome::CompletedWithWarnings, reason.to_owned());
                self.call_over(now);
            }
            Some(_) => {
                let reason = "the far end answered neither BYE nor CANCEL in time";
                self.conclude(Outcome::TeardownError, reason.to_owned());
                self.note_duration(now);
                self.give_up_call();
                self.settle(now);
            }
            None => {
                let at = &self.profile.registrar;
                if self.script == Script::Unregistering {
                    let reason = format!("{at} did not confirm the un-REGISTER in time");
                    self.conclude(Outcome::TeardownError, reason);
                } else {
                    let reason = format!("no final answer from {at} to the REGISTER");
                    self.conclude(Outcome::RegistrationFailed, reason);
                    self.sample(metric::REG_FAILED, 1.0);
                }
                self.over();
            }
        }
    }

    /// A call whose INVITE never had a final answer has failed, also where nobody says so.
    fn give_up_call(&mut self) {
        let failed = self.call.as_deref().is_some_and(|call| {
            call.report.caller && !call.report.established && call.report.code.is_none()
        });
        if failed {
            self.sample(metric::CALL_FAILED, 1.0);
        }
    }
}

/// A far end that hangs up within this time of the plan was on time.
const EARLY_BYE: Duration = Duration::from_millis(1_000);
