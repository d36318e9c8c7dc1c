//! Frames and reports in; counts, distributions and complete seconds out.
//!
//! A second is complete when every node of the run has said so or has ended. Frames are numbered, so
//! one that comes twice changes nothing, and a hole is counted. Late rows still count in the whole
//! run, never in a second that was already told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::definition::Test;
use shared::id::{EndpointIndex, NodeId, RunId};
use shared::metric::{CATALOGUE, Kind};
use shared::phase::Phase;
use shared::result::{Counts, FailureRow, Part};
use shared::wire::{EndpointReport, Frame, GeneratorSecond, Share};

use super::counts::{self, Role};
use super::failures::{Failures, place};
use super::generator::{Generator, Traffic};
use super::part::{CallTotals, Sketches, part};
use super::summary::AggregateSecond;

mod state;
mod strange;

pub(crate) use state::AggregateState;
pub(crate) use strange::Strange;

/// Everything measured in one run so far. Bounded by endpoints, groups and metrics, not by time.
#[derive(Debug)]
pub(crate) struct Aggregate {
    run: RunId,
    epoch: u64,
    groups: Vec<GroupTotals>,
    endpoints: Vec<EndpointState>,
    nodes: BTreeMap<NodeId, Progress>,
    open: BTreeMap<u32, OpenSecond>,
    /// Seconds before this one are told.
    closed_to: u32,
    generator: Generator,
    failures: Failures,
    new_failures: Failures,
    strange: Strange,
}

#[derive(Debug)]
struct GroupTotals {
    name: String,
    role: Role,
    counts: Counts,
    whole: Sketches,
    calls: CallTotals,
}

#[derive(Clone, Copy, Debug)]
struct EndpointState {
    group: u16,
    phase: Phase,
    reported: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    next_sequence: u64,
    /// Seconds before this one are complete on the node.
    complete_to: u32,
    ended: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OpenSecond {
    groups: Vec<Sketches>,
    generator: Option<GeneratorSecond>,
}

impl Aggregate {
    /// Nothing measured yet.
    pub(crate) fn new(run: RunId, epoch: u64, test: &Test, nodes: &[NodeId]) -> Self {
        let groups: Vec<GroupTotals> = test
            .groups
            .iter()
            .zip(counts::roles(test))
            .map(|(group, role)| {
                let mut counts = Counts {
                    endpoints: group.count,
                    ..Counts::default()
                };
                if let Some(initializing) = counts.phases.first_mut() {
                    *initializing = group.count;
                }
                GroupTotals {
                    name: group.name.clone(),
                    role,
                    counts,
                    whole: Sketches::default(),
                    calls: CallTotals::default(),
                }
            })
            .collect();
        let endpoints = test
            .groups
            .iter()
            .enumerate()
            .flat_map(|(index, group)| {
                let state = EndpointState {
                    group: u16::try_from(index).unwrap_or(u16::MAX),
                    phase: Phase::Initializing,
                    reported: false,
                };
                std::iter::repeat_n(state, group.count as usize)
            })
            .collect();
        Self {
            run,
            epoch,
            groups,
            endpoints,
            nodes: nodes
                .iter()
                .map(|node| (node.clone(), Progress::default()))
                .collect(),
            open: BTreeMap::new(),
            closed_to: 0,
            generator: Generator::default(),
            failures: Failures::default(),
            new_failures: Failures::default(),
            strange: Strange::default(),
        }
    }

    /// Takes a frame; false where it is refused (and counted), so that it is not stored either.
    pub(crate) fn frame(&mut self, frame: &Frame) -> bool {
        if frame.run != self.run || frame.epoch != self.epoch {
            self.strange.foreign += 1;
            return false;
        }
        let Some(progress) = self.nodes.get_mut(&frame.node) else {
            self.strange.foreign += 1;
            return false;
        };
        if frame.sequence < progress.next_sequence {
            self.strange.repeated += 1;
            return false;
        }
        if !fits(frame, self.endpoints.len()) {
            self.strange.malformed += 1;
            return false;
        }
        self.strange.missing += frame.sequence - progress.next_sequence;
        progress.next_sequence = frame.sequence + 1;
        if frame.last_of_second {
            progress.complete_to = progress.complete_to.max(frame.second.saturating_add(1));
        }
        self.phases(frame);
        self.columns(frame);
        if let Some(generator) = &frame.generator {
            self.generator_second(frame.second, generator);
        }
        true
    }

    fn phases(&mut self, frame: &Frame) {
        for (endpoint, phase) in frame.endpoints.iter().zip(&frame.phases) {
            self.phase(*endpoint, *phase);
        }
    }

    /// Only ever forward: a late frame does not turn an endpoint back.
    fn phase(&mut self, endpoint: EndpointIndex, phase: Phase) {
        let Some(state) = self.endpoints.get_mut(endpoint.index()) else {
            return;
        };
        if phase <= state.phase {
            return;
        }
        if let Some(group) = self.groups.get_mut(usize::from(state.group)) {
            let phases = &mut group.counts.phases;
            if let Some(count) = phases.get_mut(state.phase as usize) {
                *count = count.saturating_sub(1);
            }
            if let Some(count) = phases.get_mut(phase as usize) {
                *count += 1;
            }
        }
        state.phase = phase;
    }

    fn columns(&mut self, frame: &Frame) {
        let rows: Vec<usize> = frame
            .endpoints
            .iter()
            .filter_map(|endpoint| self.endpoints.get(endpoint.index()))
            .map(|state| usize::from(state.group))
            .collect();
        let late = frame.second < self.closed_to;
        if late {
            self.strange.late += 1;
        }
        for column in &frame.columns {
            let Some(metric) = CATALOGUE.get(usize::from(column.metric.0)) else {
                continue;
            };
            let mut start = 0;
            // Rows of a group stand together, so a group's sketch is looked up once a run of rows.
            while let Some(&group) = rows.get(start) {
                let end = rows.get(start..).map_or(start, |rest| {
                    start + rest.iter().take_while(|other| **other == group).count()
                });
                let values = column.values.get(start..end).unwrap_or_default();
                start = end;
                if metric.kind == Kind::Counter
                    && let Some(totals) = self.groups.get_mut(group)
                {
                    let present = values.iter().filter(|value| value.is_finite());
                    let sum = present.map(|value| f64::from(*value)).sum();
                    counts::count(&mut totals.counts, totals.role, column.metric, sum);
                }
                let sketches = if late {
                    self.groups.get_mut(group).map(|totals| &mut totals.whole)
                } else {
                    let count = self.groups.len();
                    let second = self
                        .open
                        .entry(frame.second)
                        .or_insert_with(|| OpenSecond::new(count));
                    second.groups.get_mut(group)
                };
                if let Some(sketch) = sketches.and_then(|sketches| sketches.of(column.metric)) {
                    for value in values {
                        sketch.record(f64::from(*value));
                    }
                }
            }
        }
    }

    fn generator_second(&mut self, second: u32, generator: &GeneratorSecond) {
        if second < self.closed_to {
            self.generator.add(generator);
            return;
        }
        let count = self.groups.len();
        let open = self
            .open
            .entry(second)
            .or_insert_with(|| OpenSecond::new(count));
        match &mut open.generator {
            Some(sum) => merge_generator(sum, generator),
            empty @ None => *empty = Some(generator.clone()),
        }
    }

    /// Seconds before this one are complete on a node.
    pub(crate) fn complete_to(&self, node: &NodeId) -> u32 {
        let progress = self.nodes.get(node);
        progress.map_or(0, |progress| progress.complete_to)
    }

    /// A node will send nothing more.
    pub(crate) fn ended(&mut self, node: &NodeId) {
        if let Some(progress) = self.nodes.get_mut(node) {
            progress.ended = true;
        }
    }

    /// True where every node of the run has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.nodes.values().all(|progress| progress.ended)
    }

    /// The next complete second in order, if there is one. Call until none.
    ///
    /// Too many open seconds (a node that lags behind the others) close the oldest unasked.
    pub(crate) fn poll_second(&mut self) -> Option<(AggregateSecond, Vec<Sketches>)> {
        let complete_to = self
            .nodes
            .values()
            .filter(|progress| !progress.ended)
            .map(|progress| progress.complete_to)
            .min()
            .unwrap_or(u32::MAX);
        let (&second, _) = self.open.first_key_value()?;
        if second >= complete_to && self.open.len() <= OPEN_SECONDS_MAX {
            return None;
        }
        let open = self.open.remove(&second)?;
        self.closed_to = second.saturating_add(1);
        let mut all = Sketches::default();
        for (group, sketches) in self.groups.iter_mut().zip(&open.groups) {
            group.whole.merge(sketches);
            all.merge(sketches);
        }
        if let Some(generator) = &open.generator {
            self.generator.add(generator);
        }
        let closed = AggregateSecond::new(
            second,
            &all,
            self.all_counts().phases,
            open.generator.as_ref(),
        );
        let mut parts = vec![all];
        parts.extend(open.groups);
        Some((closed, parts))
    }

    /// The groups' seconds of what [`Self::poll_second`] just told; none where the only group is the
    /// whole run.
    pub(crate) fn group_seconds(
        &self,
        second: u32,
        parts: &[Sketches],
    ) -> Vec<(u16, AggregateSecond)> {
        let groups = parts.get(1..).filter(|groups| groups.len() > 1);
        (0u16..)
            .zip(groups.unwrap_or_default())
            .zip(&self.groups)
            .map(|((index, sketches), group)| {
                let phases = group.counts.phases;
                (index, AggregateSecond::new(second, sketches, phases, None))
            })
            .collect()
    }

    /// Takes an endpoint's report; false for a repeated or foreign one.
    pub(crate) fn report(&mut self, report: &EndpointReport) -> bool {
        let Some(state) = self.endpoints.get_mut(report.endpoint.index()) else {
            self.strange.foreign += 1;
            return false;
        };
        if report.run != self.run || state.reported {
            self.strange.repeated += 1;
            return false;
        }
        state.reported = true;
        let group = usize::from(state.group);
        self.phase(report.endpoint, Phase::Closed);
        if let Some(group) = self.groups.get_mut(group) {
            if let Some(count) = group
                .counts
                .outcomes
                .get_mut(usize::from(place(report.outcome)))
            {
                *count += 1;
            }
            group.counts.unregistered += u64::from(report.unregistered);
            group.calls.add(report);
        }
        self.failures.add(report);
        self.new_failures.add(report);
        true
    }

    /// Endpoints that have not reported.
    pub(crate) fn unreported(&self) -> usize {
        self.endpoints
            .iter()
            .filter(|state| !state.reported)
            .count()
    }

    /// Endpoints of a share that have not reported.
    pub(crate) fn unreported_of(&self, share: &Share) -> usize {
        let before = self.groups.iter().take(share.group.index());
        let start: usize = before.map(|group| group.counts.endpoints as usize).sum();
        self.endpoints
            .iter()
            .skip(start.saturating_add(share.first as usize))
            .take(share.count as usize)
            .filter(|state| !state.reported)
            .count()
    }

    /// True where no endpoint has shown any sign of life.
    pub(crate) fn is_untouched(&self) -> bool {
        let untouched =
            |state: &EndpointState| !state.reported && state.phase == Phase::Initializing;
        self.endpoints.iter().all(untouched)
    }

    /// Counts of the whole run.
    pub(crate) fn all_counts(&self) -> Counts {
        let mut all = Counts::default();
        for group in &self.groups {
            counts::add(&mut all, &group.counts, group.role);
        }
        all
    }

    /// Names and counts of the groups.
    pub(crate) fn group_counts(&self) -> impl Iterator<Item = (&str, &Counts)> {
        self.groups
            .iter()
            .map(|group| (group.name.as_str(), &group.counts))
    }

    /// Failures since the last call, at most `limit` rows, and endpoints left out.
    pub(crate) fn take_new_failures(&mut self, limit: usize) -> (Vec<FailureRow>, u32) {
        let rows = self.new_failures.rows(limit);
        self.new_failures.clear();
        rows
    }

    /// The whole failure table.
    pub(crate) fn failures(&self) -> Vec<FailureRow> {
        self.failures.rows(super::failures::ROWS_MAX).0
    }

    /// The generator's sums.
    pub(crate) fn generator(&self) -> &Generator {
        &self.generator
    }

    /// What was refused.
    pub(crate) fn strange(&self) -> Strange {
        self.strange
    }

    /// The whole run and its groups, as they stand.
    pub(crate) fn parts(&self) -> (Part, Vec<Part>, Traffic) {
        let mut whole = Sketches::default();
        let mut calls = CallTotals::default();
        for group in &self.groups {
            whole.merge(&group.whole);
            calls.merge(&group.calls);
        }
        let all = part("all", &self.all_counts(), &whole, &calls);
        let groups = self
            .groups
            .iter()
            .map(|group| part(&group.name, &group.counts, &group.whole, &group.calls))
            .collect();
        let traffic = Traffic {
            sent: all.packets_sent,
            received: all.packets_received,
        };
        (all, groups, traffic)
    }
}

impl OpenSecond {
    fn new(groups: usize) -> Self {
        Self {
            groups: vec![Sketches::default(); groups],
            generator: None,
        }
    }
}

/// True where every column has a value for every row and every row an endpoint of the run.
fn fits(frame: &Frame, endpoints: usize) -> bool {
    let rows = frame.endpoints.len();
    frame.phases.len() == rows
        && frame
            .columns
            .iter()
            .all(|column| column.values.len() == rows)
        && frame
            .endpoints
            .iter()
            .all(|endpoint| endpoint.index() < endpoints)
}

fn merge_generator(sum: &mut GeneratorSecond, part: &GeneratorSecond) {
    sum.send_late_us.merge(&part.send_late_us);
    sum.timer_late_us.merge(&part.timer_late_us);
    sum.cpu_cores += part.cpu_cores;
    sum.socket_drops = sum.socket_drops.saturating_add(part.socket_drops);
    sum.skipped_packets = sum.skipped_packets.saturating_add(part.skipped_packets);
    sum.refused = sum.refused.saturating_add(part.refused);
    sum.strangers = sum.strangers.saturating_add(part.strangers);
    sum.panics = sum.panics.saturating_add(part.panics);
    sum.resident_bytes = sum.resident_bytes.saturating_add(part.resident_bytes);
}

/// Seconds that may wait for a slow node: twice its time to be called lost.
const OPEN_SECONDS_MAX: usize = 20;

#[cfg(test)]
#[path = "aggregate/tests.rs"]
mod tests;
