//! Room on the data folder's file system: how much there is, and the ballast that is given up so
//! that ends of runs can still be stored where there is none.
//!
//! Two files hold space back: `ballast` is freed when room runs out while the coordinator runs,
//! `ballast.start` when a database cannot be opened for want of room. Both are made again when room
//! is back. Decides nothing about runs: it says what may still be written.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::health::Gauges;

/// What may be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Octets that are free.
    pub(super) free: u64,
    /// Seconds, reports and traces of runs, and new run directories.
    pub(super) records: bool,
    /// Commits that are not urgent.
    pub(super) commits: bool,
}

impl Room {
    /// Whether a commit that is not urgent may be tried. The log and its cleaning take several
    /// times a record's octets.
    pub(super) fn takes(self, octets: u64) -> bool {
        let needed = octets
            .saturating_mul(LOG_FACTOR)
            .saturating_add(COMMITS_FLOOR);
        self.commits && (octets <= SMALL || self.free >= needed)
    }
}

/// Asks for the free octets; none where the system does not say.
pub(super) type Probe = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// The data folder's room.
pub(super) struct Space {
    ballast: PathBuf,
    for_start: PathBuf,
    probe: Probe,
    full: bool,
    gauges: Arc<Gauges>,
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space")
            .field("ballast", &self.ballast)
            .field("full", &self.full)
            .finish_non_exhaustive()
    }
}

impl Space {
    /// Watches the file system of a folder that exists.
    pub(super) fn new(directory: &Path, gauges: Arc<Gauges>, probe: Option<Probe>) -> Self {
        let folder = directory.to_owned();
        Self {
            ballast: directory.join(BALLAST_NAME),
            for_start: directory.join(START_NAME),
            probe: probe.unwrap_or_else(|| Arc::new(move || free_octets(&folder))),
            full: false,
            gauges,
        }
    }

    /// Looks how much room there is, frees the ballast where it has run out, and makes it again
    /// where it is back.
    pub(super) fn look(&mut self) -> Room {
        // A system that does not say how much is free cannot be watched; errors still tell.
        let mut free = (self.probe)().unwrap_or(u64::MAX);
        if !self.full && free < COMMITS_FLOOR {
            self.run_out(free);
            free = (self.probe)().unwrap_or(u64::MAX);
        } else if self.full && free >= RESUME {
            self.full = false;
            tracing::info!(
                free,
                "there is room on the disk again: everything is stored as before"
            );
        }
        if !self.full && free >= RESUME {
            self.make();
        }
        self.gauges.free.store(free, Ordering::Relaxed);
        self.gauges.full.store(self.full, Ordering::Relaxed);
        Room {
            free,
            records: !self.full && free >= RECORDS_FLOOR,
            commits: !self.full,
        }
    }

    /// A write found the disk full: as if it had been seen before.
    pub(super) fn run_out(&mut self, free: u64) {
        if !self.full {
            tracing::error!(
                free,
                "the disk under the data folder is full: only ends of runs are stored until there is room"
            );
        }
        self.full = true;
        self.gauges.full.store(true, Ordering::Relaxed);
        remove(&self.ballast);
    }

    /// Frees what is held back for opening; true where there was something.
    pub(super) fn free_for_start(&mut self) -> bool {
        self.full = true;
        remove(&self.ballast) | remove(&self.for_start)
    }

    /// Makes the ballast where it is missing. Failing is no error: it is tried again at each look.
    fn make(&self) {
        for (path, octets) in [(&self.ballast, BALLAST), (&self.for_start, START)] {
            let there = fs::metadata(path).is_ok_and(|file| file.len() == octets);
            if !there && let Err(error) = allocate(path, octets) {
                tracing::warn!(path = %path.display(), %error, "the ballast cannot be made");
                remove(path);
            }
        }
    }
}

fn remove(path: &Path) -> bool {
    fs::remove_file(path).is_ok()
}

/// Takes the blocks now, so that freeing them gives room; a sparse file would hold nothing back.
fn allocate(path: &Path, octets: u64) -> std::io::Result<()> {
    let file = File::create(path)?;
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, octets) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => fill(&file, octets),
        Err(error) => Err(error.into()),
    }
}

/// Writes octets that a file system which compresses cannot make small.
fn fill(mut file: &File, octets: u64) -> std::io::Result<()> {
    use std::io::Write;
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut block = Vec::with_capacity(FILL_BLOCK);
    let mut left = octets;
    while left > 0 {
        block.clear();
        while block.len() < FILL_BLOCK {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        let length = usize::try_from(left).unwrap_or(FILL_BLOCK).min(FILL_BLOCK);
        file.write_all(block.get(..length).unwrap_or_default())?;
        left -= length as u64;
    }
    file.sync_all()
}

/// Octets that an unprivileged process may still write.
fn free_octets(directory: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// True where an error says that there is no room.
pub(super) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// As [`is_full`], for what sled tells.
pub(super) fn sled_is_full(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if is_full(error))
}

const BALLAST_NAME: &str = "ballast";
const START_NAME: &str = "ballast.start";
/// Octets held back for ends and settlements: some hundred of them, with the log's padding.
const BALLAST: u64 = 2 << 20;
/// Octets held back for opening: two segments of the log and a snapshot.
const START: u64 = 512 << 10;
/// Free octets below which records of runs are refused.
const RECORDS_FLOOR: u64 = 3 << 19;
/// Free octets below which the ballast is freed and only ends are stored.
const COMMITS_FLOOR: u64 = 1 << 20;
/// Free octets at which everything is stored again: both ballasts fit, and stay above the floors.
const RESUME: u64 = BALLAST + START + RECORDS_FLOOR;
/// Octets of the log that an octet of a record may take.
const LOG_FACTOR: u64 = 4;
/// Octets that the floors leave room for anyway.
const SMALL: u64 = 64 << 10;
const FILL_BLOCK: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::store::tests::Directory;

    #[test]
    fn the_ballast_goes_with_the_room_and_comes_back_with_it() {
        let directory = Directory::new();
        fs::create_dir_all(&directory.0).unwrap();
        let ballast = directory.0.join(BALLAST_NAME);
        let free = Arc::new(AtomicU64::new(u64::MAX));
        let seen = Arc::clone(&free);
        let probe: Probe = Arc::new(move || Some(seen.load(Ordering::Relaxed)));
        let gauges = Arc::new(Gauges::default());
        let mut space = Space::new(&directory.0, Arc::clone(&gauges), Some(probe));
        // What is free; then: records, commits, the ballast is there.
        let steps = [
            (u64::MAX, true, true, true),
            (RECORDS_FLOOR, true, true, true),
            (RECORDS_FLOOR - 1, false, true, true),
            (COMMITS_FLOOR, false, true, true),
            (COMMITS_FLOOR - 1, false, false, false),
            (0, false, false, false),
            (RESUME - 1, false, false, false),
            (RESUME, true, true, true),
        ];
        for (octets, records, commits, there) in steps {
            free.store(octets, Ordering::Relaxed);
            let room = space.look();
            assert_eq!(
                (room.records, room.commits, ballast.exists()),
                (records, commits, there),
                "{octets} free"
            );
            assert_eq!(gauges.health().full, !commits);
            assert_eq!(gauges.health().free_octets, octets);
        }
        assert_eq!(fs::metadata(&ballast).unwrap().len(), BALLAST);
        assert!(space.free_for_start());
        assert!(!ballast.exists() && !directory.0.join(START_NAME).exists());
        assert!(!space.free_for_start());
    }

    #[test]
    fn both_ways_of_making_it_take_blocks() {
        use std::os::unix::fs::MetadataExt;
        let directory = Directory::new();
        fs::create_dir_all(&directory.0).unwrap();
        for (name, filled) in [("a", false), ("b", true)] {
            let path = directory.0.join(name);
            if filled {
                fill(&File::create(&path).unwrap(), START).unwrap();
            } else {
                allocate(&path, START).unwrap();
            }
            let file = fs::metadata(&path).unwrap();
            assert_eq!(file.len(), START);
            assert!(file.blocks() * 512 >= START, "{name}");
        }
    }
}
