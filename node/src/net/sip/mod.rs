//! SIP on the wire: UDP and TCP sockets of one shard, which endpoint a message is for, and names to
//! addresses. Decides nothing about a call.

mod demux;
mod gate;
mod resolve;
mod sys;
mod tcp;
mod udp;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use sip::ua::{Destination, HostPort, Transport};
use sip::wire::{Incoming, Message};
use tokio::sync::mpsc;

pub use demux::{Demux, Route, branch_prefix, contact_user};
pub use resolve::Resolver;

use self::gate::Gate;
use crate::core::lease::Permit;
use crate::net::egress::{Egress, EgressKind};

/// Something that came in from the network.
#[derive(Debug)]
pub enum Arrival {
    /// A SIP message.
    Message {
        /// The socket it came to, as bound.
        local: SocketAddr,
        /// The message.
        message: Message,
        /// Its source.
        from: SocketAddr,
        /// Its transport.
        transport: Transport,
    },
    /// The network refused what we sent to an address.
    Unreachable {
        /// The branch of the message that was refused, where the kernel gave it back.
        slot: Option<u32>,
        /// The address.
        to: SocketAddr,
        /// The errno or ICMP in words.
        error: String,
    },
}

/// Counters of one shard's SIP sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SipSocketCounts {
    /// Datagrams that the parser refused (answered or dropped).
    pub rejected: u64,
    /// Messages dropped because a queue was full or the kernel would not take them.
    pub refused: u64,
    /// Requests that the lease did not cover.
    pub fenced: u64,
    /// Datagrams dropped by the kernel's receive buffers.
    pub kernel_drops: u64,
}

/// Arrivals waiting for the shard. Full: the datagram is dropped and counted, as a kernel would.
pub const ARRIVALS_MAX: usize = 65_536;

struct Bound {
    asked: SocketAddr,
    dscp: u8,
    udp: udp::UdpPort,
    tcp: Option<tcp::TcpPort>,
    users: usize,
}

struct Inner {
    ports: Vec<Bound>,
    counts: SipSocketCounts,
}

/// All SIP sockets of one shard. Clones share them; not for other threads.
#[derive(Clone)]
pub struct SipIo {
    inner: Rc<RefCell<Inner>>,
    arrivals: mpsc::Sender<Arrival>,
    resolver: Resolver,
    egress: Arc<Egress>,
    gate: Gate,
}

/// Why a SIP socket could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot bind SIP to {address} over {transport}: {source}")]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// UDP or TCP.
    pub transport: &'static str,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// Why a message did not leave.
#[derive(Debug)]
pub enum SendFailure {
    /// The destination may not be sent to, or its name is unknown.
    Refused(String),
    /// The system refused it.
    Unreachable(SocketAddr, String),
}

impl SipIo {
    /// Sockets that may send where `egress` permits, and the queue their arrivals come from.
    #[must_use]
    pub fn new(egress: Arc<Egress>, resolver: Resolver) -> (Self, mpsc::Receiver<Arrival>) {
        let (arrivals, queue) = mpsc::channel(ARRIVALS_MAX);
        let inner = Inner {
            ports: Vec::new(),
            counts: SipSocketCounts::default(),
        };
        (
            Self {
                inner: Rc::new(RefCell::new(inner)),
                arrivals,
                resolver,
                egress,
                gate: Gate::default(),
            },
            queue,
        )
    }

    /// What may leave from now on; nothing but what ends calls before this.
    pub fn permit(&self, permit: Permit) {
        self.gate.open(permit);
    }

    /// The names that are known.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Binds (or shares) the port for `asked`: port 0 is one shared free port per address and DSCP,
    /// unless `alone` asks for another. With TCP, a listener stands at the same port.
    ///
    /// Errors: the address is taken or not ours.
    pub fn bind(
        &self,
        asked: SocketAddr,
        with_tcp: bool,
        dscp: u8,
        alone: bool,
    ) -> Result<SocketAddr, BindError> {
        if !alone {
            let mut inner = self.inner.borrow_mut();
            let shared = inner.ports.iter_mut().find(|port| {
                port.asked == asked && port.dscp == dscp && port.tcp.is_some() == with_tcp
            });
            if let Some(port) = shared {
                port.users += 1;
                return Ok(port.udp.local());
            }
        }
        let mut tries = 0;
        let (udp, tcp) = loop {
            tries += 1;
            let udp =
                udp::UdpPort::bind(asked, dscp, self.clone()).map_err(|source| BindError {
                    address: asked,
                    transport: "UDP",
                    source,
                })?;
            if !with_tcp {
                break (udp, None);
            }
            match tcp::TcpPort::listen(udp.local(), self.clone()) {
                Ok(tcp) => break (udp, Some(tcp)),
                // A free UDP port need not be free for TCP: take another, a bounded number of times.
                Err(_) if asked.port() == 0 && tries < BIND_TRIES => {}
                Err(source) => {
                    return Err(BindError {
                        address: asked,
                        transport: "TCP",
                        source,
                    });
                }
            }
        };
        let local = udp.local();
        self.inner.borrow_mut().ports.push(Bound {
            asked,
            dscp,
            udp,
            tcp,
            users: 1,
        });
        Ok(local)
    }

    /// Gives a port back; the last user closes it.
    pub fn release(&self, local: SocketAddr) {
        let mut inner = self.inner.borrow_mut();
        if let Some(at) = inner
            .ports
            .iter()
            .position(|port| port.udp.local() == local)
            && let Some(port) = inner.ports.get_mut(at)
        {
            port.users = port.users.saturating_sub(1);
            if port.users == 0 {
                inner.ports.swap_remove(at);
            }
        }
    }

    /// Sends one message from the port `local`. A name that is not known yet is looked up in the
    /// background and the message follows; what goes wrong then comes as [`Arrival::Unreachable`].
    ///
    /// A request that the lease does not cover does not leave and is counted: its endpoint is being
    /// ended, and needs no answer to it.
    ///
    /// Errors: see [`SendFailure`].
    pub fn send(
        &self,
        local: SocketAddr,
        slot: u32,
        to: &Destination,
        bytes: &Bytes,
    ) -> Result<Option<SocketAddr>, SendFailure> {
        let remote = match &to.host {
            HostPort::Ip(address) => Some(*address),
            HostPort::Name(name, port) => self.resolver.known(name, *port, local.is_ipv4()),
        };
        let Some(remote) = remote else {
            self.send_when_resolved(local, slot, to.clone(), bytes.clone());
            return Ok(None);
        };
        self.egress
            .permit(remote, EgressKind::Sip)
            .map_err(|refused| SendFailure::Refused(refused.to_string()))?;
        let sent = self.send_from(local, slot, remote, to.transport, bytes)?;
        match sent {
            Ok(()) => Ok(Some(remote)),
            // Our own buffer is full: no fault of the address, and the transaction's timer repeats
            // the message. It counts against the generator.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                self.count_refused();
                Ok(Some(remote))
            }
            Err(error) => Err(SendFailure::Unreachable(remote, error.to_string())),
        }
    }

    fn send_from(
        &self,
        local: SocketAddr,
        slot: u32,
        remote: SocketAddr,
        transport: Transport,
        bytes: &Bytes,
    ) -> Result<std::io::Result<()>, SendFailure> {
        if !self.passes(bytes) {
            return Ok(Ok(()));
        }
        let inner = self.inner.borrow();
        let Some(port) = inner.ports.iter().find(|port| port.udp.local() == local) else {
            return Err(SendFailure::Refused(format!(
                "the SIP port {local} is closed"
            )));
        };
        if transport == Transport::Udp {
            return Ok(port.udp.send(remote, bytes));
        }
        let Some(tcp) = port.tcp.as_ref().map(tcp::TcpPort::connections) else {
            let error = std::io::Error::other("this group has no TCP socket");
            return Ok(Err(error));
        };
        // Connecting may count a refusal, which borrows the counters anew.
        drop(inner);
        Ok(tcp.send(remote, slot, bytes))
    }

    fn send_when_resolved(&self, local: SocketAddr, slot: u32, to: Destination, bytes: Bytes) {
        let io = self.clone();
        actix_rt::spawn(async move {
            let HostPort::Name(name, port) = &to.host else {
                return;
            };
            let failure = match io.resolver.look_up(name, *port, local.is_ipv4()).await {
                Ok(address) => {
                    let host = HostPort::Ip(address);
                    let direct = Destination {
                        host,
                        transport: to.transport,
                    };
                    match io.send(local, slot, &direct, &bytes) {
                        Ok(_) => return,
                        Err(SendFailure::Refused(error)) => (address, error),
                        Err(SendFailure::Unreachable(address, error)) => (address, error),
                    }
                }
                Err(error) => (SocketAddr::new(IpAddr::from([0, 0, 0, 0]), *port), error),
            };
            let (to, error) = failure;
            io.arrived(Arrival::Unreachable {
                slot: Some(slot),
                to,
                error,
            });
        });
    }

    /// The counters so far, with the kernel's drops read now.
    #[must_use]
    pub fn counts(&self) -> SipSocketCounts {
        let inner = self.inner.borrow();
        let kernel_drops = inner.ports.iter().map(|port| port.udp.kernel_drops()).sum();
        SipSocketCounts {
            kernel_drops,
            ..inner.counts
        }
    }

    /// Parses a datagram or framed message and queues it; answers statelessly what deserves that.
    fn take(
        &self,
        local: SocketAddr,
        from: SocketAddr,
        transport: Transport,
        parsed: Result<Incoming, sip::wire::Rejected>,
    ) -> Option<Bytes> {
        match parsed {
            Ok(Incoming::Message(message)) => {
                self.arrived(Arrival::Message {
                    local,
                    message,
                    from,
                    transport,
                });
                None
            }
            Ok(Incoming::Ping | Incoming::Pong) => None,
            Err(rejected) => {
                self.inner.borrow_mut().counts.rejected += 1;
                rejected.answer
            }
        }
    }

    fn arrived(&self, arrival: Arrival) {
        if self.arrivals.try_send(arrival).is_err() {
            self.count_refused();
        }
    }

    fn count_refused(&self) {
        self.inner.borrow_mut().counts.refused += 1;
    }

    /// Whether the lease covers this message; asked right before the socket, also for what waited in
    /// a queue.
    fn passes(&self, bytes: &[u8]) -> bool {
        let passes = self.gate.passes(bytes);
        if !passes {
            self.inner.borrow_mut().counts.fenced += 1;
        }
        passes
    }

    fn may_send(&self, to: SocketAddr) -> bool {
        self.egress.permit(to, EgressKind::Sip).is_ok()
    }
}

/// Ports tried until one is free for UDP and TCP alike.
const BIND_TRIES: usize = 32;
