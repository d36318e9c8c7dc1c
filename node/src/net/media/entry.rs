//! One stream in a media thread: the sans-IO core, its sockets and what the thread notes about it.

use std::net::{SocketAddr, SocketAddrV6};
use std::sync::Arc;

use media::rtp::{Class, classify};
use media::stream::Stream;
use nix::errno::Errno;

use crate::core::lease::Permit;
use crate::net::egress::{Egress, EgressKind, Refused};
use crate::net::media::report::StreamId;
use crate::net::media::reserve::Sockets;
use crate::net::media::shard::StartSpec;
use crate::net::media::sys::{Datagram, RawAddress};
use crate::net::media::tools::{Arrival, Tools};
use crate::net::media::wheel::Seat;

/// A stream's place in its thread.
pub(super) struct Entry {
    pub leg: Leg,
    pub sockets: Sockets,
    pub seat: Seat,
}

/// One end of one call, apart from its sockets.
pub(super) struct Leg {
    pub id: StreamId,
    pub stream: Stream,
    pub ptime_ns: u64,
    pub remote: Remote,
    pub own_ssrc: u32,
    /// Signalled, or seen at a shared socket.
    pub remote_ssrc: Option<u32>,
    pub egress: Arc<Egress>,
    permit: Permit,
    /// False while the destination is outside the allow-list.
    pub may_send: bool,
    /// The test wants packets sent: slots that are skipped count.
    pub sends: bool,
    /// It has something to send at all.
    pub has_clip: bool,
    /// The engine second that its counters belong to.
    pub second: u64,
    pub drops: DropCount,
    pub rtcp_drops: DropCount,
    rtcp_read_in: u32,
    trouble: Trouble,
}

/// The two addresses of the peer, also as the kernel wants them.
#[derive(Clone, Copy)]
pub(super) struct Remote {
    pub rtp: SocketAddr,
    pub rtcp: SocketAddr,
    pub raw_rtp: RawAddress,
    pub raw_rtcp: RawAddress,
}

impl Remote {
    pub(super) fn new(rtp: SocketAddr, rtcp: SocketAddr) -> Self {
        let (rtp, rtcp) = (plain(rtp), plain(rtcp));
        Self {
            rtp,
            rtcp,
            raw_rtp: rtp.into(),
            raw_rtcp: rtcp.into(),
        }
    }

    /// Asks the allow-list for both addresses.
    pub(super) fn permitted(&self, egress: &Egress) -> Result<(), Refused> {
        egress.permit(self.rtp, EgressKind::Rtp)?;
        egress.permit(self.rtcp, EgressKind::Rtcp)
    }
}

/// An address as `recvmmsg` tells it: IPv4 where it is mapped, no flow label.
fn plain(address: SocketAddr) -> SocketAddr {
    match (address, address.ip().to_canonical()) {
        (SocketAddr::V6(v6), std::net::IpAddr::V6(ip)) => {
            SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()).into()
        }
        (_, ip) => SocketAddr::new(ip, address.port()),
    }
}

/// The running drop count of a socket, as `SO_RXQ_OVFL` tells it: it wraps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DropCount(u32);

impl DropCount {
    /// Takes a reading; returns what was dropped since the one before.
    pub(super) fn since(&mut self, reading: Option<u32>) -> u64 {
        let Some(reading) = reading else { return 0 };
        let new = reading.wrapping_sub(self.0);
        self.0 = reading;
        u64::from(new)
    }
}

/// Limits a stream's complaints to one a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    times: u32,
    quiet_until_ns: u64,
}

impl Trouble {
    /// Counts one; returns how many to report, where it is time to.
    pub(super) fn note(&mut self, now_ns: u64) -> Option<u32> {
        self.times = self.times.saturating_add(1);
        if now_ns < self.quiet_until_ns {
            return None;
        }
        self.quiet_until_ns = now_ns + TROUBLE_EVERY_NS;
        Some(std::mem::take(&mut self.times))
    }
}

/// Least time between two complaints about one stream or one shared socket.
const TROUBLE_EVERY_NS: u64 = 1_000_000_000;

/// Least time between two looks at a stream's RTCP socket. Kernel timestamps keep the wait out of
/// round-trip times.
const RTCP_READ_EVERY_MS: u32 = 100;

impl Leg {
    pub(super) fn new(id: StreamId, spec: StartSpec, tools: &Tools, second: u64) -> Self {
        let ptime_ms = spec.stream.ptime_ms;
        let has_clip = spec.stream.clip.is_some();
        Self {
            id,
            ptime_ns: u64::from(ptime_ms) * 1_000_000,
            remote: Remote::new(spec.remote_rtp, spec.remote_rtcp),
            own_ssrc: spec.stream.ssrc,
            remote_ssrc: spec.remote_ssrc,
            egress: spec.egress,
            permit: spec.permit,
            may_send: true,
            sends: spec.stream.send && has_clip,
            has_clip,
            second,
            drops: DropCount::default(),
            rtcp_drops: DropCount::default(),
            rtcp_read_in: 0,
            trouble: Trouble::default(),
            stream: Stream::new(tools.now(), spec.stream),
        }
    }

    /// Notes an error of the network and reports it where it is time to.
    pub(super) fn network_trouble(&mut self, tools: &mut Tools, address: SocketAddr, errno: Errno) {
        if let Some(times) = self.trouble.note(tools.now_ns) {
            tools.report_network(Some(self.id), address, errno, times);
        }
    }

    /// Whether anything may leave now: the destination is allowed, and the lease lasts.
    pub(super) fn speaks(&self, tools: &Tools) -> bool {
        self.may_send && self.permit.allows(tools.boot_us())
    }

    /// Writes the report that is due, if one is; returns its length. Only while it [`speaks`].
    ///
    /// [`speaks`]: Self::speaks
    pub(super) fn write_rtcp(&mut self, tools: &Tools, buffer: &mut [u8]) -> Option<usize> {
        let now = tools.now();
        if self.stream.rtcp_deadline()? > now {
            return None;
        }
        self.stream.write_rtcp(now, tools.ntp(tools.now_ns), buffer)
    }

    /// True once in [`RTCP_READ_EVERY_MS`].
    pub(super) fn rtcp_read_due(&mut self) -> bool {
        if self.rtcp_read_in > 0 {
            self.rtcp_read_in -= 1;
            return false;
        }
        let ptime_ms = (self.ptime_ns / 1_000_000).max(1) as u32;
        self.rtcp_read_in = (RTCP_READ_EVERY_MS / ptime_ms).saturating_sub(1);
        true
    }

    /// Gives the core a datagram that came to this stream, after the source check.
    ///
    /// RTP must come from the peer's RTP address, RTCP from either of its addresses: a peer that
    /// declined rtcp-mux and one that uses it unasked are both understood.
    pub(super) fn take(&mut self, arrival: Arrival, datagram: &Datagram<'_>) {
        let from_rtp = datagram.source == Some(self.remote.rtp);
        if !from_rtp && datagram.source != Some(self.remote.rtcp) {
            self.stream.on_stranger();
            return;
        }
        match classify(datagram.octets) {
            Class::Rtp if from_rtp => {
                let _counted_by_the_stream = self.stream.on_rtp(arrival.at, datagram.octets);
            }
            Class::Rtp => self.stream.on_stranger(),
            Class::Rtcp => self
                .stream
                .on_rtcp(arrival.at, arrival.wall, datagram.octets),
            Class::Invalid => self.stream.on_invalid(),
        }
    }
}

/// True for errors that may be news of an earlier datagram, by ICMP, and not of this one.
pub(super) fn is_old_news(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENOPROTOOPT
            | Errno::EPROTO
            | Errno::EINTR
    )
}
