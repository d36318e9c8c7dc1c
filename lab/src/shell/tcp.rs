//! SIP over TCP: connections, framing, bounded output. RFC 3261 §18, RFC 5626 §3.5.1.
//!
//! Owns the listener and every connection. Reads hand messages up; what becomes of them is the
//! core's to say.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use bytes::Bytes;
use sip::wire::{Incoming, StreamFramer};
use socket2::{Domain, Protocol, Socket, Type};

use crate::core::proxy::Input;
use crate::core::route::{Channel, Flow};

use super::wake::{Ready, Waiter};

/// The listener and its connections.
#[derive(Debug)]
pub(super) struct Tcp {
    listener: Option<TcpListener>,
    connections: HashMap<u64, Connection>,
    by_peer: HashMap<SocketAddr, u64>,
    last_number: u64,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    framer: StreamFramer,
    // Not yet taken by the system, or the connection is still being made.
    pending: Vec<u8>,
}

impl Tcp {
    /// Connections of `listener`, reported to `waiter`.
    pub(super) fn new(listener: Option<TcpListener>, waiter: &Waiter) -> io::Result<Self> {
        if let Some(listener) = &listener {
            waiter.add(listener, LISTENER)?;
        }
        Ok(Self {
            listener,
            connections: HashMap::new(),
            by_peer: HashMap::new(),
            last_number: FIRST_CONNECTION,
        })
    }

    /// Serves a socket that is ready; messages go to `inputs`.
    pub(super) fn ready(&mut self, ready: Ready, waiter: &Waiter, inputs: &mut Vec<Input>) {
        if ready.number == LISTENER {
            return self.accept(waiter);
        }
        if ready.writable {
            self.flush(ready.number, waiter);
        }
        if ready.readable {
            self.read(ready.number, waiter, inputs);
        }
    }

    /// Sends on the flow's connection, on another one with its peer, or on a new one. `false`:
    /// there is no way to the peer, or it does not read.
    pub(super) fn send(&mut self, flow: Flow, bytes: &Bytes, waiter: &Waiter) -> bool {
        let known = match flow.via {
            Channel::Tcp(number) if self.connections.contains_key(&number) => Some(number),
            _ => self.by_peer.get(&flow.peer).copied(),
        };
        let Some(number) = known.or_else(|| self.connect(flow.peer, waiter)) else {
            return false;
        };
        let Some(connection) = self.connections.get_mut(&number) else {
            return false;
        };
        if connection.pending.len() + bytes.len() > MAX_PENDING {
            self.close(number);
            return false;
        }
        connection.pending.extend_from_slice(bytes);
        self.flush(number, waiter);
        true
    }

    fn accept(&mut self, waiter: &Waiter) {
        let Some(listener) = &self.listener else {
            return;
        };
        let mut fresh = Vec::new();
        while let Ok((stream, peer)) = listener.accept() {
            fresh.push((stream, peer));
        }
        for (stream, peer) in fresh {
            self.adopt(stream, peer, waiter);
        }
    }

    fn adopt(&mut self, stream: TcpStream, peer: SocketAddr, waiter: &Waiter) -> Option<u64> {
        if self.connections.len() >= MAX_CONNECTIONS {
            tracing::warn!(%peer, "too many connections; one is refused");
            return None;
        }
        let number = self.last_number + 1;
        let prepared = stream
            .set_nonblocking(true)
            .and_then(|()| stream.set_nodelay(true))
            .and_then(|()| waiter.add(&stream, number));
        if let Err(error) = prepared {
            tracing::debug!(%peer, %error, "a connection could not be kept");
            return None;
        }
        self.last_number = number;
        let framer = StreamFramer::new();
        self.connections.insert(
            number,
            Connection {
                stream,
                peer,
                framer,
                pending: Vec::new(),
            },
        );
        self.by_peer.insert(peer, number);
        Some(number)
    }

    fn connect(&mut self, peer: SocketAddr, waiter: &Waiter) -> Option<u64> {
        let socket = Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP));
        let stream = socket.and_then(|socket| {
            socket.set_nonblocking(true)?;
            match socket.connect(&peer.into()) {
                Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => Err(error),
                _ => Ok(TcpStream::from(socket)),
            }
        });
        match stream {
            Ok(stream) => self.adopt(stream, peer, waiter),
            Err(error) => {
                tracing::debug!(%peer, %error, "no connection");
                None
            }
        }
    }

    fn flush(&mut self, number: u64, waiter: &Waiter) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        match connection.stream.write(&connection.pending) {
            Ok(written) => {
                connection.pending.drain(..written);
            }
            Err(error) if would_block(&error) => {}
            Err(_) => return self.close(number),
        }
        let more = !connection.pending.is_empty();
        if waiter.writable(&connection.stream, number, more).is_err() {
            self.close(number);
        }
    }

    fn read(&mut self, number: u64, waiter: &Waiter, inputs: &mut Vec<Input>) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let mut buffer = [0; READ];
        match connection.stream.read(&mut buffer) {
            Ok(0) => return self.close(number),
            Ok(count) => connection
                .framer
                .push(buffer.get(..count).unwrap_or_default()),
            Err(error) if would_block(&error) => return,
            Err(_) => return self.close(number),
        }
        let flow = Flow {
            peer: connection.peer,
            via: Channel::Tcp(number),
        };
        let mut pongs = false;
        while let Some(next) = connection.framer.next() {
            match next {
                Ok(Incoming::Message(message)) => inputs.push(Input::Message(message, flow)),
                Ok(Incoming::Ping) => pongs = true,
                Ok(Incoming::Pong) => {}
                Err(rejected) => inputs.push(Input::Rejected(rejected.answer, flow)),
            }
        }
        if connection.framer.is_broken() {
            return self.close(number);
        }
        if pongs {
            self.send(flow, &Bytes::from_static(b"\r\n"), waiter);
        }
    }

    fn close(&mut self, number: u64) {
        let Some(connection) = self.connections.remove(&number) else {
            return;
        };
        if self.by_peer.get(&connection.peer) == Some(&number) {
            self.by_peer.remove(&connection.peer);
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    // A connection in the making is "not connected" to a writer.
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted
    )
}

/// The listener's number at the waiter; 0 is the UDP socket.
const LISTENER: u64 = 1;
const FIRST_CONNECTION: u64 = 1;
/// Connections at once: one per endpoint of a large test.
const MAX_CONNECTIONS: usize = 12_000;
/// Octets that a peer may leave unread before its connection is closed.
const MAX_PENDING: usize = 1 << 20;
const READ: usize = 16 * 1024;
/// EINPROGRESS: the connection is being made.
const IN_PROGRESS: i32 = nix::errno::Errno::EINPROGRESS as i32;
