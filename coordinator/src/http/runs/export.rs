//! Whole runs as files: the result as the command line's `--json` writes it, endpoints as CSV.
//! Streamed: neither is ever whole in memory.

use std::io::Write;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use shared::api::{EndpointRow, Role};
use shared::id::RunId;
use shared::result::{RunResult, Verdict};

use super::endpoints::{EndpointFilters, FILTERS, filters};
use super::pipe::pipe;
use crate::core::record::RunRecord;
use crate::handle::Rows;
use crate::http::auth::Caller;
use crate::http::page::Query;
use crate::http::problem::ApiError;
use crate::http::state::Service;

/// Get the result of a run
///
/// The whole of it: the document that `carillon run --json` writes, with every endpoint and its seconds. Of a run
/// that has not ended: what is stored so far.
#[utoipa::path(
    tag = "runs",
    params(("run" = RunId, Path, description = "The run")),
    responses((status = 200, description = "The result", body = RunResult)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs/{run}/result")]
pub(super) async fn get_run_result(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<RunId>,
) -> Result<HttpResponse, ApiError> {
    let record = super::find(&service, &caller, path.into_inner(), Role::Viewer)?;
    Query::of(&request, &[])?;
    if !record.accepted {
        let version = &service.config().version;
        return Ok(HttpResponse::Ok().json(refused(&record, version)));
    }
    let permit = service.figures().download()?;
    let (writer, body) = pipe();
    let breaker = writer.breaker();
    let handle = service.handle().clone();
    let run = record.id;
    actix_web::rt::spawn(async move {
        let _permit = permit;
        if let Err(error) = handle.write_json(run, Box::new(writer)).await {
            tracing::info!(%run, %error, "a result was not sent whole");
            breaker.break_off(&error).await;
        }
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .streaming(body))
}

/// Get endpoints of a run as CSV
///
/// One line each, the columns of the list, with the list's filters. Texts that a spreadsheet would
/// take for a formula begin with a single quote.
#[utoipa::path(
    tag = "endpoints",
    params(("run" = RunId, Path, description = "The run"), EndpointFilters),
    responses((status = 200, description = "The lines", content_type = "text/csv", body = String)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs/{run}/endpoints.csv")]
pub(super) async fn get_endpoints_csv(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<RunId>,
) -> Result<HttpResponse, ApiError> {
    let record = super::find(&service, &caller, path.into_inner(), Role::Viewer)?;
    let query = filters(&Query::of(&request, &FILTERS)?)?;
    let permit = service.figures().download()?;
    let found = service.handle().endpoints(record.id, query).await?;
    let (mut writer, body) = pipe();
    let run = record.id;
    actix_web::rt::task::spawn_blocking(move || {
        let _permit = permit;
        if let Err(error) = write_csv(&found, &mut writer) {
            tracing::info!(%run, %error, "a list of endpoints was not sent whole");
        }
    });
    let name = format!("attachment; filename=\"endpoints-{run}.csv\"");
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, name))
        .streaming(body))
}

/// The columns, in their order.
const COLUMNS: [&str; 14] = [
    "endpoint",
    "group",
    "account",
    "node",
    "phase",
    "outcome",
    "reason",
    "registration_code",
    "call_code",
    "mos",
    "jitter_ms",
    "loss_pct",
    "rtt_ms",
    "has_trace",
];

/// Writes the lines; an error is that of the client, which then has no use for being told.
fn write_csv(found: &Rows, out: &mut impl Write) -> Result<(), std::io::Error> {
    let mut lines = csv::Writer::from_writer(out);
    lines.write_record(COLUMNS)?;
    for row in &found.rows {
        lines.write_record(line(row))?;
    }
    lines.flush()
}

fn line(row: &EndpointRow) -> [String; 14] {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let code = |value: Option<u16>| value.map_or_else(String::new, |value| value.to_string());
    [
        row.endpoint.to_string(),
        plain(&row.group),
        plain(&row.account),
        plain(&row.node.0),
        row.phase.name().to_owned(),
        row.outcome
            .map_or_else(String::new, |outcome| outcome.name().to_owned()),
        plain(&row.reason),
        code(row.registration_code),
        code(row.call_code),
        number(row.mos),
        number(row.jitter_ms),
        number(row.loss_pct),
        number(row.rtt_ms),
        row.has_trace.to_string(),
    ]
}

/// A text of a peer that begins like a formula would be run by a spreadsheet.
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

/// The result of a run that never was accepted: nothing of it is stored but its record.
fn refused(record: &RunRecord, version: &str) -> RunResult {
    let part = shared::result::Part {
        name: "all".to_owned(),
        ..shared::result::Part::default()
    };
    RunResult {
        schema_version: shared::result::SCHEMA_VERSION,
        carillon_version: version.to_owned(),
        run: record.id.to_string(),
        test: record.test_name.clone(),
        status: record.status(),
        history: record.history.clone(),
        problems: record.problems.clone(),
        verdict: record.verdict.unwrap_or(Verdict::Failed),
        began_unix_ms: record.began_unix_ms,
        elapsed_ms: record.elapsed_ms,
        all: part,
        groups: Vec::new(),
        failures: Vec::new(),
        generator: shared::result::GeneratorHealth::default(),
        thresholds: record.thresholds.clone(),
        missing: Vec::new(),
        seconds: Vec::new(),
        endpoints: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use shared::id::NodeId;
    use shared::phase::{Outcome, Phase};

    use super::*;

    #[test]
    fn a_line_has_every_column_and_runs_nothing() {
        let row = EndpointRow {
            endpoint: 7,
            group: "callers".to_owned(),
            account: "=HYPERLINK(\"x\")".to_owned(),
            node: NodeId("local".to_owned()),
            phase: Phase::Closed,
            outcome: Some(Outcome::CallFailed),
            reason: "486 \"Busy, here\"".to_owned(),
            registration_code: Some(200),
            call_code: Some(486),
            mos: Some(4.41),
            jitter_ms: None,
            loss_pct: Some(0.0),
            rtt_ms: None,
            has_trace: true,
        };
        let mut out = Vec::new();
        let rows = vec![row];
        let places = Vec::new();
        write_csv(&Rows { rows, places }, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next().unwrap(), COLUMNS.join(","));
        assert_eq!(
            lines.next().unwrap(),
            "7,callers,\"'=HYPERLINK(\"\"x\"\")\",local,CLOSED,CALL_FAILED,\"486 \"\"Busy, here\"\"\",200,486,4.41,,0,,true"
        );
    }
}
