//! What a run does on a node, as far as the protocol can see it: endpoints that call while they may,
//! a frame a second, a report each, and a teardown that takes its time.

use node::core::desired::StopKind;
use node::core::lease::Permit;
use node::core::node::RunEvent;
use shared::definition::{Target, Test};
use shared::id::{EndpointIndex, GroupIndex, NodeId, RunId};
use shared::phase::{Outcome, Phase};
use shared::wire::{Desired, EndpointReport, Frame, Problem, Report, Share, Tell};

use super::random::Random;
use super::stage::SECOND;

/// One endpoint of the share.
#[derive(Clone, Debug)]
struct Place {
    endpoint: EndpointIndex,
    group: GroupIndex,
    place: u32,
    account: String,
    /// A caller whose callee is on another node: nothing may be called before it is told.
    waits: bool,
    /// A callee whose caller is on another node, or the other way round.
    is_parted: bool,
    calls: Option<u16>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Checks, loads, binds.
    Preparing { ready_us: u64 },
    /// Waits for its start.
    Prepared,
    /// Calls.
    Running,
    /// Ends its calls.
    Ending { over_us: u64, kind: StopKind },
    /// Nothing lives.
    Over,
}

/// A run's share on one process.
pub(crate) struct Load {
    pub(crate) run: RunId,
    pub(crate) act: Act,
    /// A bit for each account of the pool that its endpoints use.
    pub(crate) accounts: u64,
    /// A bit for each endpoint of the run that is here.
    pub(crate) endpoints: u64,
    pub(crate) permit: Permit,
    pub(crate) generation: u64,
    /// An order to stop was obeyed here: nothing may start any more.
    pub(crate) stopped: bool,
    node: NodeId,
    epoch: u64,
    places: Vec<Place>,
    began_us: u64,
    ends_us: u64,
    next_second: u32,
    frames: u64,
    told_callees: bool,
}

impl Load {
    /// Begins to prepare. One of many cannot.
    pub(crate) fn new(node: &NodeId, desired: &Desired, now_us: u64, random: &mut Random) -> Self {
        let places: Vec<Place> = desired
            .shares
            .iter()
            .flat_map(|share| (share.first..share.first + share.count).map(move |p| (share, p)))
            .map(|(share, place)| Place::new(desired, share, place))
            .collect();
        let bit = |account: &String| account.trim_start_matches('u').parse().unwrap_or(63u32);
        Self {
            run: desired.run,
            act: Act::Preparing {
                ready_us: now_us + random.between(2_000, 400_000),
            },
            accounts: places.iter().fold(0, |all, p| all | 1 << bit(&p.account)),
            endpoints: places.iter().fold(0, |all, p| all | 1 << p.endpoint.0),
            permit: Permit::never(),
            generation: 0,
            stopped: false,
            node: node.clone(),
            epoch: desired.epoch,
            places,
            began_us: 0,
            ends_us: desired.test.duration.0 * 1_000,
            next_second: 0,
            frames: 0,
            told_callees: false,
        }
    }

    /// True while calls may live.
    pub(crate) fn is_calling(&self) -> bool {
        matches!(self.act, Act::Running | Act::Ending { .. }) && self.began_us > 0
    }

    /// When it wants to be looked at; none: not by itself.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        match self.act {
            Act::Preparing { ready_us } => Some(ready_us),
            Act::Running => Some(self.closes_us().min(self.ends_us)),
            Act::Ending { over_us, .. } => Some(over_us),
            Act::Prepared | Act::Over => None,
        }
    }

    fn closes_us(&self) -> u64 {
        self.began_us + (u64::from(self.next_second) + 1) * SECOND
    }

    pub(crate) fn start(&mut self, now_us: u64, generation: u64, permit: Permit) {
        self.act = Act::Running;
        self.began_us = now_us.max(1);
        self.ends_us += now_us;
        self.generation = generation;
        self.permit = permit;
    }

    /// Ends its calls: some peers answer late, a fenced one only waits for them.
    pub(crate) fn stop(&mut self, now_us: u64, kind: StopKind, random: &mut Random) {
        self.stopped = true;
        let slow = if random.chance(100) {
            8 * SECOND
        } else {
            900_000
        };
        let over_us = now_us + random.between(1_000, slow);
        let over_us = match self.act {
            Act::Over => return,
            Act::Ending {
                over_us: planned, ..
            } => planned.min(over_us),
            Act::Preparing { .. } | Act::Prepared => now_us + 1_000,
            Act::Running => over_us,
        };
        self.act = Act::Ending { over_us, kind };
    }

    /// Another node's endpoints did this.
    pub(crate) fn hear(&mut self, tells: &[Tell]) {
        for tell in tells {
            if let Tell::Callee { group, place, .. } = tell {
                for caller in &mut self.places {
                    if caller.calls == Some(group.0) && caller.place == *place {
                        caller.waits = false;
                    }
                }
            }
        }
    }

    /// Time has passed: what the node's core is to hear.
    pub(crate) fn tick(&mut self, now_us: u64, random: &mut Random, out: &mut Vec<RunEvent>) {
        match self.act {
            Act::Preparing { ready_us } if ready_us <= now_us => {
                self.act = Act::Prepared;
                let problems = if random.chance(8) {
                    vec![Problem::new(
                        "media_file_missing",
                        "a file is missing".to_owned(),
                    )]
                } else {
                    Vec::new()
                };
                out.push(RunEvent::Prepared(problems));
            }
            Act::Running => {
                self.seconds(now_us.min(self.ends_us), out);
                if self.ends_us <= now_us {
                    let over_us = now_us + random.between(10_000, 700_000);
                    let kind = StopKind::Whole;
                    self.act = Act::Ending { over_us, kind };
                }
            }
            Act::Ending { over_us, .. } if over_us <= now_us => self.over(now_us, out),
            Act::Preparing { .. } | Act::Prepared | Act::Ending { .. } | Act::Over => {}
        }
    }

    fn seconds(&mut self, now_us: u64, out: &mut Vec<RunEvent>) {
        if !self.told_callees {
            self.told_callees = true;
            let parted = self.places.iter().filter(|place| place.is_parted);
            let tells: Vec<Tell> = parted.filter_map(Place::readiness).collect();
            if !tells.is_empty() {
                out.push(RunEvent::Item(Report::Tells(tells)));
            }
        }
        while self.closes_us() <= now_us {
            let frame = self.frame(Phase::Incall);
            out.push(RunEvent::Item(Report::Frame(Box::new(frame))));
        }
    }

    fn over(&mut self, now_us: u64, out: &mut Vec<RunEvent>) {
        if self.began_us > 0 {
            self.seconds(now_us, out);
            for place in &self.places {
                let report = self.report(place);
                out.push(RunEvent::Item(Report::Endpoint(Box::new(report))));
            }
            let last = self.frame(Phase::Closed);
            out.push(RunEvent::Item(Report::Frame(Box::new(last))));
            let callers = self.places.iter().filter(|place| place.is_parted);
            let tells: Vec<Tell> = callers.filter_map(Place::farewell).collect();
            if !tells.is_empty() {
                out.push(RunEvent::Item(Report::Tells(tells)));
            }
        }
        self.act = Act::Over;
        out.push(RunEvent::Over);
    }

    fn frame(&mut self, phase: Phase) -> Frame {
        let second = self.next_second;
        self.next_second += 1;
        self.frames += 1;
        Frame {
            run: self.run,
            node: self.node.clone(),
            epoch: self.epoch,
            sequence: self.frames - 1,
            second,
            last_of_second: true,
            endpoints: self.places.iter().map(|place| place.endpoint).collect(),
            phases: vec![phase; self.places.len()],
            columns: Vec::new(),
            generator: None,
        }
    }

    fn report(&self, place: &Place) -> EndpointReport {
        EndpointReport {
            run: self.run,
            endpoint: place.endpoint,
            group: place.group,
            account: place.account.clone(),
            node: self.node.clone(),
            phase: Phase::Closed,
            outcome: Outcome::Success,
            reason: String::new(),
            registration_code: Some(200),
            call_code: (!place.waits).then_some(200),
            call_reason: None,
            unregistered: true,
            calls: Vec::new(),
        }
    }
}

impl Place {
    fn new(desired: &Desired, share: &Share, place: u32) -> Self {
        let test = &desired.test;
        let group = &test.groups[share.group.index()];
        let here = |group: u16| {
            desired.shares.iter().any(|share| {
                share.group.0 == group && (share.first..share.first + share.count).contains(&place)
            })
        };
        let calls = match group.target {
            Target::Group(called) => Some(called),
            Target::Uri(_) | Target::Receives | Target::Nobody => None,
        };
        let counterpart = calls.or_else(|| caller_of(test, share.group.0));
        let is_parted = counterpart.is_some_and(|other| {
            let exists = test.groups.get(usize::from(other));
            exists.is_some_and(|group| place < group.count) && !here(other)
        });
        Self {
            endpoint: EndpointIndex(test.first_endpoint(share.group.index()) + place),
            group: share.group,
            place,
            account: group
                .accounts
                .get(place as usize)
                .map_or_else(String::new, |account| account.username.clone()),
            waits: calls.is_some() && is_parted,
            is_parted,
            calls,
        }
    }

    fn readiness(&self) -> Option<Tell> {
        self.calls.is_none().then(|| Tell::Callee {
            group: self.group,
            place: self.place,
            readiness: Ok("sip:callee@example.test".to_owned()),
        })
    }

    fn farewell(&self) -> Option<Tell> {
        self.calls.map(|called| Tell::CallerOver {
            group: GroupIndex(called),
            place: self.place,
        })
    }
}

fn caller_of(test: &Test, called: u16) -> Option<u16> {
    let caller = test
        .groups
        .iter()
        .position(|group| group.target == Target::Group(called));
    caller.and_then(|index| u16::try_from(index).ok())
}
