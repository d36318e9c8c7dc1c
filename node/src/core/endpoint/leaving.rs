//! The endpoint's own end: of its duration, by a stop, after its last call; then the un-REGISTER and
//! the last word.

use std::time::Instant;

use shared::phase::{Outcome, Phase};
use shared::wire::EndpointReport;
use sip::ua::Command;

use super::{
    ANSWER_PATIENCE, EndpointCore, LAST_STEP_PATIENCE, Output, PARTNER_GRACE, Role, STOP_PATIENCE,
    Script,
};
use crate::core::trace::{TraceBounds, TraceRing};

impl EndpointCore {
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

    /// As a stop, or over one that is under way, but the registration stays as it is: it expires by
    /// itself, and an un-REGISTER would be a request that the lease does not cover any more.
    pub(super) fn fence(&mut self, now: Instant) {
        if self.fenced {
            return;
        }
        self.fenced = true;
        let reason = "the node lost its lease and ended everything";
        self.conclude(Outcome::CompletedWithWarnings, reason.to_owned());
        match self.script {
            Script::Unregistering => self.over(),
            Script::Leaving if self.call.is_none() => self.over(),
            _ => self.stop(now),
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
        if (bound || self.may_stand) && !self.fenced {
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
