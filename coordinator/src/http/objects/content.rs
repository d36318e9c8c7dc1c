//! `/…/media/{media}/content`: the file itself, read piece by piece.

use std::io::Read;
use std::path::PathBuf;

use actix_web::body::SizedStream;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use actix_web::web::{self, Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use futures_util::stream;
use shared::api::Role;
use shared::id::{MediaId, ProjectId};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Reply;
use crate::http::auth::Caller;
use crate::http::page::Query;
use crate::http::problem::ApiError;
use crate::http::state::Service;

/// Octets that are read at once.
const PIECE: usize = 64 << 10;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(media_content);
}

/// Download a media file
#[utoipa::path(
    tag = "media",
    extensions(("x-role" = json!("viewer"))),
    responses((
        status = 200,
        description = "The file.",
        body = Vec<u8>,
        content_type = "audio/wav",
    )),
)]
#[get("/projects/{project}/media/{media}/content")]
async fn media_content(
    service: Data<Service>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(ProjectId, MediaId)>,
) -> Reply {
    let (project, media) = path.into_inner();
    caller.in_project(project, Role::Viewer)?;
    Query::of(&request, &[])?;
    let objects = service.objects();
    let organization = caller.organization();
    let shown = objects.media_file(organization, project, media).await?;
    let tag = format!("\"{}\"", shown.sha256);
    let theirs = request.headers().get(IF_NONE_MATCH);
    if theirs.is_some_and(|theirs| theirs.as_bytes() == tag.as_bytes()) {
        return Ok(HttpResponse::NotModified()
            .insert_header((ETAG, tag))
            .finish());
    }
    let path = objects.media_content(organization, project, media).await?;
    let (file, octets) = web::block(move || open(path))
        .await
        .map_err(|error| ApiError::internal(&error))?
        .map_err(|error| ApiError::internal(&error))?;
    let pieces = stream::try_unfold((file, octets), async |(mut file, left)| {
        if left == 0 {
            return Ok::<_, actix_web::Error>(None);
        }
        let read = web::block(move || {
            let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
            file.read_exact(&mut piece).map(|()| (piece, file))
        });
        let (piece, file) = read.await??;
        let left = left.saturating_sub(piece.len() as u64);
        Ok(Some((Bytes::from(piece), (file, left))))
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "audio/wav"))
        .insert_header((CONTENT_DISPOSITION, "attachment"))
        .insert_header((ETAG, tag))
        .body(SizedStream::new(octets, Box::pin(pieces))))
}

fn open(path: PathBuf) -> std::io::Result<(std::fs::File, u64)> {
    let file = std::fs::File::open(path)?;
    let octets = file.metadata()?.len();
    Ok((file, octets))
}
