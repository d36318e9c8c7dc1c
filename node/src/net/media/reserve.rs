//! Takes RTP ports for streams before SDP names them.
//!
//! A reservation owns its sockets and its place in the port pool; dropping it, used or not, closes
//! the sockets first and gives the port back after.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use crate::net::media::ports::{LOCAL_ADDRESSES_MAX, PortPool};
use crate::net::media::socket::{self, SocketSpec};

/// Ports that a reservation tries where other programs hold some of the range.
const TRIES_MAX: usize = 64;

/// Where one stream listens: write these addresses into SDP, then start it.
#[derive(Debug)]
pub struct Reservation {
    /// Where RTP is received.
    pub rtp: SocketAddr,
    /// Where RTCP is received; the same with rtcp-mux (RFC 5761).
    pub rtcp: SocketAddr,
    pub(super) sockets: Sockets,
}

/// What a stream sends and receives with.
#[derive(Debug)]
pub(super) enum Sockets {
    /// Its own.
    Own(OwnSockets),
    /// Those of its thread.
    Shared {
        /// The thread they belong to.
        thread: usize,
        /// Their place in that thread.
        port: usize,
        /// RTCP goes over the RTP socket.
        mux: bool,
    },
}

/// Sockets of one stream. Field order is drop order: the port is free once they are closed.
#[derive(Debug)]
pub(super) struct OwnSockets {
    pub rtp: UdpSocket,
    /// None with rtcp-mux.
    pub rtcp: Option<UdpSocket>,
    pub lease: PortLease,
}

/// A port taken from the pool.
#[derive(Debug)]
pub(super) struct PortLease {
    pool: Arc<Mutex<PortPool>>,
    local: IpAddr,
    port: u16,
}

impl Drop for PortLease {
    fn drop(&mut self) {
        lock(&self.pool).give_back(self.local, self.port);
    }
}

/// Why no port could be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// All port pairs of the range are in use.
    #[error(
        "all {pairs} RTP port pairs of {}-{} at {local} are in use: widen the range or add a local address",
        range.start(), range.end()
    )]
    NoPort {
        /// The local address.
        local: IpAddr,
        /// The configured range.
        range: RangeInclusive<u16>,
        /// Pairs in it.
        pairs: u16,
    },
    /// Other programs hold the ports that were tried.
    #[error(
        "{tried} RTP ports of {}-{} at {local} are taken by other programs: choose another range",
        range.start(), range.end()
    )]
    Taken {
        /// The local address.
        local: IpAddr,
        /// The configured range.
        range: RangeInclusive<u16>,
        /// Ports tried.
        tried: usize,
    },
    /// This process may open no more descriptors.
    #[error(
        "no file descriptors left for RTP sockets: raise the limit (ulimit -n), use rtcp-mux or sockets = \"shared\""
    )]
    Descriptors,
    /// The address is not one of this machine.
    #[error("{local} is not an address of this machine")]
    NotLocal {
        /// That address.
        local: IpAddr,
    },
    /// Too many different local addresses or DSCP values for shared sockets.
    #[error("more than {limit} different local addresses or DSCP values for RTP sockets")]
    TooManyLocals {
        /// How many are possible.
        limit: usize,
    },
    /// The media thread cannot take more commands.
    #[error("the media thread is too busy to take a new socket")]
    Busy,
    /// Anything else the kernel said.
    #[error("cannot open an RTP socket at {local}: {errno}")]
    Kernel {
        /// The local address.
        local: IpAddr,
        /// What it said.
        errno: Errno,
    },
}

/// Binds ports of one range; shared by all threads of an engine.
#[derive(Clone, Debug)]
pub(super) struct Binder {
    pool: Arc<Mutex<PortPool>>,
    range: RangeInclusive<u16>,
}

impl Binder {
    /// `seed` shuffles the order in which ports are taken; 0: ascending.
    pub(super) fn new(range: RangeInclusive<u16>, seed: u64) -> Self {
        Self {
            pool: Arc::new(Mutex::new(PortPool::new(&range, seed))),
            range,
        }
    }

    /// Port pairs that may still be taken at `local`.
    pub(super) fn free(&self, local: IpAddr) -> usize {
        lock(&self.pool).free(local)
    }

    /// Binds an even port for RTP and, with `with_rtcp`, the one above it.
    pub(super) fn bind(
        &self,
        local: IpAddr,
        with_rtcp: bool,
        dscp: u8,
        buffer_octets: Option<usize>,
    ) -> Result<OwnSockets, ReserveError> {
        for _ in 0..TRIES_MAX {
            let lease = self.take(local)?;
            let at = |port| SocketSpec {
                local: SocketAddr::new(local, port),
                dscp,
                buffer_octets,
            };
            let bound = socket::bind(&at(lease.port)).and_then(|rtp| {
                let rtcp = with_rtcp.then(|| socket::bind(&at(lease.port + 1)));
                Ok((rtp, rtcp.transpose()?))
            });
            match bound {
                Ok((rtp, rtcp)) => {
                    return Ok(OwnSockets { rtp, rtcp, lease });
                }
                Err(Errno::EADDRINUSE | Errno::EACCES) => {}
                Err(Errno::EMFILE | Errno::ENFILE) => return Err(ReserveError::Descriptors),
                Err(Errno::EADDRNOTAVAIL) => return Err(ReserveError::NotLocal { local }),
                Err(errno) => return Err(ReserveError::Kernel { local, errno }),
            }
        }
        Err(ReserveError::Taken {
            local,
            range: self.range.clone(),
            tried: TRIES_MAX,
        })
    }

    fn take(&self, local: IpAddr) -> Result<PortLease, ReserveError> {
        let mut pool = lock(&self.pool);
        if let Some(port) = pool.take(local) {
            return Ok(PortLease {
                pool: Arc::clone(&self.pool),
                local,
                port,
            });
        }
        if pool.free(local) > 0 {
            return Err(ReserveError::TooManyLocals {
                limit: LOCAL_ADDRESSES_MAX,
            });
        }
        Err(ReserveError::NoPort {
            local,
            range: self.range.clone(),
            pairs: pool.pairs(),
        })
    }
}

impl OwnSockets {
    /// The port of RTP.
    pub(super) fn port(&self) -> u16 {
        self.lease.port
    }
}

/// A panic while the pool was locked leaves it whole: its methods change it in one step.
fn lock(pool: &Mutex<PortPool>) -> std::sync::MutexGuard<'_, PortPool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}
