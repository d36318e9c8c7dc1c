//! The script's first and last step: REGISTER and un-REGISTER.

use std::time::Instant;

use shared::metric;
use shared::phase::{Outcome, Phase};
use sip::ua::{Command, Event};

use super::{EndpointCore, Output, Script};

impl EndpointCore {
    pub(super) fn begin(&mut self, now: Instant, due: Instant) {
        if self.script != Script::Waiting {
            return;
        }
        if self.spec.ua.registrar.is_none() {
            self.ready();
            return;
        }
        self.script = Script::Registering;
        self.begun_registering = true;
        self.sample(metric::REG_ATTEMPTS, 1.0);
        self.sample_ms(metric::REG_LATE, now.saturating_duration_since(due));
        self.command(now, Command::Register);
    }

    pub(super) fn registration_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Registered {
                refresh: true,
                code,
                ..
            } => {
                self.registration_code = Some(code);
                self.sample(metric::REG_REFRESHES, 1.0);
            }
            Event::Registered { code, delay, .. } => {
                self.registration_code = Some(code);
                self.registered = true;
                self.sample(metric::REG_SUCCESS, 1.0);
                self.sample_ms(metric::REG_RRD, delay);
                if self.script == Script::Registering {
                    self.ready();
                } else {
                    // The duration ended while the answer was on its way: remove the binding.
                    self.leave_if_done(now);
                }
            }
            Event::RegistrationFailed {
                code,
                reason,
                timeout,
                transport,
            } => {
                self.registration_failed(now, code, &reason, timeout && !transport);
            }
            Event::Unregistered { .. } => {
                self.registered = false;
                self.unregistered = true;
                self.over();
            }
            Event::UnregisterFailed { code } => {
                self.registered = false;
                let answer = code.map_or("no answer".to_owned(), |code| code.to_string());
                let at = &self.profile.registrar;
                let reason = format!("{at} did not confirm the un-REGISTER: {answer}");
                self.conclude(Outcome::TeardownError, reason);
                self.over();
            }
            // Every other event goes elsewhere; a challenge is part of the registration's delay.
            _ => {}
        }
    }

    fn registration_failed(
        &mut self,
        now: Instant,
        code: Option<u16>,
        reason: &str,
        no_answer: bool,
    ) {
        let was_registered = self.registered;
        self.registered = false;
        // RFC 3261 §10.3: a refusal changes no binding, and a lost answer does not undo one.
        self.may_stand = was_registered || no_answer;
        self.registration_code = code.or(self.registration_code.filter(|_| was_registered));
        if !was_registered {
            self.sample(metric::REG_FAILED, 1.0);
        }
        let at = &self.profile.registrar;
        let sentence = match (code, no_answer) {
            (Some(code), _) => format!("{at} refused the REGISTER with {code}: {reason}"),
            (None, true) => format!("no answer from {at}: {reason}"),
            (None, false) => format!("REGISTER to {at} failed: {reason}"),
        };
        self.conclude(Outcome::RegistrationFailed, sentence);
        // A refresh that failed in mid-call does not tear the call down: what it measures is real.
        if self.call.is_none() {
            self.leave(now);
        }
    }

    fn ready(&mut self) {
        self.script = Script::Active;
        self.phase_to(Phase::Registered);
        let transport = match self.spec.ua.transport {
            sip::ua::Transport::Udp => "",
            sip::ua::Transport::Tcp => ";transport=tcp",
        };
        let uri = if self.profile.aor_domain.is_empty() {
            format!(
                "sip:{}@{}{transport}",
                self.spec.ua.contact_user, self.spec.ua.local
            )
        } else {
            format!(
                "sip:{}@{}{transport}",
                self.spec.ua.user, self.profile.aor_domain
            )
        };
        self.outputs.push_back(Output::Ready { uri });
    }
}
