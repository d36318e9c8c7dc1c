//! What all endpoints of one run on one shard share: sockets, routing, timers, the open second and
//! the way to the media thread. One thread only, so plain cells suffice.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Addr;
use rustc_hash::{FxHashMap, FxHashSet};
use shared::id::EndpointIndex;
use shared::metric::MetricId;
use shared::phase::Phase;
use shared::wire::{Report, TELLS_MAX, Tell};
use sip::wire::{Message, Method, ResponseWriter};

use super::endpoint::{EndpointActor, Hear};
use super::node::{NodeActor, RunItem};
use super::plan::RunPlan;
use super::timers::Timers;
use crate::core::endpoint::Input;
use crate::core::lease::Permit;
use crate::core::meter::SourceSecond;
use crate::net::journal::Journal;
use crate::net::media::{ShardMedia, StreamId, time};
use crate::net::sip::{Arrival, Demux, Route, SipIo};

/// One run on one shard.
pub(super) struct ShardRun {
    pub(super) plan: Arc<RunPlan>,
    pub(super) shard: usize,
    pub(super) begin: Cell<Instant>,
    /// When its second 0 began.
    pub(super) grid: Cell<Instant>,
    pub(super) io: SipIo,
    pub(super) media: ShardMedia,
    pub(super) node: Addr<NodeActor>,
    /// Given with the run's begin; until then nothing may be sent.
    pub(super) permit: RefCell<Permit>,
    /// What ending its calls takes, should this process die.
    pub(super) journal: Journal,
    /// For endpoints on other nodes, not yet handed on.
    pub(super) tells: RefCell<Vec<Tell>>,
    pub(super) demux: RefCell<Demux>,
    pub(super) timers: RefCell<Timers>,
    pub(super) sheet: RefCell<Sheet>,
    pub(super) endpoints: RefCell<FxHashMap<u32, Addr<EndpointActor>>>,
    pub(super) receivers: RefCell<Receivers>,
    /// Nobody is left; what comes late is answered while the lease lasts.
    pub(super) is_over: Cell<bool>,
}

/// The open second.
#[derive(Default)]
pub(super) struct Sheet {
    pub(super) second: u32,
    pub(super) phases: FxHashMap<u32, Phase>,
    pub(super) closing: SourceSecond,
    pub(super) drops_told: u64,
    pub(super) refused_told: u64,
}

/// Endpoints that take calls addressed to nobody in particular, by their SIP port.
#[derive(Default)]
pub(super) struct Receivers {
    ready: FxHashMap<SocketAddr, Vec<u32>>,
    busy: FxHashSet<u32>,
    next: usize,
}

impl Receivers {
    pub(super) fn add(&mut self, local: SocketAddr, slot: u32) {
        self.ready.entry(local).or_default().push(slot);
    }

    pub(super) fn remove(&mut self, local: SocketAddr, slot: u32) {
        if let Some(slots) = self.ready.get_mut(&local) {
            slots.retain(|other| *other != slot);
        }
        self.busy.remove(&slot);
    }

    pub(super) fn set_busy(&mut self, slot: u32, busy: bool) {
        if busy {
            self.busy.insert(slot);
        } else {
            self.busy.remove(&slot);
        }
    }

    /// One that is ready, busy or not: it can say what it can do.
    fn any(&self, local: SocketAddr) -> Option<u32> {
        self.ready.get(&local)?.first().copied()
    }

    /// The next free one in turn.
    fn take(&mut self, local: SocketAddr) -> Option<u32> {
        let slots = self.ready.get(&local)?;
        let start = self.next;
        let found = (0..slots.len())
            .map(|step| (start + step) % slots.len())
            .find(|at| slots.get(*at).is_some_and(|slot| !self.busy.contains(slot)))?;
        self.next = found + 1;
        let slot = *slots.get(found)?;
        self.busy.insert(slot);
        Some(slot)
    }
}

impl ShardRun {
    /// Time since the run's begin.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begin.get())
    }

    pub(super) fn sample(&self, endpoint: EndpointIndex, metric: MetricId, value: f32) {
        self.sheet
            .borrow_mut()
            .closing
            .samples
            .push((endpoint, metric, value));
    }

    pub(super) fn phase(&self, endpoint: EndpointIndex, phase: Phase) {
        self.sheet.borrow_mut().phases.insert(endpoint.0, phase);
    }

    pub(super) fn count_refused(&self) {
        self.sheet.borrow_mut().closing.refused += 1;
    }

    /// Names a stream so that its end finds the way back through threads.
    pub(super) fn stream_id(&self, endpoint: EndpointIndex, call: u32) -> StreamId {
        let run = u64::from(self.plan.number) << 52;
        let shard = (self.shard as u64 & 0xff) << 44;
        StreamId(run | shard | u64::from(endpoint.0) << 16 | u64::from(call & 0xffff))
    }

    /// Gives the node something that the coordinator must store. One path for all threads, so that
    /// the node can number it.
    pub(super) fn item(&self, report: Report) {
        let run = self.plan.run;
        // A few messages in an endpoint's life: bounded by the run's size.
        self.node.do_send(RunItem { run, report });
    }

    /// Tells endpoints on other nodes; goes out with the next [`Self::flush_tells`].
    pub(super) fn tell(&self, tell: Tell) {
        self.tells.borrow_mut().push(tell);
    }

    /// Hands on what endpoints on other nodes must know.
    pub(super) fn flush_tells(&self) {
        let mut tells = std::mem::take(&mut *self.tells.borrow_mut());
        while !tells.is_empty() {
            let rest = tells.split_off(tells.len().min(TELLS_MAX));
            self.item(Report::Tells(tells));
            tells = rest;
        }
    }

    /// The run begins: it may send while this permit allows it.
    pub(super) fn permit(&self, permit: Permit) {
        self.io.permit(permit.clone());
        *self.permit.borrow_mut() = permit;
    }

    /// Whether the lease under which it runs still lasts.
    pub(super) fn is_permitted(&self) -> bool {
        self.permit.borrow().allows(time::boottime_us())
    }

    /// Closes the open second and begins `next`. Endpoints that are over had their last row.
    pub(super) fn close_second(&self, next: u32) -> SourceSecond {
        let counts = self.io.counts();
        let mut sheet = self.sheet.borrow_mut();
        let mut closed = std::mem::take(&mut sheet.closing);
        closed.second = sheet.second;
        closed.phases = sheet
            .phases
            .iter()
            .map(|(endpoint, phase)| (EndpointIndex(*endpoint), *phase))
            .collect();
        closed
            .phases
            .sort_unstable_by_key(|(endpoint, _)| *endpoint);
        closed.socket_drops += counts.kernel_drops.saturating_sub(sheet.drops_told);
        closed.refused += counts.refused.saturating_sub(sheet.refused_told);
        sheet.drops_told = sheet.drops_told.max(counts.kernel_drops);
        sheet.refused_told = counts.refused;
        sheet.phases.retain(|_, phase| *phase != Phase::Closed);
        sheet.second = next;
        closed
    }

    /// Counts a timer or planned start that was due at `at` and is served now.
    pub(super) fn note_late(&self, at: Instant) {
        let late = Instant::now().saturating_duration_since(at);
        let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        let mut sheet = self.sheet.borrow_mut();
        sheet.closing.timer_late_us.record(late_us);
    }

    /// Fires every endpoint timer that is due.
    pub(super) fn fire_timers(&self, now: Instant) {
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            let Some((slot, at)) = due else { return };
            self.note_late(at);
            self.hear(slot, Input::Timeout);
        }
    }

    /// Hands an input to an endpoint. A full mailbox refuses it; timers are armed anew by then.
    pub(super) fn hear(&self, slot: u32, input: Input) {
        let endpoint = self.endpoints.borrow().get(&slot).cloned();
        if let Some(endpoint) = endpoint
            && endpoint.try_send(Hear(input)).is_err()
        {
            self.count_refused();
            let soon = Instant::now() + RETRY;
            self.timers.borrow_mut().arm(slot, Some(soon));
        }
    }

    /// Brings what came from the network to its endpoint.
    pub(super) fn deliver(&self, arrival: Arrival) {
        match arrival {
            Arrival::Message {
                local,
                message,
                from,
                transport,
            } => {
                let route = self.demux.borrow().route(&message);
                let slot = match route {
                    Route::Slot(slot) => slot,
                    Route::AnyReceiver => {
                        let Some(slot) = self.receivers.borrow_mut().take(local) else {
                            let busy = self.receivers.borrow().any(local).is_some();
                            let code = if busy { 486 } else { 480 };
                            self.refuse(local, &message, from, transport, code);
                            return;
                        };
                        if !self.demux.borrow_mut().claim(message.call_id(), slot) {
                            self.count_refused();
                        }
                        slot
                    }
                    Route::AnyReady => {
                        let Some(slot) = self.receivers.borrow().any(local) else {
                            self.refuse(local, &message, from, transport, 480);
                            return;
                        };
                        slot
                    }
                    Route::Nobody => {
                        let bye = matches!(message.method(), Some(Method::Bye));
                        let code = match message.to_tag() {
                            // Its endpoint answered and is over; the answer was lost.
                            Some(_) if bye && self.demux.borrow().lingers(message.call_id()) => 200,
                            Some(_) => 481,
                            None => 404,
                        };
                        self.refuse(local, &message, from, transport, code);
                        return;
                    }
                    Route::Stray => return,
                };
                self.hear(
                    slot,
                    Input::Sip {
                        message,
                        from,
                        transport,
                    },
                );
            }
            Arrival::Unreachable {
                slot: Some(slot),
                to,
                error,
            } => {
                self.hear(slot, Input::TransportError { to, error });
            }
            // The kernel did not give the message back: every timer will find out by itself.
            Arrival::Unreachable { slot: None, .. } => {}
        }
    }

    /// Answers a request that no endpoint is for, without keeping state (RFC 3261 §8.2.7).
    fn refuse(
        &self,
        local: SocketAddr,
        message: &Message,
        from: SocketAddr,
        transport: sip::ua::Transport,
        code: u16,
    ) {
        if matches!(message.method(), Some(Method::Ack)) {
            return;
        }
        // Without its lease a node is silent: it answers for calls that it has, and here is none.
        if self.is_over.get() && !self.is_permitted() {
            return;
        }
        let answer = ResponseWriter::to(message, code, sip::wire::reason_phrase(code)).finish();
        let to = sip::ua::answer_destination(&message.top_via(), from, transport);
        // A stranger beyond the allow-list, or one that is gone, gets no answer; what our own buffers
        // refuse the sockets count.
        if let Err(failure) = self.io.send(local, u32::MAX, &to, &answer) {
            tracing::debug!(%from, code, ?failure, "a request for nobody went unanswered");
        }
    }
}

/// A timer that met a full mailbox comes again after this.
const RETRY: Duration = Duration::from_millis(10);

/// Shared by actors of one thread.
pub(super) type Run = Rc<ShardRun>;
