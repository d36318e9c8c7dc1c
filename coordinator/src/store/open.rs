//! Opening a sled database with its known troubles in mind.
//!
//! A cut or stale snapshot makes sled 0.34.7 refuse to open for ever although the log is whole
//! (spacejam/sled#1527, #1533). Snapshots only spare it reading the log, which is as quick at our
//! sizes, so they are always thrown away before opening. Some damage makes it panic.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::{StoreError, space};

/// What a database is for: decides its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The control records: small values, opened at each start.
    Control,
    /// A run: large values, written once.
    Run,
}

/// An open database, and what had to be repaired.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) db: sled::Db,
    /// For people; none where nothing was.
    pub(super) repaired: Option<String>,
}

/// Opens or makes the database at `path`.
///
/// Before anything but a snapshot is changed, the directory is copied aside.
/// Errors: [`StoreError::Locked`] where another process has it; [`StoreError::Full`] where there is
/// no room; [`StoreError::Damaged`] where no repair helps; else what to check.
pub(super) fn open(path: &Path, kind: Kind) -> Result<Opened, StoreError> {
    fs::create_dir_all(path).map_err(|source| directory(path, source))?;
    remove_snapshots(path).map_err(|source| directory(path, source))?;
    let segment = Settings::read(&path.join(SETTINGS)).and_then(|settings| settings.segment);
    let first = match attempt(path, kind, segment) {
        Ok(db) => return Ok(Opened { db, repaired: None }),
        Err(error) => error,
    };
    if !matches!(first, StoreError::Damaged { .. }) {
        return Err(first);
    }
    repair(path, kind, first)
}

/// Tries what can be repaired: the file of sled's settings, which it does not write at once.
fn repair(path: &Path, kind: Kind, first: StoreError) -> Result<Opened, StoreError> {
    let settings = path.join(SETTINGS);
    let Some(Settings {
        segment,
        whole: false,
    }) = Settings::read(&settings)
    else {
        return Err(first);
    };
    let copy = copy_aside(path)?;
    fs::remove_file(&settings).map_err(|source| directory(path, source))?;
    remove_snapshots(path).map_err(|source| directory(path, source))?;
    let db = match attempt(path, kind, segment) {
        Ok(db) => db,
        Err(StoreError::Damaged { .. }) => return Err(first),
        Err(other) => return Err(other),
    };
    let repaired = format!(
        "The settings of the database {} were cut off and were written anew; a copy as it was before is {}.",
        path.display(),
        copy.display()
    );
    tracing::warn!("{repaired}");
    Ok(Opened {
        db,
        repaired: Some(repaired),
    })
}

/// `segment`: as the database was made with; sled refuses another one.
fn attempt(path: &Path, kind: Kind, segment: Option<usize>) -> Result<sled::Db, StoreError> {
    let (default, cache) = match kind {
        Kind::Control => (CONTROL_SEGMENT, CONTROL_CACHE),
        Kind::Run => (RUN_SEGMENT, RUN_CACHE),
    };
    let config = sled::Config::new()
        .path(path)
        .mode(sled::Mode::LowSpace)
        .segment_size(segment.unwrap_or(default))
        .cache_capacity(cache)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    // sled panics on some damaged files; nothing of ours is inside, so nothing is left half-done.
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(error))) if is_lock(&error) => Err(StoreError::Locked {
            path: path.to_owned(),
        }),
        Ok(Err(source)) if space::sled_is_full(&source) => Err(StoreError::Full),
        Ok(Err(sled::Error::Io(error))) if !is_damage(&error) => Err(directory(path, error)),
        Ok(Err(source)) => Err(StoreError::Damaged {
            path: path.to_owned(),
            why: source.to_string(),
        }),
        Err(_) => Err(StoreError::Damaged {
            path: path.to_owned(),
            why: "reading it broke down".to_owned(),
        }),
    }
}

/// sled wraps the refused lock into an error of kind `Other` with its own words.
fn is_lock(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::WouldBlock
        || error.to_string().contains("could not acquire lock")
}

/// Errors of reading that the files' content brings about, not the system.
fn is_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | Other | UnexpectedEof)
}

/// What is readable of sled's settings.
struct Settings {
    segment: Option<usize>,
    /// Nothing is cut off that sled needs.
    whole: bool,
}

impl Settings {
    /// None where there are none.
    fn read(path: &Path) -> Option<Self> {
        let octets = fs::read(path).ok()?;
        let text = String::from_utf8_lossy(&octets);
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let segment = lines
            .filter_map(|line| line.strip_prefix("segment_size: "))
            .find_map(|size| size.trim().parse::<usize>().ok())
            .filter(|size| size.is_power_of_two());
        Some(Self {
            segment,
            whole: segment.is_some()
                && text
                    .find(SETTINGS_END)
                    .is_some_and(|end| octets.len() >= end + SETTINGS_END.len() + SETTINGS_SUM),
        })
    }
}

/// Removes `snap.*` files, also half-written ones.
fn remove_snapshots(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Copies a database's directory beside it; an earlier copy is kept, and none is made again.
fn copy_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".before-repair");
    let copy = path.with_file_name(name);
    if copy.exists() {
        return Ok(copy);
    }
    let half = copy.with_extension("copying");
    let copied = copy_directory(path, &half).and_then(|()| fs::rename(&half, &copy));
    match copied {
        Ok(()) => Ok(copy),
        Err(source) if space::is_full(&source) => {
            // Half a copy only takes room.
            let _ = fs::remove_dir_all(&half);
            Err(StoreError::Full)
        }
        Err(source) => Err(directory(&half, source)),
    }
}

fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn directory(path: &Path, source: std::io::Error) -> StoreError {
    if space::is_full(&source) {
        return StoreError::Full;
    }
    StoreError::Directory {
        path: path.to_owned(),
        source,
    }
}

/// sled's file of settings.
const SETTINGS: &str = "conf";
/// Its last line.
const SETTINGS_END: &str = "\nversion: 0.34\n";
/// Octets of the checksum behind it.
const SETTINGS_SUM: usize = 4;
/// Octets of a segment of the log: opening pads one, so small ones spare small disks.
const CONTROL_SEGMENT: usize = 128 << 10;
/// A leaf of sixteen of a run's parts fits into a quarter of it.
const RUN_SEGMENT: usize = 256 << 10;
/// Octets of page cache for the control records.
const CONTROL_CACHE: u64 = 32 << 20;
/// Octets of page cache of a run: runs are written once and read in order.
const RUN_CACHE: u64 = 16 << 20;
/// At most a second of frames is lost where the process is killed.
const FLUSH_EVERY_MS: u64 = 1_000;
