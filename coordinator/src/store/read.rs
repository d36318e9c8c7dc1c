//! Reading a run back: its head, its seconds, its endpoints, its traces.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use shared::definition::Test;
use shared::id::{EndpointIndex, RunId};
use shared::metric::CATALOGUE;
use shared::phase::Phase;
use shared::result::{SecondValues, SeriesSecond, StatusMove};
use shared::wire::{EndpointReport, Trace};

use super::block::{Block, CHUNK};
use super::run::{HELD, Held, SUMMARY, TEST};
use super::{Meta, RunStore, StoreError, database, parts};
use crate::core::summary::{AggregateSecond, Summary};

/// A run for reading.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(super) store: Arc<RunStore>,
}

/// What every result begins with.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// The frozen test, without passwords.
    pub(crate) test: Test,
    /// Every move, which the run's record has: blank until its reader takes it over.
    pub(crate) history: Vec<StatusMove>,
    /// Written at the run's end.
    pub(crate) summary: Option<Summary>,
}

impl Reader {
    /// Opens a run of the data directory.
    pub(crate) fn open(meta: &Meta, run: RunId) -> Result<Self, StoreError> {
        Ok(Self {
            store: meta.run(run)?,
        })
    }

    /// Reads the head.
    pub(crate) fn header(&self) -> Result<Header, StoreError> {
        let test = parts::get(&self.store.head, TEST, "the test")?.ok_or(StoreError::UnknownRun)?;
        let summary = parts::get(&self.store.head, SUMMARY, "the summary")?;
        Ok(Header {
            test,
            history: Vec::new(),
            summary,
        })
    }

    /// Reads what the run holds while it lives.
    pub(crate) fn held(&self) -> Result<Held, StoreError> {
        let held = parts::get(&self.store.head, HELD, "what it holds")?;
        Ok(held.unwrap_or_default())
    }

    /// Reads the whole run's seconds in order.
    pub(crate) fn seconds(&self) -> Result<Vec<SeriesSecond>, StoreError> {
        parts::scan::<AggregateSecond>(&self.store.seconds, &[], "a second")
            .map(|second| second.map(|(_, second)| second.series()))
            .collect()
    }

    /// How many aggregate seconds are stored.
    pub(crate) fn seconds_stored(&self) -> u32 {
        let last = self.store.seconds.last().ok().flatten();
        last.and_then(|(key, _)| Some(u32::from_be_bytes(*key.first_chunk()?)))
            .map_or(0, |second| second.saturating_add(1))
    }

    /// Reads an endpoint's SIP trace.
    pub(crate) fn trace(&self, endpoint: EndpointIndex) -> Result<Option<Trace>, StoreError> {
        parts::get(&self.store.traces, &endpoint.0.to_be_bytes(), "a trace")
    }

    /// True where a SIP trace is stored.
    pub(crate) fn has_trace(&self, endpoint: EndpointIndex) -> Result<bool, StoreError> {
        let first = self
            .store
            .traces
            .scan_prefix(endpoint.0.to_be_bytes())
            .next();
        match first {
            None => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(source)) => Err(database(&self.store.path)(source)),
        }
    }

    /// Reads how an endpoint ended.
    pub(crate) fn report(
        &self,
        endpoint: EndpointIndex,
    ) -> Result<Option<EndpointReport>, StoreError> {
        parts::get(
            &self.store.reports,
            &endpoint.0.to_be_bytes(),
            "an endpoint",
        )
    }

    /// Reads the series of some endpoints in one pass over their chunks, seconds ascending.
    ///
    /// Bounds: holds only the endpoints asked for.
    pub(crate) fn series(
        &self,
        endpoints: Range<u32>,
    ) -> Result<BTreeMap<u32, Vec<SeriesSecond>>, StoreError> {
        let mut series: BTreeMap<u32, Vec<SeriesSecond>> = BTreeMap::new();
        if endpoints.is_empty() {
            return Ok(series);
        }
        for chunk in endpoints.start / CHUNK..=(endpoints.end - 1) / CHUNK {
            let blocks =
                parts::scan::<Block>(&self.store.blocks, &chunk.to_be_bytes(), "endpoint seconds");
            for block in blocks {
                let (key, block) = block?;
                let second = key
                    .get(4..)
                    .and_then(|rest| rest.first_chunk())
                    .map_or(0, |octets| u32::from_be_bytes(*octets));
                add_block(&mut series, &endpoints, second, &block);
            }
        }
        for rows in series.values_mut() {
            merge_same_seconds(rows);
        }
        Ok(series)
    }
}

fn add_block(
    series: &mut BTreeMap<u32, Vec<SeriesSecond>>,
    wanted: &Range<u32>,
    second: u32,
    block: &Block,
) {
    let Some((endpoints, phases, columns)) = block.read() else {
        return;
    };
    for (row, (endpoint, phase)) in endpoints.iter().zip(phases).enumerate() {
        if !wanted.contains(&endpoint.0) {
            continue;
        }
        let mut values = SecondValues::new();
        for column in &columns {
            let metric = CATALOGUE.get(usize::from(column.metric.0));
            let value = column.values.get(row).copied().unwrap_or(f32::NAN);
            if let Some(metric) = metric
                && value.is_finite()
            {
                values.insert(metric.key.to_owned(), shortest(value));
            }
        }
        series.entry(endpoint.0).or_default().push(SeriesSecond {
            second,
            phase: Some(*phase),
            values,
        });
    }
}

/// The double that prints as the float does: 4.41, not 4.409999847412109.
pub(super) fn shortest(value: f32) -> f64 {
    value
        .to_string()
        .parse()
        .unwrap_or_else(|_| f64::from(value))
}

/// A node may send an endpoint's second in two frames (its first and its last part): one row.
pub(super) fn merge_same_seconds(rows: &mut Vec<SeriesSecond>) {
    rows.sort_by_key(|row| row.second);
    rows.dedup_by(|later, earlier| {
        let same = later.second == earlier.second;
        if same {
            earlier.phase = later.phase.max(earlier.phase).or(Some(Phase::Initializing));
            earlier.values.append(&mut later.values);
        }
        same
    });
}
