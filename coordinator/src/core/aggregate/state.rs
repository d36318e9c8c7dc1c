//! What of an aggregate outlives the coordinator, small enough to be written every second.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use shared::definition::Test;
use shared::id::{NodeId, RunId};
use shared::phase::Phase;
use shared::result::Counts;

use super::{Aggregate, Failures, Generator, OpenSecond, Progress, Strange};
use crate::core::part::{CallTotals, Sketches};

/// Everything measured so far. Borrowed where it is written, owned where it was read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AggregateState<'a> {
    groups: Vec<Group<'a>>,
    /// Half an octet each: the phase, and whether it has reported.
    endpoints: Vec<u8>,
    nodes: Vec<(Cow<'a, NodeId>, Cow<'a, Progress>)>,
    open: Vec<(u32, Cow<'a, OpenSecond>)>,
    closed_to: u32,
    generator: Cow<'a, Generator>,
    failures: Cow<'a, Failures>,
    strange: Strange,
}

#[derive(Debug, Serialize, Deserialize)]
struct Group<'a> {
    counts: Cow<'a, Counts>,
    whole: Cow<'a, Sketches>,
    calls: Cow<'a, CallTotals>,
}

impl Aggregate {
    /// Everything of it but what follows from the test.
    pub(crate) fn state(&self) -> AggregateState<'_> {
        let half = |index: usize| {
            let state = self.endpoints.get(index);
            state.map_or(0, |state| {
                state.phase as u8 | if state.reported { REPORTED } else { 0 }
            })
        };
        AggregateState {
            groups: self
                .groups
                .iter()
                .map(|group| Group {
                    counts: Cow::Borrowed(&group.counts),
                    whole: Cow::Borrowed(&group.whole),
                    calls: Cow::Borrowed(&group.calls),
                })
                .collect(),
            endpoints: (0..self.endpoints.len())
                .step_by(2)
                .map(|index| half(index) | half(index + 1) << 4)
                .collect(),
            nodes: self
                .nodes
                .iter()
                .map(|(node, progress)| (Cow::Borrowed(node), Cow::Borrowed(progress)))
                .collect(),
            open: self
                .open
                .iter()
                .map(|(second, open)| (*second, Cow::Borrowed(open)))
                .collect(),
            closed_to: self.closed_to,
            generator: Cow::Borrowed(&self.generator),
            failures: Cow::Borrowed(&self.failures),
            strange: self.strange,
        }
    }

    /// As it was when `state` was taken of it.
    pub(crate) fn restore(
        run: RunId,
        epoch: u64,
        test: &Test,
        state: AggregateState<'static>,
    ) -> Self {
        let mut aggregate = Self::new(run, epoch, test, &[]);
        for (group, state) in aggregate.groups.iter_mut().zip(state.groups) {
            group.counts = state.counts.into_owned();
            group.whole = state.whole.into_owned();
            group.calls = state.calls.into_owned();
        }
        let halves = state
            .endpoints
            .iter()
            .flat_map(|octet| [*octet & 15, *octet >> 4]);
        for (endpoint, half) in aggregate.endpoints.iter_mut().zip(halves) {
            let phase = Phase::ALL.get(usize::from(half & !REPORTED));
            endpoint.phase = phase.copied().unwrap_or(Phase::Initializing);
            endpoint.reported = half & REPORTED != 0;
        }
        aggregate.nodes = state
            .nodes
            .into_iter()
            .map(|(node, progress)| (node.into_owned(), progress.into_owned()))
            .collect();
        let groups = aggregate.groups.len();
        aggregate.open = state
            .open
            .into_iter()
            .map(|(second, open)| (second, open.into_owned()))
            .filter(|(_, open)| open.groups.len() == groups)
            .collect();
        aggregate.closed_to = state.closed_to;
        aggregate.generator = state.generator.into_owned();
        aggregate.failures = state.failures.into_owned();
        aggregate.strange = state.strange;
        aggregate
    }
}

/// Beside the three bits of a phase.
const REPORTED: u8 = 8;
