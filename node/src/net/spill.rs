//! The files of the outbox: what memory has no room for waits in
//! `<state_dir>/outbox/<run>-<life>/` until it is sent.
//!
//! A run's file is a row of segments, written at the last and read from the first, which goes when it
//! is read through. Nothing is flushed to the platter: what a dead process left behind is of no use,
//! as its runs are over for the coordinator, and is deleted at the next start.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use shared::id::RunId;
use shared::wire::LifeId;

/// A segment is closed at this size.
const SEGMENT: u64 = 8 << 20;
/// Longest item that is read back: what an envelope may hold.
const ITEM_MAX: u64 = shared::wire::MESSAGE_MAX + 64;
/// Length of an item before it.
const LENGTH: usize = 4;

/// The outbox's files of one process life.
#[derive(Debug)]
pub struct Spill {
    folder: PathBuf,
    life: LifeId,
    runs: FxHashMap<RunId, Row>,
}

#[derive(Debug, Default)]
struct Row {
    segments: VecDeque<Segment>,
    /// The number of the next segment.
    next: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: File,
    written: u64,
    read: u64,
}

impl Spill {
    /// Opens the folder below `state_dir` and deletes what former lives left there.
    ///
    /// Errors: the folder cannot be made or read.
    pub fn open(state_dir: &Path, life: LifeId) -> io::Result<Self> {
        let folder = state_dir.join("outbox");
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a leftover of the outbox stays");
            }
        }
        Ok(Self {
            folder,
            life,
            runs: FxHashMap::default(),
        })
    }

    /// Appends an item of a run.
    ///
    /// Errors: what the system said; nothing of the item is in the file then.
    pub fn append(&mut self, run: RunId, octets: &[u8]) -> io::Result<()> {
        let folder = self.folder_of(run);
        let row = self.runs.entry(run).or_default();
        let full = row
            .segments
            .back()
            .is_none_or(|segment| segment.written >= SEGMENT);
        if full {
            fs::create_dir_all(&folder)?;
            let path = folder.join(format!("{:08}", row.next));
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            row.next += 1;
            row.segments.push_back(Segment {
                path,
                file,
                written: 0,
                read: 0,
            });
        }
        match row.segments.back_mut() {
            Some(segment) => segment.append(octets),
            None => Err(io::Error::other("no segment")),
        }
    }

    /// Takes the oldest items of a run out of its file: at least one, further ones while all have no
    /// more than `octets`.
    ///
    /// Errors: what the system said, or that the file does not hold what was written.
    pub fn take(&mut self, run: RunId, octets: usize) -> io::Result<Vec<Bytes>> {
        let mut items = Vec::new();
        let mut taken = 0;
        let Some(row) = self.runs.get_mut(&run) else {
            return Ok(items);
        };
        while let Some(segment) = row.segments.front_mut() {
            if segment.read >= segment.written {
                if let Some(segment) = row.segments.pop_front() {
                    fs::remove_file(&segment.path)?;
                }
                continue;
            }
            let length = segment.peek()?;
            if !items.is_empty() && taken + length > octets {
                break;
            }
            taken += length;
            items.push(segment.take(length)?);
        }
        Ok(items)
    }

    /// Removes everything of a run.
    pub fn forget(&mut self, run: RunId) {
        if self.runs.remove(&run).is_some() {
            let folder = self.folder_of(run);
            if let Err(error) = fs::remove_dir_all(&folder) {
                tracing::warn!(path = %folder.display(), %error, "a file of the outbox stays");
            }
        }
    }

    fn folder_of(&self, run: RunId) -> PathBuf {
        self.folder.join(format!("{run}-{:016x}", self.life.0))
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        let runs: Vec<RunId> = self.runs.keys().copied().collect();
        for run in runs {
            self.forget(run);
        }
    }
}

impl Segment {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let length = u32::try_from(octets.len()).map_err(io::Error::other)?;
        self.file.seek(SeekFrom::Start(self.written))?;
        let result = self
            .file
            .write_all(&length.to_be_bytes())
            .and_then(|()| self.file.write_all(octets));
        match result {
            Ok(()) => {
                self.written += (LENGTH + octets.len()) as u64;
                Ok(())
            }
            Err(error) => {
                // Whatever was written of it does not count; the next one goes over it.
                let _ = self.file.set_len(self.written);
                Err(error)
            }
        }
    }

    fn peek(&mut self) -> io::Result<usize> {
        self.file.seek(SeekFrom::Start(self.read))?;
        let mut length = [0; LENGTH];
        self.file.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        let end = self.read + LENGTH as u64 + u64::from(length);
        if u64::from(length) > ITEM_MAX || end > self.written {
            return Err(io::Error::other("the file does not hold what was written"));
        }
        usize::try_from(length).map_err(io::Error::other)
    }

    /// Reads the item that was peeked at.
    fn take(&mut self, length: usize) -> io::Result<Bytes> {
        let mut octets = vec![0; length];
        self.file.read_exact(&mut octets)?;
        self.read += (LENGTH + length) as u64;
        Ok(Bytes::from(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::scratch::Scratch;

    const RUN: RunId = RunId(0x12);

    fn item(number: u32, length: usize) -> Vec<u8> {
        let mut octets = number.to_be_bytes().to_vec();
        octets.resize(length.max(4), 7);
        octets
    }

    #[test]
    fn items_come_back_in_order_across_segments_which_go_when_read() {
        let scratch = Scratch::new("spill");
        let mut spill = Spill::open(scratch.path(), LifeId(1)).unwrap();
        let mut next = 0;
        for number in 0..60 {
            spill.append(RUN, &item(number, 300_000)).unwrap();
            if number % 3 == 0 {
                for octets in spill.take(RUN, 1).unwrap() {
                    assert_eq!(octets, item(next, 300_000));
                    next += 1;
                }
            }
        }
        let folder = scratch
            .path()
            .join("outbox")
            .join(format!("{RUN}-{:016x}", 1));
        assert!(fs::read_dir(&folder).unwrap().count() > 1);
        while next < 60 {
            let items = spill.take(RUN, 1_000_000).unwrap();
            assert!(!items.is_empty() && items.len() <= 3);
            for octets in items {
                assert_eq!(octets, item(next, 300_000));
                next += 1;
            }
        }
        assert!(spill.take(RUN, 1).unwrap().is_empty());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        spill.forget(RUN);
        assert!(!folder.exists());
    }

    #[test]
    fn what_a_former_life_left_is_deleted() {
        let scratch = Scratch::new("spill-leftover");
        let folder = scratch
            .path()
            .join("outbox/0000000000000012-0000000000000001");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("00000000"), b"torn").unwrap();
        let spill = Spill::open(scratch.path(), LifeId(2)).unwrap();
        assert!(!folder.exists());
        drop(spill);
    }

    #[test]
    fn a_file_that_was_cut_is_an_error() {
        let scratch = Scratch::new("spill-cut");
        let mut spill = Spill::open(scratch.path(), LifeId(1)).unwrap();
        spill.append(RUN, &item(1, 5_000)).unwrap();
        let folder = scratch
            .path()
            .join("outbox")
            .join(format!("{RUN}-{:016x}", 1));
        let file = OpenOptions::new()
            .write(true)
            .open(folder.join("00000000"))
            .unwrap();
        file.set_len(100).unwrap();
        assert!(spill.take(RUN, 1 << 20).is_err());
    }
}
