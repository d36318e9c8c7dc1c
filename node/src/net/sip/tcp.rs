//! SIP over TCP: a listener at the shard's SIP port, connections that are made when somebody sends
//! and kept while they live (RFC 3261 §18).
//!
//! An endpoint has its own connection to each address, as a real device has. A connection that
//! breaks tells the endpoint that used it.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use sip::ua::Transport;
use sip::wire::{Incoming, Rejected, StreamFramer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Arrival, SipIo};

/// Messages waiting to be written to one connection; the next is refused.
const WRITE_QUEUE_MAX: usize = 64;
/// Connections of one SIP port, both directions; the next is refused.
const CONNECTIONS_MAX: usize = 8_192;
/// A message that was begun is complete in this time, or its connection is closed: 64*T1, after
/// which no transaction waits for it any more.
const UNFINISHED_MAX: std::time::Duration = std::time::Duration::from_secs(32);
/// A connection that is not made in this time counts as unreachable (well inside Timer B).
const CONNECT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Who may write to a connection: the endpoint that made it, or anyone for one that was accepted.
type Key = (SocketAddr, Option<u32>);
/// Which connection of a key a task belongs to, without keeping its queue open.
type Mine = mpsc::WeakSender<Bytes>;

/// The connections of one port. Clones share them.
#[derive(Clone)]
pub(super) struct Connections {
    local: SocketAddr,
    io: SipIo,
    writers: Rc<RefCell<FxHashMap<Key, mpsc::Sender<Bytes>>>>,
    tasks: Rc<RefCell<Vec<JoinHandle<()>>>>,
}

/// A listener and its connections.
pub(super) struct TcpPort {
    connections: Connections,
}

impl TcpPort {
    pub(super) fn listen(local: SocketAddr, io: SipIo) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(local),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        socket.bind(&local.into())?;
        socket.listen(1_024)?;
        let listener = TcpListener::from_std(socket.into())?;
        let connections = Connections {
            local,
            io,
            writers: Rc::default(),
            tasks: Rc::default(),
        };
        let accepting = connections.clone();
        let task = actix_rt::spawn(async move { accepting.accept(listener).await });
        connections.tasks.borrow_mut().push(task);
        Ok(Self { connections })
    }

    /// What sends through this port.
    pub(super) fn connections(&self) -> Connections {
        self.connections.clone()
    }
}

impl Drop for TcpPort {
    fn drop(&mut self) {
        for task in self.connections.tasks.borrow_mut().drain(..) {
            task.abort();
        }
    }
}

impl Connections {
    /// Queues one message, connecting first where that is needed.
    pub(super) fn send(&self, remote: SocketAddr, slot: u32, bytes: &Bytes) -> io::Result<()> {
        let writers = self.writers.borrow();
        // RFC 3261 §18.2.2: a response goes back over the connection its request came by.
        let accepted = writers.get(&(remote, None));
        let writer = accepted
            .or_else(|| writers.get(&(remote, Some(slot))))
            .cloned();
        drop(writers);
        let writer = match writer {
            Some(writer) if !writer.is_closed() => writer,
            Some(_) | None => self.connect(remote, slot)?,
        };
        writer
            .try_send(bytes.clone())
            .map_err(|_| io::Error::other(format!("the write queue to {remote} is full")))
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => {
                    if self.has_room() {
                        let (queue, mine) = self.add((remote, None));
                        self.serve(stream, (remote, None), queue, mine);
                    } else {
                        self.io.count_refused();
                    }
                }
                Err(error) => {
                    // Descriptors ran out: the kernel keeps the connection, we try again soon.
                    tracing::warn!(local = %self.local, %error, "cannot accept a SIP connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.tasks.borrow_mut().retain(|task| !task.is_finished());
        self.writers.borrow().len() < CONNECTIONS_MAX
    }

    fn add(&self, key: Key) -> (mpsc::Receiver<Bytes>, Mine) {
        let (writer, queue) = mpsc::channel(WRITE_QUEUE_MAX);
        let mine = writer.downgrade();
        self.writers.borrow_mut().insert(key, writer);
        (queue, mine)
    }

    fn connect(&self, remote: SocketAddr, slot: u32) -> io::Result<mpsc::Sender<Bytes>> {
        if !self.has_room() {
            self.io.count_refused();
            return Err(io::Error::other("too many SIP connections"));
        }
        let key = (remote, Some(slot));
        let (queue, mine) = self.add(key);
        let writer = self.writers.borrow().get(&key).cloned();
        let this = self.clone();
        let task = actix_rt::spawn(async move {
            let connecting = tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(remote));
            match connecting.await {
                Ok(Ok(stream)) => this.serve(stream, key, queue, mine),
                Ok(Err(error)) => this.lost(key, &mine, Some(error.to_string())),
                Err(_) => this.lost(key, &mine, Some("connection timed out".to_owned())),
            }
        });
        self.tasks.borrow_mut().push(task);
        writer.ok_or_else(|| io::Error::other("the connection is gone"))
    }

    fn serve(&self, stream: TcpStream, key: Key, queue: mpsc::Receiver<Bytes>, mine: Mine) {
        let remote = key.0;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote, %error, "TCP_NODELAY was refused");
        }
        let (reading, writing) = stream.into_split();
        let reader = self.clone();
        let writer = self.clone();
        let same = mine.clone();
        let read = actix_rt::spawn(async move {
            let end = reader.read(reading, key, &mine).await;
            reader.lost(key, &mine, end);
        });
        let write = actix_rt::spawn(async move {
            if let Some(error) = writer.write_all(writing, queue).await {
                writer.lost(key, &same, Some(error));
            }
        });
        self.tasks.borrow_mut().extend([read, write]);
    }

    /// Reads until the far end closes, sends what no framing can follow, or leaves a message
    /// unfinished.
    async fn read(&self, mut reading: OwnedReadHalf, key: Key, mine: &Mine) -> Option<String> {
        let mut framer = StreamFramer::new();
        let mut octets = vec![0_u8; 8 * 1024];
        let mut unfinished_since = None;
        loop {
            let read = reading.read(&mut octets);
            let read = match unfinished_since {
                None => read.await,
                Some(since) => match tokio::time::timeout_at(since + UNFINISHED_MAX, read).await {
                    Ok(read) => read,
                    Err(_) => return Some("the far end did not finish a message".to_owned()),
                },
            };
            let length = match read {
                Ok(0) => return Some("the far end closed the connection".to_owned()),
                Ok(length) => length,
                Err(error) => return Some(error.to_string()),
            };
            framer.push(octets.get(..length).unwrap_or_default());
            let mut taken = false;
            while let Some(framed) = framer.next() {
                taken = true;
                self.take(framed, key, mine);
            }
            if framer.is_broken() {
                // What was answered to it is still written: the queue empties before the end.
                return Some("the far end sent something that is not SIP".to_owned());
            }
            // The clock of an unfinished message starts with its first octet, not with each.
            unfinished_since = match unfinished_since {
                _ if !framer.is_partial() => None,
                Some(since) if !taken => Some(since),
                _ => Some(tokio::time::Instant::now()),
            };
        }
    }

    /// Hands on what was framed; answers a keep-alive (RFC 5626 §3.5.1) or a refused request.
    fn take(&self, framed: Result<Incoming, Rejected>, key: Key, mine: &Mine) {
        let answer = match framed {
            Ok(Incoming::Ping) => Some(Bytes::from_static(b"\r\n")),
            other => self.io.take(self.local, key.0, Transport::Tcp, other),
        };
        let Some(answer) = answer.filter(|_| self.io.may_send(key.0)) else {
            return;
        };
        // A peer that asks without reading has filled its queue: what it is owed is dropped.
        if let Some(writer) = mine.upgrade()
            && writer.try_send(answer).is_err()
        {
            tracing::debug!(remote = %key.0, "an answer met a full write queue");
        }
    }

    /// Writes what is queued. The lease may have gone while a message waited, for the connection or
    /// behind others.
    async fn write_all(
        &self,
        mut writing: OwnedWriteHalf,
        mut queue: mpsc::Receiver<Bytes>,
    ) -> Option<String> {
        while let Some(bytes) = queue.recv().await {
            if !self.io.passes(&bytes) {
                continue;
            }
            if let Err(error) = writing.write_all(&bytes).await {
                return Some(error.to_string());
            }
        }
        None
    }

    /// Reader and writer both tell of one broken connection: the second, and one that was replaced
    /// meanwhile, must not take the new connection down.
    fn lost(&self, key: Key, mine: &Mine, error: Option<String>) {
        let mut writers = self.writers.borrow_mut();
        let present = match (writers.get(&key), mine.upgrade()) {
            (Some(known), Some(mine)) => known.same_channel(&mine),
            _ => false,
        };
        if !present {
            return;
        }
        writers.remove(&key);
        drop(writers);
        if let (Some(slot), Some(error)) = (key.1, error) {
            self.io.arrived(Arrival::Unreachable {
                slot: Some(slot),
                to: key.0,
                error,
            });
        }
    }
}
