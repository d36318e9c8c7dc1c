//! `[groups.NAME]`, or `[[groups]]` with a `name`.

use std::net::SocketAddr;

use super::super::mistake::{Mistakes, Spot};
use super::super::{Group, Target, Transport};
use super::accounts::{self, AccountsDraft};
use super::section::{Given, Named, Section};
use super::target::{self, TargetDraft};
use super::{Source, media, placement, registrar};
use crate::units::Millis;

/// A group whose names are not looked up yet, with the places that cross checks point at.
pub(super) struct GroupDraft {
    /// Everything that needs no other part of the file.
    pub(super) group: Group,
    /// The group's own table.
    pub(super) spot: Spot,
    pub(super) registrar: Option<Given<String>>,
    pub(super) target: TargetDraft,
    pub(super) accounts: AccountsDraft,
    pub(super) count: CountDraft,
    pub(super) call_duration: Option<Given<Millis>>,
    pub(super) ring_time: Option<Given<Millis>>,
    pub(super) sip_bind: Option<Given<SocketAddr>>,
}

/// How many endpoints, as far as it was said.
pub(super) enum CountDraft {
    /// One for each account.
    Absent,
    Broken,
    Given(Given<u32>),
}

pub(super) fn read(
    named: Named<'_, '_>,
    source: Source<'_>,
    mistakes: &mut Mistakes<'_>,
) -> GroupDraft {
    let Named { name, mut section } = named;
    let s = &mut section;
    let count = count(s, mistakes);
    let registrar = s.text("registrar", mistakes);
    let accounts = accounts::read(s, source, mistakes);
    let target = target::read(s, s.has("registrar"), mistakes);
    let codecs = media::codecs(s, mistakes);
    let ptime_ms = media::ptime(s, &codecs, mistakes);
    let media = media::media(s, source, mistakes);
    let call_duration = s.duration(
        "call_duration",
        CALL_DURATION_MIN,
        CALL_DURATION_MAX,
        mistakes,
    );
    let ring_time = s.duration("ring_time", Millis(0), RING_TIME_MAX, mistakes);
    let sip_bind = sip_bind(s, mistakes);
    let transport = transport(s, mistakes);
    let rtcp_interval = s.duration(
        "rtcp_interval",
        RTCP_INTERVAL_MIN,
        RTCP_INTERVAL_MAX,
        mistakes,
    );
    let group = Group {
        name: name.value,
        count: 0,
        registrar: None,
        accounts: Vec::new(),
        target: Target::Nobody,
        codecs,
        media,
        ptime_ms,
        call_duration: call_duration.as_ref().map(|given| given.value),
        ring_time: ring_time.as_ref().map_or(Millis(0), |given| given.value),
        sip_bind: sip_bind.as_ref().map(|given| given.value),
        sip_socket_per_endpoint: s.flag("sip_socket_per_endpoint", mistakes).unwrap_or(false),
        transport,
        sockets: media::sockets(s, mistakes),
        rtcp_mux: s.flag("rtcp_mux", mistakes).unwrap_or(true),
        rtcp_interval: rtcp_interval.map_or(RTCP_INTERVAL_DEFAULT, |given| given.value),
        rtcp_xr: s.flag("rtcp_xr", mistakes).unwrap_or(true),
        playout: media::playout(s, mistakes),
        plc: s.flag("plc", mistakes).unwrap_or(true),
        dscp_rtp: media::dscp(s, "dscp_rtp", media::DSCP_RTP_DEFAULT, mistakes),
        dscp_sip: media::dscp(s, "dscp_sip", media::DSCP_SIP_DEFAULT, mistakes),
        region: placement::region(s, mistakes),
        nodes: placement::nodes(s, mistakes),
    };
    let spot = Spot {
        at: section.spot().at,
        key: section.spot().key.clone(),
    };
    section.finish(mistakes);
    GroupDraft {
        group,
        spot,
        registrar,
        target,
        accounts,
        count,
        call_duration,
        ring_time,
        sip_bind,
    }
}

fn count(section: &mut Section<'_, '_>, mistakes: &mut Mistakes<'_>) -> CountDraft {
    if !section.has("count") {
        // Marks the key as known, so that a misspelt one finds it.
        section.take("count");
        return CountDraft::Absent;
    }
    let given = section.integer("count", 1, ENDPOINTS_MAX, mistakes);
    given.map_or(CountDraft::Broken, CountDraft::Given)
}

fn sip_bind(
    section: &mut Section<'_, '_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Given<SocketAddr>> {
    let given = section.text("sip_bind", mistakes)?;
    if let Ok(value) = given.value.parse::<SocketAddr>() {
        return Some(Given {
            value,
            spot: given.spot,
        });
    }
    let message = format!(
        "`{}` is not address:port; write \"127.0.0.1:5060\" or \"[::1]:5060\"",
        given.value
    );
    mistakes.add(&given.spot, message);
    None
}

/// Only for groups without a registrar; a registrar has its own.
fn transport(section: &mut Section<'_, '_>, mistakes: &mut Mistakes<'_>) -> Transport {
    let given = registrar::transport(section, mistakes);
    if let (Some(given), true) = (&given, section.has("registrar")) {
        let message = "is the registrar's to say; write it in the registrar's table";
        mistakes.add(&given.spot, message);
    }
    given.map_or(Transport::Udp, |given| given.value)
}

/// Endpoints of one run: the registered endpoints that one machine is designed for, twice.
pub(super) const ENDPOINTS_MAX: u32 = 200_000;
const CALL_DURATION_MIN: Millis = Millis(1_000);
const CALL_DURATION_MAX: Millis = Millis(7 * 86_400_000);
/// RFC 3261 §16.6: a proxy may end an unanswered INVITE after three minutes (Timer C).
const RING_TIME_MAX: Millis = Millis(180_000);
/// RFC 3550 §6.2 recommends 5 s at least; a second gives each second its own RTT.
const RTCP_INTERVAL_DEFAULT: Millis = Millis(1_000);
const RTCP_INTERVAL_MIN: Millis = Millis(200);
const RTCP_INTERVAL_MAX: Millis = Millis(60_000);
