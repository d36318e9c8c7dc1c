//! Opening a sled database with its known troubles in mind.
//!
//! The right snapshot is put in place first (`snapshots`). Nothing is repaired but on a copy, or with
//! a copy kept. Some damage makes sled panic.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::snapshots::{self, Found};
use super::{StoreError, space};

/// What a database is for: decides its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The control records: small values, opened at each start.
    Control,
    /// A run: large values, written once.
    Run,
}

impl Kind {
    /// Octets of a segment of a new one.
    fn segment(self) -> usize {
        match self {
            Self::Control => CONTROL_SEGMENT,
            Self::Run => RUN_SEGMENT,
        }
    }
}

/// An open database, and what had to be repaired.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) db: sled::Db,
    /// For people; none where nothing was.
    pub(super) repaired: Option<String>,
}

/// Whether what was opened is what was written, as far as that can be told.
pub(super) type Sound<'a> = &'a dyn Fn(&sled::Db) -> bool;

/// Opens or makes the database at `path`. `sound` judges a repair.
///
/// Errors: [`StoreError::Locked`] where another process has it; [`StoreError::Full`] where there is
/// no room; [`StoreError::Damaged`] where no repair helps; else what to check.
pub(super) fn open(path: &Path, kind: Kind, sound: Sound<'_>) -> Result<Opened, StoreError> {
    fs::create_dir_all(path).map_err(|source| directory(path, source))?;
    let segment = Settings::read(&path.join(SETTINGS)).and_then(|settings| settings.segment);
    let segment = segment.unwrap_or(kind.segment()) as u64;
    let found = snapshots::prepare(path, segment).map_err(|source| directory(path, source))?;
    let opened = match found {
        Found::Missing => without_snapshot(path, kind, sound)?,
        Found::Right | Found::PutBack => {
            let opened = in_place(path, kind)?;
            Opened {
                repaired: opened.repaired.or_else(|| {
                    (found == Found::PutBack).then(|| {
                        let path = path.display();
                        format!("A snapshot of the database {path} was damaged or missing, and was put back.")
                    })
                }),
                ..opened
            }
        }
    };
    if let Some(repaired) = &opened.repaired {
        tracing::warn!("{repaired}");
    }
    if let Err(error) = snapshots::keep(path) {
        // Only a snapshot that is damaged before the next start would be missed.
        tracing::debug!(path = %path.display(), %error, "no copy of the snapshot was kept");
    }
    Ok(opened)
}

fn in_place(path: &Path, kind: Kind) -> Result<Opened, StoreError> {
    let segment = Settings::read(&path.join(SETTINGS)).and_then(|settings| settings.segment);
    match attempt(path, kind, segment) {
        Ok(db) => Ok(Opened { db, repaired: None }),
        Err(error @ StoreError::Damaged { .. }) => repair(path, kind, error),
        Err(error) => Err(error),
    }
}

/// Has sled read the log alone, in a copy, which takes the place of the database if it is sound.
fn without_snapshot(path: &Path, kind: Kind, sound: Sound<'_>) -> Result<Opened, StoreError> {
    let why = "its snapshots are cut off, and its log alone is not complete";
    let damaged = || StoreError::Damaged {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let (copy, aside) = (beside(path, "repairing"), beside(path, "before-repair"));
    let failed = |source| directory(path, source);
    remove_directory(&copy).map_err(failed)?;
    let prepared = copy_directory(path, &copy).and_then(|()| snapshots::remove_all(&copy));
    let judged = prepared.map_err(failed).and_then(|()| {
        let opened = in_place(&copy, kind)?;
        let judged = catch_unwind(AssertUnwindSafe(|| sound(&opened.db)));
        Ok(judged.unwrap_or(false))
    });
    if !matches!(judged, Ok(true)) {
        // The database itself is as it was.
        remove_directory(&copy).map_err(failed)?;
        return Err(match judged {
            Err(StoreError::Full) => StoreError::Full,
            _ => damaged(),
        });
    }
    remove_directory(&aside).map_err(failed)?;
    fs::rename(path, &aside).map_err(failed)?;
    fs::rename(&copy, path).map_err(failed)?;
    let repaired = format!(
        "The snapshots of the database {} were cut off; its log was read instead. It is as it was before in {}.",
        path.display(),
        aside.display()
    );
    Ok(Opened {
        repaired: Some(repaired),
        ..unlocked(path, kind)?
    })
}

/// Opens what this process had open a moment ago: sled lets go of its lock a little later.
fn unlocked(path: &Path, kind: Kind) -> Result<Opened, StoreError> {
    let mut tries = 0;
    loop {
        match in_place(path, kind) {
            Err(StoreError::Locked { .. }) if tries < UNLOCK_TRIES => {
                tries += 1;
                std::thread::park_timeout(UNLOCK_WAIT);
            }
            other => return other,
        }
    }
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
    Ok(Opened {
        db,
        repaired: Some(repaired),
    })
}

/// `segment`: as the database was made with; sled refuses another one.
fn attempt(path: &Path, kind: Kind, segment: Option<usize>) -> Result<sled::Db, StoreError> {
    let cache = match kind {
        Kind::Control => CONTROL_CACHE,
        Kind::Run => RUN_CACHE,
    };
    let config = sled::Config::new()
        .path(path)
        .mode(sled::Mode::LowSpace)
        .segment_size(segment.unwrap_or(kind.segment()))
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

fn remove_directory(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A name beside a database's: `meta.<what>`.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}

/// Copies a database's directory beside it; an earlier copy is kept, and none is made again.
fn copy_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let copy = beside(path, "before-repair");
    if copy.exists() {
        return Ok(copy);
    }
    let half = beside(path, "copying");
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

/// Tries while sled still holds the lock of what was just closed: half a second.
pub(super) const UNLOCK_TRIES: u32 = 50;
/// Between them.
pub(super) const UNLOCK_WAIT: std::time::Duration = std::time::Duration::from_millis(10);
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
