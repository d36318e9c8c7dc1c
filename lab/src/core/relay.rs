//! The media relay's table: which packet goes where, when, and whether at all.
//!
//! Owns the sessions of one relay thread, their paths and the queue of held packets, in virtual
//! time. Never touches a socket: it names a port of a session and an address. RFC 3550, RFC 5761.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::RelayConfig;
use crate::stats::{CallMedia, Direction, MAX_ENDED_CALLS};

use super::impair::Verdict;
use super::packet::{Kind, Packet};

mod held;
mod port;
mod session;

pub(crate) use self::port::{Due, Fate, Port, SessionId, Side, Target};

use self::held::{Held, Swapping, What};
use self::session::Session;

/// The sessions of one relay thread.
#[derive(Debug)]
pub(crate) struct Relay {
    config: RelayConfig,
    seed: u64,
    sessions: HashMap<SessionId, Session>,
    held: BinaryHeap<Reverse<Held>>,
    order: u64,
    ended: VecDeque<(SessionId, CallMedia)>,
    total_ended: Direction,
}

impl Relay {
    /// A relay without sessions.
    pub(crate) fn new(config: RelayConfig, seed: u64) -> Self {
        Self {
            config,
            seed,
            sessions: HashMap::new(),
            held: BinaryHeap::new(),
            order: 0,
            ended: VecDeque::new(),
            total_ended: Direction::default(),
        }
    }

    /// Begins a session.
    pub(crate) fn open(&mut self, now: Instant, id: SessionId, call_id: &str) {
        self.sessions.insert(id, Session::new(now, call_id));
    }

    /// Names where `port`'s side of a media line wants its packets.
    pub(crate) fn target(&mut self, now: Instant, port: Port, target: Target) {
        let (impair, seed) = (self.config.impair, self.seed);
        let Some(session) = self.sessions.get_mut(&port.session) else {
            return;
        };
        session.last_packet = now;
        session.set_target(port, target, impair, seed);
    }

    /// Ends a session; what it still holds is dropped when its time comes.
    pub(crate) fn close(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        for counts in &session.counts {
            self.total_ended.add(counts);
        }
        if self.ended.len() >= MAX_ENDED_CALLS {
            self.ended.pop_front();
        }
        self.ended.push_back((id, session.media(true)));
    }

    /// Decides about a packet that arrived on `port` from `source`.
    pub(crate) fn packet(
        &mut self,
        now: Instant,
        port: Port,
        source: SocketAddr,
        data: &[u8],
    ) -> Fate {
        let full = self.held.len() >= MAX_HELD;
        let Some(session) = self.sessions.get_mut(&port.session) else {
            return Fate::Unknown;
        };
        session.last_packet = now;
        let side = port.side.index();
        let counts = &mut session.counts[side];
        let Some(line) = session.lines.get_mut(usize::from(port.line)) else {
            counts.refused += 1;
            return Fate::Refused;
        };
        let kind = Packet::kind(data, port.rtcp);
        if self.config.strict_source && !line.knows(port.side, source) {
            counts.strangers += 1;
            return Fate::Stranger;
        }
        let (verdict, rtcp) = match kind {
            Kind::Invalid => {
                counts.invalid += 1;
                return Fate::Invalid;
            }
            Kind::Rtcp => {
                counts.rtcp_received += 1;
                (
                    line.rtcp_verdict(now, side, self.config.rtcp_impaired),
                    true,
                )
            }
            Kind::Rtp => {
                counts.received += 1;
                (line.paths[side].decide(now), false)
            }
        };
        let Verdict::Pass {
            release,
            duplicate,
            swap,
        } = verdict
        else {
            *(if rtcp {
                &mut counts.rtcp_dropped
            } else {
                &mut counts.dropped
            }) += 1;
            return Fate::Lost;
        };
        let Some((from, to)) = line.way(port, rtcp) else {
            counts.refused += 1;
            return Fate::Refused;
        };
        let pass = Pass {
            now,
            release,
            from,
            to,
            duplicate,
        };
        let at_once = release <= now && !swap;
        if !at_once && full {
            counts.refused += 1;
            return Fate::Refused;
        }
        count_pass(counts, &pass, rtcp, at_once, swap);
        self.hold_or_forward(port, &pass, swap, data)
    }

    /// When [`Relay::due`] has something to give.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.held.peek().map(|Reverse(held)| held.at)
    }

    /// The next held packet whose time has come; `None` when there is none at `now`.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        loop {
            if self.held.peek().is_none_or(|Reverse(held)| held.at > now) {
                return None;
            }
            let Reverse(held) = self.held.pop()?;
            match held.what {
                What::Packet(due) if self.sessions.contains_key(&due.from.session) => {
                    return Some(due);
                }
                What::Packet(_) => {}
                What::GiveUp { port, number } => {
                    if let Some(due) = self.give_up(port, number) {
                        return Some(due);
                    }
                }
            }
        }
    }

    /// Sessions in which nothing arrived for `idle_s`; each is told once per such time.
    pub(crate) fn idle(&mut self, now: Instant) -> Vec<SessionId> {
        let limit = Duration::from_secs(u64::from(self.config.idle_s));
        let mut found = Vec::new();
        for (id, session) in &mut self.sessions {
            if now.saturating_duration_since(session.last_packet) >= limit {
                session.last_packet = now;
                found.push(*id);
            }
        }
        found
    }

    /// Every call's counts, in order of their beginning, and the sum of all there ever were.
    pub(crate) fn stats(&self) -> (Vec<(SessionId, CallMedia)>, Direction) {
        let mut total = self.total_ended;
        let mut calls: Vec<_> = self.ended.iter().cloned().collect();
        for (id, session) in &self.sessions {
            session.counts.iter().for_each(|counts| total.add(counts));
            calls.push((*id, session.media(false)));
        }
        calls.sort_by_key(|(id, _)| *id);
        (calls, total)
    }

    fn hold_or_forward(&mut self, port: Port, pass: &Pass, swap: bool, data: &[u8]) -> Fate {
        let waiting = self.take_swapping(port, pass.from.rtcp);
        if swap && waiting.is_none() {
            self.start_swap(port, pass, data);
            return Fate::Held;
        }
        let at_once = pass.release <= pass.now;
        if !at_once {
            self.push(pass.release, What::Packet(pass.due(data, false)));
            if pass.duplicate {
                self.push(pass.release, What::Packet(pass.due(data, true)));
            }
        }
        if let Some(waiting) = waiting {
            let release = waiting.release.max(pass.release);
            self.push(release, What::Packet(waiting.due));
        }
        if at_once {
            Fate::Forward {
                from: pass.from,
                to: pass.to,
                twice: pass.duplicate,
            }
        } else {
            Fate::Held
        }
    }

    fn start_swap(&mut self, port: Port, pass: &Pass, data: &[u8]) {
        let due = pass.due(data, false);
        let release = pass.release;
        let Some(line) = self
            .sessions
            .get_mut(&port.session)
            .and_then(|session| session.lines.get_mut(usize::from(port.line)))
        else {
            return;
        };
        line.swaps += 1;
        let number = line.swaps;
        line.swapping[port.side.index()] = Some(Swapping {
            number,
            release,
            due,
        });
        self.push(release + SWAP_PATIENCE, What::GiveUp { port, number });
    }

    /// The packet of this direction that waits for a successor; RTCP is none.
    fn take_swapping(&mut self, port: Port, leaves_as_rtcp: bool) -> Option<Swapping> {
        if leaves_as_rtcp {
            return None;
        }
        let session = self.sessions.get_mut(&port.session)?;
        session.lines.get_mut(usize::from(port.line))?.swapping[port.side.index()].take()
    }

    fn give_up(&mut self, port: Port, number: u64) -> Option<Due> {
        let session = self.sessions.get_mut(&port.session)?;
        let line = session.lines.get_mut(usize::from(port.line))?;
        let slot = &mut line.swapping[port.side.index()];
        (slot.as_ref()?.number == number)
            .then(|| slot.take())?
            .map(|swapping| swapping.due)
    }

    fn push(&mut self, at: Instant, what: What) {
        self.order += 1;
        self.held.push(Reverse(Held {
            at,
            order: self.order,
            what,
        }));
    }
}

/// A packet that passes, before it is known to wait or not.
struct Pass {
    now: Instant,
    release: Instant,
    from: Port,
    to: SocketAddr,
    duplicate: bool,
}

impl Pass {
    fn due(&self, data: &[u8], duplicate: bool) -> Due {
        Due {
            from: self.from,
            to: self.to,
            received: self.now,
            duplicate,
            data: data.into(),
        }
    }
}

fn count_pass(counts: &mut Direction, pass: &Pass, rtcp: bool, at_once: bool, swap: bool) {
    if rtcp {
        counts.rtcp_relayed += 1;
        return;
    }
    counts.relayed += 1;
    counts.duplicated += u64::from(pass.duplicate);
    counts.delayed += u64::from(!at_once);
    counts.reordered += u64::from(swap);
}

/// Packets held by one thread: 10 s of 400 calls, both ways, in some 100 MB.
const MAX_HELD: usize = 400_000;
/// How long a packet waits to change places with its successor: five packets of 20 ms.
const SWAP_PATIENCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
