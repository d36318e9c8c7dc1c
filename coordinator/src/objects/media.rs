//! Media files: a record in the store, the content as a file of its own,
//! `<data>/media/<project>/<id>.wav`.
//!
//! The file is whole and on disk before its record is, and the record is gone before the file is; a
//! file without a record is removed at the next start.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use shared::api::{MediaFile, Page, Project};
use shared::definition::field;
use shared::id::{MediaId, OrganizationId, ProjectId};

use super::check::Check;
use super::list::Place;
use super::project::PROJECTS_MAX;
use super::repository::{Answer, Owner, Record, unchanged};
use super::{ListQuery, ObjectError, Objects, now};
use crate::store::Commit;
use crate::store::keys::{self, NameKind};

impl Record for MediaFile {
    const KIND: NameKind = NameKind::Media;

    fn id(&self) -> u64 {
        self.id.0
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn owner(organization: OrganizationId, project: ProjectId) -> Owner {
    Owner {
        organization,
        parent: project.0,
    }
}

impl Objects {
    /// Stores a WAV file with the id `id` (none: a new one); where it is there already, answers it.
    ///
    /// Bounds: `octets` at most [`MEDIA_OCTETS_MAX`].
    /// Errors: as [`Self::create_registrar`].
    pub(crate) async fn create_media(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        name: String,
        octets: Bytes,
        id: Option<MediaId>,
    ) -> Answer<MediaFile> {
        let planned = id.is_some();
        let id = MediaId(self.id(id.map(|id| id.0))?);
        let key = keys::media(organization, project, id);
        if planned && let Some(found) = self.find::<MediaFile>(&key)? {
            return Ok(found.record);
        }
        self.read::<Project>(&keys::project(organization, project))?;
        let content = octets.clone();
        let record = self.blocking(move || described(id, project, name, &content));
        let record = record.await?;
        let owner = owner(organization, project);
        // Before the file is written: a name that is taken costs no disk.
        self.room(NameKind::Media, owner, "media files", MEDIA_MAX)?;
        let path = self.media_path(project, id);
        let target = path.clone();
        self.blocking(move || stored(&target, &octets)).await?;
        let made = self
            .attempt(async || {
                let commit = Commit::new().expect_present(keys::project(organization, project));
                self.read::<Project>(&keys::project(organization, project))?;
                self.insert(commit, key.clone(), owner, &record).await
            })
            .await;
        if let Err(error) = made {
            self.blocking(move || removed(&path)).await?;
            return Err(error);
        }
        Ok(record)
    }

    /// A media file.
    pub(crate) async fn media_file(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        media: MediaId,
    ) -> Answer<MediaFile> {
        let key = keys::media(organization, project, media);
        Ok(self.read(&key)?.record)
    }

    /// A project's media files.
    pub(crate) async fn media_files(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        query: &ListQuery,
    ) -> Answer<Page<MediaFile>> {
        let files = self.every_media_file(organization, project)?;
        query.page(files, |own: &MediaFile| Place::new(own.id.0, &own.name))
    }

    pub(super) fn every_media_file(
        &self,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Answer<Vec<MediaFile>> {
        self.all(&keys::all_media(organization, project), MEDIA_MAX)
    }

    /// Where a media file's content is.
    pub(crate) async fn media_content(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        media: MediaId,
    ) -> Answer<PathBuf> {
        self.media_file(organization, project, media).await?;
        Ok(self.media_path(project, media))
    }

    /// Deletes a media file. A run that plays it has it in memory.
    pub(crate) async fn delete_media(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        media: MediaId,
        expected: Option<u64>,
    ) -> Answer<()> {
        self.attempt(async || {
            let key = keys::media(organization, project, media);
            let old = self.read::<MediaFile>(&key)?;
            unchanged(expected, old.record.revision)?;
            let owner = owner(organization, project);
            self.remove(Commit::new(), key, owner, old).await
        })
        .await?;
        let path = self.media_path(project, media);
        self.blocking(move || removed(&path)).await
    }

    pub(super) fn media_path(&self, project: ProjectId, media: MediaId) -> PathBuf {
        let folder = self.inner.media.join(project.to_string());
        folder.join(format!("{media}.wav"))
    }

    pub(super) async fn remove_media_folder(&self, project: ProjectId) -> Answer<()> {
        let folder = self.inner.media.join(project.to_string());
        self.blocking(move || match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&folder, error)),
            _ => Ok(()),
        })
        .await
    }

    /// Removes files that have no record: a crash came between the two.
    pub(super) fn sweep_media(&self) -> Answer<()> {
        let projects = self.all::<Project>(&keys::all_projects(), usize::MAX)?;
        let mut known: HashSet<PathBuf> = HashSet::with_capacity(PROJECTS_MAX);
        for project in &projects {
            for file in self.every_media_file(project.organization, project.id)? {
                known.insert(self.media_path(project.id, file.id));
            }
        }
        let root = self.inner.media.as_path();
        for folder in entries(root)? {
            for file in entries(&folder)? {
                if !known.contains(&file) {
                    tracing::info!(file = %file.display(), "a media file without a record is removed");
                    removed(&file)?;
                }
            }
        }
        Ok(())
    }
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Answer<Vec<PathBuf>> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder, error)),
    };
    let paths = read.map(|entry| entry.map(|entry| entry.path()));
    let paths: io::Result<Vec<PathBuf>> = paths.collect();
    paths.map_err(|error| failed(folder, error))
}

fn described(id: MediaId, project: ProjectId, name: String, octets: &[u8]) -> Answer<MediaFile> {
    let mut check = Check::default();
    check.name("name", &name);
    if !name.to_ascii_lowercase().ends_with(".wav") {
        check.add("name", "invalid", "does not end with `.wav`");
    }
    if name.contains(['/', '\\']) {
        check.add("name", "invalid", "holds a slash; write the bare file name");
    }
    if octets.len() > MEDIA_OCTETS_MAX {
        let detail = format!(
            "the file has {} octets; at most {MEDIA_OCTETS_MAX} are kept",
            octets.len()
        );
        check.add("body", "too_long", detail);
    }
    let format = match field::wav_format(octets) {
        Ok(format) => format,
        Err(fault) => {
            check.add("body", "invalid", format!("the file {fault}"));
            field::WavFormat::default()
        }
    };
    check.done()?;
    let sha256 = Sha256::digest(octets);
    Ok(MediaFile {
        id,
        project,
        name,
        octets: octets.len() as u64,
        sample_rate_hz: format.sample_rate_hz,
        channels: format.channels,
        duration_ms: format.duration_ms,
        sha256: sha256.iter().map(|octet| format!("{octet:02x}")).collect(),
        revision: 1,
        created_unix_ms: now(),
    })
}

/// Writes the file beside its place, to the disk, and renames it.
fn stored(path: &Path, octets: &[u8]) -> Answer<()> {
    let draft = path.with_extension("new");
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create(&draft)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        // What was written of it takes room that is missing elsewhere.
        if let Err(left) = removed(&draft) {
            tracing::warn!(error = %left, "a half-written media file stays until the next start");
        }
        failed(path, error)
    })
}

fn removed(path: &Path) -> Answer<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, error: io::Error) -> ObjectError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ObjectError::StorageFull,
        _ => ObjectError::Storage(format!("{}: {error}", path.display())),
    }
}

/// Octets of a media file, at most: six minutes of CD quality.
pub(crate) const MEDIA_OCTETS_MAX: usize = 32 << 20;
/// Media files of a project.
const MEDIA_MAX: usize = 1_000;
