//! Printing our descriptions: the offer, and the answer's own audio line.
//!
//! Never: reads the peer's description.
//! Source: RFC 8866 §5 (order of lines), RFC 3264 §5.1.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;

use super::{Direction, LocalMedia};
use crate::codec::CodecId;

/// A payload type with its codec, as it stands in one of our audio lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Audio.
    Codec(u8, CodecId),
    /// RFC 4733 events at this clock.
    Events(u8, u32),
}

/// Our offer of one audio stream.
///
/// Shape: a whole description, lines ended by CRLF; formats in our order of preference, events
/// last, one event format per clock rate that a codec has.
/// Bounds: below 2 µs; one allocation of about 500 octets. Never fails.
/// Source: RFC 3264 §5.
#[must_use]
pub fn offer(local: &LocalMedia) -> Bytes {
    let mut text = session(local);
    audio(
        &mut text,
        local,
        &offered(local),
        local.direction,
        local.rtcp_mux,
    );
    Bytes::from(text)
}

/// The formats of our offer.
pub(super) fn offered(local: &LocalMedia) -> Vec<Format> {
    let mut formats: Vec<Format> = Vec::with_capacity(local.codecs.len() + 2);
    for codec in &local.codecs {
        let format = Format::Codec(codec.payload_type(), *codec);
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    if local.telephone_event {
        for (payload_type, clock) in [(EVENTS_8000, 8_000), (EVENTS_48000, 48_000)] {
            if local.codecs.iter().any(|codec| codec.clock_rate() == clock) {
                formats.push(Format::Events(payload_type, clock));
            }
        }
    }
    formats
}

/// The lines before the first `m=`.
pub(super) fn session(local: &LocalMedia) -> String {
    let mut text = String::with_capacity(512);
    let family = family(local.address);
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "v=0\r\no=- {} {} IN {family} {}\r\ns=-\r\nc=IN {family} {}\r\nt=0 0\r\n",
        local.session_id, local.session_version, local.address, local.address
    );
    text
}

/// Our audio line with its attributes.
pub(super) fn audio(
    text: &mut String,
    local: &LocalMedia,
    formats: &[Format],
    direction: Direction,
    rtcp_mux: bool,
) {
    let _ = write!(text, "m=audio {} RTP/AVP", local.rtp_port);
    for format in formats {
        let _ = match format {
            Format::Codec(payload_type, _) | Format::Events(payload_type, _) => {
                write!(text, " {payload_type}")
            }
        };
    }
    text.push_str("\r\n");
    for format in formats {
        attributes(text, *format);
    }
    // With one port there is one socket: a peer that does not multiplex sends its RTCP there all
    // the same, where it is told apart by its type (RFC 5761 §4).
    let rtcp_port = if rtcp_mux {
        local.rtp_port
    } else {
        local.rtcp_port
    };
    let _ = write!(text, "a=rtcp:{rtcp_port}\r\n");
    if rtcp_mux {
        text.push_str("a=rtcp-mux\r\n");
    }
    let _ = write!(
        text,
        "a=ptime:{}\r\na={}\r\n",
        local.ptime_ms,
        direction.name()
    );
    let _ = write!(text, "a=ssrc:{} cname:{}\r\n", local.ssrc, local.cname);
    if local.rtcp_xr {
        text.push_str("a=rtcp-xr:rcvr-rtt=all voip-metrics\r\n");
    }
}

fn attributes(text: &mut String, format: Format) {
    let _ = match format {
        // RFC 7587 §7: always 48000/2, whatever is sent. The rest says what we do send.
        Format::Codec(payload_type, CodecId::Opus) => write!(
            text,
            "a=rtpmap:{payload_type} opus/48000/2\r\n\
             a=fmtp:{payload_type} minptime=10;sprop-maxcapturerate=16000\r\n"
        ),
        Format::Codec(payload_type, codec) => write!(
            text,
            "a=rtpmap:{payload_type} {}/{}\r\n",
            codec.name(),
            codec.clock_rate()
        ),
        Format::Events(payload_type, clock) => write!(
            text,
            "a=rtpmap:{payload_type} telephone-event/{clock}\r\na=fmtp:{payload_type} 0-15\r\n"
        ),
    };
}

fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}

const EVENTS_8000: u8 = 101;
const EVENTS_48000: u8 = 110;
