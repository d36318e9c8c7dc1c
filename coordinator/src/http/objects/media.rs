//! `/projects/{project}/media`: WAV files. A file never changes: another one has another name.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use shared::api::{FieldProblem, MediaFile, Page, Role};
use shared::id::{MediaId, ProjectId};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Reply;
use crate::http::auth::Caller;
use crate::http::body::{self, Empty};
use crate::http::etag;
use crate::http::idempotency::once;
use crate::http::page::{ListParams, Query, in_query};
use crate::http::problem::ApiError;
use crate::http::state::Service;
use crate::objects::MEDIA_OCTETS_MAX;

/// How WAV files are called.
const WAV: [&str; 4] = ["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"];

/// The upload's parameter, for the OpenAPI document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
struct UploadParams {
    /// Unique in the project; ends with `.wav`.
    #[param(min_length = 5, max_length = 128)]
    name: String,
}

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_media)
        .service(upload_media)
        .service(get_media)
        .service(delete_media);
}

/// List media files
#[utoipa::path(
    tag = "media",
    extensions(("x-role" = json!("viewer"))),
    params(ListParams),
    responses((status = 200, description = "A page of media files.", body = Page<MediaFile>)),
)]
#[get("/projects/{project}/media")]
async fn list_media(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<ProjectId>,
) -> Reply {
    let project = path.into_inner();
    caller.in_project(project, Role::Viewer)?;
    let (_, query) = Query::objects(&request, &[])?;
    service
        .objects()
        .project(caller.organization(), project)
        .await?;
    let page = service
        .objects()
        .media_files(caller.organization(), project, &query)
        .await
        .map_err(in_query)?;
    Ok(HttpResponse::Ok().json(page))
}

/// Upload a media file
#[utoipa::path(
    tag = "media",
    extensions(("x-role" = json!("editor"))),
    params(UploadParams),
    request_body(content = Vec<u8>, content_type = "audio/wav", description = "The file."),
    responses((status = 201, description = "What is known of it.", body = MediaFile)),
)]
#[post("/projects/{project}/media")]
async fn upload_media(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<ProjectId>,
    payload: Payload,
) -> Reply {
    let project = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    let query = Query::of(&request, &["name"])?;
    let name = query.text("name").ok_or_else(|| {
        ApiError::bad_request("bad_query", "the parameter `name` is needed").with_errors(vec![
            FieldProblem {
                field: "name".to_owned(),
                code: "missing".to_owned(),
                detail: "the file's name in the project: announcement.wav".to_owned(),
            },
        ])
    })?;
    let objects = service.objects();
    objects.project(caller.organization(), project).await?;
    body::content_type(&request, &WAV)?;
    let _place = service.large_body()?;
    let limits = service.config();
    let most = limits.media_max.min(MEDIA_OCTETS_MAX);
    let octets = body::read(&request, payload, most, limits.upload_timeout).await?;
    let file = octets.clone();
    once(&service, &caller, &request, &octets, async |planned| {
        let id = planned.map(|planned| MediaId(planned.0));
        let made = objects
            .create_media(caller.organization(), project, name.to_owned(), file, id)
            .await?;
        let at = format!("/api/v1/projects/{project}/media/{}", made.id);
        Ok(etag::created(&at, made.revision, &made))
    })
    .await
}

/// Read what is known of a media file
#[utoipa::path(
    tag = "media",
    extensions(("x-role" = json!("viewer"))),
    responses((status = 200, description = "What is known of it.", body = MediaFile)),
)]
#[get("/projects/{project}/media/{media}")]
async fn get_media(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, MediaId)>,
) -> Reply {
    let (project, media) = path.into_inner();
    caller.in_project(project, Role::Viewer)?;
    Query::of(&request, &[])?;
    let shown = service
        .objects()
        .media_file(caller.organization(), project, media)
        .await?;
    Ok(etag::object(&request, shown.revision, &shown))
}

/// Delete a media file
#[utoipa::path(
    tag = "media",
    extensions(("x-role" = json!("editor"))),
    responses((status = 204, description = "It is gone.")),
)]
#[delete("/projects/{project}/media/{media}")]
async fn delete_media(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, MediaId)>,
    _body: Empty,
) -> Reply {
    let (project, media) = path.into_inner();
    caller.in_project(project, Role::Editor)?;
    Query::of(&request, &[])?;
    let expected = etag::if_match(&request)?;
    service
        .objects()
        .delete_media(caller.organization(), project, media, expected)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
