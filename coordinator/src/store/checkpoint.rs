//! How far a live run is, for the next coordinator: two files a run, written in turn.
//!
//! Beside the database and not in it, since it is written every second and sled would keep each of
//! them in its log for long: here it takes the room of two, however long the run lasts. A write that
//! a crash cuts off leaves the other file, which is the one before. Whoever writes has flushed the
//! run's records first, so a checkpoint never speaks of a record that is not on disk.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use shared::id::RunId;
use shared::wire::MESSAGE_MAX;

use super::{StoreError, parts, space};

/// The two files of one run, open for writing.
#[derive(Debug)]
pub(super) struct Checkpoints {
    files: [File; 2],
    paths: [PathBuf; 2],
    /// Of the newest one; the next goes into the other file.
    number: u64,
}

impl Checkpoints {
    /// Opens or makes them, and goes on after the newest one.
    pub(super) fn open(folder: &Path, run: RunId) -> Result<Self, StoreError> {
        let failed = |source| failed(folder, source);
        fs::create_dir_all(folder).map_err(failed)?;
        let paths = paths(folder, run);
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true);
            options.open(path).map_err(failed)
        };
        let [first, second] = &paths;
        let files = [open(first)?, open(second)?];
        // The names themselves must survive a power cut as well.
        let folder = File::open(folder).map_err(failed)?;
        folder.sync_all().map_err(failed)?;
        let newest = files.iter().filter_map(|file| Some(content(file)?.0)).max();
        Ok(Self {
            files,
            paths,
            number: newest.unwrap_or(0),
        })
    }

    /// Writes one; it is on disk when this returns.
    ///
    /// Errors: [`StoreError::Full`] where there is no room; the one before is still there.
    pub(super) fn write(&mut self, checkpoint: &[u8]) -> Result<(), StoreError> {
        let number = self.number.saturating_add(1);
        let packed = parts::compress(checkpoint)
            .map_err(|source| StoreError::Parts { what: WHAT, source })?;
        let mut whole = Vec::with_capacity(HEAD + packed.len());
        whole.extend_from_slice(&number.to_be_bytes());
        whole.extend_from_slice(&(packed.len() as u64).to_be_bytes());
        whole.extend_from_slice(&packed);
        let sum = crc32fast::hash(&whole).to_be_bytes();
        whole.extend_from_slice(&sum);
        let place = (number % 2) as usize;
        let (Some(file), Some(path)) = (self.files.get(place), self.paths.get(place)) else {
            return Ok(());
        };
        file.write_all_at(&whole, 0)
            .and_then(|()| file.sync_data())
            .map_err(|source| failed(path, source))?;
        self.number = number;
        Ok(())
    }
}

/// The newest one of a run; none where it never had one.
///
/// Errors: there is one, and nothing of it can be read.
pub(super) fn read(folder: &Path, run: RunId) -> Result<Option<Vec<u8>>, StoreError> {
    let mut found = Vec::new();
    let mut written = false;
    for path in paths(folder, run) {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(&path, source)),
        };
        written |= file.metadata().is_ok_and(|meta| meta.len() > 0);
        found.extend(content(&file));
    }
    let Some((_, packed)) = found.into_iter().max_by_key(|(number, _)| *number) else {
        return match written {
            false => Ok(None),
            true => Err(StoreError::Parts {
                what: WHAT,
                source: std::io::Error::other("both of its files are damaged"),
            }),
        };
    };
    let mut octets = Vec::new();
    zstd::stream::read::Decoder::new(packed.as_slice())
        .and_then(|decoder| decoder.take(MESSAGE_MAX + 64).read_to_end(&mut octets))
        .map_err(|source| StoreError::Parts { what: WHAT, source })?;
    Ok(Some(octets))
}

/// The run does not need them any more. What cannot be removed is removed at the next start.
pub(super) fn remove(folder: &Path, run: RunId) {
    for path in paths(folder, run) {
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "the checkpoint of an ended run stays");
        }
    }
}

/// Removes those of runs that do not need them.
pub(super) fn tidy(folder: &Path, needed: impl Fn(RunId) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else {
        // No run was ever live.
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let run = path
            .file_stem()
            .and_then(|name| name.to_str()?.parse().ok());
        if run.is_some_and(|run| !needed(run)) {
            // It costs its room until the next start, nothing else.
            let _ = fs::remove_file(path);
        }
    }
}

/// Number and packed content of a file; none where it is not whole.
fn content(file: &File) -> Option<(u64, Vec<u8>)> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0).ok()?;
    let (number, length) = head.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*length.first_chunk()?)).ok()?;
    // A damaged length must not take all memory.
    let there = usize::try_from(file.metadata().ok()?.len()).ok()?;
    if length.checked_add(HEAD + SUM)? > there {
        return None;
    }
    let mut rest = vec![0; length + SUM];
    file.read_exact_at(&mut rest, HEAD as u64).ok()?;
    let sum = rest.split_off(length);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head);
    hasher.update(&rest);
    (hasher.finalize().to_be_bytes() == *sum).then(|| (u64::from_be_bytes(*number), rest))
}

fn paths(folder: &Path, run: RunId) -> [PathBuf; 2] {
    [0, 1].map(|place| folder.join(format!("{run}.{place}")))
}

fn failed(path: &Path, source: std::io::Error) -> StoreError {
    if space::is_full(&source) {
        return StoreError::Full;
    }
    StoreError::Directory {
        path: path.to_owned(),
        source,
    }
}

const WHAT: &str = "how far a run is";
/// Number and length.
const HEAD: usize = 16;
/// CRC-32 of all before it.
const SUM: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Directory;
    use crate::testing::RUN;

    fn read_text(folder: &Path) -> Option<String> {
        let read = read(folder, RUN).unwrap();
        read.map(|octets| String::from_utf8(octets).unwrap())
    }

    #[test]
    fn the_newest_one_comes_back_also_after_it_was_opened_again() {
        let folder = Directory::new();
        assert_eq!(read_text(&folder.0), None);
        for round in 0..3 {
            let mut checkpoints = Checkpoints::open(&folder.0, RUN).unwrap();
            for number in 0..5 {
                // Longer and shorter ones in turn: nothing of an older one may show.
                let text = format!("{round}.{number} {}", "x".repeat(5_000 * (number % 3)));
                checkpoints.write(text.as_bytes()).unwrap();
                assert_eq!(read_text(&folder.0), Some(text));
            }
        }
        remove(&folder.0, RUN);
        remove(&folder.0, RUN);
        assert_eq!(read_text(&folder.0), None);
    }

    #[test]
    fn a_write_that_was_cut_off_leaves_the_one_before() {
        let folder = Directory::new();
        let mut checkpoints = Checkpoints::open(&folder.0, RUN).unwrap();
        for text in ["first", "second"] {
            checkpoints.write(text.as_bytes()).unwrap();
        }
        let [newest, oldest] = paths(&folder.0, RUN);
        let whole = fs::read(&newest).unwrap();
        for length in 0..whole.len() {
            fs::write(&newest, &whole[..length]).unwrap();
            assert_eq!(read_text(&folder.0).as_deref(), Some("first"), "{length}");
            let mut torn = whole.clone();
            torn[length] ^= 1;
            fs::write(&newest, &torn).unwrap();
            assert_eq!(read_text(&folder.0).as_deref(), Some("first"), "{length}");
        }
        // It goes on in the torn file, and the whole one is left alone.
        let mut checkpoints = Checkpoints::open(&folder.0, RUN).unwrap();
        checkpoints.write(b"third").unwrap();
        assert_eq!(read_text(&folder.0).as_deref(), Some("third"));
        fs::write(&newest, b"").unwrap();
        assert_eq!(read_text(&folder.0).as_deref(), Some("first"));
        fs::write(&oldest, b"damaged").unwrap();
        assert!(read(&folder.0, RUN).is_err());
    }

    #[test]
    fn those_of_runs_that_ended_are_tidied_away() {
        let folder = Directory::new();
        for run in [RUN, RunId(7)] {
            let mut checkpoints = Checkpoints::open(&folder.0, run).unwrap();
            checkpoints.write(b"live").unwrap();
        }
        tidy(&folder.0, |run| run == RUN);
        assert_eq!(read_text(&folder.0).as_deref(), Some("live"));
        assert_eq!(read(&folder.0, RunId(7)).unwrap(), None);
    }
}
