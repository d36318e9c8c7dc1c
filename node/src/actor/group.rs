//! The supervisor of one group's endpoints on one shard: builds them when their time comes, lets
//! callers dial when their callees are known, and takes their last report.
//!
//! actix's own supervisor neither rebuilds an actor nor survives a panic (DESIGN 4), so this actor
//! keeps what is needed to build each endpoint anew.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, SpawnHandle};
use rustc_hash::{FxHashMap, FxHashSet};
use shared::definition::Target;
use shared::id::GroupIndex;
use shared::phase::{Outcome, Phase};
use shared::wire::{EndpointReport, Report, Tell, Trace};

use super::endpoint::{EndpointActor, Hear};
use super::shard::{GroupOver, ShardActor};
use super::shard_run::Run;
use crate::core::desired::StopKind;
use crate::core::endpoint::{Input as EndpointInput, Profile};
use crate::core::group::{GroupCore, Input, Output, Pace, Pairing};

/// What an endpoint tells its group.
pub(super) enum Told {
    /// It can be called.
    Ready { place: u32, uri: String },
    /// It is over.
    Ended {
        place: u32,
        report: Box<EndpointReport>,
        trace: Option<Box<Trace>>,
    },
    /// Its actor is gone without a report.
    Died { place: u32, panicked: bool },
}

impl Message for Told {
    type Result = ();
}

/// From group to group and from the shard.
pub(super) enum GroupMessage {
    /// The run's begin is fixed: start pacing.
    Go,
    /// Which groups call this one, and which it calls.
    Peers {
        callers: Vec<Addr<GroupActor>>,
        callee: Option<Addr<GroupActor>>,
    },
    /// The callee at this place is known.
    Callee {
        place: u32,
        readiness: Result<String, String>,
    },
    /// The caller at this place is over.
    CallerOver { place: u32 },
    /// Time has passed.
    Tick,
    /// End everything.
    Stop(StopKind),
}

impl Message for GroupMessage {
    type Result = ();
}

struct Member {
    endpoint: Option<Addr<EndpointActor>>,
    due: Instant,
    ready: bool,
    rebuilt: bool,
    over: bool,
}

/// One group's endpoints on one shard.
pub(super) struct GroupActor {
    run: Run,
    index: GroupIndex,
    core: GroupCore,
    profile: Rc<Profile>,
    locals: FxHashMap<u32, SocketAddr>,
    members: FxHashMap<u32, Member>,
    callers: Vec<Addr<Self>>,
    callee: Option<Addr<Self>>,
    /// Places whose caller was over before they began.
    deserted: FxHashSet<u32>,
    shard: Addr<ShardActor>,
    tick: Option<SpawnHandle>,
    over_told: bool,
}

/// Starts that are due within this time are made together.
const TICK: Duration = Duration::from_millis(2);

impl GroupActor {
    pub(super) fn new(
        run: Run,
        index: GroupIndex,
        locals: FxHashMap<u32, SocketAddr>,
        shard: Addr<ShardActor>,
    ) -> Self {
        let plan = &run.plan;
        let group = plan.group(index);
        let pairing = match &group.target {
            Target::Uri(uri) => Pairing::Uri(uri.clone()),
            Target::Group(_) => Pairing::Callee,
            Target::Receives | Target::Nobody => Pairing::NoCalls,
        };
        // Receivers that do not register load nobody: they are all ready at once, so that the first
        // call finds them (PRODUCT §3: receiving groups are prepared first).
        let unpaced = group.registrar.is_none() && group.target == Target::Receives;
        let pace = Pace {
            group_count: group.count,
            buildup: match unpaced {
                true => Duration::ZERO,
                false => plan.test.buildup.duration(),
            },
        };
        let mut places: Vec<u32> = locals.keys().copied().collect();
        places.sort_unstable();
        let has_callers = !plan.callers_of(index).is_empty();
        let profile = plan.profile(index);
        let core = GroupCore::new(pairing, has_callers, &pace, &places);
        Self {
            core,
            profile,
            index,
            locals,
            members: FxHashMap::default(),
            callers: Vec::new(),
            callee: None,
            deserted: FxHashSet::default(),
            shard,
            tick: None,
            over_told: false,
            run,
        }
    }

    fn drive(&mut self, context: &mut Context<Self>, input: Input) {
        let elapsed = self.run.elapsed(Instant::now());
        self.core.handle(elapsed, input);
        while let Some(output) = self.core.poll() {
            self.perform(context, output);
        }
        if let Some(handle) = self.tick.take() {
            context.cancel_future(handle);
        }
        self.tick = self.core.next_deadline().map(|at| {
            let wait = at
                .saturating_sub(self.run.elapsed(Instant::now()))
                .max(TICK);
            context.notify_later(GroupMessage::Tick, wait)
        });
        if self.core.is_over() && !self.over_told {
            self.over_told = true;
            self.shard.do_send(GroupOver {
                run: self.run.plan.run,
                group: self.index,
            });
        }
    }

    fn perform(&mut self, context: &mut Context<Self>, output: Output) {
        match output {
            Output::Begin { place, due } => {
                let due = self.run.begin.get() + due;
                self.run.note_late(due);
                self.build(context, place, due);
            }
            Output::Dial { place, target, due } => {
                let due = self.run.begin.get() + due;
                self.tell(place, EndpointInput::Dial { target, due });
            }
            Output::NoCallee { place, reason } => {
                self.tell(place, EndpointInput::NoCallee { reason });
            }
            Output::TellCaller { place, readiness } => {
                for caller in &self.callers {
                    // One message a place: bounded by the group's size.
                    caller.do_send(GroupMessage::Callee {
                        place,
                        readiness: readiness.clone(),
                    });
                }
                if self.run.plan.has_caller_elsewhere(self.index, place) {
                    self.run.tell(Tell::Callee {
                        group: self.index,
                        place,
                        readiness,
                    });
                }
            }
            Output::NeverBegan { place } => {
                let reason = "the run was stopped before it began";
                self.report_without_endpoint(place, Outcome::CompletedWithWarnings, reason);
            }
            Output::Stop { place } => self.tell(place, EndpointInput::Stop),
            Output::Fence { place } => self.tell(place, EndpointInput::Fence),
        }
    }

    fn build(&mut self, context: &mut Context<Self>, place: u32, due: Instant) {
        let Some(local) = self.locals.get(&place).copied() else {
            return;
        };
        let spec = self.run.plan.endpoint(self.index, place, local);
        let profile = Rc::clone(&self.profile);
        let run = Rc::clone(&self.run);
        let endpoint = EndpointActor::launch(run, context.address(), profile, spec);
        endpoint.do_send(Hear(EndpointInput::Begin { due }));
        if self.deserted.remove(&place) {
            endpoint.do_send(Hear(EndpointInput::NoCaller));
        }
        let rebuilt = self.members.contains_key(&place);
        let member = Member {
            endpoint: Some(endpoint),
            due,
            ready: false,
            rebuilt,
            over: false,
        };
        self.members.insert(place, member);
    }

    /// One message from us at a time, so the mailbox bound does not matter here.
    fn tell(&self, place: u32, input: EndpointInput) {
        if let Some(endpoint) = self
            .members
            .get(&place)
            .and_then(|member| member.endpoint.as_ref())
        {
            endpoint.do_send(Hear(input));
        }
    }

    fn ended(
        &mut self,
        context: &mut Context<Self>,
        place: u32,
        report: Box<EndpointReport>,
        trace: Option<Box<Trace>>,
    ) {
        if let Some(member) = self.members.get_mut(&place) {
            member.endpoint = None;
            member.over = true;
        }
        let failed = report.outcome.severity() > 0;
        let keeps = failed || self.run.plan.keeps_trace(report.endpoint.0);
        if let Some(trace) = trace.filter(|_| keeps) {
            self.run.item(Report::Trace(trace));
        }
        let reason = report.reason.clone();
        self.run.item(Report::Endpoint(report));
        self.caller_over(place);
        self.drive(context, Input::Ended { place, reason });
    }

    /// The callee of this place, here or on another node, waits for nobody any more.
    fn caller_over(&self, place: u32) {
        if let Some(callee) = &self.callee {
            callee.do_send(GroupMessage::CallerOver { place });
        }
        if let Some(group) = self.run.plan.callee_elsewhere(self.index, place) {
            self.run.tell(Tell::CallerOver { group, place });
        }
    }

    fn died(&mut self, context: &mut Context<Self>, place: u32, panicked: bool) {
        self.run.sheet.borrow_mut().closing.panics += u64::from(panicked);
        let Some(member) = self.members.get_mut(&place) else {
            return;
        };
        if member.over {
            return;
        }
        member.endpoint = None;
        // Before it was ready nothing of it is known outside, so a fresh one can take its place.
        // During a stop nobody would ask the fresh one to end.
        if !member.ready && !member.rebuilt && !self.core.is_stopping() {
            let due = member.due;
            self.build(context, place, due);
            return;
        }
        member.over = true;
        let reason = "internal error: the endpoint panicked; please report it with its trace";
        self.report_without_endpoint(place, Outcome::CallFailed, reason);
        self.caller_over(place);
        self.drive(
            context,
            Input::Ended {
                place,
                reason: reason.to_owned(),
            },
        );
    }

    /// The last word on an endpoint that cannot give it itself.
    fn report_without_endpoint(&self, place: u32, outcome: Outcome, reason: &str) {
        let Some(local) = self.locals.get(&place) else {
            return;
        };
        let spec = self.run.plan.endpoint(self.index, place, *local);
        self.run.phase(spec.index, Phase::Closed);
        let report = EndpointReport {
            run: self.run.plan.run,
            endpoint: spec.index,
            group: self.index,
            account: spec.ua.user.to_string(),
            node: self.run.plan.node.clone(),
            phase: Phase::Initializing,
            outcome,
            reason: reason.to_owned(),
            registration_code: None,
            call_code: None,
            call_reason: None,
            unregistered: false,
            calls: Vec::new(),
        };
        self.run.item(Report::Endpoint(Box::new(report)));
    }
}

impl Actor for GroupActor {
    type Context = Context<Self>;
}

impl Handler<GroupMessage> for GroupActor {
    type Result = ();

    fn handle(&mut self, message: GroupMessage, context: &mut Self::Context) {
        match message {
            GroupMessage::Go | GroupMessage::Tick => self.drive(context, Input::Tick),
            GroupMessage::Peers { callers, callee } => {
                self.callers = callers;
                self.callee = callee;
            }
            GroupMessage::Callee {
                place,
                readiness: Ok(uri),
            } => {
                self.drive(context, Input::CalleeReady { place, uri });
            }
            GroupMessage::Callee {
                place,
                readiness: Err(reason),
            } => {
                self.drive(context, Input::CalleeFailed { place, reason });
            }
            GroupMessage::CallerOver { place } if self.members.contains_key(&place) => {
                self.tell(place, EndpointInput::NoCaller);
            }
            GroupMessage::CallerOver { place } => {
                if self.locals.contains_key(&place) {
                    self.deserted.insert(place);
                }
            }
            GroupMessage::Stop(StopKind::Whole) => self.drive(context, Input::Stop),
            GroupMessage::Stop(StopKind::Fenced) => self.drive(context, Input::Fence),
        }
    }
}

impl Handler<Told> for GroupActor {
    type Result = ();

    fn handle(&mut self, told: Told, context: &mut Self::Context) {
        match told {
            Told::Ready { place, uri } => {
                if let Some(member) = self.members.get_mut(&place) {
                    member.ready = true;
                }
                self.drive(context, Input::Ready { place, uri });
            }
            Told::Ended {
                place,
                report,
                trace,
            } => self.ended(context, place, report, trace),
            Told::Died { place, panicked } => self.died(context, place, panicked),
        }
    }
}
