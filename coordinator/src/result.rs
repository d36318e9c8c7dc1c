//! A run's result, put together from storage: what `--json`, the summary and later the API show.

use std::io::Write;
use std::ops::Range;

use shared::id::{EndpointIndex, NodeId, RunId};
use shared::phase::{Phase, RunStatus};
use shared::result::{EndpointResult, Part, RunResult, SCHEMA_VERSION, Verdict};
use shared::wire::Share;

use crate::core::roster::Cast;
use crate::core::summary::Summary;
use crate::handle::RequestError;
use crate::store::{Header, Meta, Reader, StoreError};

/// Reads a result.
///
/// Bounds: without endpoints, a few kilobytes a second of run; with them, all of their seconds.
pub(crate) fn read(
    meta: &Meta,
    run: RunId,
    version: &str,
    with_endpoints: bool,
) -> Result<RunResult, RequestError> {
    let told = |error| told(run, error);
    let Some((reader, header)) = open(meta, run).map_err(told)? else {
        return without_storage(meta, run, version);
    };
    let mut result = head(&reader, &header, run, version).map_err(told)?;
    if with_endpoints {
        let cast = Cast::new(&header.test);
        for range in passes(&header, &reader) {
            result
                .endpoints
                .extend(endpoints(&reader, &header, &cast, range).map_err(told)?);
        }
    }
    Ok(result)
}

/// Writes a result as JSON, some endpoints at a time.
///
/// The same document as serde writes of a whole [`RunResult`]: `endpoints` is its last field.
/// Bounds: about [`ROWS_IN_MEMORY`] endpoint-seconds.
pub(crate) fn write_json(
    meta: &Meta,
    run: RunId,
    version: &str,
    out: &mut dyn Write,
) -> Result<(), RequestError> {
    let told = |error| told(run, error);
    let written = |error: std::io::Error| {
        RequestError::Storage(format!("the result cannot be written: {error}"))
    };
    let serialized = |error: serde_json::Error| written(error.into());
    let opened = open(meta, run).map_err(told)?;
    let result = match &opened {
        Some((reader, header)) => head(reader, header, run, version).map_err(told)?,
        None => without_storage(meta, run, version)?,
    };
    let text = serde_json::to_string(&result).map_err(serialized)?;
    let open = text.strip_suffix("]}").ok_or_else(|| {
        RequestError::Storage("`endpoints` is not the last field of a result".to_owned())
    })?;
    out.write_all(open.as_bytes()).map_err(written)?;
    let mut first = true;
    if let Some((reader, header)) = &opened {
        let cast = Cast::new(&header.test);
        for range in passes(header, reader) {
            for endpoint in endpoints(reader, header, &cast, range).map_err(told)? {
                if !std::mem::take(&mut first) {
                    out.write_all(b",").map_err(written)?;
                }
                serde_json::to_writer(&mut *out, &endpoint).map_err(serialized)?;
            }
        }
    }
    out.write_all(b"]}\n").map_err(written)?;
    out.flush().map_err(written)
}

/// A run's own storage, with the history of its record; none where the run was refused before it
/// got one.
fn open(meta: &Meta, run: RunId) -> Result<Option<(Reader, Header)>, StoreError> {
    let record = meta.runs().find(run);
    match Reader::open(meta, run) {
        Ok(reader) => {
            let mut header = reader.header()?;
            if let Some(record) = record {
                header.history.clone_from(&record.history);
            }
            Ok(Some((reader, header)))
        }
        Err(StoreError::UnknownRun) if record.is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The result of a run that has nothing but its record.
fn without_storage(meta: &Meta, run: RunId, version: &str) -> Result<RunResult, RequestError> {
    let record = meta.runs().find(run).ok_or(RequestError::UnknownRun(run))?;
    Ok(RunResult {
        schema_version: SCHEMA_VERSION,
        carillon_version: version.to_owned(),
        run: run.to_string(),
        test: record.test_name.clone(),
        status: record.status(),
        history: record.history.clone(),
        problems: record.problems.clone(),
        verdict: record.verdict.unwrap_or(Verdict::Failed),
        began_unix_ms: record.began_unix_ms,
        elapsed_ms: record.elapsed_ms,
        all: Part {
            name: "all".to_owned(),
            ..Part::default()
        },
        groups: Vec::new(),
        failures: Vec::new(),
        generator: shared::result::GeneratorHealth::default(),
        thresholds: record.thresholds.clone(),
        missing: Vec::new(),
        seconds: Vec::new(),
        endpoints: Vec::new(),
    })
}

fn head(
    reader: &Reader,
    header: &Header,
    run: RunId,
    version: &str,
) -> Result<RunResult, StoreError> {
    let status = header
        .history
        .last()
        .map_or(RunStatus::Pending, |step| step.status);
    let summary = header.summary.clone().unwrap_or_else(|| unfinished(header));
    let verdict = match status {
        RunStatus::Failed | RunStatus::CannotRunForNow => Verdict::Failed,
        _ => summary.verdict,
    };
    Ok(RunResult {
        schema_version: SCHEMA_VERSION,
        carillon_version: version.to_owned(),
        run: run.to_string(),
        test: header.test.name.clone(),
        status,
        history: header.history.clone(),
        problems: summary.problems,
        verdict,
        began_unix_ms: summary.began_unix_ms,
        elapsed_ms: summary.elapsed_ms,
        all: summary.all,
        groups: summary.groups,
        failures: summary.failures,
        generator: summary.generator,
        thresholds: summary.thresholds,
        missing: summary.missing,
        seconds: reader.seconds()?,
        endpoints: Vec::new(),
    })
}

/// A run that still lives, or whose coordinator died: its series are there, its summary is not.
fn unfinished(header: &Header) -> Summary {
    let part = |name: &str| Part {
        name: name.to_owned(),
        ..Part::default()
    };
    let began = header
        .history
        .iter()
        .find(|step| step.status == RunStatus::Running)
        .map(|step| step.at_unix_ms);
    let last = header.history.last().map(|step| step.at_unix_ms);
    Summary {
        began_unix_ms: began,
        elapsed_ms: last.unwrap_or(0).saturating_sub(began.unwrap_or(u64::MAX)),
        problems: Vec::new(),
        verdict: Verdict::Failed,
        all: part("all"),
        groups: header
            .test
            .groups
            .iter()
            .map(|group| part(&group.name))
            .collect(),
        failures: Vec::new(),
        generator: shared::result::GeneratorHealth::default(),
        thresholds: Vec::new(),
        missing: Vec::new(),
        nodes: Vec::new(),
    }
}

/// Ranges of endpoints whose seconds fit into memory together; at least one endpoint each.
fn passes(header: &Header, reader: &Reader) -> impl Iterator<Item = Range<u32>> + use<> {
    let total = header.test.endpoint_count();
    let width = (ROWS_IN_MEMORY / reader.seconds_stored().max(1)).clamp(1, PASS_MAX);
    let last = header
        .history
        .last()
        .is_none_or(|step| step.status != RunStatus::CannotRunForNow);
    let total = if last { total } else { 0 };
    (0..total)
        .step_by(width as usize)
        .map(move |start| start..start.saturating_add(width).min(total))
}

fn endpoints(
    reader: &Reader,
    header: &Header,
    cast: &Cast,
    range: Range<u32>,
) -> Result<Vec<EndpointResult>, StoreError> {
    let mut series = reader.series(range.clone())?;
    let mut results = Vec::with_capacity(range.len());
    for number in range {
        let endpoint = EndpointIndex(number);
        let report = reader.report(endpoint)?;
        let seconds = series.remove(&number).unwrap_or_default();
        let seen = seconds.iter().filter_map(|second| second.phase).max();
        let (node, phase) = match &report {
            Some(report) => (Some(&report.node), Some(report.phase)),
            None => (carrier(header, cast, number), seen),
        };
        results.push(EndpointResult {
            endpoint,
            group_name: cast.group_name(number).to_owned(),
            account: cast.account(number).to_owned(),
            node: node.cloned().unwrap_or(NodeId(String::new())),
            phase: phase.unwrap_or(Phase::Initializing),
            report,
            seconds,
            has_trace: reader.has_trace(endpoint)?,
        });
    }
    Ok(results)
}

/// The node that carried an endpoint; none where the run ended before anybody did.
fn carrier<'h>(header: &'h Header, cast: &Cast, endpoint: u32) -> Option<&'h NodeId> {
    let (group, place) = cast.place(endpoint)?;
    let carries = |share: &Share| {
        share.group == group
            && (share.first..share.first.saturating_add(share.count)).contains(&place)
    };
    let nodes = header.summary.as_ref().map(|summary| &summary.nodes)?;
    let found = nodes.iter().find(|(_, shares)| shares.iter().any(carries));
    found.map(|(node, _)| node)
}

/// A storage error as a request's answer.
pub(crate) fn told(run: RunId, error: StoreError) -> RequestError {
    match error {
        StoreError::UnknownRun => RequestError::UnknownRun(run),
        other => RequestError::Storage(other.to_string()),
    }
}

/// Endpoint-seconds held at once: about 100 MB with 60 metrics each.
const ROWS_IN_MEMORY: u32 = 20_000;
/// Endpoints of a pass: one chunk of storage.
const PASS_MAX: u32 = 256;
