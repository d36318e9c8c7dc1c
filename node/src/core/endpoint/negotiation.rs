//! Offer and answer meet the media engine: what was agreed becomes a stream, and changes of it.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use media::sdp::Agreed;
use media::stream::StreamSummary;
use shared::phase::Outcome;
use sip::ua::{CallRef, Command};

use super::call::{CallState, stream_config};
use super::{EndpointCore, MediaStart, Output};

impl EndpointCore {
    /// Reads the answer to our offer and starts the stream. False where nothing can flow: the
    /// outcome says why.
    pub(super) fn take_answer(&mut self, body: Option<&Bytes>) -> bool {
        let cname = self.cname();
        let profile = std::rc::Rc::clone(&self.profile);
        let Some(call) = self.call.as_deref_mut() else {
            return false;
        };
        let Some(local) = call.local_media(&profile, cname) else {
            return false;
        };
        let accepted = match body {
            Some(body) => media::sdp::accept(&local, body).map_err(|error| error.to_string()),
            None => Err("the answer has no session description".to_owned()),
        };
        match accepted {
            Ok(agreed) => {
                self.start_media(agreed, true);
                true
            }
            Err(error) => {
                let reason = format!("the far end's answer cannot be used: {error}");
                self.conclude(Outcome::NegotiationFailed, reason);
                false
            }
        }
    }

    pub(super) fn start_media(&mut self, agreed: Agreed, speak: bool) {
        if let Some(warning) = agreed.warnings.first() {
            self.conclude(Outcome::CompletedWithWarnings, warning.clone());
        }
        let cname = self.cname();
        let seed = self.spec.seed;
        let profile = std::rc::Rc::clone(&self.profile);
        let Some(call) = self.call.as_deref_mut() else {
            return;
        };
        let signalling_only = profile.clips.is_none();
        if !signalling_only {
            let mut stream = stream_config(&agreed, &profile, call.ssrc, cname, seed);
            stream.send &= speak;
            let start = MediaStart {
                call: call.number,
                remote_rtp: agreed.remote_rtp,
                remote_rtcp: agreed.remote_rtcp,
                remote_ssrc: agreed.remote_ssrc,
                stream,
            };
            call.media_started = true;
            self.outputs.push_back(Output::StartMedia(Box::new(start)));
        }
        if let Some(call) = self.call.as_deref_mut() {
            call.agreed = Some(Box::new(agreed));
        }
    }

    /// Applies the agreement's direction and far end to the running stream.
    pub(super) fn redirect_media(&mut self) {
        let Some(call) = self.call.as_deref() else {
            return;
        };
        let Some(agreed) = call.agreed.as_deref().filter(|_| call.media_started) else {
            return;
        };
        self.outputs.push_back(Output::RedirectMedia {
            call: call.number,
            remote_rtp: agreed.remote_rtp,
            remote_rtcp: agreed.remote_rtcp,
            send: agreed.send,
            receive: agreed.receive,
        });
    }

    /// The far end changes the session: re-INVITE or UPDATE (RFC 3261 §14, RFC 3311).
    pub(super) fn offered(&mut self, now: Instant, reference: CallRef, body: Option<Bytes>) {
        let cname = self.cname();
        let profile = std::rc::Rc::clone(&self.profile);
        let Some(call) = self.call_with(reference).filter(|call| call.is_live()) else {
            self.command(
                now,
                Command::RejectOffer {
                    call: reference,
                    code: 481,
                },
            );
            return;
        };
        call.sdp_version += 1;
        let Some(mut local) = call.local_media(&profile, cname) else {
            return;
        };
        // The stream keeps its codec and, as RFC 3264 §8.3.2 wants, its payload type.
        let running = call.agreed.as_deref();
        let running = running.map(|agreed| (agreed.codec, agreed.send_payload_type));
        if let Some((codec, _)) = running {
            local.codecs.retain(|known| *known == codec);
        }
        let Some(offer) = body else {
            // An offerless re-INVITE asks for our full offer; its answer comes with the ACK.
            let body = media::sdp::offer(&local);
            self.command(
                now,
                Command::AnswerOffer {
                    call: reference,
                    body,
                },
            );
            return;
        };
        let same =
            |agreed: &Agreed| running.is_none_or(|(_, kind)| kind == agreed.send_payload_type);
        match media::sdp::answer(&local, &offer) {
            Ok((body, agreed)) if same(&agreed) => {
                call.agreed = Some(Box::new(agreed));
                self.redirect_media();
                self.command(
                    now,
                    Command::AnswerOffer {
                        call: reference,
                        body,
                    },
                );
            }
            Ok(_) | Err(_) => self.command(
                now,
                Command::RejectOffer {
                    call: reference,
                    code: 488,
                },
            ),
        }
    }

    /// The answer to the offer that our 200 to an offerless re-INVITE carried.
    pub(super) fn offer_answered(&mut self, reference: CallRef, body: Option<Bytes>) {
        let cname = self.cname();
        let profile = std::rc::Rc::clone(&self.profile);
        let Some(call) = self.call_with(reference).filter(|call| call.is_live()) else {
            return;
        };
        let (Some(local), Some(body)) = (call.local_media(&profile, cname), body) else {
            return;
        };
        match media::sdp::accept(&local, &body) {
            Ok(agreed) => {
                call.agreed = Some(Box::new(agreed));
                self.redirect_media();
            }
            Err(error) => {
                let reason = format!("the answer in an ACK changes nothing: {error}");
                self.conclude(Outcome::CompletedWithWarnings, reason);
            }
        }
    }

    pub(super) fn media_refused(&mut self, now: Instant, number: u32, what: String) {
        let Some(call) = self
            .call
            .as_deref_mut()
            .filter(|call| call.number == number)
        else {
            return;
        };
        call.media_started = false;
        // The reservation went with the refused start: there is nothing left to stop.
        call.ports = None;
        self.conclude(Outcome::Oserror, format!("media cannot flow: {what}"));
        self.hang_up(now);
    }

    /// A peer without RTCP refuses our reports; that says nothing against its call.
    pub(super) fn media_trouble(&mut self, number: u32, address: Option<SocketAddr>, what: String) {
        let Some(call) = self.call.as_deref().filter(|call| call.number == number) else {
            return;
        };
        let only_rtcp = call.agreed.as_deref().is_some_and(|agreed| {
            Some(agreed.remote_rtcp) == address && agreed.remote_rtcp != agreed.remote_rtp
        });
        // What meets a closed port after the hang-up was under way when the port closed.
        if !only_rtcp && call.is_live() {
            self.conclude(Outcome::CompletedWithWarnings, what);
        }
    }

    pub(super) fn media_ended(&mut self, now: Instant, number: u32, summary: &StreamSummary) {
        let Some(call) = self
            .call
            .as_deref_mut()
            .filter(|call| call.number == number)
        else {
            return;
        };
        let report =
            crate::core::quality::media_report(summary, call.agreed.as_deref(), call.ports);
        let hears = call.agreed.as_deref().is_some_and(|agreed| agreed.receive);
        let lasted = call.report.duration_ms.is_some_and(|ms| ms >= SILENCE_MS);
        let silent = call.report.established
            && hears
            && lasted
            && report.rx_packets == 0
            && report.tx_packets > 0;
        call.report.media = Some(report);
        call.media_started = false;
        let settling = call.state == CallState::Settling;
        if silent {
            let reason = "no RTP came from the far end during the whole call";
            self.conclude(Outcome::CompletedWithWarnings, reason.to_owned());
        }
        if settling {
            self.call_over(now);
        }
    }
}

/// A shorter call may end before the first packet of the far end comes.
const SILENCE_MS: f32 = 1_000.0;
