//! Pieces of a run, for the API: some seconds of the whole run, of a group, of an endpoint; and all
//! endpoints as a list.
//!
//! What one call reads is bounded by the window that is asked for, not by the length of the run.

use shared::id::EndpointIndex;
use shared::metric::{CATALOGUE, MetricId};
use shared::result::{SecondValues, SeriesSecond};
use shared::wire::EndpointReport;

use super::block::{Block, CHUNK};
use super::read::{merge_same_seconds, shortest};
use super::{Reader, StoreError, database, parts};
use crate::core::roster::Roster;
use crate::core::summary::AggregateSecond;

/// Seconds that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The first one.
    pub(crate) from: u32,
    /// The one after the last.
    pub(crate) to: u32,
    /// So many seconds of the run are looked at.
    pub(crate) limit: u32,
}

impl Window {
    /// The second after the last one that this page looks at.
    fn end(self) -> u32 {
        self.from.saturating_add(self.limit).min(self.to)
    }
}

/// Seconds, ascending, and where the rest begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    /// Those that have a row.
    pub(crate) rows: Vec<SeriesSecond>,
    /// The next second of the window that is stored; none: nothing is left.
    pub(crate) next_from: Option<u32>,
}

impl Reader {
    /// Seconds of the whole run.
    pub(crate) fn seconds_of_all(&self, window: Window) -> Result<Series, StoreError> {
        self.aggregate(&self.store.seconds, &[], "a second", window)
    }

    /// Seconds of a group, by its position; empty where the test has one group only, which is the
    /// whole run.
    pub(crate) fn seconds_of_group(
        &self,
        group: u16,
        window: Window,
    ) -> Result<Series, StoreError> {
        let prefix = u32::from(group).to_be_bytes();
        self.aggregate(&self.store.groups, &prefix, "a group's second", window)
    }

    fn aggregate(
        &self,
        tree: &sled::Tree,
        prefix: &[u8],
        what: &'static str,
        window: Window,
    ) -> Result<Series, StoreError> {
        let (from, to) = (at(prefix, window.from), at(prefix, window.end()));
        let rows = parts::range::<AggregateSecond>(tree, &from, &to, what)
            .map(|second| second.map(|(_, second)| second.series()))
            .collect::<Result<_, _>>()?;
        let next_from = self.next(tree, prefix, window)?;
        Ok(Series { rows, next_from })
    }

    /// Seconds of an endpoint with the metrics asked for; no metrics: all.
    pub(crate) fn seconds_of_endpoint(
        &self,
        endpoint: EndpointIndex,
        metrics: &[MetricId],
        window: Window,
    ) -> Result<Series, StoreError> {
        let tree = &self.store.blocks;
        let prefix = (endpoint.0 / CHUNK).to_be_bytes();
        let (from, to) = (at(&prefix, window.from), at(&prefix, window.end()));
        let mut rows = Vec::new();
        for block in parts::range::<Block>(tree, &from, &to, "endpoint seconds") {
            let (key, block) = block?;
            let Some((phase, values)) = block.row(endpoint) else {
                continue;
            };
            rows.push(SeriesSecond {
                second: second_of(&key, prefix.len()),
                phase: Some(phase),
                values: named(values, metrics),
            });
        }
        merge_same_seconds(&mut rows);
        let next_from = self.next(tree, &prefix, window)?;
        Ok(Series { rows, next_from })
    }

    /// The first stored second of the window behind the page.
    fn next(
        &self,
        tree: &sled::Tree,
        prefix: &[u8],
        window: Window,
    ) -> Result<Option<u32>, StoreError> {
        let (from, to) = (at(prefix, window.end()), at(prefix, window.to));
        if from >= to {
            return Ok(None);
        }
        match tree.range(from..to).next() {
            None => Ok(None),
            Some(Ok((key, _))) => Ok(Some(second_of(&key, prefix.len()))),
            Some(Err(source)) => Err(database(&self.store.path)(source)),
        }
    }

    /// All endpoints as lists show them, from what is stored.
    ///
    /// Costs: a pass over all reports; 32 octets and the names of each endpoint are held.
    pub(crate) fn roster(&self) -> Result<Roster, StoreError> {
        let header = self.header()?;
        let mut roster = Roster::new(&header.test);
        for (node, shares) in header.summary.iter().flat_map(|summary| &summary.nodes) {
            roster.assign(node, shares);
        }
        for report in parts::scan::<EndpointReport>(&self.store.reports, &[], "an endpoint") {
            roster.report(&report?.1);
        }
        for key in self.store.traces.iter().keys() {
            let key = key.map_err(database(&self.store.path))?;
            if let Some(number) = key.first_chunk() {
                roster.trace(EndpointIndex(u32::from_be_bytes(*number)));
            }
        }
        self.last_phases(&mut roster)?;
        Ok(roster)
    }

    /// Where endpoints were that never told their end: looked for from the last second back.
    fn last_phases(&self, roster: &mut Roster) -> Result<(), StoreError> {
        let mut open: Vec<EndpointIndex> = roster.without_outcome().collect();
        let mut end = self.seconds_stored().saturating_add(1);
        for _ in 0..WINDOWS_BACK_MAX {
            if open.is_empty() || end == 0 {
                break;
            }
            let start = end.saturating_sub(WINDOW_BACK);
            let mut chunks: Vec<u32> = open.iter().map(|endpoint| endpoint.0 / CHUNK).collect();
            chunks.dedup();
            let mut seen = std::collections::BTreeSet::new();
            for chunk in chunks {
                let prefix = chunk.to_be_bytes();
                let (from, to) = (at(&prefix, start), at(&prefix, end));
                for block in
                    parts::range::<Block>(&self.store.blocks, &from, &to, "endpoint seconds")
                {
                    for (endpoint, phase) in block?.1.phases() {
                        roster.phase(endpoint, phase);
                        seen.insert(endpoint);
                    }
                }
            }
            open.retain(|endpoint| !seen.contains(endpoint));
            end = start;
        }
        Ok(())
    }
}

fn at(prefix: &[u8], second: u32) -> Vec<u8> {
    let mut key = prefix.to_vec();
    key.extend_from_slice(&second.to_be_bytes());
    key
}

fn second_of(key: &[u8], skip: usize) -> u32 {
    key.get(skip..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |octets| u32::from_be_bytes(*octets))
}

fn named(values: Vec<(MetricId, f32)>, wanted: &[MetricId]) -> SecondValues {
    values
        .into_iter()
        .filter(|(metric, _)| wanted.is_empty() || wanted.contains(metric))
        .filter_map(|(metric, value)| {
            let metric = CATALOGUE.get(usize::from(metric.0))?;
            Some((metric.key.to_owned(), shortest(value)))
        })
        .collect()
}

/// Seconds that are looked at together when the last phases are looked for.
const WINDOW_BACK: u32 = 30;
/// An endpoint that had no row for so many windows (half an hour) is listed where it began.
const WINDOWS_BACK_MAX: usize = 60;
