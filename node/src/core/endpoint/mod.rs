//! One SIP device inside a run: its script (register, call or be called, hang up, un-register), its
//! phase, and in the end its outcome with a sentence.
//!
//! A sans-IO core: [`EndpointCore::handle`] one input, drain [`EndpointCore::poll`], sleep until
//! [`EndpointCore::next_deadline`]. It owns the SIP user agent and decides when media starts; it
//! never sees a socket, a packet or a clock. Source: PRODUCT §3.

mod agent;
mod call;
mod calling;
mod ending;
mod incoming;
mod leaving;
mod negotiation;
mod registering;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use shared::metric::MetricId;
use shared::phase::{Outcome, Phase};
use sip::ua::{self, CallRef, UserAgent};

use self::agent::SipCounts;
use self::call::{Call, CallState};
pub use self::spec::{EndpointSpec, Input, LocalPorts, MediaStart, Output, Profile, Role};
use crate::core::trace::TraceRing;

/// How far the script has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    /// Not begun.
    Waiting,
    /// REGISTER under way.
    Registering,
    /// Registered or needing no registration: waits to dial or to be called, or is in a call.
    Active,
    /// Calls are being ended; then the registration.
    Leaving,
    /// Un-REGISTER under way.
    Unregistering,
    /// Over.
    Over,
}

/// One endpoint.
pub struct EndpointCore {
    profile: Rc<Profile>,
    spec: EndpointSpec,
    ua: UserAgent,
    begin: Instant,
    script: Script,
    phase: Phase,
    outcome: Outcome,
    reason: String,
    registered: bool,
    /// The registration failed, but the registrar may hold a binding of ours.
    may_stand: bool,
    unregistered: bool,
    registration_code: Option<u16>,
    call_code: Option<u16>,
    call_reason: Option<String>,
    call: Option<Box<Call>>,
    calls: Vec<shared::wire::CallReport>,
    calls_made: u32,
    counts: SipCounts,
    trace: TraceRing,
    /// When a ringing callee answers.
    answer_at: Option<Instant>,
    /// When the call is hung up or given up.
    hang_up_at: Option<Instant>,
    /// When waiting for what the present step awaits (an answer, a media summary) is given up.
    patience_until: Option<Instant>,
    /// The run is being stopped, and the stop should be done by this time.
    stop_by: Option<Instant>,
    /// The lease is gone: no request leaves but what ends a call.
    fenced: bool,
    begun_registering: bool,
    outputs: VecDeque<Output>,
}

/// A callee with a partner of ours leaves the hanging up to the caller this long.
const PARTNER_GRACE: Duration = Duration::from_secs(2);
/// The media engine answers a stop within a tick; longer than this it will not.
const MEDIA_PATIENCE: Duration = Duration::from_secs(3);
/// After a stop was asked for, unanswered BYE, CANCEL and un-REGISTER are given up.
pub const STOP_PATIENCE: Duration = Duration::from_millis(4_000);
/// What is left to do when [`STOP_PATIENCE`] is over gets this long for each step.
const LAST_STEP_PATIENCE: Duration = Duration::from_millis(1_000);
/// The agent ends every request by Timer B or F, 32 s; this only catches an end that it never tells.
const ANSWER_PATIENCE: Duration = Duration::from_secs(40);

impl EndpointCore {
    /// An endpoint that waits for [`Input::Begin`]. `begin` is the run's begin.
    #[must_use]
    pub fn new(profile: Rc<Profile>, spec: EndpointSpec, begin: Instant, now: Instant) -> Self {
        let ua = UserAgent::new(spec.ua.clone(), now);
        let trace = TraceRing::new(profile.trace);
        Self {
            profile,
            spec,
            ua,
            begin,
            script: Script::Waiting,
            phase: Phase::Initializing,
            outcome: Outcome::Success,
            reason: String::new(),
            registered: false,
            may_stand: false,
            unregistered: false,
            registration_code: None,
            call_code: None,
            call_reason: None,
            call: None,
            calls: Vec::new(),
            calls_made: 0,
            counts: SipCounts::default(),
            trace,
            answer_at: None,
            hang_up_at: None,
            patience_until: None,
            stop_by: None,
            fenced: false,
            begun_registering: false,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input; drain [`Self::poll`] before the next.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.script == Script::Over {
            return;
        }
        match input {
            Input::Begin { due } => self.begin(now, due),
            Input::Dial { target, due } => self.dial(now, target, due),
            Input::NoCallee { reason } => {
                self.conclude(Outcome::CallFailed, format!("no call was made: {reason}"));
                self.leave(now);
            }
            Input::NoCaller => self.no_caller(now),
            Input::Sip {
                message,
                from,
                transport,
            } => {
                self.counts.received += 1;
                let at = now.saturating_duration_since(self.begin);
                let remote = ua::HostPort::Ip(from);
                self.trace.push(at, false, remote, message.raw().clone());
                self.tell_ua(
                    now,
                    ua::Input::Message {
                        message,
                        from,
                        transport,
                    },
                );
            }
            Input::TransportError { to, error } => {
                self.tell_ua(
                    now,
                    ua::Input::TransportError {
                        to,
                        error: error.into(),
                    },
                );
            }
            Input::DestinationRefused { to, error } => {
                self.tell_ua(
                    now,
                    ua::Input::DestinationRefused {
                        to,
                        error: error.into(),
                    },
                );
            }
            Input::Reserved { call, ports } => self.reserved(now, call, ports),
            Input::MediaRefused { call, what } => self.media_refused(now, call, what),
            Input::MediaTrouble {
                call,
                address,
                what,
            } => {
                self.media_trouble(call, address, what);
            }
            Input::MediaEnded { call, summary } => self.media_ended(now, call, &summary),
            Input::Timeout => self.timeout(now),
            Input::Stop => self.stop(now),
            Input::Fence => self.fence(now),
        }
        self.flush_counts();
        if self.script == Script::Over {
            self.last_word();
        }
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.script == Script::Over {
            return None;
        }
        let leave_at = match self.script {
            Script::Registering | Script::Active => Some(self.leave_at()),
            Script::Waiting | Script::Leaving | Script::Unregistering | Script::Over => None,
        };
        [
            self.ua.next_deadline(),
            self.answer_at,
            self.hang_up_at,
            self.patience_until,
            leave_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Its phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Its number.
    #[must_use]
    pub fn index(&self) -> shared::id::EndpointIndex {
        self.spec.index
    }

    /// Its group.
    #[must_use]
    pub fn group(&self) -> shared::id::GroupIndex {
        self.profile.group
    }

    fn timeout(&mut self, now: Instant) {
        if self.ua.next_deadline().is_some_and(|at| at <= now) {
            self.tell_ua(now, ua::Input::Timeout);
        }
        if self.answer_at.is_some_and(|at| at <= now) {
            self.answer_at = None;
            self.answer(now);
        }
        if self.hang_up_at.is_some_and(|at| at <= now) {
            self.hang_up_at = None;
            self.hang_up(now);
        }
        if self.patience_until.is_some_and(|at| at <= now) {
            self.patience_until = None;
            self.out_of_patience(now);
        }
        let may_leave = matches!(self.script, Script::Registering | Script::Active);
        if may_leave && self.leave_at() <= now {
            self.duration_over(now);
        }
    }

    /// When the configured duration ends it, if nothing did before.
    fn leave_at(&self) -> Instant {
        let grace = match self.spec.role {
            Role::Partner | Role::Receiver if self.call.is_some() => PARTNER_GRACE,
            Role::Partner | Role::Receiver | Role::Caller | Role::Idle => Duration::ZERO,
        };
        self.begin + self.profile.duration + grace
    }

    fn sample(&mut self, metric: MetricId, value: f32) {
        self.outputs.push_back(Output::Sample(metric, value));
    }

    fn sample_ms(&mut self, metric: MetricId, delay: Duration) {
        self.sample(metric, millis(delay));
    }

    /// Moves the phase forward, never back.
    fn phase_to(&mut self, phase: Phase) {
        if phase > self.phase {
            self.phase = phase;
            self.outputs.push_back(Output::Phase(phase));
        }
    }

    /// Replaces the outcome by a more severe one, with its sentence.
    fn conclude(&mut self, outcome: Outcome, reason: String) {
        if outcome.severity() > self.outcome.severity() {
            self.outcome = outcome;
            self.reason = reason;
        }
    }

    fn stopping(&self) -> bool {
        self.stop_by.is_some()
    }

    /// Waits for the next step's end no longer than this, and less while the run is being stopped.
    fn wait(&mut self, now: Instant, longest: Duration) {
        let until = now + longest;
        self.patience_until = Some(match self.stop_by {
            Some(by) => until.min(by.max(now + LAST_STEP_PATIENCE)),
            None => until,
        });
    }

    /// Names the next call. Stream ids carry 16 bits of it, and one call lives at a time.
    fn next_number(&mut self) -> u32 {
        self.calls_made = self.calls_made.wrapping_add(1);
        self.calls_made & 0xffff
    }

    fn call_with(&mut self, reference: CallRef) -> Option<&mut Call> {
        self.call
            .as_deref_mut()
            .filter(|call| call.reference == reference)
    }

    fn since_begin_ms(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.begin);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    fn cname(&self) -> String {
        format!("{}@{}", self.spec.index, self.profile.clock_domain)
    }

    fn call_state(&self) -> Option<CallState> {
        self.call.as_ref().map(|call| call.state)
    }
}

fn millis(delay: Duration) -> f32 {
    (delay.as_secs_f64() * 1_000.0) as f32
}
