//! Lists of runs: of the organization, of a project, of a test. Answered from memory.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use shared::api::{Page, Role, Run};
use shared::id::{OrganizationId, ProjectId, TestId};

use super::filter::{RUN_FILTERS, RunFilter};
use crate::http::auth::Caller;
use crate::http::page::{After, ListQuery};
use crate::http::problem::ApiError;
use crate::http::state::Service;
use crate::store::{RunCursor, RunQuery, RunSort};

/// Orders by their names in the API; the newest come first where none is asked for.
const SORTS: [&str; 6] = ["-created", "ended", "name", "endpoints", "elapsed", "mos"];

/// The parameters of every list of runs, for the OpenAPI document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
struct RunListParams {
    /// Any of these, with commas between: `RUNNING,STOPPING`.
    #[param(pattern = "^[A-Z_]+(,[A-Z_]+)*$")]
    status: Option<String>,
    /// Any of these, with commas between: `passed,threshold_crossed`.
    #[param(pattern = "^[a-z_]+(,[a-z_]+)*$")]
    verdict: Option<String>,
    /// A part of the label, in any case.
    label: Option<String>,
    /// Pinned, or not.
    pinned: Option<bool>,
    /// Made at or after this moment, milliseconds since 1970.
    from: Option<u64>,
    /// Made before this moment, milliseconds since 1970.
    to: Option<u64>,
    /// A `-` before it: descending. `-created` where it is not given.
    #[param(pattern = "^-?(created|ended|name|endpoints|elapsed|mos)$")]
    sort: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Only in lists that are not of one test.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
struct RunTestParam {
    /// Only runs of this test.
    test: Option<TestId>,
}

/// List runs
///
/// Runs of the organization, newest first.
/// Of the projects that the key sees.
#[utoipa::path(
    tag = "runs",
    params(RunListParams, RunTestParam),
    responses((status = 200, description = "A page of runs.", body = Page<Run>)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/runs")]
pub(super) async fn list_runs(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
) -> Result<HttpResponse, ApiError> {
    page(&request, &service, &caller, &RUN_FILTERS, |filter| filter)
}

/// List runs of a project
#[utoipa::path(
    tag = "runs",
    params(
        ("project" = ProjectId, Path, description = "The project"),
        RunListParams,
        RunTestParam,
    ),
    responses((status = 200, description = "A page of runs.", body = Page<Run>)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/projects/{project}/runs")]
pub(super) async fn list_project_runs(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<ProjectId>,
) -> Result<HttpResponse, ApiError> {
    let project = path.into_inner();
    exists(&service, &caller, project).await?;
    page(&request, &service, &caller, &RUN_FILTERS, |filter| {
        filter.within(project, None)
    })
}

/// List runs of a test
#[utoipa::path(
    tag = "runs",
    params(
        ("project" = ProjectId, Path, description = "The project"),
        ("test" = TestId, Path, description = "The test; its runs are there also when it is gone"),
        RunListParams,
    ),
    responses((status = 200, description = "A page of runs.", body = Page<Run>)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/projects/{project}/tests/{test}/runs")]
pub(super) async fn list_test_runs(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<(ProjectId, TestId)>,
) -> Result<HttpResponse, ApiError> {
    let (project, test) = path.into_inner();
    exists(&service, &caller, project).await?;
    let filters = RUN_FILTERS.get(1..).unwrap_or_default();
    page(&request, &service, &caller, filters, |filter| {
        filter.within(project, Some(test))
    })
}

/// Errors: 404 where the project is not there or not for the caller.
async fn exists(service: &Service, caller: &Caller, project: ProjectId) -> Result<(), ApiError> {
    caller.in_project(project, Role::Viewer)?;
    let organization: OrganizationId = caller.organization();
    service.objects().project(organization, project).await?;
    Ok(())
}

fn page(
    request: &HttpRequest,
    service: &Service,
    caller: &Caller,
    filters: &[&str],
    within: impl FnOnce(RunFilter) -> RunFilter,
) -> Result<HttpResponse, ApiError> {
    let list = ListQuery::of(request, &SORTS, filters)?;
    let filter = within(RunFilter::of(&list.query)?);
    let sort = match list.sort.by {
        "ended" => RunSort::Ended,
        "name" => RunSort::Test,
        "endpoints" => RunSort::Endpoints,
        "elapsed" => RunSort::Elapsed,
        "mos" => RunSort::Mos,
        _ => RunSort::Created,
    };
    // The digest of the list ties a cursor to its order; a text that is none of ours is refused all
    // the same.
    let after: Option<RunCursor> = list
        .after
        .as_ref()
        .map(|after| serde_json::from_str(&after.value))
        .transpose()
        .ok()
        .filter(|cursor| {
            cursor
                .as_ref()
                .is_none_or(|cursor: &RunCursor| cursor.fits(sort))
        })
        .ok_or_else(|| {
            ApiError::bad_field(
                "bad_cursor",
                "cursor",
                "`cursor` has to be the next_cursor of a page",
            )
        })?;
    let page = service.control().runs().page(&RunQuery {
        organization: caller.organization(),
        condition: &|run| filter.takes(caller, run),
        sort,
        descending: list.sort.descending,
        after: after.as_ref(),
        limit: list.limit,
    });
    let next_cursor = page.next.map(|next| {
        list.cursor(&After {
            value: serde_json::to_string(&next).unwrap_or_default(),
            id: String::new(),
        })
    });
    let items = page
        .runs
        .iter()
        .map(|run| super::shown(service, run))
        .collect();
    Ok(HttpResponse::Ok().json(Page { items, next_cursor }))
}
