//! Records as octets: magic, version, kind, length, checksum, content. Its own format, not the
//! wire's: a newer program must end what an older one left.
//!
//! Reading takes a file as it is: what is torn, cut or garbage is skipped and counted, and the next
//! whole record is looked for.

use std::io::Write as _;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;
use shared::definition::Network;
use sip::ua::{Destination, HostPort, Transport};
use smol_str::SmolStr;

use super::{Leg, OpenCall, Stage};

/// Begins every record.
const MAGIC: [u8; 2] = [0xCA, 0x4A];
const VERSION: u8 = 1;
/// Magic, version, kind, length, checksum.
pub(super) const HEAD: usize = 12;
/// Longest content: a head of 16 KiB and what stands beside it. A longer one is not written.
const CONTENT_MAX: usize = 20 * 1024;
/// Open calls that are read back from one file; further ones are counted as skipped.
const OPEN_MAX: usize = 1_000_000;

const NETWORKS: u8 = 1;
const INVITING: u8 = 2;
const CONFIRMED: u8 = 3;
const RINGING: u8 = 4;
const ANSWERED: u8 = 5;
const OVER: u8 = 6;

/// A record to write.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Networks(&'a [Network]),
    Inviting {
        leg: &'a Leg,
        invite: &'a [u8],
    },
    Confirmed {
        leg: &'a Leg,
        ack: &'a [u8],
        next_cseq: u32,
    },
    Ringing {
        leg: &'a Leg,
        response: &'a [u8],
    },
    Answered {
        leg: &'a Leg,
        invite: &'a [u8],
        local_tag: &'a str,
    },
    Over,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Where the calls' runs were allowed to send.
    pub networks: Vec<Network>,
    /// The calls that are open, oldest first.
    pub open: Vec<OpenCall>,
    /// Records that were read.
    pub records: u64,
    /// Octets that belong to no whole record.
    pub skipped: u64,
}

/// Appends a record of `dialog`; `false`, and nothing appended, where it is too long.
pub(super) fn put(out: &mut Vec<u8>, dialog: u64, record: &Record<'_>) -> bool {
    let start = out.len();
    let kind = match record {
        Record::Networks(_) => NETWORKS,
        Record::Inviting { .. } => INVITING,
        Record::Confirmed { .. } => CONFIRMED,
        Record::Ringing { .. } => RINGING,
        Record::Answered { .. } => ANSWERED,
        Record::Over => OVER,
    };
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, kind, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&dialog.to_le_bytes());
    match record {
        Record::Networks(networks) => {
            for network in *networks {
                put_text(out, |out| {
                    write!(out, "{}/{}", network.address, network.prefix)
                });
            }
        }
        Record::Inviting { leg, invite: text }
        | Record::Ringing {
            leg,
            response: text,
        } => {
            put_leg(out, leg);
            out.extend_from_slice(text);
        }
        Record::Confirmed {
            leg,
            ack,
            next_cseq,
        } => {
            put_leg(out, leg);
            out.extend_from_slice(&next_cseq.to_le_bytes());
            out.extend_from_slice(ack);
        }
        Record::Answered {
            leg,
            invite,
            local_tag,
        } => {
            put_leg(out, leg);
            put_text(out, |out| out.write_all(local_tag.as_bytes()));
            out.extend_from_slice(invite);
        }
        Record::Over => {}
    }
    let length = out.len() - start - HEAD;
    if length > CONTENT_MAX {
        out.truncate(start);
        return false;
    }
    let length = u32::try_from(length).unwrap_or(0).to_le_bytes();
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&length);
    }
    let checksum = checksum(out.get(start..).unwrap_or_default());
    if let Some(place) = out.get_mut(start + 8..start + HEAD) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
    true
}

/// Of all but the magic and itself.
fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(record.get(2..8).unwrap_or_default());
    hasher.update(record.get(HEAD..).unwrap_or_default());
    hasher.finalize()
}

/// Writing to a Vec cannot fail.
fn put_text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) {
    let place = out.len();
    out.extend_from_slice(&[0, 0]);
    let _ = write(out);
    let length = u16::try_from(out.len() - place - 2).unwrap_or(u16::MAX);
    if let Some(place) = out.get_mut(place..place + 2) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

fn put_leg(out: &mut Vec<u8>, leg: &Leg) {
    let transport = match leg.to.transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
    };
    let named = u8::from(matches!(leg.to.host, HostPort::Name(..)));
    out.extend_from_slice(&[transport, named]);
    put_text(out, |out| write!(out, "{}", leg.local));
    put_text(out, |out| write!(out, "{}", leg.to.host));
}

/// Reads a journal, whatever its octets.
///
/// Bounds: time and memory in proportion to `octets`.
#[must_use]
pub fn read(octets: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let mut open: FxHashMap<u64, (u64, OpenCall)> = FxHashMap::default();
    let mut rest = octets;
    while !rest.is_empty() {
        let Some((kind, content, length)) = whole(rest) else {
            // Torn or garbage: the next place where a record may begin.
            let next = rest
                .windows(MAGIC.len())
                .skip(1)
                .position(|part| part == MAGIC)
                .map_or(rest.len(), |at| at + 1);
            contents.skipped += next as u64;
            rest = rest.get(next..).unwrap_or_default();
            continue;
        };
        rest = rest.get(length..).unwrap_or_default();
        contents.records += 1;
        let order = contents.records;
        let mut fields = Fields(content);
        let Some(dialog) = fields.take().map(u64::from_le_bytes) else {
            continue;
        };
        match kind {
            NETWORKS => contents.add_networks(fields),
            OVER => {
                open.remove(&dialog);
            }
            _ => match fields.call(kind) {
                // The newest record of a call is the whole of it; its age is that of the first.
                Some(call) if open.len() < OPEN_MAX || open.contains_key(&dialog) => {
                    let order = open.get(&dialog).map_or(order, |(order, _)| *order);
                    open.insert(dialog, (order, call));
                }
                Some(_) | None => contents.skipped += length as u64,
            },
        }
    }
    let mut calls: Vec<(u64, OpenCall)> = open.into_values().collect();
    calls.sort_unstable_by_key(|(order, _)| *order);
    contents.open = calls.into_iter().map(|(_, call)| call).collect();
    contents
}

/// The record at the start of `octets`: kind, content, length with its head.
fn whole(octets: &[u8]) -> Option<(u8, &[u8], usize)> {
    let head: &[u8; HEAD] = octets.first_chunk()?;
    let [m0, m1, version, kind, l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    if [m0, m1] != MAGIC || version != VERSION {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    if length > CONTENT_MAX {
        return None;
    }
    let record = octets.get(..HEAD + length)?;
    let found = u32::from_le_bytes([c0, c1, c2, c3]);
    (checksum(record) == found).then_some((kind, record.get(HEAD..)?, record.len()))
}

impl Contents {
    fn add_networks(&mut self, mut fields: Fields<'_>) {
        while let Some(text) = fields.text() {
            if let Some((address, prefix)) = text.split_once('/')
                && let (Ok(address), Ok(prefix)) = (address.parse(), prefix.parse())
                && !self.networks.contains(&Network { address, prefix })
            {
                self.networks.push(Network { address, prefix });
            }
        }
    }
}

/// What is left of a record's content.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let text = self.0.get(..length)?;
        self.0 = self.0.get(length..)?;
        std::str::from_utf8(text).ok()
    }

    fn leg(&mut self) -> Option<Leg> {
        let [transport, named] = self.take()?;
        let local: SocketAddr = self.text()?.parse().ok()?;
        let host = self.text()?;
        let host = match named {
            0 => HostPort::Ip(host.parse().ok()?),
            _ => {
                let (name, port) = host.rsplit_once(':')?;
                HostPort::Name(SmolStr::new(name), port.parse().ok()?)
            }
        };
        let transport = match transport {
            0 => Transport::Udp,
            _ => Transport::Tcp,
        };
        let to = Destination { host, transport };
        Some(Leg { local, to })
    }

    fn call(mut self, kind: u8) -> Option<OpenCall> {
        let leg = self.leg()?;
        let stage = match kind {
            INVITING => Stage::Inviting {
                invite: self.0.to_vec(),
            },
            CONFIRMED => Stage::Confirmed {
                next_cseq: u32::from_le_bytes(self.take()?),
                ack: self.0.to_vec(),
            },
            RINGING => Stage::Ringing {
                response: self.0.to_vec(),
            },
            ANSWERED => Stage::Answered {
                local_tag: self.text()?.to_owned(),
                invite: self.0.to_vec(),
            },
            _ => return None,
        };
        Some(OpenCall { leg, stage })
    }
}
