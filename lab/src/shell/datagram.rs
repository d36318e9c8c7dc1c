//! Datagrams with the moment at which the kernel took them.
//!
//! Owns the control message of `SO_TIMESTAMPNS`; what the stamp means is `clock`'s.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;

/// Asks the kernel to stamp what arrives on `socket`.
pub(super) fn stamp(socket: &UdpSocket) {
    // Without stamps the time of reading counts, which is late on a busy machine.
    if let Err(error) = setsockopt(socket, sockopt::ReceiveTimestampns, &true) {
        tracing::warn!(%error, "the kernel does not stamp what a relay port receives");
    }
}

/// Room for one datagram and its stamp.
#[derive(Debug)]
pub(super) struct Room {
    data: Vec<u8>,
    control: Vec<u8>,
}

/// One received datagram.
#[derive(Debug)]
pub(super) struct Datagram<'a> {
    /// Its octets.
    pub(super) data: &'a [u8],
    /// Where it came from.
    pub(super) source: SocketAddr,
    /// When the kernel took it: wall-clock time since 1970.
    pub(super) stamp: Option<Duration>,
}

impl Room {
    /// Room for the largest datagram there is.
    pub(super) fn new() -> Self {
        Self {
            data: vec![0; MAX_PACKET],
            control: cmsg_space!(TimeSpec),
        }
    }

    /// Takes one datagram; `WouldBlock` where there is none.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<Datagram<'_>> {
        let mut slices = [IoSliceMut::new(&mut self.data)];
        let received = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut slices,
            Some(&mut self.control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let stamp = received.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        });
        let (length, source) = (received.bytes, received.address.and_then(address));
        let source = source.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Datagram {
            data: self.data.get(..length).unwrap_or_default(),
            source,
            stamp,
        })
    }
}

fn address(storage: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in();
    let v6 = storage.as_sockaddr_in6();
    v4.map(|v4| SocketAddrV4::from(*v4).into())
        .or_else(|| v6.map(|v6| SocketAddrV6::from(*v6).into()))
}

/// The largest UDP payload there is.
const MAX_PACKET: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn a_stamp_is_the_time_of_arrival_not_of_reading() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(local) else {
                eprintln!("skipped: nothing to bind at {local}");
                continue;
            };
            stamp(&socket);
            let wall = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let sender = UdpSocket::bind(local).unwrap();
            let mut room = Room::new();
            let before = wall();
            sender
                .send_to(b"one", socket.local_addr().unwrap())
                .unwrap();
            let sent = wall();
            let got = room.receive(&socket).unwrap();
            assert_eq!(
                (got.data, got.source),
                (&b"one"[..], sender.local_addr().unwrap())
            );
            let stamp = got.stamp.expect("a stamp");
            // The kernel switches stamping on a little later than asked: the first may be late.
            assert!(stamp >= before && stamp <= wall(), "{local}, {sent:?}");
            let nothing = room.receive(&socket).map(|_| ());
            assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }
}
