//! The calls that the proxy has seen, and the relay ports that they use.
//!
//! Owns call state (for routing, counting and media) in virtual time; rewrites SDP. Opens no
//! socket: it says what the relay must do, and takes ports that are bound already.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::stats::SipStats;

use super::relay::{Port, SessionId, Side, Target};
use super::route::Flow;
use super::sdp;

mod words;

pub(crate) use self::words::{Beginning, Callee, MediaCommand};

/// The table is full, or no relay ports are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// All calls.
#[derive(Debug)]
pub(crate) struct Calls {
    calls: HashMap<Arc<str>, Call>,
    names: HashMap<SessionId, Arc<str>>,
    deadlines: BTreeSet<(Instant, Arc<str>)>,
    ports: Option<VecDeque<u16>>,
    commands: VecDeque<MediaCommand>,
    last_id: u64,
    address: IpAddr,
    loopback_only: bool,
}

#[derive(Debug)]
struct Call {
    id: SessionId,
    caller_tag: String,
    cseq: u32,
    caller: Flow,
    callee: Callee,
    state: State,
    deadline: Option<Instant>,
    lines: Vec<Option<LinePorts>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ringing,
    Established,
    Closing,
}

#[derive(Debug, Clone, Copy)]
struct LinePorts {
    caller: u16,
    callee: u16,
}

impl Calls {
    /// An empty table; `relayed` calls get relay ports at `address`.
    pub(crate) fn new(address: IpAddr, relayed: bool, loopback_only: bool) -> Self {
        Self {
            calls: HashMap::new(),
            names: HashMap::new(),
            deadlines: BTreeSet::new(),
            ports: relayed.then(VecDeque::new),
            commands: VecDeque::new(),
            last_id: 0,
            address,
            loopback_only,
        }
    }

    /// How many pairs of bound ports it would like to have at hand.
    pub(crate) fn ports_wanted(&self) -> usize {
        self.ports
            .as_ref()
            .map_or(0, |ports| PORTS_AT_HAND.saturating_sub(ports.len()))
    }

    /// Takes the even port of a pair that is bound.
    pub(crate) fn port_ready(&mut self, port: u16) {
        if let Some(ports) = &mut self.ports {
            ports.push_back(port);
        }
    }

    /// What the relay has to do next.
    pub(crate) fn command(&mut self) -> Option<MediaCommand> {
        self.commands.pop_front()
    }

    /// Notes an INVITE that goes to a callee; a repetition changes nothing.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        begin: Beginning<'_>,
        stats: &mut SipStats,
    ) -> Result<(), Full> {
        if let Some(call) = self.calls.get_mut(begin.call_id) {
            if begin.cseq > call.cseq {
                call.cseq = begin.cseq;
                call.callee = begin.callee;
                call.caller = begin.caller;
                if call.state == State::Closing {
                    call.state = State::Ringing;
                    stats.calls += 1;
                    self.set_deadline(begin.call_id, Some(now + LONGEST_SETUP));
                }
            }
            return Ok(());
        }
        if self.calls.len() >= MAX_CALLS {
            return Err(Full);
        }
        self.last_id += 1;
        let id = SessionId(self.last_id);
        let name: Arc<str> = Arc::from(begin.call_id);
        let call = Call {
            id,
            caller_tag: begin.caller_tag.to_owned(),
            cseq: begin.cseq,
            caller: begin.caller,
            callee: begin.callee,
            state: State::Ringing,
            deadline: None,
            lines: Vec::new(),
        };
        self.calls.insert(Arc::clone(&name), call);
        self.names.insert(id, Arc::clone(&name));
        if self.ports.is_some() {
            self.commands
                .push_back(MediaCommand::Open { id, call_id: name });
        }
        self.set_deadline(begin.call_id, Some(now + LONGEST_SETUP));
        stats.calls += 1;
        Ok(())
    }

    /// Where the INVITE of this call went.
    pub(crate) fn callee(&self, call_id: &str) -> Option<&Callee> {
        self.calls.get(call_id).map(|call| &call.callee)
    }

    /// How the end is reached that a request with this From tag is meant for.
    pub(crate) fn flow_to_peer_of(&self, call_id: &str, from_tag: &str) -> Option<Flow> {
        let call = self.calls.get(call_id)?;
        Some(if call.caller_tag == from_tag {
            call.callee.flow
        } else {
            call.caller
        })
    }

    /// A 2xx to an INVITE passed.
    pub(crate) fn answered(&mut self, now: Instant, call_id: &str, stats: &mut SipStats) {
        let Some(call) = self.calls.get_mut(call_id) else {
            return;
        };
        if call.state != State::Ringing {
            return;
        }
        call.state = State::Established;
        stats.calls_answered += 1;
        // With a relay, silence on the media ends it.
        let limit = self.ports.is_none().then(|| now + LONGEST_CALL);
        self.set_deadline(call_id, limit);
    }

    /// A final answer above 2xx to an INVITE passed.
    pub(crate) fn failed(&mut self, now: Instant, call_id: &str, stats: &mut SipStats) {
        if self.leave(now, call_id, State::Ringing) {
            stats.calls_failed += 1;
        }
    }

    /// A BYE passed.
    pub(crate) fn bye(&mut self, now: Instant, call_id: &str, stats: &mut SipStats) {
        if self.leave(now, call_id, State::Established) {
            stats.calls_ended += 1;
        } else if self.leave(now, call_id, State::Ringing) {
            stats.calls_failed += 1;
        }
    }

    /// The relay heard nothing for long; calls that still ring are spared.
    pub(crate) fn idle(&mut self, id: SessionId, stats: &mut SipStats) {
        let Some(name) = self.names.get(&id).cloned() else {
            return;
        };
        match self.calls.get(&name).map(|call| call.state) {
            Some(State::Established) => {
                stats.calls_ended += 1;
                self.remove(&name);
            }
            Some(State::Closing) => self.remove(&name),
            Some(State::Ringing) | None => {}
        }
    }

    /// Calls in progress.
    pub(crate) fn live(&self) -> usize {
        self.calls
            .values()
            .filter(|call| call.state != State::Closing)
            .count()
    }

    /// When [`Calls::expire`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Forgets calls whose time is over.
    pub(crate) fn expire(&mut self, now: Instant, stats: &mut SipStats) {
        while let Some((at, name)) = self.deadlines.first().cloned() {
            if at > now {
                break;
            }
            match self.calls.get(&name).map(|call| call.state) {
                Some(State::Ringing) => stats.calls_failed += 1,
                Some(State::Established) => stats.calls_ended += 1,
                Some(State::Closing) | None => {}
            }
            self.remove(&name);
        }
    }

    /// Puts the relay between the ends of a call: reads where the sender of `body` wants its
    /// media, and gives the body that goes on. `Ok(None)`: it goes on as it is.
    pub(crate) fn describe(
        &mut self,
        call_id: &str,
        from_tag: &str,
        is_request: bool,
        body: &[u8],
        stats: &mut SipStats,
    ) -> Result<Option<Vec<u8>>, Full> {
        let Some(pool) = &mut self.ports else {
            return Ok(None);
        };
        let Some(call) = self.calls.get_mut(call_id) else {
            return Ok(None);
        };
        let by_caller = (call.caller_tag == from_tag) == is_request;
        let side = if by_caller {
            Side::Caller
        } else {
            Side::Callee
        };
        let mut ports = Vec::new();
        for (index, media) in sdp::media(body).into_iter().enumerate() {
            if call.lines.len() <= index {
                call.lines.push(None);
            }
            let Some(slot) = call.lines.get_mut(index) else {
                break;
            };
            let line = index as u8;
            if media.active && slot.is_none() {
                let mut pairs = pool.drain(..pool.len().min(2));
                let (Some(caller), Some(callee)) = (pairs.next(), pairs.next()) else {
                    return Err(Full);
                };
                drop(pairs);
                *slot = Some(LinePorts { caller, callee });
                let id = call.id;
                self.commands.push_back(MediaCommand::Line {
                    id,
                    line,
                    caller,
                    callee,
                });
            }
            let Some(pair) = *slot else {
                ports.push(None);
                continue;
            };
            let target = admit(&media, self.loopback_only, stats);
            let port = Port {
                session: call.id,
                line,
                side,
                rtcp: false,
            };
            self.commands
                .push_back(MediaCommand::Target { port, target });
            let towards = if by_caller { pair.callee } else { pair.caller };
            ports.push(media.active.then_some((towards, towards + 1)));
        }
        Ok(Some(sdp::rewrite(body, self.address, &ports)))
    }

    fn leave(&mut self, now: Instant, call_id: &str, from: State) -> bool {
        let Some(call) = self.calls.get_mut(call_id) else {
            return false;
        };
        if call.state != from {
            return false;
        }
        call.state = State::Closing;
        self.set_deadline(call_id, Some(now + LINGER));
        true
    }

    fn set_deadline(&mut self, call_id: &str, deadline: Option<Instant>) {
        let Some((name, _)) = self.calls.get_key_value(call_id) else {
            return;
        };
        let name = Arc::clone(name);
        let Some(call) = self.calls.get_mut(call_id) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut call.deadline, deadline) {
            self.deadlines.remove(&(old, Arc::clone(&name)));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, name));
        }
    }

    fn remove(&mut self, name: &str) {
        self.set_deadline(name, None);
        let Some(call) = self.calls.remove(name) else {
            return;
        };
        self.names.remove(&call.id);
        if self.ports.is_some() {
            self.commands.push_back(MediaCommand::Close { id: call.id });
        }
    }
}

/// The relay's target for a media line; addresses outside of loopback need permission.
fn admit(media: &sdp::Media, loopback_only: bool, stats: &mut SipStats) -> Target {
    let mut target = Target {
        rtp: media.rtp,
        rtcp: media.rtcp,
        mux: media.mux,
    };
    for address in [&mut target.rtp, &mut target.rtcp] {
        if loopback_only && address.is_some_and(|address| !address.ip().is_loopback()) {
            *address = None;
            stats.refused += 1;
        }
    }
    target
}

/// Calls at once, those that linger included.
const MAX_CALLS: usize = 50_000;
/// Pairs of bound ports kept ready: what a burst of 3,000 calls a second takes in 20 ms.
const PORTS_AT_HAND: usize = 128;
/// Ringing longer than this is no call: RFC 3261 §16.6 wants Timer C above 3 minutes.
const LONGEST_SETUP: Duration = Duration::from_secs(300);
/// Without a relay nobody hears a call die; it is forgotten after this.
const LONGEST_CALL: Duration = Duration::from_secs(24 * 3600);
/// After its end a call still relays what is under way and routes repetitions.
const LINGER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
