//! One call of an endpoint: its state, its media ports and what is reported of it.

use std::sync::Arc;
use std::time::Instant;

use media::codec::{CodecId, EncodedClip};
use media::sdp::{Agreed, Direction, LocalMedia};
use media::stream::StreamConfig;
use shared::wire::CallReport;
use sip::ua::CallRef;

use super::spec::{LocalPorts, Profile};

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallState {
    /// Ports asked for; INVITE or answer not sent.
    Preparing,
    /// INVITE sent or received, not answered.
    Pending,
    /// 200 sent, ACK awaited (callee only).
    Answered,
    /// 200 and ACK exchanged.
    Up,
    /// BYE or CANCEL under way.
    Ending,
    /// Signalling is over; the media summary is awaited.
    Settling,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) reference: CallRef,
    /// Number inside the endpoint: names the stream.
    pub(super) number: u32,
    /// Whom we call; blank for a call that we receive.
    pub(super) target: String,
    pub(super) state: CallState,
    pub(super) ports: Option<LocalPorts>,
    pub(super) ssrc: u32,
    pub(super) sdp_version: u64,
    pub(super) offer: Option<bytes::Bytes>,
    pub(super) agreed: Option<Box<Agreed>>,
    pub(super) media_started: bool,
    pub(super) ringing_since: Option<Instant>,
    pub(super) answered_at: Option<Instant>,
    pub(super) report: CallReport,
}

impl Call {
    pub(super) fn new(reference: CallRef, number: u32, ssrc: u32, caller: bool) -> Self {
        Self {
            reference,
            number,
            target: String::new(),
            state: CallState::Preparing,
            ports: None,
            ssrc,
            sdp_version: 1,
            offer: None,
            agreed: None,
            media_started: false,
            ringing_since: None,
            answered_at: None,
            report: CallReport {
                caller,
                ..CallReport::default()
            },
        }
    }

    /// True from the moment a 200 crossed until the BYE.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, CallState::Answered | CallState::Up)
    }

    /// Our side of the session description.
    pub(super) fn local_media(&self, profile: &Profile, cname: String) -> Option<LocalMedia> {
        let ports = self.ports?;
        Some(LocalMedia {
            address: ports.rtp.ip(),
            rtp_port: ports.rtp.port(),
            rtcp_port: ports.rtcp.port(),
            rtcp_mux: profile.rtcp_mux,
            ssrc: self.ssrc,
            cname,
            codecs: profile.codecs.clone(),
            ptime_ms: profile.ptime_ms,
            direction: Direction::SendRecv,
            telephone_event: true,
            rtcp_xr: profile.rtcp_xr,
            session_id: u64::from(self.ssrc),
            session_version: self.sdp_version,
        })
    }
}

/// The stream that an agreement asks for.
pub(super) fn stream_config(
    agreed: &Agreed,
    profile: &Profile,
    ssrc: u32,
    cname: String,
    seed: u64,
) -> StreamConfig {
    let clip = clip_for(profile, agreed.codec, agreed.ptime_ms);
    // The clip decides the packetisation: a ptime that was asked for and is not loaded is a wish.
    let ptime_ms = clip.as_ref().map_or(profile.ptime_ms, |clip| clip.ptime_ms);
    StreamConfig {
        ssrc,
        cname,
        payload_type: agreed.send_payload_type,
        accept_payload_types: agreed.receive_payload_types.clone(),
        telephone_event: agreed.telephone_event,
        codec: agreed.codec,
        ptime_ms,
        plc: profile.plc,
        send: agreed.send && clip.is_some(),
        clip,
        receive: agreed.receive,
        first_sequence: u16::try_from(seed & 0x7fff).unwrap_or(0),
        first_timestamp: u32::try_from((seed >> 16) & 0xffff_ffff).unwrap_or(0),
        rtcp_interval: profile.rtcp_interval,
        rtcp_xr: profile.rtcp_xr,
        playout: profile.playout,
        sampled: profile.sampled_audio,
        ipv6: agreed.remote_rtp.is_ipv6(),
        seed,
    }
}

fn clip_for(profile: &Profile, codec: CodecId, ptime_ms: u32) -> Option<Arc<EncodedClip>> {
    let clips = profile.clips.as_ref()?;
    let with = |wanted: u32| {
        clips
            .iter()
            .find(|(of, clip)| *of == codec && clip.ptime_ms == wanted)
    };
    with(ptime_ms)
        .or_else(|| with(profile.ptime_ms))
        .map(|(_, clip)| Arc::clone(clip))
}

impl super::EndpointCore {
    /// True from the INVITE until the call and its figures are complete: it takes no other.
    #[must_use]
    pub fn in_call(&self) -> bool {
        self.call.is_some()
    }
}
