//! The two socket calls that no safe crate offers: datagrams dropped by a socket's receive buffer,
//! and turning on the kernel's error queue.
#![allow(unsafe_code)] // getsockopt and setsockopt with options that nix and socket2 do not know

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `SK_MEMINFO_VARS` of linux/sock_diag.h.
const MEMINFO_FIGURES: usize = 9;

/// Datagrams that the kernel dropped at this socket since it was made (`SO_MEMINFO`).
pub(super) fn drops(socket: BorrowedFd<'_>) -> u64 {
    let mut figures = [0_u32; MEMINFO_FIGURES];
    let mut length = u32::try_from(size_of_val(&figures)).unwrap_or(0);
    // SAFETY: `figures` is writable for `length` octets and lives through the call; the descriptor
    // is borrowed, so it is open.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            figures.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { u64::from(figures[libc::SK_MEMINFO_DROPS as usize]) } else { 0 }
}

/// Asks the kernel to queue ICMP errors with the datagram that caused them (`IP_RECVERR`).
pub(super) fn queue_errors(socket: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    let (level, option) = if ipv4 {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    };
    let on: libc::c_int = 1;
    // SAFETY: `on` is readable for its size and lives through the call; the descriptor is open.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            u32::try_from(size_of_val(&on)).unwrap_or(0),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
