//! The bounds check before the `rtp` crate, which panics on a header extension that lies about its
//! length (20 octets suffice), and RTP against RTCP on one port.
//!
//! Owns: every decision about a datagram's shape. Never: reads past it, allocates for plain headers.
//! Source: RFC 3550 §5.1, §5.3.1, §A.1; RFC 8285 §4.2, §4.3; RFC 5761 §4.

use ::rtp::header::Header;
use webrtc_util::marshal::Unmarshal;

/// What a datagram on a media port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// RTP by version and payload type.
    Rtp,
    /// RTCP by version and packet type.
    Rtcp,
    /// Neither: wrong version or too short for both.
    Invalid,
}

/// Tells RTP from RTCP where both may arrive on one socket.
///
/// Shape: looks at two octets and the length. RTCP packet types 192 to 223 are kept free of RTP's
/// marker and payload type (RFC 5761 §4).
#[must_use]
pub fn classify(datagram: &[u8]) -> Class {
    let (Some(&first), Some(&second)) = (datagram.first(), datagram.get(1)) else {
        return Class::Invalid;
    };
    if first >> 6 != VERSION {
        return Class::Invalid;
    }
    if (192..=223).contains(&second) {
        if datagram.len() >= RTCP_HEADER {
            Class::Rtcp
        } else {
            Class::Invalid
        }
    } else if datagram.len() >= FIXED_HEADER {
        Class::Rtp
    } else {
        Class::Invalid
    }
}

/// Why a datagram is not RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than its header says.
    #[error("shorter than its header says")]
    Short,
    /// Not version 2.
    #[error("not version 2")]
    Version,
    /// An element of the header extension reaches past the extension.
    #[error("a header extension element reaches past its block")]
    Extension,
    /// Padding is 0 or longer than the payload.
    #[error("padding is 0 or longer than the payload")]
    Padding,
}

/// A packet as received: header and where its payload lies.
#[derive(Clone, Debug)]
pub struct Received {
    /// As the `rtp` crate reads it.
    pub header: Header,
    /// Octets before the payload.
    pub payload_offset: usize,
    /// Octets of payload, padding left out.
    pub payload_len: usize,
}

/// Reads a packet's header, after every length in it is checked against the datagram.
///
/// Bounds: O(length); allocates only for CSRCs and header extensions. Never panics.
///
/// # Errors
/// [`Malformed`] says which rule it breaks.
pub fn read(datagram: &[u8]) -> Result<Received, Malformed> {
    let first = *datagram.first().ok_or(Malformed::Short)?;
    if first >> 6 != VERSION {
        return Err(Malformed::Version);
    }
    let mut offset = FIXED_HEADER + usize::from(first & 0x0F) * 4;
    if datagram.len() < offset {
        return Err(Malformed::Short);
    }
    if first & 0x10 != 0 {
        offset = check_extension(datagram, offset)?;
    }
    let mut payload_len = datagram.len() - offset;
    if first & 0x20 != 0 {
        let padding = usize::from(*datagram.last().ok_or(Malformed::Short)?);
        if padding == 0 || padding > payload_len {
            return Err(Malformed::Padding);
        }
        payload_len -= padding;
    }
    let mut rest = datagram;
    let header = Header::unmarshal(&mut rest).map_err(|_| Malformed::Short)?;
    Ok(Received {
        header,
        payload_offset: offset,
        payload_len,
    })
}

/// Walks the header extension that begins at `offset` and gives the offset behind it.
fn check_extension(datagram: &[u8], offset: usize) -> Result<usize, Malformed> {
    let head = datagram.get(offset..offset + 4).ok_or(Malformed::Short)?;
    let profile = u16::from_be_bytes([head[0], head[1]]);
    let length = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
    let start = offset + 4;
    let block = datagram
        .get(start..start + length)
        .ok_or(Malformed::Short)?;
    match profile {
        ONE_BYTE => walk(block, |id_length, _| {
            if id_length >> 4 == 15 {
                None
            } else {
                Some((1, usize::from(id_length & 0x0F) + 1))
            }
        })?,
        TWO_BYTE => walk(block, |_, length| Some((2, usize::from(length))))?,
        _ => {}
    }
    Ok(start + length)
}

/// Steps over the elements of an extension block. `size` gives an element's head and body length
/// from its first two octets, None where the list ends before the block does.
fn walk(block: &[u8], size: impl Fn(u8, u8) -> Option<(usize, usize)>) -> Result<(), Malformed> {
    let mut at = 0;
    while let Some(&first) = block.get(at) {
        if first == 0 {
            at += 1;
            continue;
        }
        let second = block.get(at + 1).copied();
        let Some((head, body)) = size(first, second.unwrap_or(0)) else {
            return Ok(());
        };
        at += head + body;
        if at > block.len() {
            return Err(Malformed::Extension);
        }
    }
    Ok(())
}

const VERSION: u8 = 2;
const FIXED_HEADER: usize = 12;
const RTCP_HEADER: usize = 4;
const ONE_BYTE: u16 = 0xBEDE;
const TWO_BYTE: u16 = 0x1000;

#[cfg(test)]
mod tests;
