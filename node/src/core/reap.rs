//! Ends the calls that a former process left open: BYE where both sides know of the call, CANCEL
//! where it rings, a final answer where we let it ring.
//!
//! A pure core over what the journal says: one input ([`Reaper::message`], [`Reaper::timeout`], …),
//! then [`Reaper::poll`] until `None`. Requests are repeated as RFC 3261 §17.1.2 says and given up
//! after Timer F; all calls at once, paced so that the peer is not flooded. It has no passwords: a
//! BYE that is challenged is counted and left.
//! Source: reliability §2.1 (c) and §5 row 2; RFC 3261 §9.1, §13.2.2.4, §15.

mod call;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use sip::ua::{Destination, Transport, answer_destination};
use sip::wire::{Message, Method, Name, ResponseWriter, reason_phrase};

use self::call::{Call, Progress};
use super::journal::OpenCall;

/// How the calls are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReapConfig {
    /// T1 of RFC 3261.
    pub t1: Duration,
    /// T2 of RFC 3261.
    pub t2: Duration,
    /// What is not answered by then is given up: Timer F.
    pub patience: Duration,
    /// Calls whose end begins in one second.
    pub pace: u32,
    /// Tells the requests of this process from those of others.
    pub salt: u64,
}

impl Default for ReapConfig {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            patience: Duration::from_secs(32),
            pace: 2_000,
            salt: 0,
        }
    }
}

/// What became of the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Calls that were open.
    pub open: u64,
    /// Calls that got a BYE.
    pub byes: u64,
    /// Calls that got a CANCEL.
    pub cancels: u64,
    /// Ringing calls that got a final answer.
    pub refusals: u64,
    /// Calls whose end the peer confirmed, or that it did not know any more.
    pub answered: u64,
    /// Calls of which nothing was heard, or whose peer cannot be reached.
    pub unanswered: u64,
    /// Calls whose peer asked for credentials to end them.
    pub challenged: u64,
}

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// The call it is of, for [`Reaper::failed`]; none for an answer to a stranger.
    pub call: Option<usize>,
    /// The address that the former process had.
    pub local: SocketAddr,
    /// The next hop.
    pub to: Destination,
    /// The message.
    pub bytes: Bytes,
}

/// Ends calls.
///
/// Bounds: the calls it was given; one answer for each request that comes.
#[derive(Debug)]
pub struct Reaper {
    config: ReapConfig,
    calls: Vec<Call>,
    /// Calls whose end has begun.
    begun: usize,
    by_branch: FxHashMap<String, usize>,
    by_call_id: FxHashMap<String, Vec<usize>>,
    started: Instant,
    give_up_at: Instant,
    over: usize,
    reaped: Reaped,
    outputs: VecDeque<Send>,
}

/// The end of calls begins in batches, this often.
const BATCH_EVERY: Duration = Duration::from_millis(10);

impl Reaper {
    /// Takes the calls; [`Self::timeout`] begins.
    #[must_use]
    pub fn new(config: ReapConfig, open: Vec<OpenCall>, now: Instant) -> Self {
        let calls: Vec<Call> = open
            .into_iter()
            .enumerate()
            .map(|(index, call)| Call::new(call, index, config.salt))
            .collect();
        let mut by_branch = FxHashMap::default();
        let mut by_call_id: FxHashMap<String, Vec<usize>> = FxHashMap::default();
        for (index, call) in calls.iter().enumerate() {
            for branch in call.branches() {
                by_branch.insert(branch, index);
            }
            by_call_id
                .entry(call.call_id().to_owned())
                .or_default()
                .push(index);
        }
        Self {
            reaped: Reaped {
                open: calls.len() as u64,
                ..Reaped::default()
            },
            config,
            calls,
            begun: 0,
            by_branch,
            by_call_id,
            started: now,
            give_up_at: now + config.patience,
            over: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Somebody waits for the ports: what is not over by `at` is given up.
    pub fn hurry(&mut self, at: Instant) {
        self.give_up_at = self.give_up_at.min(at);
    }

    /// The addresses that the calls had, and whether one of theirs was over TCP.
    #[must_use]
    pub fn locals(&self) -> Vec<(SocketAddr, bool)> {
        let mut locals: Vec<(SocketAddr, bool)> = Vec::new();
        for leg in self.calls.iter().map(Call::leg) {
            let tcp = leg.to.transport == Transport::Tcp;
            match locals.iter_mut().find(|(local, _)| *local == leg.local) {
                Some((_, with_tcp)) => *with_tcp |= tcp,
                None => locals.push((leg.local, tcp)),
            }
        }
        locals
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        if now >= self.give_up_at {
            for index in 0..self.calls.len() {
                self.finish(index, false);
            }
            return;
        }
        // A whole batch at its beginning.
        let batch = now.saturating_duration_since(self.started).as_nanos() / BATCH_EVERY.as_nanos();
        let due = (batch + 1) * u128::from(self.config.pace) * BATCH_EVERY.as_millis() / 1_000;
        let due = usize::try_from(due.max(1)).unwrap_or(usize::MAX);
        while self.begun < self.calls.len().min(due) {
            let index = self.begun;
            self.begun += 1;
            self.begin(now, index);
        }
        for index in 0..self.begun {
            let Some(call) = self.calls.get_mut(index) else {
                continue;
            };
            match call.timeout(now, &self.config) {
                Progress::Nothing => {}
                Progress::Send(to, bytes) => self.send(index, to, bytes),
                Progress::Over { answered } => self.finish(index, answered),
            }
        }
    }

    fn begin(&mut self, now: Instant, index: usize) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        // A call that cannot be ended for want of a route is nobody's any more.
        if call.is_over() {
            return;
        }
        match call.begin(now, &self.config) {
            Progress::Send(to, bytes) => {
                match call.kind() {
                    call::Kind::Cancel => self.reaped.cancels += 1,
                    call::Kind::Bye => self.reaped.byes += 1,
                    call::Kind::Refuse => self.reaped.refusals += 1,
                }
                self.send(index, to, bytes);
            }
            Progress::Nothing => {}
            Progress::Over { answered } => self.finish(index, answered),
        }
    }

    /// A message came to the address `local`.
    pub fn message(
        &mut self,
        now: Instant,
        local: SocketAddr,
        message: &Message,
        from: SocketAddr,
        transport: Transport,
    ) {
        match message.status() {
            Some(code) => self.response(now, message, code),
            None => self.request(local, message, from, transport),
        }
    }

    fn response(&mut self, now: Instant, message: &Message, code: u16) {
        let branch = message.branch().unwrap_or_default();
        let Some(index) = self.by_branch.get(branch).copied() else {
            return;
        };
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        match message.cseq().1 {
            Method::Invite => {
                let was_bye = call.kind() == call::Kind::Bye;
                for (to, bytes) in call.invite_answered(now, &self.config, message, code) {
                    self.send(index, to, bytes);
                }
                let Some(call) = self.calls.get(index) else {
                    return;
                };
                if call.kind() == call::Kind::Bye && !was_bye {
                    self.reaped.byes += 1;
                } else if code >= 300 {
                    self.finish(index, true);
                }
            }
            Method::Cancel if code >= 200 => call.cancel_answered(now, &self.config, code),
            Method::Bye if code >= 200 => {
                let challenged = matches!(code, 401 | 407);
                if challenged && !call.is_over() {
                    self.reaped.challenged += 1;
                }
                self.finish(index, true);
            }
            _ => {}
        }
    }

    /// Answers without keeping anything: the ports are ours for a moment only.
    fn request(
        &mut self,
        local: SocketAddr,
        message: &Message,
        from: SocketAddr,
        transport: Transport,
    ) {
        let known = self
            .by_call_id
            .get(message.call_id())
            .cloned()
            .unwrap_or_default();
        let mine = |call: &Call| call.leg().local == local;
        let found = known
            .iter()
            .copied()
            .find(|index| self.calls.get(*index).is_some_and(mine));
        let code = match message.method() {
            Some(Method::Ack) => {
                if let Some(index) = found
                    && let Some(call) = self.calls.get(index)
                    && call.kind() == call::Kind::Refuse
                {
                    self.finish(index, true);
                }
                return;
            }
            Some(Method::Bye) if found.is_some() => {
                if let Some(index) = found {
                    self.finish(index, true);
                }
                200
            }
            Some(Method::Cancel) if found.is_some() => 200,
            _ if message.to_tag().is_some() => 481,
            Some(Method::Cancel) => 481,
            _ => 503,
        };
        let tag = format!("r{:x}", self.config.salt & 0xffff_ffff);
        let bytes = ResponseWriter::to_source(message, from, code, reason_phrase(code))
            .to_tag(&tag)
            .header(Name::RetryAfter, "5")
            .finish();
        let to = answer_destination(&message.top_via(), from, transport);
        self.outputs.push_back(Send {
            call: None,
            local,
            to,
            bytes,
        });
    }

    /// What [`Send`] asked for could not be done.
    pub fn failed(&mut self, index: usize) {
        self.finish(index, false);
    }

    /// The network refused what we sent to an address.
    pub fn unreachable(&mut self, to: SocketAddr) {
        for index in 0..self.begun {
            if self.calls.get(index).is_some_and(|call| call.goes_to(to)) {
                self.finish(index, false);
            }
        }
    }

    /// The next message to send.
    pub fn poll(&mut self) -> Option<Send> {
        self.outputs.pop_front()
    }

    /// When [`Self::timeout`] is due; none when all is over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let next_batch = (self.begun < self.calls.len()).then(|| {
            let pace = u64::from(self.config.pace.max(1));
            self.started + Duration::from_millis(self.begun as u64 * 1_000 / pace) + BATCH_EVERY
        });
        let begun = self.calls.iter().take(self.begun);
        let calls = begun.filter_map(Call::next_deadline).min();
        [Some(self.give_up_at), next_batch, calls]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over == self.calls.len()
    }

    /// What became of the calls so far.
    #[must_use]
    pub fn reaped(&self) -> Reaped {
        self.reaped
    }

    fn finish(&mut self, index: usize, answered: bool) {
        if let Some(call) = self.calls.get_mut(index)
            && !call.is_over()
        {
            call.set_over();
            self.over += 1;
            match answered {
                true => self.reaped.answered += 1,
                false => self.reaped.unanswered += 1,
            }
        }
    }

    fn send(&mut self, index: usize, to: Destination, bytes: Bytes) {
        if let Some(call) = self.calls.get(index) {
            self.outputs.push_back(Send {
                call: Some(index),
                local: call.leg().local,
                to,
                bytes,
            });
        }
    }
}
