//! One UDP SIP port: a socket with large buffers, its reader, and the kernel's error queue, which
//! tells which message met a closed port.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use sip::ua::Transport;
use sip::wire::Message;
use sip::wire::scan::Scan;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::{Arrival, SipIo, sys};

/// A bound UDP port with its reader task.
pub(super) struct UdpPort {
    local: SocketAddr,
    socket: Rc<UdpSocket>,
    reader: JoinHandle<()>,
}

/// Receive and send buffer asked for. The kernel caps it by rmem_max unless we may force it: 2,000
/// calls a second are 28,000 datagrams of 600 octets, so this is more than 200 ms of them.
const BUFFER_OCTETS: usize = 8 * 1024 * 1024;
/// Datagrams read in one go before other tasks of the shard get their turn.
const READ_BATCH: usize = 64;
/// RFC 3261 §18.1.1: a UDP message may have 65,535 octets.
const DATAGRAM_MAX: usize = 65_535;
/// Fresh receive memory taken at once; datagrams are split off it without copying.
const READ_CHUNK: usize = 256 * 1024;

impl UdpPort {
    pub(super) fn bind(asked: SocketAddr, dscp: u8, io: SipIo) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(asked), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Above rmem_max only CAP_NET_ADMIN helps: without it the largest allowed value is in force.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_OCTETS).is_err() {
            socket.set_recv_buffer_size(BUFFER_OCTETS)?;
        }
        socket.set_send_buffer_size(BUFFER_OCTETS)?;
        if asked.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            socket.set_tos_v4(u32::from(dscp) << 2)?;
        } else {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            socket.set_tclass_v6(u32::from(dscp) << 2)?;
        }
        socket.bind(&asked.into())?;
        let socket = Rc::new(UdpSocket::from_std(socket.into())?);
        let local = socket.local_addr()?;
        let reader = actix_rt::spawn(read(Rc::clone(&socket), local, io));
        Ok(Self {
            local,
            socket,
            reader,
        })
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends one datagram now.
    ///
    /// Errors: `WouldBlock` where our own send buffer is full, else what the system said.
    pub(super) fn send(&self, remote: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        send(&self.socket, remote, bytes)
    }

    pub(super) fn kernel_drops(&self) -> u64 {
        sys::drops(self.socket.as_fd())
    }
}

/// Errors of earlier datagrams skipped before one send.
const PENDING_ERRORS_MAX: usize = 8;

impl Drop for UdpPort {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(socket: Rc<UdpSocket>, local: SocketAddr, io: SipIo) {
    let mut memory = BytesMut::new();
    loop {
        // Errors count as readiness of their own: a closed port far away makes nothing readable.
        if let Err(error) = socket.ready(Interest::READABLE | Interest::ERROR).await {
            tracing::error!(%local, %error, "a SIP socket can no longer be read");
            return;
        }
        drain_errors(&socket, &io);
        for _ in 0..READ_BATCH {
            if memory.capacity() < DATAGRAM_MAX {
                memory = BytesMut::with_capacity(READ_CHUNK);
            }
            match socket.try_recv_buf_from(&mut memory) {
                Ok((_, from)) => {
                    let datagram = take_datagram(&mut memory);
                    let parsed = Message::parse_datagram(datagram);
                    if let Some(answer) = io.take(local, from, Transport::Udp, parsed)
                        && io.may_send(from)
                        && send(&socket, from, &answer)
                            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
                    {
                        io.count_refused();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => drain_errors(&socket, &io),
            }
        }
        tokio::task::yield_now().await;
    }
}

fn send(socket: &UdpSocket, remote: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    // An ICMP error of an earlier datagram surfaces at the next call; the queue has it by
    // destination, so it must not be taken for an error of this datagram.
    for _ in 0..PENDING_ERRORS_MAX {
        match socket.try_send_to(bytes, remote) {
            Ok(_) => return Ok(()),
            Err(error) if is_icmp(&error) => {}
            Err(error) => return Err(error),
        }
    }
    socket.try_send_to(bytes, remote).map(|_| ())
}

/// The octets just read, in memory of their own size where they would pin a large chunk for long.
fn take_datagram(memory: &mut BytesMut) -> Bytes {
    // Traces keep messages for minutes; a copy of a few hundred octets is cheaper than a pinned chunk.
    let datagram = Bytes::copy_from_slice(memory);
    memory.clear();
    datagram
}

fn is_icmp(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENOPROTOOPT
                | libc::EPROTO
        )
    )
}

/// Reads the error queue: each entry is the datagram that met an ICMP error, and its destination.
fn drain_errors(socket: &UdpSocket, io: &SipIo) {
    for _ in 0..READ_BATCH {
        // WouldBlock from inside tells tokio that the queue is empty.
        match socket.try_io(Interest::ERROR, || read_error(socket)) {
            Ok(Some(arrival)) => io.arrived(arrival),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

fn read_error(socket: &UdpSocket) -> io::Result<Option<Arrival>> {
    let mut octets = [0_u8; 2_048];
    let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    let mut slices = [IoSliceMut::new(&mut octets)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let descriptor = socket.as_raw_fd();
    let received = recvmsg::<SockaddrStorage>(descriptor, &mut slices, Some(&mut control), flags)?;
    let to = received.address.as_ref().and_then(socket_address);
    let errno = received.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error.ee_errno),
            _ => None,
        })
    });
    let length = received.bytes;
    let scanned = octets.get(..length).and_then(Scan::of);
    let slot = scanned.and_then(|scan| super::demux::slot_of_branch(scan.branch.as_bytes()));
    let (Some(to), Some(errno)) = (to, errno) else {
        return Ok(None);
    };
    let error = io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(0));
    let error = format!("{error} (ICMP for {to})");
    Ok(Some(Arrival::Unreachable { slot, to, error }))
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage
        .as_sockaddr_in()
        .map(|address| SocketAddr::from((address.ip(), address.port())));
    v4.or_else(|| {
        storage
            .as_sockaddr_in6()
            .map(|address| SocketAddr::from((address.ip(), address.port())))
    })
}
