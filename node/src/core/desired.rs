//! Desired state against what runs: commands are idempotent by (run, epoch), an older epoch or
//! sequence is refused, a repeat changes nothing (DESIGN 9).

use shared::wire::{Desired, DesiredState};

/// What this node knows of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    epoch: u64,
    sequence: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Prepared,
    Running,
    Stopping,
    Ended,
}

/// What to do about a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Check, load, bind, then answer.
    Prepare,
    /// Let it run.
    Start,
    /// End it.
    Stop,
    /// It ended here before: say so again.
    SayEnded,
    /// Nothing, for this reason.
    Ignore(&'static str),
}

impl Known {
    /// A run that is being prepared by this command.
    #[must_use]
    pub fn prepared(desired: &Desired) -> Self {
        Self {
            epoch: desired.epoch,
            sequence: desired.sequence,
            state: State::Prepared,
        }
    }

    /// Takes over what a command that was obeyed says.
    pub fn update(&mut self, desired: &Desired) {
        self.epoch = desired.epoch;
        self.sequence = desired.sequence;
        self.state = match desired.state {
            DesiredState::Prepared => State::Prepared,
            DesiredState::Running => State::Running,
            DesiredState::Stopped => State::Stopping,
        };
    }

    /// The same run after its end.
    #[must_use]
    pub fn ended(self) -> Self {
        Self {
            state: State::Ended,
            ..self
        }
    }
}

/// Decides about one command.
#[must_use]
pub fn decide(known: Option<Known>, desired: &Desired) -> Action {
    let Some(known) = known else {
        return match desired.state {
            DesiredState::Prepared => Action::Prepare,
            DesiredState::Running => Action::Ignore("the run was never prepared here"),
            DesiredState::Stopped => Action::SayEnded,
        };
    };
    if (desired.epoch, desired.sequence) < (known.epoch, known.sequence) {
        return Action::Ignore("an older epoch or sequence");
    }
    match (known.state, desired.state) {
        (State::Prepared, DesiredState::Running) => Action::Start,
        (State::Prepared | State::Running, DesiredState::Stopped) => Action::Stop,
        (State::Ended, DesiredState::Running | DesiredState::Stopped) => Action::SayEnded,
        (State::Prepared, DesiredState::Prepared)
        | (State::Running, DesiredState::Prepared | DesiredState::Running)
        | (State::Stopping, _)
        | (State::Ended, DesiredState::Prepared) => Action::Ignore("nothing changes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::definition::Test;
    use shared::id::RunId;
    use shared::units::Millis;

    fn desired(epoch: u64, sequence: u64, state: DesiredState) -> Desired {
        let test = Test {
            name: "t".into(),
            duration: Millis(1),
            buildup: Millis(0),
            registrars: vec![],
            groups: vec![],
            thresholds: vec![],
            allow_targets: vec![],
            trace_sample: 0,
            on_node_loss: shared::definition::OnNodeLoss::Fail,
            publish_endpoints: false,
        };
        Desired {
            run: RunId(1),
            epoch,
            sequence,
            state,
            test,
            shares: vec![],
        }
    }

    #[test]
    fn a_run_goes_forward_and_repeats_change_nothing() {
        let prepare = desired(1, 1, DesiredState::Prepared);
        let run = desired(1, 2, DesiredState::Running);
        let stop = desired(1, 3, DesiredState::Stopped);
        assert_eq!(decide(None, &prepare), Action::Prepare);
        let mut known = Known::prepared(&prepare);
        assert_eq!(
            decide(Some(known), &prepare),
            Action::Ignore("nothing changes")
        );
        assert_eq!(decide(Some(known), &run), Action::Start);
        known.update(&run);
        assert_eq!(decide(Some(known), &run), Action::Ignore("nothing changes"));
        assert_eq!(
            decide(Some(known), &prepare),
            Action::Ignore("an older epoch or sequence")
        );
        assert_eq!(decide(Some(known), &stop), Action::Stop);
        known.update(&stop);
        assert_eq!(decide(Some(known.ended()), &stop), Action::SayEnded);
    }

    #[test]
    fn an_older_epoch_and_a_run_that_was_never_prepared_are_refused() {
        let known = Known::prepared(&desired(5, 1, DesiredState::Prepared));
        let old = desired(4, 9, DesiredState::Stopped);
        assert_eq!(
            decide(Some(known), &old),
            Action::Ignore("an older epoch or sequence")
        );
        let run = desired(1, 1, DesiredState::Running);
        assert!(matches!(decide(None, &run), Action::Ignore(_)));
    }
}
