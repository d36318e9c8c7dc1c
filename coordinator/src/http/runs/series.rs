//! Figures by the second: of an endpoint, of a group, of the whole run.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use shared::api::{EndpointMetrics, Role};
use shared::id::{EndpointIndex, RunId};
use shared::metric::{CATALOGUE, MetricId};
use shared::result::SeriesSecond;

use super::filter::list;
use crate::handle::Of;
use crate::http::auth::Caller;
use crate::http::page::Query;
use crate::http::problem::ApiError;
use crate::http::state::Service;
use crate::store::{Series, Window};

/// Seconds of a page, at most: an hour.
const SECONDS_MAX: u32 = 3_600;
/// Seconds of a page where `limit` is not given.
const SECONDS_DEFAULT: u32 = 600;
/// What an aggregate's second has of each gauge.
const STATISTICS: [&str; 7] = ["avg", "p50", "p5", "p1", "p95", "p99", "worst"];
/// What an aggregate's second has beside metrics.
const BESIDE: [&str; 2] = ["phase", "generator"];

/// Which seconds and metrics, for the OpenAPI document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
struct WindowParams {
    /// The first second of the run, from 0.
    from: Option<u32>,
    /// The second after the last one.
    to: Option<u32>,
    /// Only these keys of the metric catalogue, with commas between: `mos,jitter_ms`. Of a run also
    /// `mos.p5`, `phase`, `generator`.
    metrics: Option<String>,
    /// Seconds of the run that one page looks at.
    #[param(minimum = 1, maximum = 3600, default = 600)]
    limit: Option<u32>,
}

/// Get figures of an endpoint
///
/// A row for each second that has one.
#[utoipa::path(
    tag = "endpoints",
    params(
        ("run" = RunId, Path, description = "The run"),
        ("endpoint" = u32, Path, description = "Its number in the run, from 0"),
        WindowParams,
    ),
    responses((status = 200, description = "A page of seconds", body = EndpointMetrics)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs/{run}/endpoints/{endpoint}/metrics")]
pub(super) async fn get_endpoint_metrics(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<(RunId, u32)>,
) -> Result<HttpResponse, ApiError> {
    let (run, endpoint) = path.into_inner();
    let record = super::find(&service, &caller, run, Role::Viewer)?;
    if endpoint >= record.endpoints {
        return Err(ApiError::not_found());
    }
    let query = Query::of(&request, &["from", "to", "metrics", "limit"])?;
    let window = window(&query)?;
    let metrics = list(&query, "metrics")
        .map(|key| MetricId::by_key(key).ok_or_else(|| unknown(key)))
        .collect::<Result<Vec<_>, _>>()?;
    let series = if record.accepted {
        let endpoint = EndpointIndex(endpoint);
        let handle = service.handle();
        handle
            .endpoint_seconds(record.id, endpoint, metrics, window)
            .await?
    } else {
        Series::default()
    };
    Ok(answer(series))
}

/// Get figures of a run
///
/// Of the whole run or of a group, a row a second. Gauges and events as `mos.avg`, `mos.p50`, `mos.p5`, `mos.p1` (p95 and p99 where low is good) and `mos.worst`;
/// counters as their sum; endpoints in each phase as `phase.incall`; of the whole run also the
/// generator as `generator.cpu_cores`.
#[utoipa::path(
    tag = "runs",
    params(
        ("run" = RunId, Path, description = "The run"),
        ("group" = Option<String>, Query, description = "Of this group, by name; else of the whole run"),
        WindowParams,
    ),
    responses((status = 200, description = "A page of seconds", body = EndpointMetrics)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs/{run}/metrics")]
pub(super) async fn get_run_metrics(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<RunId>,
) -> Result<HttpResponse, ApiError> {
    let record = super::find(&service, &caller, path.into_inner(), Role::Viewer)?;
    let query = Query::of(&request, &["group", "from", "to", "metrics", "limit"])?;
    let window = window(&query)?;
    let wanted: Vec<&str> = list(&query, "metrics").collect();
    if let Some(key) = wanted.iter().find(|key| !is_aggregate_key(key)) {
        return Err(unknown(key));
    }
    let of = match query.text("group") {
        None => Of::All,
        Some(group) => Of::Group(group.to_owned()),
    };
    let mut series = if record.accepted {
        let found = service.handle().seconds(record.id, of, window).await?;
        found.ok_or_else(|| {
            ApiError::bad_field("bad_parameter", "group", "the run's test has no such group")
        })?
    } else {
        Series::default()
    };
    keep(&mut series.rows, &wanted);
    Ok(answer(series))
}

fn answer(series: Series) -> HttpResponse {
    HttpResponse::Ok().json(EndpointMetrics {
        seconds: series.rows,
        next_from: series.next_from,
    })
}

fn window(query: &Query) -> Result<Window, ApiError> {
    let second = "a second of the run, from 0";
    let limit = query.parsed("limit", "a number from 1 to 3600")?;
    if limit.is_some_and(|limit| !(1..=SECONDS_MAX).contains(&limit)) {
        return Err(ApiError::bad_field(
            "bad_parameter",
            "limit",
            "`limit` has to be a number from 1 to 3600",
        ));
    }
    Ok(Window {
        from: query.parsed("from", second)?.unwrap_or(0),
        to: query.parsed("to", second)?.unwrap_or(u32::MAX),
        limit: limit.unwrap_or(SECONDS_DEFAULT),
    })
}

fn unknown(key: &str) -> ApiError {
    ApiError::bad_field(
        "bad_parameter",
        "metrics",
        format!("`{key}` is no key of the metric catalogue"),
    )
}

/// Keys that an aggregate's second may have: a metric, one of its statistics, a phase, the generator.
fn is_aggregate_key(key: &str) -> bool {
    let metric = |key: &str| CATALOGUE.iter().any(|metric| metric.key == key);
    let (base, last) = key.rsplit_once('.').unwrap_or((key, ""));
    metric(key) || (STATISTICS.contains(&last) && metric(base)) || BESIDE.contains(&base)
}

/// Leaves only what is wanted: the key itself, or what stands below it.
fn keep(rows: &mut [SeriesSecond], wanted: &[&str]) {
    if wanted.is_empty() {
        return;
    }
    let below = |key: &str, wanted: &str| {
        key.strip_prefix(wanted)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    for row in rows {
        row.values
            .retain(|key, _| wanted.iter().any(|wanted| below(key, wanted)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_aggregates_are_known_from_the_catalogue() {
        for key in [
            "mos",
            "mos.p5",
            "tx.loss_pct.worst",
            "call.established",
            "phase",
            "phase.incall",
            "generator",
        ] {
            assert!(is_aggregate_key(key), "{key}");
        }
        for key in ["", "mo", "mos.p6", "tx", "mos.", ".avg", "phases.x"] {
            assert!(!is_aggregate_key(key), "{key}");
        }
    }

    #[test]
    fn only_what_is_wanted_is_left() {
        let keys = ["mos.avg", "mos.p5", "mos_lq.avg", "phase.incall"];
        let row = || SeriesSecond {
            second: 0,
            phase: None,
            values: keys.iter().map(|key| ((*key).to_owned(), 1.0)).collect(),
        };
        let left = |wanted: &[&str]| {
            let mut rows = [row()];
            keep(&mut rows, wanted);
            rows[0].values.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(left(&[]).len(), 4);
        assert_eq!(left(&["mos"]), ["mos.avg", "mos.p5"]);
        assert_eq!(left(&["mos.p5", "phase"]), ["mos.p5", "phase.incall"]);
    }

    #[test]
    fn a_window_is_bounded() {
        let read = |text| window(&Query::parse(text, &["from", "to", "limit"]).unwrap());
        let whole = read("").unwrap();
        assert_eq!((whole.from, whole.to, whole.limit), (0, u32::MAX, 600));
        assert!(read("limit=0").is_err() && read("limit=3601").is_err());
        assert!(read("from=-1").is_err() && read("to=x").is_err());
    }
}
