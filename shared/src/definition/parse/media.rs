//! What a group plays and how it is carried: codecs, media, ptime, playout, DSCP.

use super::super::mistake::{Mistakes, Spot};
use super::super::{Codec, Media, Playout, SocketMode};
use super::nearest::nearest;
use super::section::{Given, Section};
use super::{Source, wav};
use crate::units::Millis;

pub(super) fn codecs(section: &mut Section<'_, '_>, mistakes: &mut Mistakes<'_>) -> Vec<Codec> {
    let Some(field) = section.take("codecs") else {
        return CODECS_DEFAULT.to_vec();
    };
    let names = field.texts("[\"PCMU\", \"PCMA\"]", mistakes);
    let mut codecs = Vec::new();
    for name in names.iter().flatten() {
        match codec(name.value) {
            Ok(codec) if codecs.contains(&codec) => {
                mistakes.add(&name.spot, format!("`{}` is listed twice", name.value));
            }
            Ok(codec) => codecs.push(codec),
            Err(message) => mistakes.add(&name.spot, message),
        }
    }
    if names.is_some_and(|names| names.is_empty()) {
        mistakes.add(
            &field.spot,
            "is empty; write at least one of PCMU, PCMA, G722, opus",
        );
    }
    if codecs.is_empty() {
        CODECS_DEFAULT.to_vec()
    } else {
        codecs
    }
}

fn codec(name: &str) -> Result<Codec, String> {
    match name.to_ascii_lowercase().as_str() {
        "pcmu" => Ok(Codec::Pcmu),
        "pcma" => Ok(Codec::Pcma),
        "g722" | "g.722" => Ok(Codec::G722),
        "opus" => Ok(Codec::Opus),
        "g711" | "g.711" => Err(format!(
            "`{name}` has two laws; write PCMU (µ-law) or PCMA (A-law)"
        )),
        "g711u" | "ulaw" | "mulaw" => Err(format!("`{name}` is called PCMU here and in SDP")),
        "g711a" | "alaw" => Err(format!("`{name}` is called PCMA here and in SDP")),
        // A codec number one digit away is another codec, not a slip.
        lower => Err(match nearest(name, CODEC_NAMES) {
            Some(meant) if !lower.starts_with('g') || lower.len() != meant.len() => {
                format!("`{name}` is no codec; did you mean `{meant}`?")
            }
            _ => format!("`{name}` is not supported; write PCMU, PCMA, G722 or opus"),
        }),
    }
}

/// `media = "speech"`, `"none"`, `"tone:440"` or the path of a WAV file.
pub(super) fn media(
    section: &mut Section<'_, '_>,
    source: Source<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Media {
    let Some(given) = section.text("media", mistakes) else {
        return Media::Speech;
    };
    let text = given.value.as_str();
    match text {
        "speech" => return Media::Speech,
        "none" => return Media::None,
        _ => {}
    }
    if let Some(hz) = text.strip_prefix("tone:") {
        return tone(hz.trim(), &given.spot, mistakes);
    }
    if text.to_ascii_lowercase().ends_with(".wav") {
        let fault = match source {
            Source::File(file) => match file(text) {
                Ok(octets) => wav::fault(&octets).map(|fault| format!("`{text}` {fault}")),
                Err(error) => Some(format!("cannot read `{text}`: {error}")),
            },
            Source::Saved { media, .. } => missing_file(text, media),
        };
        if let Some(fault) = fault {
            mistakes.add(&given.spot, fault);
        }
        return Media::Wav { path: given.value };
    }
    let message = match nearest(text, ["speech", "none", "tone:440"]) {
        Some(meant) => format!("`{text}` is no media; did you mean \"{meant}\"?"),
        None => format!(
            "`{text}` is no media; write \"speech\", \"none\", \"tone:440\" or the path of a .wav file"
        ),
    };
    mistakes.add(&given.spot, message);
    Media::Speech
}

/// Files of a saved test are the project's; they were checked when they were stored.
fn missing_file(name: &str, media: &[&str]) -> Option<String> {
    if media.contains(&name) {
        return None;
    }
    Some(match nearest(name, media.iter().copied()) {
        Some(meant) => format!("{NO_MEDIA} `{name}`; did you mean `{meant}`?"),
        None => format!("{NO_MEDIA} `{name}` in the project; store it there (POST …/media)"),
    })
}

/// How the sentence of a missing media file begins.
pub(super) const NO_MEDIA: &str = "there is no media file";

fn tone(hz: &str, spot: &Spot, mistakes: &mut Mistakes<'_>) -> Media {
    let hz = hz.strip_suffix("Hz").unwrap_or(hz).trim();
    match hz.parse::<u32>() {
        Ok(hz) if (TONE_MIN_HZ..=TONE_MAX_HZ).contains(&hz) => Media::Tone { hz },
        _ => {
            let message = format!(
                "`tone:{hz}` is no tone; write \"tone:440\", {TONE_MIN_HZ} to {TONE_MAX_HZ} Hz"
            );
            mistakes.add(spot, message);
            Media::Speech
        }
    }
}

pub(super) fn ptime(
    section: &mut Section<'_, '_>,
    codecs: &[Codec],
    mistakes: &mut Mistakes<'_>,
) -> u32 {
    let Some(given) = section.duration("ptime", Millis(1), Millis(1_000), mistakes) else {
        return PTIME_DEFAULT_MS;
    };
    let known = PTIMES_MS
        .into_iter()
        .find(|known| u64::from(*known) == given.value.0);
    let Some(ptime) = known else {
        let message = format!(
            "{} is no ptime; write \"10ms\", \"20ms\", \"30ms\", \"40ms\" or \"60ms\"",
            given.value
        );
        mistakes.add(&given.spot, message);
        return PTIME_DEFAULT_MS;
    };
    // RFC 6716 §2.1.4: Opus frames last 2.5, 5, 10, 20, 40 or 60 ms.
    if ptime == 30 && codecs.contains(&Codec::Opus) {
        mistakes.add(
            &given.spot,
            "opus has no 30ms frames; write \"20ms\", \"40ms\" or \"60ms\"",
        );
    }
    ptime
}

/// `playout = "fixed:40ms"` or `"adaptive:20ms..120ms"`.
pub(super) fn playout(section: &mut Section<'_, '_>, mistakes: &mut Mistakes<'_>) -> Playout {
    let Some(given) = section.text("playout", mistakes) else {
        return PLAYOUT_DEFAULT;
    };
    match playout_of(&given.value) {
        Ok(playout) => playout,
        Err(message) => {
            mistakes.add(&given.spot, message);
            PLAYOUT_DEFAULT
        }
    }
}

fn playout_of(text: &str) -> Result<Playout, String> {
    let wrong = || {
        format!("`{text}` is no playout buffer; write \"fixed:40ms\" or \"adaptive:20ms..120ms\"")
    };
    let delay = |text: &str| {
        let span = Millis::parse(text).map_err(|_| wrong())?;
        match u32::try_from(span.0) {
            Ok(ms) if ms <= PLAYOUT_MAX_MS => Ok(ms),
            _ => Err(format!(
                "{span} is out of range; a playout delay is at most {PLAYOUT_MAX_MS}ms"
            )),
        }
    };
    let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
    match kind.trim() {
        "fixed" => Ok(Playout::Fixed {
            delay_ms: delay(rest)?,
        }),
        "adaptive" => {
            let (min, max) = rest.split_once("..").ok_or_else(wrong)?;
            let (min_ms, max_ms) = (delay(min)?, delay(max)?);
            if max_ms < min_ms {
                return Err(format!(
                    "`{rest}` runs backwards; write \"adaptive:{max}..{min}\""
                ));
            }
            Ok(Playout::Adaptive { min_ms, max_ms })
        }
        _ => Err(wrong()),
    }
}

/// `sockets = "own"` or `"shared"`.
pub(super) fn sockets(section: &mut Section<'_, '_>, mistakes: &mut Mistakes<'_>) -> SocketMode {
    let Some(Given { value, spot }) = section.text("sockets", mistakes) else {
        return SocketMode::Own;
    };
    match value.as_str() {
        "own" => SocketMode::Own,
        "shared" => SocketMode::Shared,
        other => {
            let message = format!("`{other}` is no socket mode; write \"own\" or \"shared\"");
            mistakes.add(&spot, message);
            SocketMode::Own
        }
    }
}

/// `dscp_rtp = 46` or `"EF"`: a number or a name of RFC 2474, 2597, 3246 or 5865.
pub(super) fn dscp(
    section: &mut Section<'_, '_>,
    key: &'static str,
    default: u8,
    mistakes: &mut Mistakes<'_>,
) -> u8 {
    let Some(field) = section.take(key) else {
        return default;
    };
    let wanted = "a DSCP: 0 to 63, or a name such as \"EF\", \"CS3\" or \"AF41\"";
    let value = match field.text_or_integer() {
        Some(Ok(number)) => u8::try_from(number).ok().filter(|value| *value < 64),
        Some(Err(name)) => dscp_name(name),
        None => None,
    };
    value.unwrap_or_else(|| {
        field.wrong_type(wanted, mistakes);
        default
    })
}

fn dscp_name(name: &str) -> Option<u8> {
    let upper = name.to_ascii_uppercase();
    let digit = |at: usize| {
        upper
            .as_bytes()
            .get(at)
            .filter(|b| b.is_ascii_digit())
            .map(|b| b - b'0')
    };
    match upper.as_str() {
        "EF" => Some(46),
        "VOICE-ADMIT" => Some(44),
        "BE" | "DF" => Some(0),
        _ if upper.starts_with("CS") && upper.len() == 3 => {
            digit(2).filter(|class| *class < 8).map(|class| class * 8)
        }
        _ if upper.starts_with("AF") && upper.len() == 4 => {
            let (class, drop) = (digit(2)?, digit(3)?);
            ((1..=4).contains(&class) && (1..=3).contains(&drop)).then_some(class * 8 + drop * 2)
        }
        _ => None,
    }
}

const CODECS_DEFAULT: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];
const CODEC_NAMES: [&str; 4] = ["PCMU", "PCMA", "G722", "opus"];
const PTIMES_MS: [u32; 5] = [10, 20, 30, 40, 60];
/// RFC 3551 §4.2.
const PTIME_DEFAULT_MS: u32 = 20;
const PLAYOUT_DEFAULT: Playout = Playout::Fixed { delay_ms: 40 };
/// Above the largest delay at which the E-model gives a useful figure.
const PLAYOUT_MAX_MS: u32 = 1_000;
/// The telephone band, with some room.
const TONE_MIN_HZ: u32 = 50;
const TONE_MAX_HZ: u32 = 3_800;
/// RFC 4594 §4.1: telephony media is EF.
pub(super) const DSCP_RTP_DEFAULT: u8 = 46;
/// RFC 4594 §4.2 says CS5; phones and PBXs mark signalling CS3, so that is what a network expects.
pub(super) const DSCP_SIP_DEFAULT: u8 = 24;
