//! The bounds check of a compound packet: the `rtcp` crate panics on 8 octets without it.
//!
//! Owns: every length in a compound. Never: allocates.
//! Source: RFC 3550 §6.4, §A.2. Compound packets that do not begin with a report are taken too, as
//! RFC 5506 allows: a peer's habit is not a reason to lose its BYE.

/// Why a datagram is not RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Empty, or a packet is longer than what is left.
    #[error("a packet is longer than its datagram")]
    Length,
    /// Not version 2, in any of its packets.
    #[error("not version 2")]
    Version,
    /// Padding anywhere but in the last packet, or longer than that.
    #[error("padding where none may be, or longer than its packet")]
    Padding,
    /// A packet is too short for what its count says.
    #[error("too short for its count")]
    Count,
    /// More packets than `PACKETS_MAX`.
    #[error("too many packets")]
    Packets,
}

/// One packet of a compound: its head is at the front of `octets`, padding is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) packet_type: u8,
    pub(super) octets: &'a [u8],
}

/// Checks a whole compound: all of it is well-formed or none of it is used.
///
/// # Errors
/// [`Malformed`] says which rule it breaks.
pub fn check(datagram: &[u8]) -> Result<(), Malformed> {
    let mut rest = datagram;
    for _ in 0..PACKETS_MAX {
        let (part, after) = split(rest)?;
        check_count(&part)?;
        if after.is_empty() {
            return Ok(());
        }
        rest = after;
    }
    Err(Malformed::Packets)
}

/// The parts of a compound that passed `check`.
pub(super) fn parts(datagram: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let (part, after) = split(rest).ok()?;
        rest = after;
        Some(part)
    })
}

fn split(rest: &[u8]) -> Result<(Part<'_>, &[u8]), Malformed> {
    let head = rest.get(..HEADER).ok_or(Malformed::Length)?;
    if head[0] >> 6 != 2 {
        return Err(Malformed::Version);
    }
    let length = (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1) * 4;
    let (octets, after) = rest.split_at_checked(length).ok_or(Malformed::Length)?;
    let padding = if head[0] & 0x20 == 0 {
        0
    } else {
        padding(octets, after)?
    };
    let octets = octets.get(..length - padding).ok_or(Malformed::Padding)?;
    Ok((
        Part {
            packet_type: head[1],
            octets,
        },
        after,
    ))
}

/// Octets of padding to cut off. Only the last packet may be padded (RFC 3550 §A.2).
///
/// Padding is whole words by RFC 3550 §6.4.1, but pion and its kin write a BYE of 9 octets and 3 of
/// padding: the odd rest is left to the packet, where no reader looks at it.
fn padding(octets: &[u8], after: &[u8]) -> Result<usize, Malformed> {
    let padding = usize::from(octets.last().copied().unwrap_or(0));
    if after.is_empty() && padding > 0 && padding <= octets.len() - HEADER {
        Ok(padding & !3)
    } else {
        Err(Malformed::Padding)
    }
}

/// Each packet that is read holds what its five-bit count promises.
fn check_count(part: &Part<'_>) -> Result<(), Malformed> {
    let count = usize::from(part.octets.first().copied().unwrap_or(0) & 0x1F);
    let least = match part.packet_type {
        SENDER_REPORT => HEADER + 24 + count * 24,
        RECEIVER_REPORT => HEADER + 4 + count * 24,
        SOURCE_DESCRIPTION => HEADER + count * 8,
        GOODBYE => HEADER + count * 4,
        EXTENDED_REPORT => HEADER + 4,
        _ => HEADER,
    };
    if part.octets.len() < least {
        Err(Malformed::Count)
    } else {
        Ok(())
    }
}

pub(super) const SENDER_REPORT: u8 = 200;
pub(super) const RECEIVER_REPORT: u8 = 201;
pub(super) const SOURCE_DESCRIPTION: u8 = 202;
pub(super) const GOODBYE: u8 = 203;
pub(super) const EXTENDED_REPORT: u8 = 207;
const HEADER: usize = 4;
/// A sane compound has three to five; a datagram of empty packets would cost 16,000 turns.
const PACKETS_MAX: usize = 64;
