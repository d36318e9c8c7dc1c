//! Ends: of a call (BYE either way, CANCEL), of the configured duration, of the run, of everything.

use std::time::{Duration, Instant};

use shared::metric;
use shared::phase::{Outcome, Phase};
use shared::wire::{CALLS_PER_ENDPOINT_MAX, EndpointReport};
use sip::ua::{CallRef, Command};

use super::call::CallState;
use super::{
    ANSWER_PATIENCE, EndpointCore, LAST_STEP_PATIENCE, MEDIA_PATIENCE, Output, PARTNER_GRACE, Role,
    STOP_PATIENCE, Script, millis,
};
use crate::core::trace::{TraceBounds, TraceRing};

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

    /// Leaves where the script is at its end: a caller or partner after its call, anyone whose
    /// registration or duration is gone.
    pub(super) fn leave_if_done(&mut self, now: Instant) {
        let once = matches!(self.spec.role, Role::Caller | Role::Partner);
        let left = matches!(self.script, Script::Leaving);
        let lost = self.spec.ua.registrar.is_some() && !self.registered;
        if (once && self.call.is_none() && !self.calls.is_empty()) || left || lost {
            self.leave(now);
        }
    }

    pub(super) fn no_caller(&mut self, now: Instant) {
        if self.spec.role == Role::Partner && self.call.is_none() && self.calls.is_empty() {
            let reason = "its caller ended and no call of it came";
            self.conclude(Outcome::CompletedWithWarnings, reason.to_owned());
            self.leave(now);
        }
    }

    pub(super) fn duration_over(&mut self, now: Instant) {
        // While the REGISTER is open its answer decides, not the call that could not follow.
        let registering = self.script == Script::Registering;
        if self.spec.role == Role::Caller && self.calls_made == 0 && !registering {
            let reason = "the duration was over before the call could be made";
            self.conclude(Outcome::Timeout, reason.to_owned());
        }
        if self.spec.role == Role::Partner && self.calls_made == 0 && !registering {
            let reason = "no call came before the duration was over";
            self.conclude(Outcome::CompletedWithWarnings, reason.to_owned());
        }
        self.leave(now);
    }

    pub(super) fn stop(&mut self, now: Instant) {
        if self.stopping() {
            return;
        }
        self.stop_by = Some(now + STOP_PATIENCE);
        let partner_ends = self.spec.role == Role::Partner
            && self.call.as_ref().is_some_and(|call| call.is_live());
        if partner_ends {
            // Its caller is ours and was told to stop as well: two BYEs would only cross.
            self.script = Script::Leaving;
            self.hang_up_at = Some(now + PARTNER_GRACE);
        } else {
            self.leave(now);
        }
        if self.script != Script::Over {
            self.wait(now, STOP_PATIENCE);
        }
    }

    /// Ends the call if there is one, then the registration, then itself.
    pub(super) fn leave(&mut self, now: Instant) {
        match self.script {
            Script::Over | Script::Unregistering => return,
            // An un-REGISTER now would race the answer: it follows once that is known.
            Script::Registering if !self.stopping() && self.outcome.severity() < 10 => {
                self.script = Script::Leaving;
                self.wait(now, ANSWER_PATIENCE);
                return;
            }
            Script::Waiting | Script::Registering | Script::Active | Script::Leaving => {}
        }
        self.script = Script::Leaving;
        self.phase_to(Phase::Disconnecting);
        if self.call.is_some() {
            self.hang_up(now);
            return;
        }
        let bound = self.registered || self.registration_pending();
        if bound || self.may_stand {
            self.script = Script::Unregistering;
            // A registrar that fell silent gets one last chance, not another Timer F.
            let patience = if bound {
                ANSWER_PATIENCE
            } else {
                LAST_STEP_PATIENCE
            };
            self.wait(now, patience);
            self.command(now, Command::Unregister);
        } else {
            self.over();
        }
    }

    /// A REGISTER without a final answer may have made a binding.
    fn registration_pending(&self) -> bool {
        self.spec.ua.registrar.is_some()
            && self.begun_registering
            && self.registration_code.is_none()
            && self.outcome != Outcome::RegistrationFailed
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

    /// Nothing is left to do. The report follows as the last output of this input.
    pub(super) fn over(&mut self) {
        self.script = Script::Over;
        self.patience_until = None;
    }

    /// The last word: the report and the trace.
    pub(super) fn last_word(&mut self) {
        let reached = self.phase;
        self.phase_to(Phase::Closed);
        if self.reason.is_empty() {
            "did everything it was asked to do".clone_into(&mut self.reason);
        }
        let report = EndpointReport {
            run: self.profile.run,
            endpoint: self.spec.index,
            group: self.profile.group,
            account: self.spec.ua.user.to_string(),
            node: self.profile.node.clone(),
            phase: if self.outcome.severity() >= 10 {
                reached
            } else {
                Phase::Closed
            },
            outcome: self.outcome,
            reason: std::mem::take(&mut self.reason),
            registration_code: self.registration_code,
            call_code: self.call_code,
            call_reason: self.call_reason.take(),
            unregistered: self.unregistered,
            calls: std::mem::take(&mut self.calls),
        };
        let empty = TraceRing::new(TraceBounds {
            messages: 0,
            octets: 0,
        });
        let trace = std::mem::replace(&mut self.trace, empty).into_trace(
            self.profile.run,
            self.spec.index,
            self.spec.ua.local,
            self.spec.ua.transport,
        );
        self.outputs.push_back(Output::Ended {
            report: Box::new(report),
            trace: trace.map(Box::new),
        });
    }
}

/// A far end that hangs up within this time of the plan was on time.
const EARLY_BYE: Duration = Duration::from_millis(1_000);
