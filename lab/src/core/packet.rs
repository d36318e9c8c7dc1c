//! What a relay reads of a media packet: its kind, and what the packet log tells of it.
//!
//! Every read is bounds-checked; a datagram that is neither is named so. RFC 3550 §5.1, RFC 5761 §4.

/// RTP, RTCP or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
    /// Version not 2, or too short.
    Invalid,
}

/// The fields of an RTP header that the packet log carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Sequence number.
    pub(crate) sequence: u16,
    /// Timestamp, in ticks of the codec's clock.
    pub(crate) timestamp: u32,
    /// Synchronization source.
    pub(crate) ssrc: u32,
}

impl Packet {
    /// Tells RTP from RTCP by the payload type; on an RTCP port everything well-formed is RTCP.
    pub(crate) fn kind(data: &[u8], rtcp_port: bool) -> Kind {
        let (Some(first), Some(second)) = (data.first(), data.get(1)) else {
            return Kind::Invalid;
        };
        if first >> 6 != 2 {
            return Kind::Invalid;
        }
        // RFC 5761 §4: RTCP types 192..=223 look like payload types 64..=95 with the marker.
        if rtcp_port || (192..=223).contains(second) {
            if data.len() >= 8 {
                Kind::Rtcp
            } else {
                Kind::Invalid
            }
        } else if data.len() >= 12 {
            Kind::Rtp
        } else {
            Kind::Invalid
        }
    }

    /// Reads the header of an RTP packet.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            sequence: u16::from_be_bytes(data.get(2..4)?.try_into().ok()?),
            timestamp: word(4)?,
            ssrc: word(8)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let rtp = [0x80, 0x88, 0, 9, 0, 0, 0, 160, 0, 0, 0, 7];
        assert_eq!(Packet::kind(&rtp, false), Kind::Rtp);
        assert_eq!(Packet::kind(&rtp[..11], false), Kind::Invalid);
        assert_eq!(
            Packet::kind(&[0x80, 200, 0, 1, 0, 0, 0, 1], false),
            Kind::Rtcp
        );
        assert_eq!(Packet::kind(&rtp, true), Kind::Rtcp);
        assert_eq!(
            Packet::kind(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false),
            Kind::Invalid
        );
        assert_eq!(Packet::kind(&[], true), Kind::Invalid);
        let read = Packet::read(&rtp).unwrap();
        assert_eq!((read.sequence, read.timestamp, read.ssrc), (9, 160, 7));
        assert_eq!(Packet::read(&rtp[..11]), None);
    }
}
