//! Every movement of an organization's credits, newest first. Read from storage, a page at a time.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use shared::api::{LedgerEntry, Page, Role, TransferKind};
use shared::id::{OrganizationId, RunId};

use crate::http::auth::Caller;
use crate::http::page::{After, ListQuery};
use crate::http::problem::ApiError;
use crate::http::state::Service;
use crate::store::{Control, StoreError, keys};

/// Entries read at once.
const BATCH: usize = 500;
/// Entries looked at for one page. A filter that finds less in so many answers a shorter page, which
/// goes on where it ended.
const LOOKED_AT_MAX: usize = 50_000;

/// The parameters of the ledger, for the OpenAPI document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
struct LedgerParams {
    /// Only these movements.
    kind: Option<TransferKind>,
    /// Only those of this run.
    run: Option<RunId>,
    /// The newest come first.
    #[param(pattern = "^-sequence$")]
    sort: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the ledger
///
/// Of the own organization, newest first. Entries are never changed nor deleted.
#[utoipa::path(
    tag = "organizations",
    params(LedgerParams),
    responses((status = 200, description = "A page of entries.", body = Page<LedgerEntry>)),
    extensions(("x-role" = json!("admin"))),
)]
#[get("/ledger")]
pub(super) async fn list_ledger(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
) -> Result<HttpResponse, ApiError> {
    caller.require(Role::Admin)?;
    page(&request, &service, caller.organization()).await
}

/// List the ledger of an organization
///
/// The own one; operators may read any.
#[utoipa::path(
    tag = "organizations",
    params(
        ("organization" = OrganizationId, Path, description = "The organization."),
        LedgerParams,
    ),
    responses((status = 200, description = "A page of entries.", body = Page<LedgerEntry>)),
    extensions(("x-role" = json!("admin"))),
)]
#[get("/organizations/{organization}/ledger")]
pub(super) async fn list_organization_ledger(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<OrganizationId>,
) -> Result<HttpResponse, ApiError> {
    let organization = path.into_inner();
    if caller.key().operator {
        service.objects().organization(organization).await?;
    } else if organization == caller.organization() {
        caller.require(Role::Admin)?;
    } else {
        return Err(ApiError::not_found());
    }
    page(&request, &service, organization).await
}

async fn page(
    request: &HttpRequest,
    service: &Service,
    organization: OrganizationId,
) -> Result<HttpResponse, ApiError> {
    let list = ListQuery::of(request, &["-sequence"], &["kind", "run"])?;
    if !list.sort.descending {
        return Err(ApiError::bad_field(
            "bad_parameter",
            "sort",
            "the ledger is sorted by -sequence",
        ));
    }
    let filter = Filter {
        kind: list.query.named("kind", "grant, reserve or settle")?,
        run: list.query.parsed("run", "the id of a run")?,
    };
    let before = list
        .after
        .as_ref()
        .map(|after| {
            after.id.parse().map_err(|_| {
                let detail = "`cursor` has to be the next_cursor of a page";
                ApiError::bad_field("bad_cursor", "cursor", detail)
            })
        })
        .transpose()?;
    let (control, limit) = (service.control().clone(), list.limit);
    let read = tokio::task::spawn_blocking(move || {
        entries(&control, organization, &filter, before, limit)
    });
    let (items, next) = read
        .await
        .map_err(|error| ApiError::internal(&error))?
        .map_err(|error| ApiError::internal(&error))?;
    let next_cursor = next.map(|sequence: u64| {
        list.cursor(&After {
            value: String::new(),
            id: sequence.to_string(),
        })
    });
    Ok(HttpResponse::Ok().json(Page { items, next_cursor }))
}

/// Which entries.
#[derive(Clone, Copy, Debug)]
struct Filter {
    kind: Option<TransferKind>,
    run: Option<RunId>,
}

impl Filter {
    fn takes(self, entry: &LedgerEntry) -> bool {
        self.kind.is_none_or(|kind| kind == entry.kind)
            && self.run.is_none_or(|run| entry.run == Some(run))
    }
}

/// A page of entries before a sequence, and the sequence before which the next page begins.
fn entries(
    control: &Control,
    organization: OrganizationId,
    filter: &Filter,
    before: Option<u64>,
    limit: usize,
) -> Result<(Vec<LedgerEntry>, Option<u64>), StoreError> {
    let prefix = keys::ledger_of(organization);
    let mut found: Vec<LedgerEntry> = Vec::new();
    let mut before = before;
    let mut looked_at = 0;
    loop {
        let key = before.map(|sequence| keys::ledger(organization, sequence));
        let batch: Vec<(_, LedgerEntry)> = control.scan_back(&prefix, key.as_ref(), BATCH)?;
        let last = batch.len() < BATCH;
        looked_at += batch.len();
        for (_, entry) in batch {
            if found.len() == limit {
                return Ok((found, before));
            }
            before = Some(entry.sequence);
            if filter.takes(&entry) {
                found.push(entry);
            }
        }
        if last {
            return Ok((found, None));
        }
        if looked_at >= LOOKED_AT_MAX {
            return Ok((found, before));
        }
    }
}
