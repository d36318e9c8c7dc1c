//! The relay's ports: pairs of bound sockets, taken ahead of need and given back.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use super::datagram::stamp;

/// An even port for RTP and the odd one above for RTCP (RFC 3550 §11).
#[derive(Debug)]
pub(super) struct Pair {
    /// The even port's socket.
    pub(super) rtp: UdpSocket,
    /// The odd port's socket.
    pub(super) rtcp: UdpSocket,
}

/// All pairs of a range: free, or bound and not yet in use.
#[derive(Debug)]
pub(super) struct PortPool {
    address: IpAddr,
    // Oldest first: a port rests before a new call gets what is late for the old one.
    free: VecDeque<u16>,
    bound: HashMap<u16, Pair>,
}

impl PortPool {
    /// The even ports of `range` whose odd neighbour is in it, too.
    pub(super) fn new(address: IpAddr, range: &RangeInclusive<u16>) -> Self {
        let first = range.start().next_multiple_of(2);
        let free = (first..*range.end()).step_by(2).collect();
        Self {
            address,
            free,
            bound: HashMap::new(),
        }
    }

    /// Binds up to `count` pairs and gives their even ports. Ports in other hands are skipped.
    pub(super) fn bind(&mut self, count: usize) -> Vec<u16> {
        let mut ready = Vec::new();
        for _ in 0..self.free.len().min(count.saturating_mul(TRIES_PER_PAIR)) {
            if ready.len() >= count {
                break;
            }
            let Some(port) = self.free.pop_front() else {
                break;
            };
            match pair(self.address, port) {
                Ok(pair) => {
                    self.bound.insert(port, pair);
                    ready.push(port);
                }
                Err(error) => {
                    tracing::debug!(port, %error, "a relay port is taken");
                    self.free.push_back(port);
                }
            }
        }
        ready
    }

    /// Takes the sockets of a pair that [`PortPool::bind`] gave.
    pub(super) fn take(&mut self, port: u16) -> Option<Pair> {
        self.bound.remove(&port)
    }

    /// A port whose sockets are closed, or will be soon.
    pub(super) fn give_back(&mut self, port: u16) {
        self.free.push_back(port);
    }
}

fn pair(address: IpAddr, port: u16) -> io::Result<Pair> {
    Ok(Pair {
        rtp: bind(address, port)?,
        rtcp: bind(address, port + 1)?,
    })
}

fn bind(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(address, port))?;
    socket.set_nonblocking(true)?;
    stamp(&socket);
    Ok(socket)
}

/// How many taken ports are passed over for one that is free.
const TRIES_PER_PAIR: usize = 8;
