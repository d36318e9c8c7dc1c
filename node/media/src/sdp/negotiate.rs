//! The offer/answer model for one audio stream: answering an offer, accepting an answer.
//!
//! Owns: the choice of line, codec, payload types, direction and packet length.
//! Never: prints or parses a line itself. Source: RFC 3264 §6, §7, §8.4.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::peer::{Line, Payload, Peer, excerpt};
use super::write::{Format, audio, offered, session};
use super::{Agreed, Direction, LocalMedia, NegotiationError};
use crate::codec::CodecId;

/// Answers an offer.
///
/// Shape: the offer's octets in; our answer and what was agreed out. Every media line of the
/// offer is answered in order; all but the first usable audio line with port 0. The codec is the
/// offer's first that we have; the answer names it alone, and events where both want them.
/// Errors: every variant of [`NegotiationError`]; the caller refuses the offer with 488.
/// Bounds: O(octets), below 20 µs for a usual offer. Never panics, whatever the octets.
/// Source: RFC 3264 §6, §6.1.
///
/// # Errors
/// See above.
pub fn answer(local: &LocalMedia, offer: &[u8]) -> Result<(Bytes, Agreed), NegotiationError> {
    let peer = Peer::read(offer)?;
    let (chosen, line) = usable(&peer, local)?;
    let ours: Vec<Format> = local
        .codecs
        .iter()
        .map(|codec| Format::Codec(0, *codec))
        .collect();
    let (payload, codec) = common(line, &ours).ok_or_else(|| no_common(&peer, local))?;
    // RFC 3264 §6.1: the answer uses the offer's numbers, so both directions have the same.
    let events = local.telephone_event.then(|| events(line, codec)).flatten();
    let mut formats = vec![Format::Codec(payload, codec)];
    formats.extend(events.map(|number| Format::Events(number, codec.clock_rate())));
    let mut receive: SmallVec<[u8; 4]> = smallvec![payload];
    receive.extend(events);
    let agreed = agree(
        local,
        &peer,
        line,
        Chosen {
            codec,
            send: payload,
            receive,
            events,
        },
    )?;

    let direction = Direction::of(agreed.send, agreed.receive);
    let mut text = session(local);
    for (index, other) in peer.lines.iter().enumerate() {
        if index == chosen {
            audio(&mut text, local, &formats, direction, agreed.rtcp_mux);
        } else {
            // RFC 3264 §6: a refused stream has port 0 and at least one format.
            let _ = write!(
                text,
                "m={} 0 {} {}\r\n",
                other.kind, other.profile, other.formats
            );
        }
    }
    Ok((Bytes::from(text), agreed))
}

/// Takes the answer to [`offer`](super::offer) of the same `LocalMedia`.
///
/// Errors: every variant of [`NegotiationError`]; the caller ends the call.
/// Bounds: as [`answer`]. Source: RFC 3264 §7.
///
/// # Errors
/// See above.
pub fn accept(local: &LocalMedia, answer: &[u8]) -> Result<Agreed, NegotiationError> {
    let mut peer = Peer::read(answer)?;
    if peer.lines.len() > 1 {
        peer.warnings.push(format!(
            "the answer has {} media lines, the offer had one",
            peer.lines.len()
        ));
    }
    let ours = offered(local);
    adopt_unmapped(&mut peer, &ours);
    let (_, line) = usable(&peer, local)?;
    let (send, codec) = common(line, &ours).ok_or_else(|| no_common(&peer, local))?;
    let events = local.telephone_event.then(|| events(line, codec)).flatten();
    let receive = ours
        .iter()
        .filter_map(|format| match format {
            Format::Codec(number, have) if *have == codec => Some(*number),
            Format::Events(number, clock) if events.is_some() && *clock == codec.clock_rate() => {
                Some(*number)
            }
            Format::Codec(..) | Format::Events(..) => None,
        })
        .collect();
    agree(
        local,
        &peer,
        line,
        Chosen {
            codec,
            send,
            receive,
            events,
        },
    )
}

/// What was chosen from the formats.
struct Chosen {
    codec: CodecId,
    send: u8,
    receive: SmallVec<[u8; 4]>,
    events: Option<u8>,
}

fn agree(
    local: &LocalMedia,
    peer: &Peer,
    line: &Line,
    chosen: Chosen,
) -> Result<Agreed, NegotiationError> {
    let address = line
        .address
        .clone()
        .map_err(|reason| NegotiationError::Address { reason })?;
    if address.is_ipv4() != local.address.to_canonical().is_ipv4() && !address.is_unspecified() {
        let reason = format!(
            "it is {address}, ours is {}: the families differ",
            local.address
        );
        return Err(NegotiationError::Address { reason });
    }
    // RFC 3264 §8.4: the old way to hold is the unspecified address; nothing may be sent to it.
    let peer_receives = line.direction.receives() && !address.is_unspecified();
    let rtcp_mux = local.rtcp_mux && line.rtcp_mux;
    let mut warnings = peer.warnings.clone();
    let ptime_ms = packet_length(local, line, chosen.codec, &mut warnings);
    Ok(Agreed {
        codec: chosen.codec,
        send_payload_type: chosen.send,
        receive_payload_types: chosen.receive,
        telephone_event: chosen.events,
        remote_rtp: SocketAddr::new(address, line.port),
        remote_rtcp: rtcp_target(address, line, rtcp_mux),
        rtcp_mux,
        ptime_ms,
        send: local.direction.sends() && peer_receives,
        receive: local.direction.receives() && line.direction.sends(),
        remote_ssrc: line.ssrc,
        remote_hold: !peer_receives,
        rtcp_xr: local.rtcp_xr && line.voip_metrics,
        warnings,
    })
}

/// The first audio line that can be used, with its position.
fn usable<'a>(peer: &'a Peer, local: &LocalMedia) -> Result<(usize, &'a Line), NegotiationError> {
    let mut refused = false;
    let mut profile = None;
    let mut without_codec = None;
    for (index, line) in peer.lines.iter().enumerate() {
        if !line.kind.eq_ignore_ascii_case("audio") {
            continue;
        }
        if line.port == 0 {
            refused = true;
        } else if !line.profile.eq_ignore_ascii_case("RTP/AVP") {
            profile.get_or_insert(&line.profile);
        } else if local
            .codecs
            .iter()
            .any(|codec| find(line, *codec).is_some())
        {
            return Ok((index, line));
        } else {
            without_codec.get_or_insert(line);
        }
    }
    if without_codec.is_some() {
        return Err(no_common(peer, local));
    }
    if let Some(profile) = profile {
        return Err(NegotiationError::Profile {
            profile: excerpt(profile),
        });
    }
    if refused {
        return Err(NegotiationError::Refused);
    }
    let found: Vec<String> = peer.lines.iter().map(|line| excerpt(&line.kind)).collect();
    let found = if found.is_empty() {
        "no media line at all".to_owned()
    } else {
        found.join(", ")
    };
    Err(NegotiationError::NoAudio { found })
}

/// The line's first codec that is among ours, in the line's order, with the line's number.
fn common(line: &Line, ours: &[Format]) -> Option<(u8, CodecId)> {
    line.payloads.iter().find_map(|payload| {
        ours.iter().find_map(|format| match format {
            Format::Codec(_, codec) if payload.is(codec.name(), codec.clock_rate()) => {
                Some((payload.number, *codec))
            }
            Format::Codec(..) | Format::Events(..) => None,
        })
    })
}

fn find(line: &Line, codec: CodecId) -> Option<&Payload> {
    line.payloads
        .iter()
        .find(|payload| payload.is(codec.name(), codec.clock_rate()))
}

/// RFC 4733 §2.1: events share the timestamps of the audio, so the clock must be the codec's.
fn events(line: &Line, codec: CodecId) -> Option<u8> {
    line.payloads
        .iter()
        .find(|payload| payload.is("telephone-event", codec.clock_rate()))
        .map(|payload| payload.number)
}

/// An answer may leave out `a=rtpmap` for a number that only our offer explained.
fn adopt_unmapped(peer: &mut Peer, ours: &[Format]) {
    for payload in peer
        .lines
        .iter_mut()
        .flat_map(|line| line.payloads.iter_mut())
    {
        if payload.mapping.is_some() {
            continue;
        }
        payload.mapping = ours.iter().find_map(|format| match format {
            Format::Codec(number, codec) if *number == payload.number => {
                Some((codec.name().to_owned(), codec.clock_rate()))
            }
            Format::Events(number, clock) if *number == payload.number => {
                Some(("telephone-event".to_owned(), *clock))
            }
            Format::Codec(..) | Format::Events(..) => None,
        });
    }
}

fn no_common(peer: &Peer, local: &LocalMedia) -> NegotiationError {
    let theirs: Vec<String> = peer
        .lines
        .iter()
        .filter(|line| line.kind.eq_ignore_ascii_case("audio"))
        .flat_map(|line| line.payloads.iter().take(MAX_LISTED).map(Payload::describe))
        .take(MAX_LISTED)
        .collect();
    let ours: Vec<&str> = local.codecs.iter().map(|codec| codec.name()).collect();
    let theirs = if theirs.is_empty() {
        "none".to_owned()
    } else {
        theirs.join(", ")
    };
    NegotiationError::NoCommonCodec {
        theirs,
        ours: ours.join(", "),
    }
}

/// RFC 3605 §2.1: without `a=rtcp` it is the next port.
fn rtcp_target(address: IpAddr, line: &Line, rtcp_mux: bool) -> SocketAddr {
    match line.rtcp {
        _ if rtcp_mux => SocketAddr::new(address, line.port),
        Some((port, other)) => SocketAddr::new(other.unwrap_or(address), port),
        None => SocketAddr::new(address, line.port.saturating_add(1)),
    }
}

/// What the peer would like to receive, where the codec can make it; ours where it says nothing.
fn packet_length(
    local: &LocalMedia,
    line: &Line,
    codec: CodecId,
    warnings: &mut Vec<String>,
) -> u32 {
    let most = line.maxptime_ms.unwrap_or(u32::MAX);
    let wish = line.ptime_ms.unwrap_or(local.ptime_ms).min(most);
    let made = (1..=wish).rev().find(|ptime| codec.supports_ptime(*ptime));
    let ptime_ms = made.unwrap_or(local.ptime_ms);
    if ptime_ms != wish {
        warnings.push(format!(
            "the peer wants packets of {wish} ms; {ptime_ms} ms are sent"
        ));
    }
    ptime_ms
}

/// Enough to see what a peer has.
const MAX_LISTED: usize = 16;

#[cfg(test)]
mod tests;
