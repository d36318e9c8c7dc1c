//! The number of the newest commit that was flushed, beside the database: a log that lost its end
//! opens without complaint, and would start the service with acknowledged records missing.
//!
//! Written in place after each flush and never flushed itself: it may be behind, never ahead.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The file, open.
#[derive(Debug)]
pub(super) struct Watermark {
    file: File,
}

impl Watermark {
    /// Opens or makes the file beside a database.
    pub(super) fn open(database: &Path) -> std::io::Result<Self> {
        let options = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path(database))?;
        Ok(Self { file: options })
    }

    /// The number; none where there is none, or where writing it was cut off.
    pub(super) fn read(&self) -> Option<u64> {
        let mut octets = [0; LENGTH];
        self.file.read_exact_at(&mut octets, 0).ok()?;
        let (number, sum) = octets.split_first_chunk::<8>()?;
        (crc32fast::hash(number).to_be_bytes() == sum).then(|| u64::from_be_bytes(*number))
    }

    /// Commits up to this number are on disk. Failing loses nothing: it stays behind.
    pub(super) fn write(&self, number: u64) {
        let number = number.to_be_bytes();
        let sum = crc32fast::hash(&number).to_be_bytes();
        let octets: Vec<u8> = number.into_iter().chain(sum).collect();
        if let Err(error) = self.file.write_all_at(&octets, 0) {
            tracing::debug!(%error, "the number of the newest commit is not written");
        }
    }
}

/// Where it is: `meta.commits` beside `meta`.
pub(super) fn path(database: &Path) -> PathBuf {
    database.with_extension("commits")
}

const LENGTH: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Directory;

    #[test]
    fn a_cut_number_is_none() {
        let directory = Directory::new();
        std::fs::create_dir_all(&directory.0).unwrap();
        let database = directory.0.join("meta");
        let mark = Watermark::open(&database).unwrap();
        assert_eq!(mark.read(), None);
        mark.write(u64::MAX - 7);
        assert_eq!(
            Watermark::open(&database).unwrap().read(),
            Some(u64::MAX - 7)
        );
        for length in 0..LENGTH {
            mark.file.set_len(length as u64).unwrap();
            assert_eq!(mark.read(), None, "{length} octets");
        }
    }
}
