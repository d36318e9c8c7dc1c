//! The system calls of the media threads that have no convenient safe wrapper.
//!
//! The only file of the engine with `unsafe`: batched receive and send with reusable buffers
//! (`recvmmsg`, `sendmmsg`), one send, the error queue, timer slack, precedence. Each block says why it is sound.
//! All pointers handed to the kernel are made from live slices inside the call that uses them.

#![allow(
    unsafe_code,
    reason = "recvmmsg/sendmmsg with reused buffers and prctl have no safe equivalent without an allocation per batch"
)]

use std::mem;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use nix::errno::Errno;

use crate::net::media::control::Controls;

/// Octets for one datagram: an Ethernet MTU, above anything that audio sends.
pub const DATAGRAM_MAX: usize = 1_536;

/// Most datagrams one `recvmmsg` or `sendmmsg` carries.
pub const BATCH_MAX: usize = 64;

/// Room for the control messages asked for: a timestamp (32 octets) and a drop count (24).
const CONTROL_OCTETS: usize = 96;

/// Lets the calling thread's timers fire within a nanosecond of their time, not within 50 µs.
pub fn sharpen_timers() -> Result<(), Errno> {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and touches no memory of ours.
    let result = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
    Errno::result(result).map(drop)
}

/// Puts the calling thread before ordinary ones. Needs CAP_SYS_NICE or a raised RLIMIT_NICE.
pub fn prefer_this_thread() -> Result<(), Errno> {
    const NICE: libc::c_int = -10;
    // SAFETY: setpriority takes integers and touches no memory of ours; on Linux "process" 0 is the
    // calling thread (setpriority(2), "C library/kernel differences").
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    Errno::result(result).map(drop)
}

/// A socket address as the kernel wants it, made once per stream.
#[derive(Clone, Copy)]
pub enum RawAddress {
    /// IPv4.
    V4(libc::sockaddr_in),
    /// IPv6.
    V6(libc::sockaddr_in6),
}

impl RawAddress {
    fn as_ptr(&self) -> *const libc::c_void {
        match self {
            Self::V4(address) => ptr::from_ref(address).cast(),
            Self::V6(address) => ptr::from_ref(address).cast(),
        }
    }

    fn length(&self) -> libc::socklen_t {
        let length = match self {
            Self::V4(_) => size_of::<libc::sockaddr_in>(),
            Self::V6(_) => size_of::<libc::sockaddr_in6>(),
        };
        length as libc::socklen_t
    }
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::V4(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => Self::V6(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            }),
        }
    }
}

/// Sends one datagram without waiting.
///
/// # Errors
/// What the kernel says; `ECONNREFUSED` and its like may be news of an *earlier* datagram.
pub fn send_to(fd: BorrowedFd<'_>, datagram: &[u8], to: &RawAddress) -> Result<(), Errno> {
    // SAFETY: pointer and length come from one live slice and one live address; the kernel only
    // reads them during the call.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            datagram.as_ptr().cast(),
            datagram.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            to.as_ptr().cast(),
            to.length(),
        )
    };
    Errno::result(sent).map(drop)
}

/// One received datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Its octets, cut at [`DATAGRAM_MAX`].
    pub octets: &'a [u8],
    /// Its source, which the kernel always fills in for UDP.
    pub source: Option<SocketAddr>,
    /// `CLOCK_REALTIME` at which the kernel took it, where `SO_TIMESTAMPNS` is set.
    pub real_ns: Option<u64>,
    /// Datagrams this socket has dropped since it was made, where `SO_RXQ_OVFL` is set and any were.
    pub dropped: Option<u32>,
}

/// Reusable room for `recvmmsg`.
pub struct ReceiveBatch {
    buffers: Vec<u8>,
    names: Vec<libc::sockaddr_in6>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    filled: usize,
}

/// Control messages need the alignment of `cmsghdr`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_OCTETS]);

impl ReceiveBatch {
    /// Makes room for [`BATCH_MAX`] datagrams.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffers: vec![0; BATCH_MAX * DATAGRAM_MAX],
            names: vec![empty_name(); BATCH_MAX],
            controls: vec![Control([0; CONTROL_OCTETS]); BATCH_MAX],
            vectors: vec![empty_vector(); BATCH_MAX],
            headers: vec![empty_header(); BATCH_MAX],
            filled: 0,
        }
    }

    /// Takes up to `limit` datagrams without waiting; returns how many.
    ///
    /// # Errors
    /// What the kernel says, `EAGAIN` where there is none; the batch is then empty.
    pub fn receive(&mut self, fd: BorrowedFd<'_>, limit: usize) -> Result<usize, Errno> {
        let limit = limit.min(BATCH_MAX);
        self.filled = 0;
        let rooms = self.buffers.chunks_exact_mut(DATAGRAM_MAX);
        for ((((room, name), control), vector), header) in rooms
            .zip(&mut self.names)
            .zip(&mut self.controls)
            .zip(&mut self.vectors)
            .zip(&mut self.headers)
            .take(limit)
        {
            *vector = libc::iovec {
                iov_base: room.as_mut_ptr().cast(),
                iov_len: room.len(),
            };
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_OCTETS;
            header.msg_hdr.msg_flags = 0;
        }
        // SAFETY: the first `limit` headers were just filled with pointers into buffers that this
        // batch owns, with their true lengths, and `limit` is at most the number of headers.
        let received = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                limit as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.filled = Errno::result(received)? as usize;
        Ok(self.filled)
    }

    /// Takes up to `limit` messages off the socket's error queue (`IP_RECVERR`) and tells where the
    /// datagrams that failed were going.
    pub fn failed_destinations(
        &mut self,
        fd: BorrowedFd<'_>,
        limit: usize,
        mut each: impl FnMut(SocketAddr),
    ) {
        for _ in 0..limit {
            let mut vector = empty_vector();
            let mut name = empty_name();
            let mut control = Control([0; CONTROL_OCTETS]);
            let mut header = empty_header().msg_hdr;
            header.msg_name = ptr::from_mut(&mut name).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_iov = &raw mut vector;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_OCTETS;
            // SAFETY: every pointer is to a local that outlives the call, with its true length; the
            // one vector has length 0, so no payload is written.
            let taken = unsafe {
                libc::recvmsg(
                    fd.as_raw_fd(),
                    &raw mut header,
                    libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
                )
            };
            if taken < 0 {
                return;
            }
            if let Some(address) = address_of(&name, header.msg_namelen) {
                each(address);
            }
        }
    }

    /// The datagram at `index` of the last [`Self::receive`]; none past its end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Datagram<'_>> {
        if index >= self.filled {
            return None;
        }
        let header = self.headers.get(index)?;
        let room = self.buffers.get(index * DATAGRAM_MAX..)?;
        let length = (header.msg_len as usize).min(DATAGRAM_MAX);
        let control = self.controls.get(index)?;
        let used = header.msg_hdr.msg_controllen.min(CONTROL_OCTETS);
        let controls = Controls::read(control.0.get(..used)?);
        Some(Datagram {
            octets: room.get(..length)?,
            source: address_of(self.names.get(index)?, header.msg_hdr.msg_namelen),
            real_ns: controls.real_ns,
            dropped: controls.dropped,
        })
    }
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads a name the kernel wrote. `sockaddr_in6` is the larger of the two families.
fn address_of(name: &libc::sockaddr_in6, length: libc::socklen_t) -> Option<SocketAddr> {
    match i32::from(name.sin6_family) {
        libc::AF_INET if length as usize >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: `sockaddr_in` is smaller than `sockaddr_in6`, needs no stricter alignment, and
            // every bit pattern of it is valid; the family says that this is what the kernel wrote.
            let v4 = unsafe { ptr::from_ref(name).cast::<libc::sockaddr_in>().read() };
            let ip = v4.sin_addr.s_addr.to_ne_bytes();
            Some(SocketAddrV4::new(ip.into(), u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 if length as usize >= size_of::<libc::sockaddr_in6>() => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            // The flow label differs between packets of one peer and is no part of its address.
            let address =
                SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id);
            Some(address.into())
        }
        _ => None,
    }
}

/// Reusable room for `sendmmsg`.
pub struct SendBatch {
    buffers: Vec<u8>,
    lengths: Vec<usize>,
    addresses: Vec<RawAddress>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    filled: usize,
}

impl SendBatch {
    /// Makes room for [`BATCH_MAX`] datagrams.
    #[must_use]
    pub fn new() -> Self {
        let nowhere = RawAddress::from(SocketAddr::from(([0, 0, 0, 0], 0)));
        Self {
            buffers: vec![0; BATCH_MAX * DATAGRAM_MAX],
            lengths: vec![0; BATCH_MAX],
            addresses: vec![nowhere; BATCH_MAX],
            vectors: vec![empty_vector(); BATCH_MAX],
            headers: vec![empty_header(); BATCH_MAX],
            filled: 0,
        }
    }

    /// Datagrams waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// True where none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// True where the next [`Self::push`] would be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == BATCH_MAX
    }

    /// Adds a datagram that `write` puts into the buffer it is given; nothing is added where it
    /// writes none or the batch is full. Returns whether one was added.
    pub fn push(
        &mut self,
        to: &RawAddress,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let at = self.filled;
        let start = at * DATAGRAM_MAX;
        let (Some(room), Some(length), Some(address)) = (
            self.buffers.get_mut(start..start + DATAGRAM_MAX),
            self.lengths.get_mut(at),
            self.addresses.get_mut(at),
        ) else {
            return false;
        };
        let Some(written) = write(room) else {
            return false;
        };
        *length = written.min(DATAGRAM_MAX);
        *address = *to;
        self.filled += 1;
        true
    }

    /// Sends the datagrams from index `from` on; returns how many the kernel took.
    ///
    /// # Errors
    /// What the kernel says of the first of them; those before it were sent by an earlier call.
    pub fn send(&mut self, fd: BorrowedFd<'_>, from: usize) -> Result<usize, Errno> {
        let filled = self.filled;
        let rooms = self.buffers.chunks_exact(DATAGRAM_MAX);
        for ((((room, length), address), vector), header) in rooms
            .zip(&self.lengths)
            .zip(&self.addresses)
            .zip(&mut self.vectors)
            .zip(&mut self.headers)
            .take(filled)
            .skip(from)
        {
            *vector = libc::iovec {
                iov_base: room.as_ptr().cast_mut().cast(),
                iov_len: *length,
            };
            header.msg_hdr.msg_name = address.as_ptr().cast_mut();
            header.msg_hdr.msg_namelen = address.length();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        let Some(headers) = self.headers.get_mut(from..filled) else {
            return Ok(0);
        };
        // SAFETY: the headers of this slice were just filled with pointers into buffers that this
        // batch owns, with lengths cut to them; sendmmsg only reads what they point to.
        let sent = unsafe {
            libc::sendmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        Errno::result(sent).map(|sent| sent as usize)
    }

    /// Empties the batch.
    pub fn clear(&mut self) {
        self.filled = 0;
    }
}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

fn empty_vector() -> libc::iovec {
    libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }
}

fn empty_name() -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: 0,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
        sin6_scope_id: 0,
    }
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is plain integers and pointers, for which zero is a valid value; some of its
    // padding fields are private, so it cannot be written out.
    unsafe { mem::zeroed() }
}
