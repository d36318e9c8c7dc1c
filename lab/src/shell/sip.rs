//! The signalling thread: sockets on one side, the proxy core on the other.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use bytes::Bytes;
use sip::wire::{Incoming, Message};

use crate::core::calls::MediaCommand;
use crate::core::proxy::{Input, Output, Proxy};
use crate::core::relay::SessionId;
use crate::core::route::{Channel, Flow};
use crate::stats::SipStats;

use super::ports::PortPool;
use super::relay::Command;
use super::tcp::Tcp;
use super::wake::{Link, Waiter};

/// What other threads tell the signalling thread.
#[derive(Debug)]
pub(super) enum Ask {
    /// Count, please.
    Stats(SyncSender<SipStats>),
    /// A call's media is silent.
    Idle(SessionId),
    /// End.
    Stop,
}

/// Everything the signalling thread owns.
pub(super) struct SipShell {
    pub(super) udp: UdpSocket,
    pub(super) tcp: Tcp,
    pub(super) waiter: Waiter,
    pub(super) inbox: Receiver<Ask>,
    pub(super) proxy: Proxy,
    pub(super) relays: Vec<Link<Command>>,
    pub(super) ports: Option<PortPool>,
    pub(super) in_use: HashMap<SessionId, Vec<u16>>,
}

impl SipShell {
    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        self.refill();
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let ready = match self.waiter.wait(self.proxy.next_deadline()) {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "the lab's signalling cannot wait and ends");
                    return;
                }
            };
            let mut inputs = vec![Input::Timeout];
            for ready in ready {
                if ready.number == UDP {
                    self.receive(&mut buffer);
                } else {
                    self.tcp.ready(ready, &self.waiter, &mut inputs);
                }
            }
            for input in inputs {
                self.handle(input);
            }
            if !self.asked() {
                return;
            }
        }
    }

    /// Serves the inbox; `false`: stop.
    fn asked(&mut self) -> bool {
        while let Ok(ask) = self.inbox.try_recv() {
            match ask {
                Ask::Stats(reply) => {
                    if reply.try_send(self.proxy.stats()).is_err() {
                        tracing::debug!("nobody waits for the counts any more");
                    }
                }
                Ask::Idle(id) => self.handle(Input::MediaIdle(id)),
                Ask::Stop => return false,
            }
        }
        true
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        for _ in 0..BURST {
            let (length, peer) = match self.udp.recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Linux reports an ICMP error of an earlier datagram here.
                Err(_) => continue,
            };
            let datagram = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            let flow = Flow::udp(peer);
            match Message::parse_datagram(datagram) {
                Ok(Incoming::Message(message)) => self.handle(Input::Message(message, flow)),
                Ok(Incoming::Ping | Incoming::Pong) => {}
                Err(rejected) => self.handle(Input::Rejected(rejected.answer, flow)),
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.proxy.handle(Instant::now(), input);
        while let Some(output) = self.proxy.poll() {
            match output {
                Output::Send(flow, bytes) => {
                    if let Some(failure) = self.send(flow, &bytes) {
                        self.proxy.handle(Instant::now(), failure);
                    }
                }
                Output::Media(command) => self.media(command),
            }
        }
        self.refill();
    }

    fn send(&mut self, flow: Flow, bytes: &Bytes) -> Option<Input> {
        match flow.via {
            Channel::Udp => self
                .udp
                .send_to(bytes, flow.peer)
                .err()
                .map(|_| Input::SendFailed),
            Channel::Tcp(_) | Channel::AnyTcp => {
                (!self.tcp.send(flow, bytes, &self.waiter)).then_some(Input::FlowLost)
            }
        }
    }

    fn media(&mut self, command: MediaCommand) {
        match command {
            MediaCommand::Open { id, call_id } => self.relay(id, Command::Open { id, call_id }),
            MediaCommand::Line {
                id,
                line,
                caller,
                callee,
            } => {
                let Some(ports) = &mut self.ports else { return };
                let (Some(to_caller), Some(to_callee)) = (ports.take(caller), ports.take(callee))
                else {
                    return;
                };
                self.in_use.entry(id).or_default().extend([caller, callee]);
                let (caller, callee) = (to_caller, to_callee);
                self.relay(
                    id,
                    Command::Line {
                        id,
                        line,
                        caller,
                        callee,
                    },
                );
            }
            MediaCommand::Target { port, target } => {
                self.relay(port.session, Command::Target { port, target });
            }
            MediaCommand::Close { id } => {
                self.relay(id, Command::Close { id });
                if let Some(ports) = &mut self.ports {
                    for port in self.in_use.remove(&id).unwrap_or_default() {
                        ports.give_back(port);
                    }
                }
            }
        }
    }

    /// Every call belongs to one relay thread for its whole life.
    fn relay(&self, id: SessionId, command: Command) {
        let index = id.0 as usize % self.relays.len().max(1);
        if let Some(relay) = self.relays.get(index)
            && !relay.send(command)
        {
            tracing::error!("a relay thread has ended; its calls have no media");
        }
    }

    /// Keeps bound ports at hand, so that the core never waits for the system.
    fn refill(&mut self) {
        let Some(ports) = &mut self.ports else { return };
        let wanted = self.proxy.ports_wanted();
        // In batches: a call takes two, and a batch costs one burst of binds.
        if wanted < REFILL_FROM {
            return;
        }
        for port in ports.bind(wanted) {
            self.proxy.handle(Instant::now(), Input::PortReady(port));
        }
    }
}

/// Binds the UDP socket with room for bursts.
pub(super) fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The UDP socket's number at the waiter.
pub(super) const UDP: u64 = 0;
/// Datagrams taken before timers and connections get their turn.
const BURST: usize = 64;
/// The largest UDP payload there is.
const MAX_DATAGRAM: usize = 65_535;
/// Asked for; the system grants what its limit allows. 8 MiB hold a second of 10,000 messages.
const BUFFER: usize = 8 << 20;
/// A quarter of what is kept at hand.
const REFILL_FROM: usize = 32;
