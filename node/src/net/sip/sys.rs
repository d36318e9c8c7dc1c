//! The socket call that no safe crate offers: datagrams dropped by a socket's receive buffer.
#![allow(unsafe_code)] // getsockopt with an option that nix and socket2 do not know

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
    if result == 0 {
        u64::from(figures[libc::SK_MEMINFO_DROPS as usize])
    } else {
        0
    }
}
