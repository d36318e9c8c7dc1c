//! A relay thread: media sockets on one side, the relay core on the other.
//!
//! Packets without delay pass within the receive path; held ones leave by the thread's timer. A packet's
//! delay counts from the moment at which the kernel took it, so a busy processor adds nothing to it.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::core::packet::{Kind, Packet};
use crate::core::relay::{Fate, Port, Relay, SessionId, Side, Target};
use crate::stats::{CallMedia, Direction};

use super::clock::Clock;
use super::datagram::Room;
use super::log::{Entry, Log, Logged};
use super::ports::Pair;
use super::sip::Ask;
use super::wake::{Link, Waiter};

/// What a relay thread is told.
#[derive(Debug)]
pub(super) enum Command {
    /// A new call.
    Open {
        /// Its number.
        id: SessionId,
        /// Its name.
        call_id: Arc<str>,
    },
    /// Sockets for a media line.
    Line {
        /// The call.
        id: SessionId,
        /// The line.
        line: u8,
        /// Towards the caller.
        caller: Pair,
        /// Towards the callee.
        callee: Pair,
    },
    /// Where an end wants its packets.
    Target {
        /// Call, line and end.
        port: Port,
        /// Addresses.
        target: Target,
    },
    /// The call is over.
    Close {
        /// Its number.
        id: SessionId,
    },
    /// Count, please.
    Stats(SyncSender<RelayCounts>),
    /// End.
    Stop,
}

/// What a relay thread has counted.
#[derive(Debug, Default)]
pub(super) struct RelayCounts {
    /// Calls in order of their beginning.
    pub(super) calls: Vec<(SessionId, CallMedia)>,
    /// Sum over every call.
    pub(super) total: Direction,
    /// Packets that the system would not take.
    pub(super) send_errors: u64,
}

/// Everything a relay thread owns.
pub(super) struct RelayShell {
    waiter: Waiter,
    inbox: Receiver<Command>,
    sip: Link<Ask>,
    log: Option<Log>,
    relay: Relay,
    sockets: FxHashMap<u64, (Port, UdpSocket)>,
    numbers: FxHashMap<Port, u64>,
    names: HashMap<SessionId, (Arc<str>, Vec<u64>)>,
    last_number: u64,
    next_round: Instant,
    send_errors: u64,
    clock: Clock,
}

impl RelayShell {
    /// A thread's work, not yet begun.
    pub(super) fn new(
        waiter: Waiter,
        inbox: Receiver<Command>,
        sip: Link<Ask>,
        log: Option<Log>,
        relay: Relay,
        now: Instant,
    ) -> Self {
        Self {
            waiter,
            inbox,
            sip,
            log,
            relay,
            sockets: FxHashMap::default(),
            numbers: FxHashMap::default(),
            names: HashMap::new(),
            last_number: 0,
            next_round: now + ROUND,
            send_errors: 0,
            clock: Clock::new(),
        }
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        go_first();
        let mut room = Room::new();
        loop {
            let held = self.relay.next_deadline().unwrap_or(self.next_round);
            let ready = match self.waiter.wait(Some(held.min(self.next_round))) {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "a relay thread cannot wait and ends");
                    return;
                }
            };
            self.clock.look(Instant::now());
            self.release();
            if !self.obey() {
                return;
            }
            for ready in ready {
                self.receive(ready.number, &mut room);
                self.release();
            }
            self.round();
        }
    }

    fn receive(&mut self, number: u64, room: &mut Room) {
        let Some((port, socket)) = self.sockets.get(&number) else {
            return;
        };
        let port = *port;
        let datagram = match room.receive(socket) {
            Ok(datagram) => datagram,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::trace!(%error, "a relay port reports an error");
                }
                return;
            }
        };
        let (data, source) = (datagram.data, datagram.source);
        let received = self.clock.arrival(datagram.stamp, Instant::now());
        match self.relay.packet(received, port, source, data) {
            Fate::Forward { from, to, twice } => {
                let sender = port.side;
                self.send(from, to, data, sender, received, Logged::Sent);
                if twice {
                    self.send(from, to, data, sender, received, Logged::Duplicate);
                }
            }
            Fate::Lost => self.note(port, data, received, None, Logged::Lost),
            Fate::Stranger => self.note(port, data, received, None, Logged::Stranger),
            Fate::Refused => self.note(port, data, received, None, Logged::Refused),
            Fate::Held | Fate::Invalid | Fate::Unknown => {}
        }
    }

    /// Sends what was held and whose time has come.
    fn release(&mut self) {
        while self
            .relay
            .next_deadline()
            .is_some_and(|at| at <= Instant::now())
        {
            let Some(due) = self.relay.due(Instant::now()) else {
                continue;
            };
            let fate = if due.duplicate {
                Logged::Duplicate
            } else {
                Logged::Sent
            };
            let sender = due.from.side.other();
            self.send(due.from, due.to, &due.data, sender, due.received, fate);
        }
    }

    fn send(
        &mut self,
        from: Port,
        to: SocketAddr,
        data: &[u8],
        sender: Side,
        received: Instant,
        fate: Logged,
    ) {
        let socket = self
            .numbers
            .get(&from)
            .and_then(|number| self.sockets.get(number));
        let begun = Instant::now();
        let sent = socket.is_some_and(|(_, socket)| socket.send_to(data, to).is_ok());
        self.send_errors += u64::from(!sent);
        let port = Port {
            side: sender,
            ..from
        };
        let fate = if sent { fate } else { Logged::Refused };
        let released = sent.then(|| (begun, Instant::now()));
        self.note(port, data, received, released, fate);
    }

    fn note(
        &self,
        port: Port,
        data: &[u8],
        received: Instant,
        released: Option<(Instant, Instant)>,
        fate: Logged,
    ) {
        let Some(log) = &self.log else { return };
        let Some((call_id, _)) = self.names.get(&port.session) else {
            return;
        };
        let rtp = (Packet::kind(data, port.rtcp) == Kind::Rtp).then(|| Packet::read(data));
        log.write(Entry {
            received,
            released,
            call_id: Arc::clone(call_id),
            from: port.side,
            rtp: rtp.flatten(),
            fate,
        });
    }

    /// Serves the inbox; `false`: stop.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.inbox.try_recv() {
            let now = Instant::now();
            match command {
                Command::Open { id, call_id } => {
                    self.relay.open(now, id, &call_id);
                    self.names.insert(id, (call_id, Vec::new()));
                }
                Command::Line {
                    id,
                    line,
                    caller,
                    callee,
                } => {
                    for (side, pair) in [(Side::Caller, caller), (Side::Callee, callee)] {
                        let port = Port {
                            session: id,
                            line,
                            side,
                            rtcp: false,
                        };
                        self.add(port, pair.rtp);
                        self.add(Port { rtcp: true, ..port }, pair.rtcp);
                    }
                }
                Command::Target { port, target } => self.relay.target(now, port, target),
                Command::Close { id } => self.close(id),
                Command::Stats(reply) => {
                    if reply.try_send(self.counts()).is_err() {
                        tracing::debug!("nobody waits for the counts any more");
                    }
                }
                Command::Stop => return false,
            }
        }
        true
    }

    fn add(&mut self, port: Port, socket: UdpSocket) {
        self.last_number += 1;
        let number = self.last_number;
        if let Err(error) = self.waiter.add(&socket, number) {
            tracing::error!(%error, "a relay port cannot be served");
            return;
        }
        self.sockets.insert(number, (port, socket));
        self.numbers.insert(port, number);
        if let Some((_, numbers)) = self.names.get_mut(&port.session) {
            numbers.push(number);
        }
    }

    fn close(&mut self, id: SessionId) {
        self.relay.close(id);
        let Some((_, numbers)) = self.names.remove(&id) else {
            return;
        };
        for number in numbers {
            if let Some((port, _)) = self.sockets.remove(&number) {
                self.numbers.remove(&port);
            }
        }
    }

    fn counts(&self) -> RelayCounts {
        let (calls, total) = self.relay.stats();
        RelayCounts {
            calls,
            total,
            send_errors: self.send_errors,
        }
    }

    /// Once a second: which calls have fallen silent?
    fn round(&mut self) {
        let now = Instant::now();
        if now < self.next_round {
            return;
        }
        self.next_round = now + ROUND;
        for id in self.relay.idle(now) {
            // A full inbox is no loss: the call is told again after another idle time.
            if self.sip.try_send(Ask::Idle(id)).is_err() {
                tracing::debug!("the signalling thread is busy; an idle call stays a while");
            }
        }
    }
}

/// Lets the calling thread's timers fire on time and puts it before ordinary threads, where the
/// system allows that: without it held packets leave a little later, which the log tells.
fn go_first() {
    if let Err(error) = rustix::thread::set_current_timer_slack(Some(TIMER_SLACK_NS)) {
        tracing::debug!(%error, "the timers of a relay thread stay up to 50 µs late");
    }
    // On Linux this is the calling thread alone (setpriority(2), "C library/kernel differences").
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a relay thread has no precedence");
    }
}

/// The finest that Linux knows; zero would mean its default of 50 µs.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;
/// Needs CAP_SYS_NICE or a raised RLIMIT_NICE.
const NICE: i32 = -10;
/// How often silence is looked for.
const ROUND: Duration = Duration::from_secs(1);
