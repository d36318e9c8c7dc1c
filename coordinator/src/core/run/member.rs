//! The nodes of one run: what each carries, what it was told, how far it is.

use shared::id::NodeId;
use shared::wire::{
    DesiredState, Downward, EndCause, Held, HeldState, LifeId, Order, Share, TELLS_MAX, Tell,
};

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Instant;

/// One life of a node with its share.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) node: NodeId,
    pub(super) life: LifeId,
    pub(super) shares: Vec<Share>,
    pub(super) ready: bool,
    /// When it was told to prepare, last.
    pub(super) told: Option<Instant>,
    pub(super) order: Ordered,
    /// The number of the item that is taken next.
    pub(super) next_item: u64,
    /// Items below it are on disk.
    pub(super) stored_to: u64,
    /// Its last item was taken.
    pub(super) ended: Option<EndCause>,
    /// Its share is lost; the run goes on without it or has failed of it.
    pub(super) lost: bool,
    /// It may still hold calls of the run.
    pub(super) holds: bool,
    /// It has shown the run in a renewal.
    pub(super) seen: bool,
    /// How it showed the run in its newest renewal.
    pub(super) shown: Option<HeldState>,
    /// Renewals in a row that did not show the run.
    pub(super) absent: u32,
    pub(super) tells: Tells,
}

/// What a node is wanted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ordered {
    /// Grows with every change; from 0 again under a new coordinator.
    pub(super) sequence: u64,
    pub(super) state: DesiredState,
}

/// Tells for one node that it has not yet said to have taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Tells {
    /// The number of the first one that waits.
    first: u64,
    waiting: VecDeque<Tell>,
    /// Under a new coordinator: not yet known how many the node has taken.
    unsure: bool,
}

/// What of a member outlives the coordinator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FrozenMember {
    node: NodeId,
    life: LifeId,
    shares: Vec<Share>,
    next_item: u64,
    ended: Option<EndCause>,
    lost: bool,
    tells: Vec<Tell>,
}

impl Member {
    pub(super) fn new(node: NodeId, life: LifeId, shares: Vec<Share>) -> Self {
        Self {
            node,
            life,
            shares,
            ready: false,
            told: None,
            order: Ordered {
                sequence: 0,
                state: DesiredState::Prepared,
            },
            next_item: 0,
            stored_to: 0,
            ended: None,
            lost: false,
            holds: false,
            seen: false,
            shown: None,
            absent: 0,
            tells: Tells::default(),
        }
    }

    /// As a checkpoint keeps it.
    pub(super) fn freeze(&self) -> FrozenMember {
        FrozenMember {
            node: self.node.clone(),
            life: self.life,
            shares: self.shares.clone(),
            next_item: self.next_item,
            ended: self.ended,
            lost: self.lost,
            tells: self.tells.waiting.iter().cloned().collect(),
        }
    }

    /// As a new coordinator takes it over.
    pub(super) fn thaw(frozen: FrozenMember) -> Self {
        Self {
            ready: true,
            order: Ordered {
                sequence: 1,
                state: DesiredState::Prepared,
            },
            next_item: frozen.next_item,
            stored_to: frozen.next_item,
            ended: frozen.ended,
            lost: frozen.lost,
            holds: frozen.ended.is_none(),
            seen: true,
            tells: Tells {
                first: 0,
                waiting: frozen.tells.into(),
                unsure: true,
            },
            ..Self::new(frozen.node, frozen.life, frozen.shares)
        }
    }

    /// Endpoints it carries.
    pub(super) fn carried(&self) -> u32 {
        self.shares.iter().map(|share| share.count).sum()
    }

    /// Nothing more is to come of it.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() || self.lost
    }

    /// A stop or a drain overtook the order to begin: its end is all that it ever told.
    pub(super) fn never_began(&self) -> bool {
        let ended_by = matches!(self.ended, Some(EndCause::Ordered | EndCause::Drained));
        ended_by && self.next_item <= 1
    }

    /// This renewal, which is counted already, says that nothing of the run lives on it. One that was
    /// on its way when the node was told of the run says nothing: of a node that never showed the run
    /// the second in a row counts.
    pub(super) fn lets_go(&self, held: Option<&Held>) -> bool {
        held.map_or(self.seen || self.absent > 1, |held| {
            matches!(held.state, HeldState::Ended(_))
        })
    }

    pub(super) fn carries(&self, group: u16, place: u32) -> bool {
        self.shares.iter().any(|share| {
            share.group.0 == group && (share.first..share.first + share.count).contains(&place)
        })
    }
}

impl Tells {
    /// Appends one. False: there is no room (`bound`), it is dropped.
    pub(super) fn push(&mut self, tell: Tell, bound: usize) -> bool {
        let fits = self.waiting.len() < bound;
        if fits {
            self.waiting.push_back(tell);
        }
        fits
    }

    /// The node says how many it has taken, under this coordinator's epoch or not.
    ///
    /// A coordinator that took the run over may know the tells in another order than the one before
    /// it, and not all that were sent. So it numbers what waits from what the node has taken on, once
    /// the node obeys it and takes no number of the former one any more. A tell may come twice then.
    pub(super) fn taken(&mut self, taken: u64, obeys: bool) {
        if self.unsure {
            if obeys {
                self.unsure = false;
                self.first = taken;
            }
            return;
        }
        while self.first < taken && self.waiting.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Everything that waits, from the `skip`-th on, in messages.
    pub(super) fn messages(
        &self,
        skip: usize,
        run: shared::id::RunId,
        run_epoch: u64,
    ) -> Vec<Downward> {
        if self.unsure {
            return Vec::new();
        }
        let mut first = self.first.saturating_add(skip as u64);
        let waiting: Vec<Tell> = self.waiting.iter().skip(skip).cloned().collect();
        waiting
            .chunks(TELLS_MAX)
            .take(MESSAGES_MAX)
            .map(|tells| {
                let message = Downward::Tells {
                    run,
                    run_epoch,
                    first,
                    tells: tells.to_vec(),
                };
                first = first.saturating_add(tells.len() as u64);
                message
            })
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl Ordered {
    /// As it travels.
    pub(super) fn order(self, run: shared::id::RunId, run_epoch: u64, stored_to: u64) -> Order {
        Order {
            run,
            run_epoch,
            sequence: self.sequence,
            state: self.state,
            stored_to,
        }
    }
}

/// Messages of tells to one node at once; the next renewal asks for more.
const MESSAGES_MAX: usize = 16;
