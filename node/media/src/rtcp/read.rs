//! What a compound packet says, through the `rtcp` crate's types.
//!
//! Owns: the walk over packets and XR blocks. Never: hands the crate an octet whose length it has
//! not checked; reads feedback messages (the crate panics on them, audio has no use for them).
//! Source: RFC 3550 §6.4 to §6.6; RFC 3611 §3, §4.4, §4.5, §4.7.

use ::rtcp::extended_report::{
    DLRRReportBlock, ReceiverReferenceTimeReportBlock, VoIPMetricsReportBlock,
};
use ::rtcp::goodbye::Goodbye;
use ::rtcp::receiver_report::ReceiverReport;
use ::rtcp::reception_report::ReceptionReport;
use ::rtcp::sender_report::SenderReport;
use ::rtcp::source_description::{SdesType, SourceDescription};
use webrtc_util::marshal::Unmarshal;

use super::check::{
    EXTENDED_REPORT, GOODBYE, Malformed, Part, RECEIVER_REPORT, SENDER_REPORT, SOURCE_DESCRIPTION,
    check, parts,
};

/// One statement of a compound packet.
#[derive(Debug)]
pub enum Item<'a> {
    /// A sender report; its blocks follow as `Block`.
    Sender(&'a SenderReport),
    /// A reception report block, of an SR or RR.
    Block(&'a ReceptionReport),
    /// The canonical name of a source.
    Cname {
        /// The source.
        ssrc: u32,
        /// Its name, any octets.
        name: &'a [u8],
    },
    /// A source leaves.
    Bye {
        /// Which.
        ssrc: u32,
    },
    /// An XR packet; its blocks follow.
    Extended,
    /// XR BT 4: the sender's wall clock.
    ReferenceTime {
        /// Who wrote it.
        ssrc: u32,
        /// 64-bit NTP.
        ntp: u64,
    },
    /// XR BT 5: when our reference time arrived there, and how long ago.
    LastReference {
        /// Whose reference time.
        ssrc: u32,
        /// Middle 32 bits of it.
        last: u32,
        /// In 1/65536 s.
        delay: u32,
    },
    /// XR BT 7.
    Voip(&'a VoIPMetricsReportBlock),
}

/// Reads a compound and gives each statement to `take`, in order.
///
/// Bounds: O(length). Never panics. A part that is well-framed but not understood is left out.
///
/// # Errors
/// [`Malformed`]: nothing was read.
pub fn read(datagram: &[u8], mut take: impl FnMut(Item<'_>)) -> Result<(), Malformed> {
    check(datagram)?;
    for part in parts(datagram) {
        read_part(&part, &mut take);
    }
    Ok(())
}

fn read_part(part: &Part<'_>, take: &mut impl FnMut(Item<'_>)) {
    let mut octets = part.octets;
    match part.packet_type {
        SENDER_REPORT => {
            let Ok(report) = SenderReport::unmarshal(&mut octets) else {
                return;
            };
            take(Item::Sender(&report));
            report
                .reports
                .iter()
                .for_each(|block| take(Item::Block(block)));
        }
        RECEIVER_REPORT => {
            let Ok(report) = ReceiverReport::unmarshal(&mut octets) else {
                return;
            };
            report
                .reports
                .iter()
                .for_each(|block| take(Item::Block(block)));
        }
        SOURCE_DESCRIPTION => {
            let Ok(description) = SourceDescription::unmarshal(&mut octets) else {
                return;
            };
            for chunk in &description.chunks {
                for item in chunk
                    .items
                    .iter()
                    .filter(|item| item.sdes_type == SdesType::SdesCname)
                {
                    take(Item::Cname {
                        ssrc: chunk.source,
                        name: &item.text,
                    });
                }
            }
        }
        GOODBYE => {
            let Ok(goodbye) = Goodbye::unmarshal(&mut octets) else {
                return;
            };
            goodbye
                .sources
                .iter()
                .for_each(|&ssrc| take(Item::Bye { ssrc }));
        }
        EXTENDED_REPORT => read_extended(octets, take),
        _ => {}
    }
}

/// Walks the blocks of an XR packet by their own lengths; stops at one that reaches past the end.
fn read_extended(octets: &[u8], take: &mut impl FnMut(Item<'_>)) {
    let Some(ssrc) = octets.get(4..8).and_then(|octets| octets.try_into().ok()) else {
        return;
    };
    let ssrc = u32::from_be_bytes(ssrc);
    take(Item::Extended);
    let mut rest = octets.get(8..).unwrap_or_default();
    while let Some(&[block_type, _, high, low]) = rest.first_chunk::<4>() {
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let Some((mut block, after)) = rest.split_at_checked(length) else {
            return;
        };
        match block_type {
            REFERENCE_TIME => {
                if let Ok(time) = ReceiverReferenceTimeReportBlock::unmarshal(&mut block) {
                    take(Item::ReferenceTime {
                        ssrc,
                        ntp: time.ntp_timestamp,
                    });
                }
            }
            DELAY_SINCE_REFERENCE => {
                let reports = DLRRReportBlock::unmarshal(&mut block);
                for report in reports.iter().flat_map(|block| &block.reports) {
                    let (last, delay) = (report.last_rr, report.dlrr);
                    take(Item::LastReference {
                        ssrc: report.ssrc,
                        last,
                        delay,
                    });
                }
            }
            VOIP_METRICS => {
                if let Ok(metrics) = VoIPMetricsReportBlock::unmarshal(&mut block) {
                    take(Item::Voip(&metrics));
                }
            }
            _ => {}
        }
        rest = after;
    }
}

const REFERENCE_TIME: u8 = 4;
const DELAY_SINCE_REFERENCE: u8 = 5;
const VOIP_METRICS: u8 = 7;
