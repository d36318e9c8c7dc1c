//! The sockets that all streams of a thread share: batches in, batches out, told apart by `Demux`.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use media::rtp::{Class, classify};
use nix::errno::Errno;
use slab::Slab;

use crate::net::media::demux::{Demux, Expectation, Verdict};
use crate::net::media::entry::{DropCount, Entry, Leg, Trouble, is_old_news};
use crate::net::media::reserve::OwnSockets;
use crate::net::media::sys::{self, BATCH_MAX, Datagram, SendBatch};
use crate::net::media::tools::Tools;

/// Batches read from one socket in one tick: 4,096 packets, 20 times what 2,000 calls bring.
const BATCHES_MAX: usize = 64;

/// Error-queue entries taken at once.
const ERRORS_MAX: usize = 16;

/// A pair of shared sockets with its streams.
pub(super) struct SharedPort {
    sockets: OwnSockets,
    rtp_address: SocketAddr,
    rtp: Demux,
    rtcp: Demux,
    out: SendBatch,
    waiting: Vec<Waiting>,
    drops: [DropCount; 2],
    trouble: Trouble,
}

/// A packet in the batch.
#[derive(Clone, Copy)]
struct Waiting {
    key: usize,
    due_ns: u64,
}

/// Which of the two sockets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Rtp,
    Rtcp,
}

impl SharedPort {
    pub(super) fn new(sockets: OwnSockets, rtp_address: SocketAddr) -> Self {
        Self {
            sockets,
            rtp_address,
            rtp: Demux::default(),
            rtcp: Demux::default(),
            out: SendBatch::new(),
            waiting: Vec::with_capacity(BATCH_MAX),
            drops: [DropCount::default(); 2],
            trouble: Trouble::default(),
        }
    }

    /// Makes a stream known; again after its addresses or SSRC changed, after [`Self::remove`].
    pub(super) fn insert(&mut self, key: u32, leg: &Leg) {
        let (rtp, rtcp) = expectations(key, leg);
        self.rtp.insert(&rtp);
        self.rtcp.insert(&rtcp);
    }

    /// Forgets a stream; `leg` has the addresses and SSRC it was inserted with or latched to.
    pub(super) fn remove(&mut self, key: u32, leg: &Leg) {
        let (rtp, rtcp) = expectations(key, leg);
        self.rtp.remove(&rtp);
        self.rtcp.remove(&rtcp);
    }

    /// Reads both sockets until they are empty.
    pub(super) fn receive(&mut self, entries: &mut Slab<Entry>, tools: &mut Tools) {
        self.receive_from(Which::Rtp, entries, tools);
        self.receive_from(Which::Rtcp, entries, tools);
    }

    fn receive_from(&mut self, which: Which, entries: &mut Slab<Entry>, tools: &mut Tools) {
        for _ in 0..BATCHES_MAX {
            let Some(socket) = self.socket(which) else {
                return;
            };
            let received = match tools.receive.receive(socket.as_fd(), BATCH_MAX) {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return,
                Err(errno) => {
                    self.note_trouble(which, entries, tools, errno);
                    continue;
                }
            };
            for index in 0..received {
                let Some(datagram) = tools.receive.get(index) else {
                    break;
                };
                if let Some(drops) = self.drops.get_mut(which as usize) {
                    tools.tally.socket_drops += drops.since(datagram.dropped);
                }
                let verdict = self.find(&datagram);
                let arrival = tools.arrival(datagram.real_ns);
                match verdict {
                    Found::Stream { key, latches } => {
                        let Some(entry) = entries.get_mut(key as usize) else {
                            continue;
                        };
                        if let Some(ssrc) = latches {
                            self.latch(key, &mut entry.leg, ssrc);
                        }
                        entry.leg.take(arrival, &datagram);
                    }
                    Found::Ambiguous => tools.tally.ambiguous += 1,
                    Found::Stranger => tools.tally.strangers += 1,
                }
            }
            if received < BATCH_MAX {
                return;
            }
        }
    }

    fn find(&self, datagram: &Datagram<'_>) -> Found {
        let Some(source) = datagram.source else {
            return Found::Stranger;
        };
        // The odd port above is the RTCP socket's.
        let ourselves =
            source.ip() == self.rtp_address.ip() && source.port() & !1 == self.rtp_address.port();
        let (verdict, ssrc) = match classify(datagram.octets) {
            Class::Rtp => {
                let ssrc = word(datagram.octets, 8).unwrap_or_default();
                (self.rtp.rtp(source, ssrc, ourselves), ssrc)
            }
            Class::Rtcp => {
                let sender = word(datagram.octets, 4).unwrap_or_default();
                let reported = first_reported(datagram.octets);
                let verdict = match self.rtcp.rtcp(source, sender, reported, ourselves) {
                    // A peer may use rtcp-mux unasked.
                    Verdict::Stranger => self.rtp.rtcp(source, sender, reported, ourselves),
                    known => known,
                };
                (verdict, sender)
            }
            Class::Invalid => match self.rtp.sole(source) {
                Some(key) => (Verdict::Stream(key), 0),
                None => (Verdict::Stranger, 0),
            },
        };
        match verdict {
            Verdict::Stream(key) => Found::Stream { key, latches: None },
            Verdict::Latches(key) => Found::Stream {
                key,
                latches: Some(ssrc),
            },
            Verdict::Ambiguous => Found::Ambiguous,
            Verdict::Stranger => Found::Stranger,
        }
    }

    fn latch(&mut self, key: u32, leg: &mut Leg, ssrc: u32) {
        self.remove(key, leg);
        leg.remote_ssrc = Some(ssrc);
        self.insert(key, leg);
    }

    /// Puts the packet of this slot into the batch, which was due at `due_ns`.
    pub(super) fn send(
        &mut self,
        key: usize,
        due_ns: u64,
        entries: &mut Slab<Entry>,
        tools: &mut Tools,
    ) {
        if self.out.is_full() {
            self.flush(entries, tools);
        }
        let now = tools.now();
        let Some(Entry { leg, .. }) = entries.get_mut(key) else {
            return;
        };
        let to = leg.remote.raw_rtp;
        if self.out.push(&to, |room| leg.stream.next_packet(now, room)) {
            self.waiting.push(Waiting { key, due_ns });
        }
    }

    /// Sends the batch and tells each stream what became of its packet.
    pub(super) fn flush(&mut self, entries: &mut Slab<Entry>, tools: &mut Tools) {
        let mut from = 0;
        let mut retried = None;
        while from < self.out.len() {
            // The thread may have stood still since the batch was written: what its lease does not
            // cover any more stays here.
            tools.look_at_boot_clock();
            let mute = |waiting: &Waiting| {
                let entry = entries.get(waiting.key);
                entry.is_some_and(|entry| !entry.leg.speaks(tools))
            };
            if self
                .waiting
                .get(from..)
                .is_some_and(|rest| rest.iter().any(mute))
            {
                break;
            }
            let sent = self.out.send(self.sockets.rtp.as_fd(), from);
            tools.look_at_clock();
            match sent {
                Ok(sent) => {
                    // The kernel never says Ok(0) here; one step at least ends the loop if it did.
                    let until = from + sent.max(1);
                    self.settle(from..until, true, entries, tools);
                    from = until;
                }
                Err(errno) => {
                    self.note_trouble(Which::Rtp, entries, tools, errno);
                    if is_old_news(errno) && retried != Some(from) {
                        retried = Some(from);
                        continue;
                    }
                    self.settle(from..from + 1, false, entries, tools);
                    from += 1;
                }
            }
        }
        self.out.clear();
        self.waiting.clear();
    }

    fn settle(
        &self,
        range: std::ops::Range<usize>,
        ok: bool,
        entries: &mut Slab<Entry>,
        tools: &mut Tools,
    ) {
        for waiting in self.waiting.get(range).into_iter().flatten() {
            let late_ns = tools.now_ns.saturating_sub(waiting.due_ns);
            tools.count_sent(late_ns);
            if let Some(entry) = entries.get_mut(waiting.key) {
                entry.leg.stream.sent(Duration::from_nanos(late_ns), ok);
            }
        }
    }

    /// Sends a report or BYE at once: they are few.
    pub(super) fn send_rtcp(&mut self, leg: &mut Leg, mux: bool, tools: &mut Tools, report: &[u8]) {
        let which = if mux { Which::Rtp } else { Which::Rtcp };
        let Some(socket) = self.socket(which) else {
            return;
        };
        let to = leg.remote.raw_rtcp;
        let Err(errno) = sys::send_to(socket.as_fd(), report, &to) else {
            return;
        };
        // What the kernel told may be about another stream's packet: once more, then it is ours.
        if is_old_news(errno) {
            tools
                .receive
                .failed_destinations(socket.as_fd(), ERRORS_MAX, |_| {});
            if sys::send_to(socket.as_fd(), report, &to).is_ok() {
                return;
            }
        }
        leg.network_trouble(tools, leg.remote.rtcp, errno);
    }

    fn socket(&self, which: Which) -> Option<&std::net::UdpSocket> {
        match which {
            Which::Rtp => Some(&self.sockets.rtp),
            Which::Rtcp => self.sockets.rtcp.as_ref(),
        }
    }

    /// The error queue says where the failed packets went, and so whose they were where only one
    /// stream sends there.
    fn note_trouble(
        &mut self,
        which: Which,
        entries: &mut Slab<Entry>,
        tools: &mut Tools,
        errno: Errno,
    ) {
        if matches!(errno, Errno::EINTR | Errno::EAGAIN) {
            return;
        }
        let mut failed = [None; ERRORS_MAX];
        let mut places = failed.iter_mut();
        if let Some(socket) = self.socket(which) {
            tools
                .receive
                .failed_destinations(socket.as_fd(), ERRORS_MAX, |address| {
                    if let Some(place) = places.next() {
                        *place = Some(address);
                    }
                });
        }
        for address in failed.into_iter().flatten() {
            let sole = self.rtp.sole(address).or_else(|| self.rtcp.sole(address));
            match sole.and_then(|key| entries.get_mut(key as usize)) {
                Some(entry) => entry.leg.network_trouble(tools, address, errno),
                None => {
                    if let Some(times) = self.trouble.note(tools.now_ns) {
                        tools.report_network(None, address, errno, times);
                    }
                }
            }
        }
    }
}

/// Whose a datagram is.
enum Found {
    Stream { key: u32, latches: Option<u32> },
    Ambiguous,
    Stranger,
}

fn expectations(key: u32, leg: &Leg) -> (Expectation, Expectation) {
    let rtp = Expectation {
        key,
        remote: leg.remote.rtp,
        own_ssrc: leg.own_ssrc,
        remote_ssrc: leg.remote_ssrc,
    };
    let rtcp = Expectation {
        remote: leg.remote.rtcp,
        ..rtp
    };
    (rtp, rtcp)
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets
        .get(at..)?
        .first_chunk()
        .map(|word| u32::from_be_bytes(*word))
}

/// The SSRC of the first report block of a compound packet (RFC 3550 §6.4): whom it is about.
fn first_reported(mut compound: &[u8]) -> Option<u32> {
    const SENDER_REPORT: u8 = 200;
    const RECEIVER_REPORT: u8 = 201;
    for _ in 0..PACKETS_LOOKED_AT {
        let header = compound.first_chunk::<4>()?;
        let blocks = header[0] & 0x1f;
        let at = match header[1] {
            SENDER_REPORT => Some(28),
            RECEIVER_REPORT => Some(8),
            _ => None,
        };
        if let (Some(at), 1..) = (at, blocks) {
            return word(compound, at);
        }
        let length = (usize::from(u16::from_be_bytes([header[2], header[3]])) + 1) * 4;
        compound = compound.get(length..)?;
    }
    None
}

/// A report stands first in a compound packet; more than this is not looked at.
const PACKETS_LOOKED_AT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reported_ssrc_is_found_in_sender_and_receiver_reports() {
        let mut receiver = vec![0x81, 201, 0, 7];
        receiver.extend([0, 0, 0, 1, 0, 0, 0, 9]);
        receiver.extend([0; 20]);
        assert_eq!(first_reported(&receiver), Some(9));
        let mut sender = vec![0x81, 200, 0, 12];
        sender.extend([0; 24]);
        sender.extend([0, 0, 0, 5]);
        sender.extend([0; 20]);
        assert_eq!(first_reported(&sender), Some(5));
        // An empty report first, the block in a later one.
        let mut both = vec![0x80, 201, 0, 1, 0, 0, 0, 1];
        both.extend(&receiver);
        assert_eq!(first_reported(&both), Some(9));
        for cut in 0..12 {
            assert_eq!(first_reported(&receiver[..cut]), None);
        }
    }
}
