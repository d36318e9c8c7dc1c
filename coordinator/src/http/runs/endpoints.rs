//! Endpoints of a run: the list, one of them, its SIP trace.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use shared::api::{Endpoint, EndpointRow, Page, Role, Trace, TraceMessage};
use shared::id::{EndpointIndex, RunId};

use super::filter::{list as listed, names};
use crate::core::roster::{Place, Query, Sort, SortKey};
use crate::http::auth::Caller;
use crate::http::page::{self, After, ListQuery};
use crate::http::problem::ApiError;
use crate::http::state::Service;

/// Orders by their names in the API.
const SORTS: [&str; 7] = [
    "endpoint", "mos", "jitter", "loss", "rtt", "phase", "outcome",
];
/// Filters.
pub(super) const FILTERS: [&str; 7] = [
    "phase",
    "outcome",
    "group",
    "account",
    "code",
    "node",
    "has_trace",
];

/// What lists of endpoints can be cut down by, for the OpenAPI document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
pub(super) struct EndpointFilters {
    /// Any of these, with commas between: `INCALL,RINGING`.
    #[param(pattern = "^[A-Z_]+(,[A-Z_]+)*$")]
    phase: Option<String>,
    /// Any of these, with commas between: `CALL_FAILED,TIMEOUT`.
    #[param(pattern = "^[A-Z_]+(,[A-Z_]+)*$")]
    outcome: Option<String>,
    /// Any of these groups, by name, with commas between.
    group: Option<String>,
    /// A part of the account's user name, in any case.
    account: Option<String>,
    /// Last code of the registration or of the call.
    code: Option<u16>,
    /// On this node, by name.
    node: Option<String>,
    /// With a stored SIP trace, or without.
    has_trace: Option<bool>,
}

/// Order and page of a list of endpoints, for the OpenAPI document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
struct EndpointListParams {
    /// A `-` before it: descending. `endpoint` where it is not given.
    #[param(pattern = "^-?(endpoint|mos|jitter|loss|rtt|phase|outcome)$")]
    sort: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List endpoints of a run
///
/// Live or stored. While the run lives, figures are of the newest second that has them; after an endpoint's end, of
/// its newest whole call. Endpoints without a figure come last in its order, either way round.
#[utoipa::path(
    tag = "endpoints",
    params(
        ("run" = RunId, Path, description = "The run"),
        EndpointFilters,
        EndpointListParams,
    ),
    responses((status = 200, description = "A page of endpoints", body = Page<EndpointRow>)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs/{run}/endpoints")]
pub(super) async fn list_endpoints(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<RunId>,
) -> Result<HttpResponse, ApiError> {
    let record = super::find(&service, &caller, path.into_inner(), Role::Viewer)?;
    let list = ListQuery::of(&request, &SORTS, &FILTERS)?;
    let after = list.after.as_ref().map(place).transpose()?;
    let query = Query {
        sort: Sort {
            key: sort_key(list.sort.by),
            descending: list.sort.descending,
        },
        after,
        // One more than the page: whether there is another page.
        limit: list.limit.saturating_add(1),
        ..filters(&list.query)?
    };
    let mut found = service.handle().endpoints(record.id, query).await?;
    let more = found.rows.len() > list.limit;
    found.rows.truncate(list.limit);
    found.places.truncate(list.limit);
    let next_cursor = found
        .places
        .last()
        .filter(|_| more)
        .map(|place| list.cursor(&after_of(*place)));
    Ok(HttpResponse::Ok().json(Page {
        items: found.rows,
        next_cursor,
    }))
}

/// Get an endpoint
///
/// With everything that is known of it.
#[utoipa::path(
    tag = "endpoints",
    params(
        ("run" = RunId, Path, description = "The run"),
        ("endpoint" = u32, Path, description = "Its number in the run, from 0"),
    ),
    responses((status = 200, description = "The endpoint", body = Endpoint)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs/{run}/endpoints/{endpoint}")]
pub(super) async fn get_endpoint(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<(RunId, u32)>,
) -> Result<HttpResponse, ApiError> {
    page::Query::of(&request, &[])?;
    let (run, endpoint) = path.into_inner();
    let record = super::find(&service, &caller, run, Role::Viewer)?;
    let found = service
        .handle()
        .endpoint(record.id, EndpointIndex(endpoint))
        .await?;
    let (row, report) = found.ok_or_else(ApiError::not_found)?;
    Ok(HttpResponse::Ok().json(Endpoint { row, report }))
}

/// Get the SIP trace of an endpoint
///
/// /// Stored for each endpoint that failed, and for a sample of the others. Octets that are no UTF-8
/// are replaced.
#[utoipa::path(
    tag = "endpoints",
    params(
        ("run" = RunId, Path, description = "The run"),
        ("endpoint" = u32, Path, description = "Its number in the run, from 0"),
    ),
    responses((status = 200, description = "Its messages, oldest first; 404 where none are stored", body = Trace)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs/{run}/endpoints/{endpoint}/trace")]
pub(super) async fn get_endpoint_trace(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<(RunId, u32)>,
) -> Result<HttpResponse, ApiError> {
    page::Query::of(&request, &[])?;
    let (run, endpoint) = path.into_inner();
    let record = super::find(&service, &caller, run, Role::Viewer)?;
    if endpoint >= record.endpoints {
        return Err(ApiError::not_found());
    }
    let trace = service
        .handle()
        .trace(record.id, EndpointIndex(endpoint))
        .await?;
    let trace = trace.ok_or_else(|| {
        ApiError::new(
            actix_web::http::StatusCode::NOT_FOUND,
            "no_trace",
            "no SIP trace of this endpoint is stored: traces are kept of endpoints that failed, and of as many others as the test's `trace_sample` says; they are there after the endpoint's end",
        )
    })?;
    Ok(HttpResponse::Ok().json(text(trace)))
}

/// Messages as text.
fn text(trace: shared::wire::Trace) -> Trace {
    let message = |message: shared::wire::TraceMessage| TraceMessage {
        at_us: message.at_us,
        sent: message.sent,
        local: message.local,
        remote: message.remote,
        transport: message.transport,
        text: String::from_utf8_lossy(&message.bytes).into_owned(),
    };
    Trace {
        endpoint: trace.endpoint.0,
        dropped: trace.dropped,
        messages: trace.messages.into_iter().map(message).collect(),
    }
}

/// The filters of a query, in the order of numbers and without a bound.
pub(super) fn filters(query: &page::Query) -> Result<Query, ApiError> {
    Ok(Query {
        phases: names(query, "phase", "names of phases, such as INCALL,RINGING")?,
        outcomes: names(
            query,
            "outcome",
            "names of outcomes, such as CALL_FAILED,TIMEOUT",
        )?,
        groups: listed(query, "group").map(str::to_owned).collect(),
        account: query.text("account").map(str::to_owned),
        code: query.parsed("code", "a SIP code, such as 486")?,
        node: query.text("node").map(str::to_owned),
        has_trace: query.parsed("has_trace", "true or false")?,
        sort: Sort::default(),
        after: None,
        limit: usize::MAX,
    })
}

fn sort_key(name: &str) -> SortKey {
    match name {
        "mos" => SortKey::Mos,
        "jitter" => SortKey::Jitter,
        "loss" => SortKey::Loss,
        "rtt" => SortKey::Rtt,
        "phase" => SortKey::Phase,
        "outcome" => SortKey::Outcome,
        _ => SortKey::Endpoint,
    }
}

fn after_of(place: Place) -> After {
    After {
        value: place.rank.to_string(),
        id: place.endpoint.to_string(),
    }
}

fn place(after: &After) -> Result<Place, ApiError> {
    match (after.value.parse(), after.id.parse()) {
        (Ok(rank), Ok(endpoint)) => Ok(Place { rank, endpoint }),
        _ => Err(ApiError::bad_field(
            "bad_cursor",
            "cursor",
            "`cursor` has to be the next_cursor of a page",
        )),
    }
}

#[cfg(test)]
mod tests {
    use shared::phase::{Outcome, Phase};

    use super::*;

    fn read(text: &str) -> Result<Query, ApiError> {
        filters(&page::Query::parse(text, &FILTERS)?)
    }

    #[test]
    fn filters_are_read_as_they_are_named() {
        let query = read("phase=INCALL,RINGING&outcome=TIMEOUT&group=a,b&account=u&code=486&node=n&has_trace=false").unwrap();
        assert_eq!(query.phases, [Phase::Incall, Phase::Ringing]);
        assert_eq!(query.outcomes, [Outcome::Timeout]);
        assert_eq!(query.groups, ["a", "b"]);
        assert_eq!(
            (query.account.as_deref(), query.node.as_deref()),
            (Some("u"), Some("n"))
        );
        assert_eq!((query.code, query.has_trace), (Some(486), Some(false)));
        for (text, field) in [
            ("phase=x", "phase"),
            ("code=70000", "code"),
            ("has_trace=1", "has_trace"),
        ] {
            assert_eq!(read(text).unwrap_err().errors[0].field, field);
        }
    }

    #[test]
    fn a_place_comes_back_from_its_cursor() {
        let given = Place {
            rank: u64::MAX,
            endpoint: 7,
        };
        assert_eq!(place(&after_of(given)), Ok(given));
        let nonsense = After {
            value: "-1".to_owned(),
            id: String::new(),
        };
        assert_eq!(place(&nonsense).unwrap_err().code, "bad_cursor");
    }

    #[test]
    fn octets_that_are_no_text_are_replaced() {
        let trace = text(shared::wire::Trace {
            run: RunId(1),
            endpoint: EndpointIndex(3),
            dropped: 2,
            messages: vec![shared::wire::TraceMessage {
                at_us: 5,
                sent: true,
                local: "a".to_owned(),
                remote: "b".to_owned(),
                transport: "UDP".to_owned(),
                bytes: b"INVITE \xff".to_vec(),
            }],
        });
        assert_eq!(trace.messages[0].text, "INVITE \u{fffd}");
        assert_eq!((trace.endpoint, trace.dropped), (3, 2));
    }
}
