//! Streams with sockets of their own: one read and one send in each slot.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;

use crate::net::media::entry::{DropCount, Leg, is_old_news};
use crate::net::media::reserve::OwnSockets;
use crate::net::media::sys::{self, RawAddress};
use crate::net::media::tools::Tools;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thorough {
    /// Stop at a packet that came within the last ptime: the next one is not due yet. It saves the
    /// system call that would find the socket empty; what is left behind is read in the next slot,
    /// with the kernel's timestamp.
    Usual,
    /// Until the socket is empty.
    Whole,
}

/// Most datagrams read from one socket in one slot: an overflowing socket must not hold up the rest.
const READ_MAX: usize = 64;

/// Datagrams asked for at once when one slot's packet was not all there was.
const READ_BATCH: usize = 16;

/// Error-queue entries taken at once.
const ERRORS_MAX: usize = 16;

/// Reads what waits for this stream.
pub(super) fn read(leg: &mut Leg, own: &OwnSockets, tools: &mut Tools, thorough: Thorough) {
    let mut drops = leg.drops;
    drain(leg, &own.rtp, tools, &mut drops, thorough);
    leg.drops = drops;
    if let Some(rtcp) = &own.rtcp
        && (thorough == Thorough::Whole || leg.rtcp_read_due())
    {
        let mut drops = leg.rtcp_drops;
        drain(leg, rtcp, tools, &mut drops, Thorough::Whole);
        leg.rtcp_drops = drops;
    }
}

fn drain(
    leg: &mut Leg,
    socket: &UdpSocket,
    tools: &mut Tools,
    drops: &mut DropCount,
    thorough: Thorough,
) {
    let mut left = READ_MAX;
    let mut limit = match thorough {
        Thorough::Usual => 1,
        Thorough::Whole => READ_BATCH,
    };
    while left > 0 {
        let received = match tools.receive.receive(socket.as_fd(), limit.min(left)) {
            Ok(received) => received,
            Err(Errno::EAGAIN) => return,
            Err(errno) => {
                left -= 1;
                note_trouble(leg, socket, tools, errno);
                continue;
            }
        };
        let mut newest_ns = 0;
        for datagram in (0..received).filter_map(|index| tools.receive.get(index)) {
            let arrival = tools.arrival(datagram.real_ns);
            newest_ns = arrival.ns;
            tools.tally.socket_drops += drops.since(datagram.dropped);
            leg.take(arrival, &datagram);
        }
        let fresh = tools.now_ns.saturating_sub(newest_ns) < leg.ptime_ns;
        if received < limit.min(left) || (thorough == Thorough::Usual && fresh) {
            return;
        }
        left -= received;
        limit = READ_BATCH;
    }
}

/// Sends the packet of this slot, which was due at `due_ns`.
pub(super) fn send(
    leg: &mut Leg,
    own: &OwnSockets,
    tools: &mut Tools,
    due_ns: u64,
    buffer: &mut [u8],
) {
    let Some(length) = leg.stream.next_packet(tools.now(), buffer) else {
        return;
    };
    let Some(packet) = buffer.get(..length) else {
        return;
    };
    let to = leg.remote.raw_rtp;
    let ok = send_to(leg, &own.rtp, tools, packet, &to);
    let late_ns = tools.now_ns.saturating_sub(due_ns);
    tools.count_sent(late_ns);
    leg.stream.sent(Duration::from_nanos(late_ns), ok);
}

/// Sends a report or BYE from the RTCP socket, or from the RTP one with rtcp-mux.
pub(super) fn send_rtcp(leg: &mut Leg, own: &OwnSockets, tools: &mut Tools, report: &[u8]) {
    let socket = own.rtcp.as_ref().unwrap_or(&own.rtp);
    let to = leg.remote.raw_rtcp;
    // A lost report is the next one's business (RFC 3550 §6.4); the trouble was noted.
    let _sent = send_to(leg, socket, tools, report, &to);
}

/// Sends once, and once more where the kernel only told of an earlier datagram.
fn send_to(
    leg: &mut Leg,
    socket: &UdpSocket,
    tools: &mut Tools,
    packet: &[u8],
    to: &RawAddress,
) -> bool {
    let Err(errno) = sys::send_to(socket.as_fd(), packet, to) else {
        return true;
    };
    note_trouble(leg, socket, tools, errno);
    is_old_news(errno) && sys::send_to(socket.as_fd(), packet, to).is_ok()
}

fn note_trouble(leg: &mut Leg, socket: &UdpSocket, tools: &mut Tools, errno: Errno) {
    if errno == Errno::EINTR {
        return;
    }
    let mut address = leg.remote.rtp;
    tools
        .receive
        .failed_destinations(socket.as_fd(), ERRORS_MAX, |failed| address = failed);
    leg.network_trouble(tools, address, errno);
}
