//! Reading a peer's description into what negotiation needs, as leniently as can be done honestly.
//!
//! Owns: the repair of descriptions that the parser refuses, and the finding that they were so.
//! Never: decides. Source: RFC 8866, RFC 3551 §6, RFC 3605 §2.1, RFC 5576 §4.1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sdp_types::{Attribute, Connection, Media, Session};

use super::error::MAX_OCTETS;
use super::{Direction, NegotiationError, fix};

/// A peer's whole description.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its media lines, in order.
    pub(super) lines: Vec<Line>,
    /// Findings, a sentence each.
    pub(super) warnings: Vec<String>,
}

/// A media line.
#[derive(Debug)]
pub(super) struct Line {
    /// `audio`, `video`, … as written.
    pub(super) kind: String,
    pub(super) port: u16,
    /// The transport profile as written.
    pub(super) profile: String,
    /// The formats as written: payload types for RTP.
    pub(super) formats: String,
    pub(super) payloads: Vec<Payload>,
    /// Where media goes, or why that cannot be said.
    pub(super) address: Result<IpAddr, String>,
    pub(super) direction: Direction,
    /// `a=rtcp`: the port, and the address where it is not that of the media.
    pub(super) rtcp: Option<(u16, Option<IpAddr>)>,
    pub(super) rtcp_mux: bool,
    pub(super) ptime_ms: Option<u32>,
    pub(super) maxptime_ms: Option<u32>,
    pub(super) ssrc: Option<u32>,
    pub(super) voip_metrics: bool,
}

/// A payload type of a media line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) number: u8,
    /// Name and clock; none for a dynamic number without `a=rtpmap`.
    pub(super) mapping: Option<(String, u32)>,
}

impl Payload {
    /// True where the name, without regard to case, and the clock are these.
    pub(super) fn is(&self, name: &str, clock: u32) -> bool {
        self.mapping
            .as_ref()
            .is_some_and(|(have, rate)| have.eq_ignore_ascii_case(name) && *rate == clock)
    }

    /// For people: `PCMU/8000` or `type 97 without rtpmap`.
    pub(super) fn describe(&self) -> String {
        match &self.mapping {
            Some((name, clock)) => format!("{}/{clock}", excerpt(name)),
            None => format!("type {} without rtpmap", self.number),
        }
    }
}

impl Peer {
    /// Reads a description.
    pub(super) fn read(body: &[u8]) -> Result<Self, NegotiationError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(NegotiationError::Missing);
        }
        if body.len() > MAX_OCTETS {
            return Err(NegotiationError::TooLarge { octets: body.len() });
        }
        let mut warnings = Vec::new();
        let session = match Session::parse(body) {
            Ok(session) => session,
            Err(first) => {
                warnings.push(format!(
                    "peer SDP was invalid: {}",
                    excerpt(&first.to_string())
                ));
                Session::parse(&fix::clean(body)).map_err(|error| NegotiationError::Unreadable {
                    reason: excerpt(&error.to_string()),
                })?
            }
        };
        if session.medias.len() > MAX_LINES {
            return Err(NegotiationError::TooLarge { octets: body.len() });
        }
        let lines = session
            .medias
            .iter()
            .map(|media| line(&session, media, &mut warnings))
            .collect();
        Ok(Self { lines, warnings })
    }
}

fn line(session: &Session, media: &Media, warnings: &mut Vec<String>) -> Line {
    Line {
        kind: media.media.clone(),
        port: media.port,
        profile: media.proto.clone(),
        formats: media.fmt.clone(),
        payloads: payloads(media, warnings),
        address: address(media.connections.first().or(session.connection.as_ref())),
        direction: direction(&media.attributes)
            .or_else(|| direction(&session.attributes))
            .unwrap_or_default(),
        rtcp: value(&media.attributes, "rtcp").and_then(rtcp),
        rtcp_mux: flag(&media.attributes, "rtcp-mux"),
        ptime_ms: value(&media.attributes, "ptime").and_then(milliseconds),
        maxptime_ms: value(&media.attributes, "maxptime").and_then(milliseconds),
        ssrc: value(&media.attributes, "ssrc")
            .and_then(|text| text.split_whitespace().next()?.parse().ok()),
        // RFC 3611 §5.1 allows the attribute at both levels.
        voip_metrics: media
            .attributes
            .iter()
            .chain(&session.attributes)
            .filter(|attribute| attribute.attribute.eq_ignore_ascii_case("rtcp-xr"))
            .filter_map(|attribute| attribute.value.as_deref())
            .any(|text| {
                text.split_whitespace()
                    .any(|word| word.starts_with("voip-metrics"))
            }),
    }
}

/// The numbers of the `m=` line, in order, with their mappings.
fn payloads(media: &Media, warnings: &mut Vec<String>) -> Vec<Payload> {
    let maps: Vec<(u8, (String, u32))> = media
        .attributes
        .iter()
        .filter(|attribute| attribute.attribute.eq_ignore_ascii_case("rtpmap"))
        .filter_map(|attribute| attribute.value.as_deref())
        .filter_map(|text| {
            let map = rtpmap(text);
            if map.is_none() && warnings.len() < MAX_WARNINGS {
                warnings.push(format!("peer SDP was invalid: a=rtpmap:{}", excerpt(text)));
            }
            map
        })
        .take(MAX_FORMATS)
        .collect();
    let mut payloads: Vec<Payload> = Vec::new();
    for number in media.fmt.split_whitespace().take(MAX_FORMATS) {
        // RFC 3550 §5.1: the field has seven bits.
        let Some(number) = number.parse::<u8>().ok().filter(|number| *number < 128) else {
            continue;
        };
        if payloads.iter().any(|payload| payload.number == number) {
            continue;
        }
        let mapping = maps
            .iter()
            .find(|(mapped, _)| *mapped == number)
            .map(|(_, mapping)| mapping.clone())
            .or_else(|| static_mapping(number));
        payloads.push(Payload { number, mapping });
    }
    payloads
}

/// `8 PCMA/8000/1`; the number of channels does not tell our codecs apart.
fn rtpmap(text: &str) -> Option<(u8, (String, u32))> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut parts = words.next()?.split('/');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let clock = parts.next()?.parse().ok()?;
    // G.722 samples at 16 kHz but RFC 3551 §4.5.2 says 8000; some write what they sample at.
    let clock = if name.eq_ignore_ascii_case("G722") && clock == 16_000 {
        8_000
    } else {
        clock
    };
    Some((number, (name.to_owned(), clock)))
}

/// What a number means without `a=rtpmap` (RFC 3551 §6 table 4).
fn static_mapping(number: u8) -> Option<(String, u32)> {
    let (name, clock) = match number {
        0 => ("PCMU", 8_000),
        3 => ("GSM", 8_000),
        4 => ("G723", 8_000),
        5 => ("DVI4", 8_000),
        6 => ("DVI4", 16_000),
        7 => ("LPC", 8_000),
        8 => ("PCMA", 8_000),
        9 => ("G722", 8_000),
        10 | 11 => ("L16", 44_100),
        12 => ("QCELP", 8_000),
        13 => ("CN", 8_000),
        14 => ("MPA", 90_000),
        15 => ("G728", 8_000),
        16 => ("DVI4", 11_025),
        17 => ("DVI4", 22_050),
        18 => ("G729", 8_000),
        _ => return None,
    };
    Some((name.to_owned(), clock))
}

fn address(connection: Option<&Connection>) -> Result<IpAddr, String> {
    let connection = connection.ok_or_else(|| "there is no c= line".to_owned())?;
    let text = connection.connection_address.trim();
    // A multicast address may carry a TTL and a count (RFC 8866 §5.7).
    let bare = text.split('/').next().unwrap_or_default();
    let address = parse_address(bare).ok_or_else(|| {
        format!(
            "c= has {}, an IP address is needed",
            excerpt(if bare.is_empty() { "nothing" } else { bare })
        )
    })?;
    if address.is_multicast() {
        return Err(format!("c= has the multicast address {address}"));
    }
    Ok(address)
}

/// IPv4, or IPv6 with or without brackets; IPv4-mapped addresses become IPv4.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let v4 = bare.parse::<Ipv4Addr>().map(IpAddr::V4);
    let address = v4
        .or_else(|_| bare.parse::<Ipv6Addr>().map(IpAddr::V6))
        .ok()?;
    Some(address.to_canonical())
}

/// `53020` or `53020 IN IP6 2001:db8::1`.
fn rtcp(text: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut words = text.split_whitespace();
    let port = words.next()?.parse().ok().filter(|port| *port > 0)?;
    Some((port, words.nth(2).and_then(parse_address)))
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| {
        [
            Direction::SendRecv,
            Direction::SendOnly,
            Direction::RecvOnly,
            Direction::Inactive,
        ]
        .into_iter()
        .find(|direction| attribute.attribute.eq_ignore_ascii_case(direction.name()))
    })
}

fn value<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|attribute| attribute.attribute.eq_ignore_ascii_case(name))
        .and_then(|attribute| attribute.value.as_deref())
}

fn flag(attributes: &[Attribute], name: &str) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.attribute.eq_ignore_ascii_case(name))
}

/// Whole milliseconds; a fraction (`ptime:2.5`) is cut off.
fn milliseconds(text: &str) -> Option<u32> {
    text.trim()
        .split('.')
        .next()?
        .parse()
        .ok()
        .filter(|ms| (1..=1_000).contains(ms))
}

/// What of the peer's text may stand in a sentence of ours.
pub(super) fn excerpt(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_EXCERPT)
        .collect()
}

/// An answer repeats every line of the offer; no device sends more than a handful.
const MAX_LINES: usize = 32;
/// There are 128 payload types.
const MAX_FORMATS: usize = 128;
const MAX_WARNINGS: usize = 16;
const MAX_EXCERPT: usize = 100;
