//! Reads a test file from disk, with the files it names.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use shared::definition::{self, Mistake, Test};

/// A test file that cannot be used.
#[derive(Debug)]
pub(crate) enum BadFile {
    /// It cannot be read at all.
    Unreadable(PathBuf, io::Error),
    /// It has mistakes.
    Mistakes(PathBuf, Vec<Mistake>),
}

/// Reads and checks a test file. Paths in it are relative to its own folder.
pub(crate) fn load(path: &Path) -> Result<Test, BadFile> {
    let unreadable = |error| BadFile::Unreadable(path.to_owned(), error);
    let octets = read_bounded(path, TEST_FILE_MAX).map_err(unreadable)?;
    let text = String::from_utf8(octets).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        unreadable(io::Error::other(format!(
            "it is not UTF-8 text (at octet {at})"
        )))
    })?;
    let folder = folder(path);
    let name = path
        .file_stem()
        .map_or("test".into(), |stem| stem.to_string_lossy());
    let read = |named: &str| read_bounded(&folder.join(named), NAMED_FILE_MAX);
    definition::parse(&text, &name, &read)
        .map_err(|mistakes| BadFile::Mistakes(path.to_owned(), mistakes))
}

/// The folder that paths in a test file are relative to.
pub(crate) fn folder(path: &Path) -> PathBuf {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

impl BadFile {
    /// Says what is wrong, one line for each mistake, in the form that editors jump to.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Unreadable(path, error) => {
                writeln!(out, "carillon: cannot read {}: {error}", path.display())
            }
            Self::Mistakes(path, mistakes) => {
                for mistake in mistakes {
                    writeln!(out, "{}:{mistake}", path.display())?;
                }
                let count = mistakes.len();
                let noun = if count == 1 { "mistake" } else { "mistakes" };
                writeln!(out, "{count} {noun} in {}", path.display())
            }
        }
    }
}

fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let read = fs::File::open(path)?
        .take(most + 1)
        .read_to_end(&mut octets)?;
    if read as u64 > most {
        let message = format!("it is larger than {} MiB", most >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(octets)
}

/// A test file is written by hand.
const TEST_FILE_MAX: u64 = 4 << 20;
/// Accounts of 200,000 endpoints, or ten minutes of stereo at 48 kHz.
const NAMED_FILE_MAX: u64 = 128 << 20;
