//! The nodes as operators see them.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use shared::api::{Node, NodeState, Page, Role};
use shared::id::NodeId;

use crate::http::auth::Caller;
use crate::http::body::Empty;
use crate::http::page::{After, ListQuery, Query};
use crate::http::problem::ApiError;
use crate::http::state::Service;

/// The parameters of the list, for the OpenAPI document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
struct NodeListParams {
    /// Those that stand so.
    status: Option<NodeState>,
    /// Those of this region.
    region: Option<String>,
    /// A `-` before it: descending.
    #[param(pattern = "^-?name$")]
    sort: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List nodes
///
/// Every node that ever reported to this coordinator since its start.
#[utoipa::path(
    tag = "nodes",
    params(NodeListParams),
    responses((status = 200, description = "A page of nodes.", body = Page<Node>)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/nodes")]
pub(super) async fn list_nodes(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
) -> Result<HttpResponse, ApiError> {
    caller.require(Role::Viewer)?;
    let list = ListQuery::of(&request, &["name"], &["status", "region"])?;
    let status: Option<NodeState> = list
        .query
        .named("status", "ONLINE, DRAINING, OFFLINE or ERROR")?;
    let region = list.query.text("region");
    let mut nodes = service.handle().nodes().await?;
    nodes.retain(|node| {
        status.is_none_or(|status| status == node.status)
            && region.is_none_or(|region| region == node.region)
    });
    let page = list.cut(nodes, |node| After {
        value: node.name.clone(),
        id: String::new(),
    });
    Ok(HttpResponse::Ok().json(page))
}

/// Get a node
#[utoipa::path(
    tag = "nodes",
    params(("node" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The node.", body = Node)),
    extensions(("x-role" = json!("viewer"))),
)]
#[get("/nodes/{node}")]
pub(super) async fn get_node(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    caller.require(Role::Viewer)?;
    Query::of(&request, &[])?;
    let name = path.into_inner();
    let nodes = service.handle().nodes().await?;
    let node = nodes.into_iter().find(|node| node.name == name);
    let node = node.ok_or_else(ApiError::not_found)?;
    Ok(HttpResponse::Ok().json(node))
}

/// Drain a node
///
/// It takes no new runs from now on, also after a restart of the coordinator, until it is undrained.
/// Runs that it carries go on. A node that is drained already is answered the same.
#[utoipa::path(
    tag = "nodes",
    params(("node" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The node.", body = Node)),
    extensions(("x-role" = json!("operator"))),
)]
#[post("/nodes/{node}/drain")]
pub(super) async fn drain_node(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<String>,
    _: Empty,
) -> Result<HttpResponse, ApiError> {
    set(&request, &service, &caller, path.into_inner(), true).await
}

/// Undrain a node
///
/// It takes new runs again. A node that is not drained is answered the same.
#[utoipa::path(
    tag = "nodes",
    params(("node" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The node.", body = Node)),
    extensions(("x-role" = json!("operator"))),
)]
#[post("/nodes/{node}/undrain")]
pub(super) async fn undrain_node(
    request: HttpRequest,
    service: Data<Service>,
    caller: Caller,
    path: Path<String>,
    _: Empty,
) -> Result<HttpResponse, ApiError> {
    set(&request, &service, &caller, path.into_inner(), false).await
}

async fn set(
    request: &HttpRequest,
    service: &Service,
    caller: &Caller,
    name: String,
    drain: bool,
) -> Result<HttpResponse, ApiError> {
    caller.require_operator()?;
    Query::of(request, &[])?;
    let node = service.handle().drain(NodeId(name), drain).await?;
    let node = node.ok_or_else(ApiError::not_found)?;
    Ok(HttpResponse::Ok().json(node))
}
