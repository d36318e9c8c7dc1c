//! One signalling thread: an arbiter with its sockets, timers, groups and endpoints (DESIGN 3).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, ResponseActFuture,
    WrapFuture,
};
use rustc_hash::FxHashMap;
use shared::id::{GroupIndex, RunId};
use shared::wire::{Problem, Tell};

use super::group::{GroupActor, GroupMessage};
use super::lingering::Lingering;
use super::node::{NodeActor, ShardOver, ShardSecond};
use super::plan::RunPlan;
use super::running::{Running, bind_part, introduce, keep_time, names_of};
use super::shard_run::{Receivers, ShardRun, Sheet};
use super::timers::Timers;
use crate::beats::Beat;
use crate::core::desired::StopKind;
use crate::core::endpoint::Input;
use crate::core::layout::Part;
use crate::core::lease::Permit;
use crate::net::journal::Journal;
use crate::net::media::{ShardMedia, StreamId};
use crate::net::sip::{Demux, Resolver, SipIo};

/// Bind sockets, look up names, be ready. Answers with everything that prevents the run.
pub(super) struct Prepare {
    pub(super) plan: Arc<RunPlan>,
    pub(super) parts: Vec<Part>,
}

impl Message for Prepare {
    type Result = Vec<Problem>;
}

/// The run begins at this instant.
pub(super) struct Go {
    pub(super) run: RunId,
    pub(super) begin: Instant,
    /// When its second 0 began: at most a second before.
    pub(super) grid: Instant,
    /// Of the lease under which it begins.
    pub(super) permit: Permit,
}

impl Message for Go {
    type Result = ();
}

/// End everything of the run, or give up a prepared one.
pub(super) struct Stop {
    pub(super) run: RunId,
    pub(super) kind: StopKind,
}

impl Message for Stop {
    type Result = ();
}

/// A group has no endpoint left.
pub(super) struct GroupOver {
    pub(super) run: RunId,
    pub(super) group: GroupIndex,
}

impl Message for GroupOver {
    type Result = ();
}

/// What endpoints on other nodes did.
pub(super) struct Tells {
    pub(super) run: RunId,
    pub(super) tells: Arc<[Tell]>,
}

impl Message for Tells {
    type Result = ();
}

/// Something of a stream for the endpoint that owns it.
pub(super) struct ForStream {
    pub(super) number: u16,
    pub(super) endpoint: u32,
    pub(super) input: Input,
}

impl Message for ForStream {
    type Result = ();
}

/// Where a stream id leads: run number, shard, endpoint and call.
pub(super) fn stream_parts(id: StreamId) -> (u16, usize, u32, u32) {
    let run = u16::try_from(id.0 >> 52).unwrap_or(0);
    let shard = ((id.0 >> 44) & 0xff) as usize;
    let endpoint = u32::try_from((id.0 >> 16) & 0x0fff_ffff).unwrap_or(0);
    (run, shard, endpoint, (id.0 & 0xffff) as u32)
}

/// One signalling thread.
pub(super) struct ShardActor {
    index: usize,
    node: Addr<NodeActor>,
    media: ShardMedia,
    runs: FxHashMap<RunId, Running>,
    lingering: Lingering,
    journal: Journal,
    beat: Beat,
}

/// A thread that serves its mailbox shows it this often.
const BEAT_EVERY: Duration = Duration::from_millis(200);
/// The journal's less urgent records are written, and it is made smaller, this often.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// A shard's mailbox takes its groups' ends and its streams' ends, all in one instant at the most.
const MAILBOX: usize = 65_536;

impl ShardActor {
    pub(super) fn new(
        index: usize,
        node: Addr<NodeActor>,
        media: ShardMedia,
        journal: Journal,
        beat: Beat,
    ) -> Self {
        Self {
            index,
            node,
            media,
            runs: FxHashMap::default(),
            lingering: Lingering::default(),
            journal,
            beat,
        }
    }

    fn prepare(&mut self, plan: Arc<RunPlan>, parts: &[Part], own: Addr<Self>) -> Vec<Problem> {
        let resolver = Resolver::default();
        for registrar in &plan.test.registrars {
            resolver.redirect(&registrar.domain, &registrar.host, registrar.port);
        }
        let (io, mut arrivals) = SipIo::new(Arc::clone(&plan.egress), resolver);
        let run = Rc::new(ShardRun {
            shard: self.index,
            begin: Cell::new(Instant::now()),
            grid: Cell::new(Instant::now()),
            io,
            media: self.media.clone(),
            node: self.node.clone(),
            permit: RefCell::new(Permit::never()),
            journal: self.journal.clone(),
            tells: RefCell::default(),
            demux: RefCell::new(Demux::default()),
            timers: RefCell::new(Timers::default()),
            sheet: RefCell::new(Sheet::default()),
            endpoints: RefCell::default(),
            receivers: RefCell::new(Receivers::default()),
            is_over: Cell::new(false),
            plan,
        });
        let mut problems = Vec::new();
        let mut groups = FxHashMap::default();
        let mut ports = Vec::new();
        for part in parts {
            match bind_part(&run, part) {
                Ok(locals) => {
                    ports.extend(locals.values().copied());
                    let group =
                        GroupActor::new(Rc::clone(&run), part.group, locals, own.clone()).start();
                    groups.insert(part.group, group);
                }
                Err(error) => problems.push(Problem {
                    code: "sip_socket".to_owned(),
                    sentence: format!("group {}: {error}", run.plan.group(part.group).name),
                    limit: None,
                }),
            }
        }
        introduce(&run.plan, &groups);
        let reader = Rc::clone(&run);
        let listener = actix_rt::spawn(async move {
            while let Some(arrival) = arrivals.recv().await {
                reader.deliver(arrival);
            }
        });
        let open_groups = groups.keys().copied().collect();
        let id = run.plan.run;
        let running = Running {
            run,
            groups,
            open_groups,
            commanded: false,
            began: false,
            listener,
            clock: None,
            ports,
        };
        self.runs.insert(id, running);
        problems
    }

    fn go(&mut self, id: RunId, begin: Instant, grid: Instant) {
        let node = self.node.clone();
        let Some(running) = self.runs.get_mut(&id).filter(|running| !running.began) else {
            return;
        };
        running.began = true;
        running.run.begin.set(begin);
        running.run.grid.set(grid);
        running.run.sheet.borrow_mut().closing.phases.clear();
        self.journal.allow(&running.run.plan.test.allow_targets);
        running.clock = Some(actix_rt::spawn(keep_time(Rc::clone(&running.run), node)));
        for group in running.groups.values() {
            group.do_send(GroupMessage::Go);
        }
        self.end_if_over(id);
    }

    fn stop(&mut self, id: RunId, kind: StopKind) {
        let Some(running) = self.runs.get_mut(&id) else {
            return;
        };
        if running.commanded {
            // A stop before the begin: nobody begins any more, and all say so.
            running.began = true;
            for group in running.groups.values() {
                group.do_send(GroupMessage::Stop(kind));
            }
            self.end_if_over(id);
        } else {
            self.close(id);
        }
    }

    fn end_if_over(&mut self, id: RunId) {
        let over = self
            .runs
            .get(&id)
            .is_some_and(|running| running.open_groups.is_empty());
        if over {
            self.close(id);
        }
    }

    fn close(&mut self, id: RunId) {
        let Some(running) = self.runs.remove(&id) else {
            return;
        };
        if let Some(clock) = &running.clock {
            clock.abort();
        }
        let fenced = running.run.io.counts().fenced;
        if fenced > 0 {
            tracing::warn!(run = %id, fenced, "requests that no lease covered were kept back");
        }
        running.run.flush_tells();
        let last = running.run.close_second(u32::MAX);
        let last_second = last.second;
        if running.began {
            self.node.do_send(ShardSecond {
                run: id,
                second: Box::new(last),
            });
        }
        self.node.do_send(ShardOver {
            run: id,
            shard: self.index,
            last_second,
        });
        self.lingering
            .keep(running.run, running.listener, running.ports);
    }
}

impl Actor for ShardActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
        context.run_interval(BEAT_EVERY, |shard, _| shard.beat.bump());
        context.run_interval(TIDY_EVERY, |shard, _| {
            shard.journal.tidy();
            shard.lingering.tidy();
        });
    }
}

impl Handler<Prepare> for ShardActor {
    type Result = ResponseActFuture<Self, Vec<Problem>>;

    fn handle(&mut self, message: Prepare, context: &mut Self::Context) -> Self::Result {
        let Prepare { plan, parts } = message;
        let problems = self.prepare(Arc::clone(&plan), &parts, context.address());
        let names = names_of(&plan, &parts);
        let resolver = self
            .runs
            .get(&plan.run)
            .map(|running| running.run.io.resolver().clone())
            .unwrap_or_default();
        let look_up = async move {
            let mut failures = Vec::new();
            for (name, port, ipv4) in names {
                if let Err(sentence) = resolver.look_up(&name, port, ipv4).await {
                    failures.push(Problem {
                        code: "name_not_resolved".to_owned(),
                        sentence,
                        limit: None,
                    });
                }
            }
            failures
        };
        Box::pin(look_up.into_actor(self).map(|failures, _, _| {
            let mut problems = problems;
            problems.extend(failures);
            problems
        }))
    }
}

impl Handler<Go> for ShardActor {
    type Result = ();

    fn handle(&mut self, go: Go, _: &mut Self::Context) {
        let Go {
            run,
            begin,
            grid,
            permit,
        } = go;
        if let Some(running) = self.runs.get_mut(&run) {
            running.commanded = true;
            running.run.permit(permit);
        }
        self.go(run, begin, grid);
    }
}

impl Handler<Stop> for ShardActor {
    type Result = ();

    fn handle(&mut self, Stop { run, kind }: Stop, _: &mut Self::Context) {
        self.stop(run, kind);
    }
}

impl Handler<Tells> for ShardActor {
    type Result = ();

    fn handle(&mut self, Tells { run, tells }: Tells, _: &mut Self::Context) {
        if let Some(running) = self.runs.get(&run) {
            running.told(&tells);
        }
    }
}

impl Handler<GroupOver> for ShardActor {
    type Result = ();

    fn handle(&mut self, GroupOver { run, group }: GroupOver, _: &mut Self::Context) {
        if let Some(running) = self.runs.get_mut(&run) {
            running.open_groups.remove(&group);
        }
        self.end_if_over(run);
    }
}

impl Handler<ForStream> for ShardActor {
    type Result = ();

    fn handle(&mut self, message: ForStream, _: &mut Self::Context) {
        let ForStream {
            number,
            endpoint,
            input,
        } = message;
        let of_number = |running: &&Running| running.run.plan.number == number;
        if let Some(running) = self.runs.values().find(of_number) {
            running.run.hear(endpoint, input);
        }
    }
}
