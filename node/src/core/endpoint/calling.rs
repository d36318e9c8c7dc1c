//! The endpoint as caller: INVITE to 200 and ACK, or to a failure with its reason.

use std::time::{Duration, Instant};

use shared::metric;
use shared::phase::{Outcome, Phase};
use sip::ua::{CallRef, Command, Event, FailureKind};

use super::call::{Call, CallState};
use super::{EndpointCore, LocalPorts, Output, Script, millis};

impl EndpointCore {
    pub(super) fn dial(&mut self, now: Instant, target: String, due: Instant) {
        if self.script != Script::Active || self.call.is_some() {
            return;
        }
        self.sample_ms(metric::CALL_LATE, now.saturating_duration_since(due));
        // The attempt is due now: one that our own side cannot make is a failed one, not none.
        self.sample(metric::CALL_ATTEMPTS, 1.0);
        let number = self.next_number();
        let mut call = Call::new(CallRef(number), number, self.next_ssrc(), true);
        call.target = target;
        call.report.started_ms = self.since_begin_ms(now);
        self.call = Some(Box::new(call));
        self.outputs.push_back(Output::Reserve { call: number });
    }

    /// Ports for the call are there (or not): the INVITE, or the 200 as callee, can go.
    pub(super) fn reserved(
        &mut self,
        now: Instant,
        number: u32,
        ports: Result<LocalPorts, String>,
    ) {
        let cname = self.cname();
        let profile = std::rc::Rc::clone(&self.profile);
        let Some(call) = self.call.as_deref_mut().filter(|call| {
            let awaits = if call.report.caller {
                CallState::Preparing
            } else {
                CallState::Pending
            };
            call.number == number && call.state == awaits
        }) else {
            // The call ended meanwhile: nobody else will give the ports back.
            if ports.is_ok() {
                self.outputs.push_back(Output::StopMedia { call: number });
            }
            return;
        };
        let ports = match ports {
            Ok(ports) => ports,
            Err(sentence) => {
                self.conclude(Outcome::Oserror, sentence);
                self.no_ports(now);
                return;
            }
        };
        call.ports = Some(ports);
        if !call.report.caller {
            self.answer_with_media(now);
            return;
        }
        let Some(local) = call.local_media(&profile, cname) else {
            return;
        };
        let offer = media::sdp::offer(&local);
        let reference = call.reference;
        match sip::wire::Uri::parse(&call.target) {
            Ok(target) => {
                call.state = CallState::Pending;
                self.hang_up_at = Some(now + profile.ring_limit);
                let offer = Some(offer);
                self.command(
                    now,
                    Command::Invite {
                        call: reference,
                        target,
                        offer,
                    },
                );
                self.check_sent(now);
            }
            Err(error) => {
                let target = call.target.clone();
                let reason = format!("`{target}` is not a SIP URI that can be called: {error}");
                self.conclude(Outcome::CallFailed, reason);
                self.sample(metric::CALL_FAILED, 1.0);
                self.settle(now);
            }
        }
    }

    /// An agent that did not even send the INVITE will tell nothing more of the call.
    fn check_sent(&mut self, now: Instant) {
        let unsent = self
            .call
            .as_deref()
            .is_some_and(|call| call.state == CallState::Pending && call.report.call_id.is_empty());
        if unsent {
            let reason = "the INVITE was not sent: the agent has too many calls";
            self.conclude(Outcome::CallFailed, reason.to_owned());
            self.sample(metric::CALL_FAILED, 1.0);
            self.settle(now);
        }
    }

    pub(super) fn caller_event(&mut self, now: Instant, reference: CallRef, event: Event) {
        let started_ms = self.since_begin_ms(now);
        let Some(call) = self.call_with(reference) else {
            return;
        };
        match event {
            Event::CallSent { .. } => {
                call.report.started_ms = started_ms;
                self.phase_to(Phase::Calling);
            }
            Event::FirstResponse { delay, .. } => self.sample_ms(metric::CALL_TTFR, delay),
            Event::Progress { code, delay, .. } => {
                if call.report.pdd_ms.is_none() {
                    call.report.pdd_ms = Some(millis(delay));
                }
                if code == 180 && call.ringing_since.is_none() {
                    call.ringing_since = Some(now);
                }
                self.phase_to(Phase::Ringing);
            }
            Event::Answered {
                code, body, delay, ..
            } => {
                self.answered(now, code, body.as_ref(), delay);
            }
            Event::CallFailed {
                code,
                reason,
                kind,
                delay,
                ..
            } => {
                self.call_failed(now, code, reason, kind, delay);
            }
            // Not a caller's event.
            _ => {}
        }
    }

    fn answered(&mut self, now: Instant, code: u16, body: Option<&bytes::Bytes>, delay: Duration) {
        let call_duration = self.profile.call_duration;
        let leave_at = self.leave_at();
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        call.report.code = Some(code);
        call.report.setup_ms = Some(millis(delay));
        // RFC 6076 §4.3.1: the 200 counts where no provisional answer above 100 came.
        let pdd_ms = *call.report.pdd_ms.get_or_insert(millis(delay));
        call.answered_at = Some(now);
        let given_up = call.state == CallState::Ending;
        let ring = call.ringing_since.map(|since| now.duration_since(since));
        if given_up {
            // The 200 crossed our CANCEL; the agent ends the dialog with BYE.
            return;
        }
        call.report.established = true;
        call.state = CallState::Up;
        self.call_code = Some(code);
        self.hang_up_at = Some(call_duration.map_or(leave_at, |span| (now + span).min(leave_at)));
        self.sample(metric::CALL_ESTABLISHED, 1.0);
        self.sample_ms(metric::CALL_SETUP, delay);
        self.sample(metric::CALL_PDD, pdd_ms);
        if let Some(ring) = ring {
            self.sample_ms(metric::CALL_RING, ring);
        }
        self.phase_to(Phase::Negotiating);
        if self.take_answer(body) {
            self.phase_to(Phase::Incall);
        } else {
            self.hang_up(now);
        }
    }

    fn call_failed(
        &mut self,
        now: Instant,
        code: Option<u16>,
        reason: String,
        kind: FailureKind,
        delay: Duration,
    ) {
        let ring_limit = self.profile.ring_limit;
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        let given_up = call.state == CallState::Ending;
        let target = call.target.clone();
        // RFC 6076 §4.3.2: to the first provisional answer or, where none came, to the failure.
        let srd_ms = call.report.pdd_ms.unwrap_or(millis(delay));
        call.report.code = code;
        call.state = CallState::Ending;
        self.call_code = code;
        self.call_reason = Some(reason.clone());
        self.sample(metric::CALL_FAILED, 1.0);
        self.sample(metric::CALL_SRD_FAILED, srd_ms);
        let (outcome, sentence) = match kind {
            _ if given_up && self.stopping() => (
                Outcome::CompletedWithWarnings,
                format!("the run was stopped before {target} answered"),
            ),
            FailureKind::Cancelled | FailureKind::Timeout if given_up => (
                Outcome::Timeout,
                format!(
                    "{target} did not answer before the duration or the ring limit of {} s was over: CANCEL was sent",
                    ring_limit.as_secs()
                ),
            ),
            // RFC 3261 §21.4.26, §21.6.4: the far end understood us and refused the session.
            FailureKind::Refused if matches!(code, Some(488 | 606)) => (
                Outcome::NegotiationFailed,
                format!("{target} refused the session: {reason}"),
            ),
            FailureKind::Refused | FailureKind::Cancelled => {
                let code = code.map_or(String::new(), |code| format!(" with {code}"));
                (
                    Outcome::CallFailed,
                    format!("{target} refused the call{code}: {reason}"),
                )
            }
            FailureKind::Timeout => (
                Outcome::Timeout,
                format!("no final answer to the INVITE for {target}: {reason}"),
            ),
            FailureKind::Transport => (
                Outcome::Oserror,
                format!("the INVITE for {target} could not be sent: {reason}"),
            ),
            FailureKind::Protocol => (
                Outcome::CallFailed,
                format!("unusable answer from {target}: {reason}"),
            ),
        };
        self.conclude(outcome, sentence);
        self.settle(now);
    }

    /// Two streams of one run never share an SSRC by more than chance: 32 bits from the seed.
    pub(super) fn next_ssrc(&mut self) -> u32 {
        // SplitMix64's step: the seed of this endpoint, moved on by one for each stream.
        self.spec.seed = self.spec.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.spec.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(1)
    }
}
