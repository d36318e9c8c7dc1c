//! One run on this node: what is wanted of it against how far it is.
//!
//! Orders are whole, idempotent and ordered by (epoch, sequence): an older one is ignored, a repeat
//! changes nothing, and a stop is for ever. What ended a run first stays its cause.
//! Source: DESIGN 9; `shared::wire::cluster`.

use shared::wire::{DesiredState, EndCause, HeldState, Order};

/// Where a message or order stands: the coordinator's epoch, then its count within it.
pub type Place = (u64, u64);

/// How a run is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopKind {
    /// BYE, CANCEL, un-REGISTER.
    Whole,
    /// The lease is gone: BYE and CANCEL, spread over a few seconds, and no other request.
    Fenced,
}

/// What follows from an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Let it run.
    Start,
    /// End it.
    Stop(StopKind),
    /// Nothing of it is left, for this reason.
    Ended(EndCause),
}

/// What an order was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// For a run of another epoch, or older than one that was obeyed.
    Outdated,
    /// Obeyed before.
    Repeated,
    /// New; this follows.
    New(Step),
}

/// One run's way from being prepared to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunCore {
    run_epoch: u64,
    prepared_at: Place,
    order: Place,
    state: HeldState,
    /// Why it is being ended; none where nobody asked for it.
    cause: Option<EndCause>,
    fenced: bool,
    /// The order to run came before the preparation was done.
    runs_when_ready: bool,
}

impl RunCore {
    /// A run that is being prepared: by an order at `order`, which came in the message at `message`.
    #[must_use]
    pub fn preparing(run_epoch: u64, order: Place, message: Place) -> Self {
        Self {
            run_epoch,
            prepared_at: message,
            order,
            state: HeldState::Preparing,
            cause: None,
            fenced: false,
            runs_when_ready: false,
        }
    }

    /// The epoch under which it was accepted.
    #[must_use]
    pub fn run_epoch(&self) -> u64 {
        self.run_epoch
    }

    /// The newest order that was obeyed.
    #[must_use]
    pub fn newest_order(&self) -> Place {
        self.order
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> HeldState {
        self.state
    }

    /// True once nothing of it is left.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.state, HeldState::Ended(_))
    }

    /// True once its shards exist, so that they can be told something.
    #[must_use]
    pub fn listens(&self) -> bool {
        !matches!(self.state, HeldState::Preparing | HeldState::Ended(_))
    }

    /// True where a message at `place` was made after the one that had this run prepared: only such
    /// a one can say that the run is not wanted.
    #[must_use]
    pub fn is_known_at(&self, place: Place) -> bool {
        self.prepared_at < place
    }

    /// Takes an order of the coordinator with this epoch.
    pub fn order(&mut self, epoch: u64, order: &Order) -> Ordered {
        let place = (epoch, order.sequence);
        if order.run_epoch != self.run_epoch || place < self.order {
            return Ordered::Outdated;
        }
        let new = place > self.order;
        self.order = place;
        let step = match (order.state, self.state) {
            (DesiredState::Running, HeldState::Preparing) => {
                self.runs_when_ready = true;
                Step::Nothing
            }
            (DesiredState::Running, HeldState::Prepared) => self.start(),
            (DesiredState::Stopped, _) => self.stop(EndCause::Ordered, StopKind::Whole),
            (DesiredState::Running | DesiredState::Prepared, _) => Step::Nothing,
        };
        match step {
            Step::Nothing if !new => Ordered::Repeated,
            step => Ordered::New(step),
        }
    }

    /// The preparation is done, and it can run.
    pub fn prepared(&mut self) -> Step {
        if self.state != HeldState::Preparing {
            return Step::Nothing;
        }
        self.state = HeldState::Prepared;
        match self.runs_when_ready {
            true => self.start(),
            false => Step::Nothing,
        }
    }

    /// Ends it. A fenced stop also takes over one that is under way.
    pub fn stop(&mut self, cause: EndCause, kind: StopKind) -> Step {
        match self.state {
            HeldState::Ended(_) => return Step::Nothing,
            HeldState::Stopping if kind == StopKind::Whole || self.fenced => return Step::Nothing,
            HeldState::Stopping
            | HeldState::Preparing
            | HeldState::Prepared
            | HeldState::Running => {}
        }
        self.state = HeldState::Stopping;
        self.cause = self.cause.or(Some(cause));
        self.fenced = kind == StopKind::Fenced;
        Step::Stop(kind)
    }

    /// Nothing of it lives any more.
    pub fn over(&mut self) -> Step {
        if self.is_ended() {
            return Step::Nothing;
        }
        let cause = self.cause.unwrap_or(EndCause::Finished);
        self.state = HeldState::Ended(cause);
        Step::Ended(cause)
    }

    fn start(&mut self) -> Step {
        self.state = HeldState::Running;
        Step::Start
    }
}

#[cfg(test)]
mod tests;
