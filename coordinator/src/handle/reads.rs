//! What the API reads of a run, live or stored. sled blocks, so it is read on threads for that; what
//! is in memory is answered from there.

use std::sync::Arc;

use shared::api::EndpointRow;
use shared::id::{EndpointIndex, RunId};
use shared::metric::MetricId;
use shared::result::Part;
use shared::wire::EndpointReport;

use super::{Handle, RequestError};
use crate::core::roster::{Place, Query, Roster, Snapshot};
use crate::live::{Board, LiveStream};
use crate::result::told;
use crate::store::{Meta, Reader, Series, Window};

/// Rows of a list of endpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    /// The rows.
    pub(crate) rows: Vec<EndpointRow>,
    /// Their places in the order.
    pub(crate) places: Vec<Place>,
}

/// Whose seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The whole run.
    All,
    /// A group, by name.
    Group(String),
}

impl Handle {
    /// Watches a run from now on; none where it is not in memory. Never waits.
    pub(crate) fn watch(&self, run: RunId) -> Option<LiveStream> {
        self.board.get(run).map(|shown| LiveStream::new(&shown))
    }

    /// A run was deleted: nothing of it is kept in memory.
    pub(crate) fn forget(&self, run: RunId) {
        self.board.remove(run);
        self.board.forget_roster(run);
    }

    /// Endpoints of a run that a query asks for, live or stored; none where the run never had any.
    ///
    /// Costs: a copy of 32 octets an endpoint while the coordinator waits, then one pass over it.
    pub(crate) async fn endpoints(&self, run: RunId, query: Query) -> Result<Rows, RequestError> {
        let board = Arc::clone(&self.board);
        self.read(move |meta| {
            let Some(snapshot) = snapshot(&board, meta, run)? else {
                return Ok(Rows::default());
            };
            let places = snapshot.select(&query);
            rows(&board, meta, run, &snapshot, &places)
        })
        .await
    }

    /// One endpoint, and how it ended; none where the run has no such endpoint.
    pub(crate) async fn endpoint(
        &self,
        run: RunId,
        endpoint: EndpointIndex,
    ) -> Result<Option<(EndpointRow, Option<EndpointReport>)>, RequestError> {
        let board = Arc::clone(&self.board);
        self.read(move |meta| {
            let Some(snapshot) = snapshot(&board, meta, run)? else {
                return Ok(None);
            };
            let place = Place {
                rank: 0,
                endpoint: endpoint.0,
            };
            let mut rows = rows(&board, meta, run, &snapshot, &[place])?.rows;
            let Some(row) = rows.pop() else {
                return Ok(None);
            };
            let report = Reader::open(meta, run).and_then(|reader| reader.report(endpoint));
            Ok(Some((row, report.map_err(|error| told(run, error))?)))
        })
        .await
    }

    /// Seconds of an endpoint; no metrics: all.
    pub(crate) async fn endpoint_seconds(
        &self,
        run: RunId,
        endpoint: EndpointIndex,
        metrics: Vec<MetricId>,
        window: Window,
    ) -> Result<Series, RequestError> {
        self.read(move |meta| {
            Reader::open(meta, run)
                .and_then(|reader| reader.seconds_of_endpoint(endpoint, &metrics, window))
                .map_err(|error| told(run, error))
        })
        .await
    }

    /// Seconds of the whole run or of a group; none where it has no such group.
    pub(crate) async fn seconds(
        &self,
        run: RunId,
        of: Of,
        window: Window,
    ) -> Result<Option<Series>, RequestError> {
        self.read(move |meta| {
            let read = || {
                let reader = Reader::open(meta, run)?;
                let Of::Group(name) = of else {
                    return reader.seconds_of_all(window).map(Some);
                };
                let groups = reader.header()?.test.groups;
                let place = groups.iter().position(|group| group.name == name);
                match place.and_then(|place| u16::try_from(place).ok()) {
                    None => Ok(None),
                    Some(_) if groups.len() == 1 => reader.seconds_of_all(window).map(Some),
                    Some(place) => reader.seconds_of_group(place, window).map(Some),
                }
            };
            read().map_err(|error| told(run, error))
        })
        .await
    }

    /// The whole run's figures; none until it has ended, or where it measured nothing.
    pub(crate) async fn part(&self, run: RunId) -> Result<Option<Part>, RequestError> {
        self.read(move |meta| {
            let header = Reader::open(meta, run).and_then(|reader| reader.header());
            let header = header.map_err(|error| told(run, error))?;
            let measured = header
                .summary
                .filter(|summary| summary.began_unix_ms.is_some());
            Ok(measured.map(|summary| summary.all))
        })
        .await
    }
}

/// The rows of a run; none where it was never accepted, so that nothing of it is stored.
fn snapshot(board: &Board, meta: &Meta, run: RunId) -> Result<Option<Snapshot>, RequestError> {
    let live = board
        .get(run)
        .and_then(|shown| shown.with_roster(|roster| roster.snapshot()));
    match live {
        Some(snapshot) => Ok(Some(snapshot)),
        None => Ok(ended(board, meta, run)?.map(|roster| roster.snapshot())),
    }
}

/// The list of a run that ended: from the cache, or from storage into it.
fn ended(board: &Board, meta: &Meta, run: RunId) -> Result<Option<Arc<Roster>>, RequestError> {
    if let Some(roster) = board.kept_roster(run) {
        return Ok(Some(roster));
    }
    // One at a time: whoever waited finds it in the cache.
    let _reading = board.reading();
    if let Some(roster) = board.kept_roster(run) {
        return Ok(Some(roster));
    }
    let roster = match Reader::open(meta, run).and_then(|reader| reader.roster()) {
        Ok(roster) => Arc::new(roster),
        Err(crate::store::StoreError::UnknownRun) => return Ok(None),
        Err(error) => return Err(told(run, error)),
    };
    board.keep_roster(run, Arc::clone(&roster));
    Ok(Some(roster))
}

/// The rows at some places, with their reasons, which a snapshot does not have.
fn rows(
    board: &Board,
    meta: &Meta,
    run: RunId,
    snapshot: &Snapshot,
    places: &[Place],
) -> Result<Rows, RequestError> {
    let numbers: Vec<u32> = places.iter().map(|place| place.endpoint).collect();
    let live = board
        .get(run)
        .and_then(|shown| shown.with_roster(|roster| roster.reasons(&numbers)));
    let reasons = match live {
        Some(reasons) => reasons,
        None => ended(board, meta, run)?.map_or_else(Vec::new, |roster| roster.reasons(&numbers)),
    };
    let rows = numbers.iter().zip(reasons).filter_map(|(number, reason)| {
        let row = snapshot.row(*number)?;
        Some(EndpointRow { reason, ..row })
    });
    Ok(Rows {
        rows: rows.collect(),
        places: places.to_vec(),
    })
}
