//! Between the endpoint and its SIP user agent: inputs down, messages and events up, and what they
//! count.

use std::time::Instant;

use shared::metric;
use shared::phase::Outcome;
use sip::ua;

use super::{EndpointCore, Output};

/// SIP messages of one input.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SipCounts {
    pub(super) sent: u32,
    pub(super) received: u32,
    pub(super) retransmits_sent: u32,
    pub(super) retransmits_received: u32,
    pub(super) unexpected: u32,
}

impl EndpointCore {
    /// Puts the SIP messages of this input into the meter.
    pub(super) fn flush_counts(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        for (metric, count) in [
            (metric::SIP_SENT, counts.sent),
            (metric::SIP_RECEIVED, counts.received),
            (metric::SIP_RETRANSMITS_SENT, counts.retransmits_sent),
            (
                metric::SIP_RETRANSMITS_RECEIVED,
                counts.retransmits_received,
            ),
            (metric::SIP_UNEXPECTED, counts.unexpected),
        ] {
            if count > 0 {
                self.sample(metric, count as f32);
            }
        }
    }

    pub(super) fn command(&mut self, now: Instant, command: ua::Command) {
        self.tell_ua(now, ua::Input::Command(command));
    }

    /// Hands the agent one input and performs all it puts out before anything else happens.
    pub(super) fn tell_ua(&mut self, now: Instant, input: ua::Input) {
        self.ua.handle(now, input);
        while let Some(output) = self.ua.poll() {
            match output {
                ua::Output::Transmit {
                    to,
                    bytes,
                    retransmission,
                } => {
                    self.counts.sent += 1;
                    self.counts.retransmits_sent += u32::from(retransmission);
                    self.note_call_id(&bytes);
                    let at = now.saturating_duration_since(self.begin);
                    self.trace.push(at, true, to.host.clone(), bytes.clone());
                    self.outputs.push_back(Output::Transmit { to, bytes });
                }
                ua::Output::Event(event) => self.event(now, event),
            }
        }
    }

    /// The agent chooses the Call-ID of a call we make; its first INVITE shows it.
    fn note_call_id(&mut self, bytes: &[u8]) {
        if let Some(call) = self
            .call
            .as_deref_mut()
            .filter(|call| call.report.call_id.is_empty())
            && let Some(scan) = sip::wire::scan::Scan::of(bytes)
            && scan.cseq_method == "INVITE"
        {
            scan.call_id.clone_into(&mut call.report.call_id);
        }
    }

    fn event(&mut self, now: Instant, event: ua::Event) {
        use ua::Event;
        match event {
            Event::RegistrationChallenged
            | Event::Registered { .. }
            | Event::RegistrationFailed { .. }
            | Event::Unregistered { .. }
            | Event::UnregisterFailed { .. } => self.registration_event(now, event),
            Event::CallSent { call }
            | Event::FirstResponse { call, .. }
            | Event::Progress { call, .. }
            | Event::Answered { call, .. }
            | Event::CallFailed { call, .. } => self.caller_event(now, call, event),
            Event::Incoming { .. }
            | Event::IncomingCancelled { .. }
            | Event::Confirmed { .. }
            | Event::AckMissing { .. } => self.callee_event(now, event),
            Event::RemoteBye { call } => self.remote_bye(now, call),
            Event::ByeCompleted { call, delay, code } => {
                self.bye_completed(now, call, delay, code);
            }
            Event::ByeFailed { call, code } => self.bye_failed(now, call, code),
            Event::Offer {
                call,
                body,
                method: _,
            } => self.offered(now, call, body),
            // The ACK of an offerless re-INVITE answers the offer of our 200.
            Event::OfferAnswered { call, body } => self.offer_answered(call, body),
            // We never offer a change and never ask OPTIONS in this script.
            Event::OfferRefused { .. } | Event::OptionsAnswered { .. } => {}
            Event::RetransmissionReceived { .. } => self.counts.retransmits_received += 1,
            Event::Unexpected { .. } => self.counts.unexpected += 1,
            Event::Warning { text } => self.conclude(Outcome::CompletedWithWarnings, text),
        }
    }
}
