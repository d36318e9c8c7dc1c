//! Our own compound packets, through the `rtcp` crate's types.
//!
//! Owns: order and form: SR or RR, SDES with CNAME, XR, BYE. Never: decides what to report.
//! Source: RFC 3550 §6.1, §6.4 to §6.6; RFC 3611 §3.

use ::rtcp::extended_report::{
    DLRRReport, DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock,
    VoIPMetricsReportBlock,
};
use ::rtcp::packet::Packet;
use ::rtcp::receiver_report::ReceiverReport;
use ::rtcp::reception_report::ReceptionReport;
use ::rtcp::sender_report::SenderReport;
use webrtc_util::marshal::{Marshal, MarshalSize};

use super::check::{GOODBYE, SOURCE_DESCRIPTION};

/// Everything that one compound of ours can say.
#[derive(Debug, Default)]
pub struct OwnReport<'a> {
    /// Our SSRC.
    pub ssrc: u32,
    /// Our canonical name; cut at 255 octets.
    pub cname: &'a str,
    /// Some: we sent since the last reports, so this is an SR. `ssrc` and `reports` are filled here.
    pub sender: Option<SenderReport>,
    /// What we say of the source we hear.
    pub block: Option<ReceptionReport>,
    /// XR BT 4.
    pub reference_ntp: Option<u64>,
    /// XR BT 5.
    pub last_reference: Option<Reference>,
    /// XR BT 7.
    pub voip: Option<VoIPMetricsReportBlock>,
    /// Whether it is the last.
    pub bye: Bye,
}

/// A reference time that we answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Who sent it.
    pub ssrc: u32,
    /// Its middle 32 bits.
    pub last: u32,
    /// How long ago, in 1/65536 s.
    pub delay: u32,
}

/// Whether a compound ends with BYE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bye {
    /// We stay.
    #[default]
    Stay,
    /// We leave.
    Leave,
}

/// Writes the compound into `buf` and gives its length; None where `buf` is too small.
#[must_use]
pub fn write(report: OwnReport<'_>, buf: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    let OwnReport {
        ssrc,
        cname,
        sender,
        block,
        reference_ntp,
        last_reference,
        voip,
        bye,
    } = report;
    let reports: Vec<_> = block.into_iter().collect();
    match sender {
        Some(sender) => append(
            &SenderReport {
                ssrc,
                reports,
                ..sender
            },
            buf,
            &mut at,
        )?,
        None => append(
            &ReceiverReport {
                ssrc,
                reports,
                ..Default::default()
            },
            buf,
            &mut at,
        )?,
    }
    append_description(ssrc, cname, buf, &mut at)?;
    let mut blocks: Vec<Box<dyn Packet + Send + Sync>> = Vec::new();
    if let Some(ntp_timestamp) = reference_ntp {
        blocks.push(Box::new(ReceiverReferenceTimeReportBlock { ntp_timestamp }));
    }
    if let Some(Reference { ssrc, last, delay }) = last_reference {
        let reports = vec![DLRRReport {
            ssrc,
            last_rr: last,
            dlrr: delay,
        }];
        blocks.push(Box::new(DLRRReportBlock { reports }));
    }
    if let Some(voip) = voip {
        blocks.push(Box::new(voip));
    }
    if !blocks.is_empty() {
        append(
            &ExtendedReport {
                sender_ssrc: ssrc,
                reports: blocks,
            },
            buf,
            &mut at,
        )?;
    }
    if bye == Bye::Leave {
        append_goodbye(ssrc, buf, &mut at)?;
    }
    Some(at)
}

/// SDES with the CNAME and BYE are written here: the `rtcp` crate pads a BYE by 3 octets and ends
/// an SDES chunk with an octet that is not null, both against RFC 3550 §6.4.1, §6.5.
fn append_description(ssrc: u32, cname: &str, buf: &mut [u8], at: &mut usize) -> Option<()> {
    let name = cname
        .as_bytes()
        .get(..SDES_TEXT_MAX)
        .unwrap_or(cname.as_bytes());
    // SSRC, item head, name, at least one null octet.
    let words = (4 + 2 + name.len() + 1).div_ceil(4);
    let room = buf.get_mut(*at..*at + 4 + words * 4)?;
    room.fill(0);
    let (head, item) = room.split_at_mut(10);
    head.copy_from_slice(
        &[
            [0x81, SOURCE_DESCRIPTION, 0, words as u8].as_slice(),
            &ssrc.to_be_bytes(),
            &[SDES_CNAME, name.len() as u8],
        ]
        .concat(),
    );
    item.get_mut(..name.len())?.copy_from_slice(name);
    *at += 4 + words * 4;
    Some(())
}

fn append_goodbye(ssrc: u32, buf: &mut [u8], at: &mut usize) -> Option<()> {
    let room = buf.get_mut(*at..*at + 8)?;
    let (head, source) = room.split_at_mut(4);
    head.copy_from_slice(&[0x81, GOODBYE, 0, 1]);
    source.copy_from_slice(&ssrc.to_be_bytes());
    *at += 8;
    Some(())
}

fn append<P: Marshal + MarshalSize>(packet: &P, buf: &mut [u8], at: &mut usize) -> Option<()> {
    let room = buf
        .get_mut(*at..)
        .filter(|room| room.len() >= packet.marshal_size())?;
    *at += packet.marshal_to(room).ok()?;
    Some(())
}

/// The length of an SDES item is one octet (RFC 3550 §6.5).
const SDES_TEXT_MAX: usize = 255;
const SDES_CNAME: u8 = 1;
