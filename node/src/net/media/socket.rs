//! Makes the engine's UDP sockets with the options the threads count on.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// What to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketSpec {
    /// Where to bind.
    pub local: SocketAddr,
    /// 0–63.
    pub dscp: u8,
    /// Octets of buffer to ask for; none: the system's default.
    pub buffer_octets: Option<usize>,
}

/// Binds a non-blocking UDP socket with kernel timestamps, drop counts and ICMP errors.
///
/// It stays unconnected: a connected one would let the kernel throw a stranger's packets away
/// uncounted. That costs the route look-up of each send (see docs/PERFORMANCE.md).
///
/// # Errors
/// What the kernel said; `EADDRINUSE` where the port is taken, `EMFILE` without descriptors.
pub(super) fn bind(spec: &SocketSpec) -> Result<UdpSocket, Errno> {
    let socket = Socket::new(
        Domain::for_address(spec.local),
        Type::DGRAM,
        Some(Protocol::UDP),
    )
    .map_err(|error| errno(&error))?;
    configure(&socket, spec)?;
    socket
        .bind(&spec.local.into())
        .map_err(|error| errno(&error))?;
    Ok(socket.into())
}

fn configure(socket: &Socket, spec: &SocketSpec) -> Result<(), Errno> {
    socket
        .set_nonblocking(true)
        .map_err(|error| errno(&error))?;
    let fd = socket.as_fd();
    setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&fd, sockopt::RxqOvfl, &1)?;
    // DSCP is the upper six bits of the octet (RFC 2474 §3).
    let tos = u32::from(spec.dscp.min(63)) << 2;
    match spec.local.ip() {
        IpAddr::V4(_) => {
            setsockopt(&fd, sockopt::Ipv4RecvErr, &true)?;
            if tos != 0 {
                socket.set_tos_v4(tos).map_err(|error| errno(&error))?;
            }
        }
        IpAddr::V6(_) => {
            setsockopt(&fd, sockopt::Ipv6RecvErr, &true)?;
            socket.set_only_v6(true).map_err(|error| errno(&error))?;
            if tos != 0 {
                socket.set_tclass_v6(tos).map_err(|error| errno(&error))?;
            }
        }
    }
    if let Some(octets) = spec.buffer_octets {
        enlarge(socket, fd, octets)?;
    }
    Ok(())
}

/// The forced size needs CAP_NET_ADMIN; without it the system's limit cuts the wish silently.
fn enlarge(socket: &Socket, fd: BorrowedFd<'_>, octets: usize) -> Result<(), Errno> {
    if setsockopt(&fd, sockopt::RcvBufForce, &octets).is_err() {
        socket
            .set_recv_buffer_size(octets)
            .map_err(|error| errno(&error))?;
    }
    socket
        .set_send_buffer_size(octets)
        .map_err(|error| errno(&error))
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
