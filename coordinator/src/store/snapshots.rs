//! sled's snapshots: a page table at the last opening, without which sled 0.34.7 cannot be trusted to
//! read its log. Where the oldest segments were freed, it takes the log for an empty one and wipes it.
//!
//! A cut one keeps sled from opening at all (spacejam/sled#1527, #1533). So a copy of the newest is
//! kept beside it, and before each opening the right one is put in place.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What was found before an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The right one is in place, or there never was one.
    Right,
    /// The right one was put back from its copy.
    PutBack,
    /// There is none that can be read: what sled makes of the log must be checked.
    Missing,
}

/// A snapshot's file and the place in the log it was made at.
#[derive(Debug)]
struct Snapshot {
    path: PathBuf,
    lsn: u64,
    whole: bool,
}

/// Puts the right snapshot in place and removes the others; cut ones only where there is a right one.
///
/// `segment`: octets of a segment of the log.
pub(super) fn prepare(database: &Path, segment: u64) -> std::io::Result<Found> {
    // Cut off while it was written; the one before it is still there.
    for path in files(database)? {
        if name(&path).ends_with(GENERATING) {
            fs::remove_file(path)?;
        }
    }
    let mut there = list(database, PREFIX)?;
    let kept = list(database, KEPT)?.into_iter().rfind(|copy| copy.whole);
    let newest = there
        .iter()
        .filter(|snapshot| snapshot.whole)
        .map(|s| s.lsn)
        .max();
    let mut found = Found::Right;
    let right = match (newest, kept) {
        (newest, Some(kept)) if newest.is_none_or(|newest| newest < kept.lsn) => {
            let target = database.join(format!("{PREFIX}{:016X}", kept.lsn));
            copy(&kept.path, &target, database)?;
            found = Found::PutBack;
            kept.lsn
        }
        (Some(newest), _) => newest,
        (None, _) if there.is_empty() && reads_alone(&database.join("db"), segment)? => {
            return Ok(Found::Right);
        }
        (None, _) => return Ok(Found::Missing),
    };
    there.retain(|snapshot| snapshot.lsn != right);
    for other in there {
        fs::remove_file(other.path)?;
    }
    Ok(found)
}

/// Keeps a copy of the snapshot that sled wrote when it opened.
pub(super) fn keep(database: &Path) -> std::io::Result<()> {
    let newest = list(database, PREFIX)?.into_iter().rfind(|s| s.whole);
    let Some(newest) = newest else {
        return Ok(());
    };
    let target = database.join(format!("{KEPT}{:016X}", newest.lsn));
    let before = list(database, KEPT)?;
    if !before
        .iter()
        .any(|copy| copy.whole && copy.lsn == newest.lsn)
    {
        copy(&newest.path, &target, database)?;
    }
    for old in before.into_iter().filter(|copy| copy.lsn != newest.lsn) {
        fs::remove_file(old.path)?;
    }
    Ok(())
}

/// True where sled, without a snapshot, takes the log for what it is: the segment in which its headers
/// say that all is stable is still there. It may have been freed since; then sled finds "a tear" at
/// its very beginning.
fn reads_alone(log: &Path, segment: u64) -> std::io::Result<bool> {
    let file = match fs::File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let (mut segments, mut stable) = (BTreeSet::new(), 0);
    for offset in (0..length).step_by(usize::try_from(segment).unwrap_or(usize::MAX)) {
        let mut head = [0; HEAD];
        if file.read_exact_at(&mut head, offset).is_err() {
            break;
        }
        if let Some((lsn, upto)) = read_head(&head) {
            segments.insert(lsn);
            stable = stable.max(upto);
        }
    }
    let floor = stable / segment.max(1) * segment;
    Ok(segments.is_empty() || segments.contains(&floor))
}

/// A segment's place in the log and what was stable when it began; none where it is not in use.
fn read_head(head: &[u8; HEAD]) -> Option<(u64, u64)> {
    let (sum, rest) = head.split_first_chunk::<4>()?;
    if crc32fast::hash(rest) ^ u32::MAX != u32::from_le_bytes(*sum) {
        return None;
    }
    let number = |octets: Option<&[u8; 8]>| {
        let number = i64::from_le_bytes(*octets?) ^ i64::MAX;
        Some(u64::try_from(number).unwrap_or(0))
    };
    Some((number(rest.first_chunk())?, number(rest.last_chunk())?))
}

/// Removes all snapshots, to try what sled makes of the log alone. Only in a copy.
pub(super) fn remove_all(database: &Path) -> std::io::Result<()> {
    for snapshot in list(database, PREFIX)? {
        fs::remove_file(snapshot.path)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, database: &Path) -> std::io::Result<()> {
    let half = database.join("kept.half");
    let mut file = fs::File::create(&half)?;
    file.write_all(&fs::read(from)?)?;
    file.sync_all()?;
    fs::rename(half, to)
}

/// The snapshots, oldest first.
fn list(database: &Path, prefix: &str) -> std::io::Result<Vec<Snapshot>> {
    let mut list = Vec::new();
    for path in files(database)? {
        let Some(place) = name(&path).strip_prefix(prefix).map(str::to_owned) else {
            continue;
        };
        let lsn = u64::from_str_radix(&place, 16).ok();
        list.push(Snapshot {
            // What sled does not name so, it did not write whole.
            whole: lsn.is_some() && is_whole(&fs::read(&path)?),
            lsn: lsn.unwrap_or(0),
            path,
        });
    }
    list.sort_by_key(|snapshot| snapshot.lsn);
    Ok(list)
}

fn files(database: &Path) -> std::io::Result<Vec<PathBuf>> {
    fs::read_dir(database)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

/// A page table, its length before compression (8 octets), its CRC-32.
fn is_whole(octets: &[u8]) -> bool {
    let Some((rest, sum)) = octets.split_last_chunk::<4>() else {
        return false;
    };
    let Some((table, _)) = rest.split_last_chunk::<8>() else {
        return false;
    };
    !table.is_empty() && crc32fast::hash(table) == u32::from_le_bytes(*sum)
}

/// Octets of a segment's head: its CRC-32, its place, what was stable.
const HEAD: usize = 20;
const PREFIX: &str = "snap.";
const KEPT: &str = "kept.snap.";
const GENERATING: &str = ".generating";
