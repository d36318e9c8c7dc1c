//! Pacing and pairing of one group's endpoints on one shard: who begins when, and that a caller
//! never dials before its callee is registered or known to have failed.
//!
//! Owns no endpoint and no clock; all times count from the run's begin.
//! Source: PRODUCT §3.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashMap;

/// What a group's endpoints wait for before they dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// They never dial.
    NoCalls,
    /// A fixed URI: as soon as they are ready.
    Uri(String),
    /// The endpoint of the same place in another group.
    Callee,
}

/// The schedule of a group.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Endpoints of the whole group, on all nodes and shards.
    pub group_count: u32,
    /// The period they begin over.
    pub buildup: Duration,
}

impl Pace {
    /// When the endpoint at `place` is due to begin: evenly over the buildup, the first at once.
    #[must_use]
    pub fn begins_at(&self, place: u32) -> Duration {
        let count = u128::from(self.group_count.max(1));
        let nanos = self.buildup.as_nanos() * u128::from(place) / count;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What happened to a member or to a member's callee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A member is registered (or needs no registration) and can be called at `uri`.
    Ready {
        /// Place in the group.
        place: u32,
        /// Where it can be called.
        uri: String,
    },
    /// A member has ended, however it ended.
    Ended {
        /// Place in the group.
        place: u32,
        /// Why it can never be called, if it had not become ready.
        reason: String,
    },
    /// The callee of this place is ready at `uri`.
    CalleeReady {
        /// Place in both groups.
        place: u32,
        /// Where to call it.
        uri: String,
    },
    /// The callee of this place will never be ready.
    CalleeFailed {
        /// Place in both groups.
        place: u32,
        /// Why.
        reason: String,
    },
    /// The run is being stopped: nobody begins or dials any more.
    Stop,
    /// The lease is gone: as a stop, but spread over [`FENCED_SPREAD`] at the most, and each ends its
    /// calls only.
    Fence,
}

/// What the shell does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Start the endpoint: it registers, or is ready at once.
    Begin {
        /// Place in the group.
        place: u32,
        /// When it was due.
        due: Duration,
    },
    /// Let it call.
    Dial {
        /// Place in the group.
        place: u32,
        /// Whom.
        target: String,
        /// When it was due: the later of its own and its callee's readiness.
        due: Duration,
    },
    /// Tell it that its callee failed: there will be no call.
    NoCallee {
        /// Place in the group.
        place: u32,
        /// Why.
        reason: String,
    },
    /// Tell the calling group that this place is ready.
    TellCaller {
        /// Place in both groups.
        place: u32,
        /// Where to call; or why never.
        readiness: Result<String, String>,
    },
    /// An endpoint that never began is over: the run was stopped first.
    NeverBegan {
        /// Place in the group.
        place: u32,
    },
    /// Ask the endpoint to end.
    Stop {
        /// Place in the group.
        place: u32,
    },
    /// Ask the endpoint to end its call, and to send no request of another kind.
    Fence {
        /// Place in the group.
        place: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Begun,
    Ready,
    Dialed,
    Over,
}

struct Member {
    state: State,
    was_ready: bool,
    callee: Option<Result<String, String>>,
}

/// Paces and pairs one group's endpoints on one shard.
pub struct GroupCore {
    pairing: Pairing,
    has_callers: bool,
    members: FxHashMap<u32, Member>,
    due: BinaryHeap<Reverse<(Duration, u32)>>,
    stopping: bool,
    buildup: Duration,
    /// Who is fenced when, soonest first; none where the lease was never lost.
    fences: Option<VecDeque<(Duration, u32)>>,
    outputs: VecDeque<Output>,
}

/// A fenced stop is spread over the group's buildup, so that the far end meets no burst that the
/// test did not plan, but over no more than this: the node is silent when its grace is over
/// (`LEASE_GRACE`), BYEs and their answers included.
pub const FENCED_SPREAD: Duration = Duration::from_secs(2);

impl GroupCore {
    /// A group with these places. `has_callers`: another group of ours calls it.
    #[must_use]
    pub fn new(pairing: Pairing, has_callers: bool, pace: &Pace, places: &[u32]) -> Self {
        let member = |_: &u32| Member {
            state: State::Waiting,
            was_ready: false,
            callee: None,
        };
        Self {
            pairing,
            has_callers,
            members: places.iter().map(|place| (*place, member(place))).collect(),
            due: places
                .iter()
                .map(|place| Reverse((pace.begins_at(*place), *place)))
                .collect(),
            stopping: false,
            buildup: pace.buildup,
            fences: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input; drain [`Self::poll`] after it.
    pub fn handle(&mut self, elapsed: Duration, input: Input) {
        match input {
            Input::Tick => {}
            Input::Ready { place, uri } => self.ready(elapsed, place, uri),
            Input::Ended { place, reason } => self.ended(place, reason),
            Input::CalleeReady { place, uri } => self.callee(elapsed, place, Ok(uri)),
            Input::CalleeFailed { place, reason } => self.callee(elapsed, place, Err(reason)),
            Input::Stop => self.stop(),
            Input::Fence => self.fence(elapsed),
        }
        // Whatever came: who is due begins now. Under load one input follows the other, and a tick
        // that each of them put off would never come.
        self.begin_due(elapsed);
        self.fence_due(elapsed);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is wanted next, counted from the run's begin.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if let Some(fences) = &self.fences {
            return fences.front().map(|(at, _)| *at);
        }
        if self.stopping {
            return None;
        }
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// True once a stop was asked for: nobody begins any more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// True once every member is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.members
            .values()
            .all(|member| member.state == State::Over)
    }

    fn begin_due(&mut self, elapsed: Duration) {
        while let Some(Reverse((due, place))) = self.due.peek().copied() {
            if self.stopping || due > elapsed {
                return;
            }
            self.due.pop();
            if let Some(member) = self.members.get_mut(&place)
                && member.state == State::Waiting
            {
                member.state = State::Begun;
                self.outputs.push_back(Output::Begin { place, due });
            }
        }
    }

    fn ready(&mut self, elapsed: Duration, place: u32, uri: String) {
        let Some(member) = self.members.get_mut(&place) else {
            return;
        };
        if member.state != State::Begun {
            return;
        }
        member.state = State::Ready;
        member.was_ready = true;
        if self.has_callers {
            self.outputs.push_back(Output::TellCaller {
                place,
                readiness: Ok(uri),
            });
        }
        self.try_dial(elapsed, place);
    }

    fn ended(&mut self, place: u32, reason: String) {
        let Some(member) = self.members.get_mut(&place) else {
            return;
        };
        if member.state == State::Over {
            return;
        }
        member.state = State::Over;
        if self.has_callers && !member.was_ready {
            self.outputs.push_back(Output::TellCaller {
                place,
                readiness: Err(reason),
            });
        }
    }

    fn callee(&mut self, elapsed: Duration, place: u32, readiness: Result<String, String>) {
        let Some(member) = self.members.get_mut(&place) else {
            return;
        };
        member.callee = Some(readiness);
        self.try_dial(elapsed, place);
    }

    fn try_dial(&mut self, elapsed: Duration, place: u32) {
        let Some(member) = self.members.get_mut(&place) else {
            return;
        };
        if member.state != State::Ready || self.stopping {
            return;
        }
        let readiness = match &self.pairing {
            Pairing::NoCalls => return,
            Pairing::Uri(uri) => Ok(uri.clone()),
            Pairing::Callee => match member.callee.take() {
                Some(readiness) => readiness,
                None => return,
            },
        };
        member.state = State::Dialed;
        self.outputs.push_back(match readiness {
            Ok(target) => Output::Dial {
                place,
                target,
                due: elapsed,
            },
            Err(reason) => Output::NoCallee { place, reason },
        });
    }

    fn stop(&mut self) {
        if self.stopping {
            return;
        }
        for place in self.begin_nobody() {
            self.outputs.push_back(Output::Stop { place });
        }
    }

    /// As a stop, or over one that is under way.
    fn fence(&mut self, elapsed: Duration) {
        if self.fences.is_some() {
            return;
        }
        let places = self.begin_nobody();
        let spread = self.buildup.min(FENCED_SPREAD);
        let count = u32::try_from(places.len()).unwrap_or(u32::MAX).max(1);
        let at = |position: usize| {
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            elapsed + spread * position / count
        };
        let fences = places.into_iter().enumerate();
        self.fences = Some(fences.map(|(n, place)| (at(n), place)).collect());
    }

    fn fence_due(&mut self, elapsed: Duration) {
        while let Some((at, place)) = self.fences.as_ref().and_then(|due| due.front().copied()) {
            if at > elapsed {
                return;
            }
            if let Some(due) = self.fences.as_mut() {
                due.pop_front();
            }
            self.outputs.push_back(Output::Fence { place });
        }
    }

    /// Nobody begins or dials any more; who never began is over. The places of those who live.
    fn begin_nobody(&mut self) -> Vec<u32> {
        self.stopping = true;
        self.due.clear();
        let mut places: Vec<u32> = self.members.keys().copied().collect();
        places.sort_unstable();
        places.retain(|place| {
            let Some(member) = self.members.get_mut(place) else {
                return false;
            };
            match member.state {
                State::Waiting => {
                    member.state = State::Over;
                    self.outputs.push_back(Output::NeverBegan { place: *place });
                    false
                }
                State::Begun | State::Ready | State::Dialed => true,
                State::Over => false,
            }
        });
        places
    }
}

#[cfg(test)]
mod tests;
