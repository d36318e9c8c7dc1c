//! The master key that seals passwords: from the environment, or a file that only we may read.
//!
//! Owns where it comes from and what makes it unusable. Never prints it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// 32 octets.
pub(super) struct MasterKey([u8; LENGTH]);

/// Where the master key is.
#[derive(Clone)]
pub(crate) struct KeySource {
    /// The value of `CARILLON_STORAGE_KEY`: 32 octets in base64 or 64 hexadecimal digits.
    pub(crate) text: Option<String>,
    /// The file that is read (and made at the first start) where `text` is none.
    pub(crate) file: PathBuf,
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySource")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Why there is no usable master key.
#[derive(Debug, Error)]
pub(crate) enum KeyError {
    /// The environment holds something else.
    #[error(
        "CARILLON_STORAGE_KEY is no key: it takes 32 octets, as base64 (44 characters) or 64 hexadecimal digits"
    )]
    Text,
    /// The file holds something else.
    #[error(
        "{0} holds no key: it takes 32 octets, as base64 (44 characters) or 64 hexadecimal digits; put the right file back"
    )]
    Content(PathBuf),
    /// Others may read the file.
    #[error("{path} may be read by others (mode {mode:03o}); run: chmod 600 {path}")]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file is gone although passwords are sealed.
    #[error(
        "{0} is missing, and the stored passwords were sealed with the key in it; put the file back, or set CARILLON_STORAGE_KEY"
    )]
    Missing(PathBuf),
    /// The file cannot be read or made.
    #[error("{path}: {source}; the file holds the key that seals stored passwords")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No randomness for a new key.
    #[error("a new key cannot be made: {0}")]
    Random(String),
}

impl MasterKey {
    #[cfg(test)]
    pub(super) fn of(octets: [u8; LENGTH]) -> Self {
        Self(octets)
    }

    pub(super) fn octets(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// Reads the key; makes the file where there is none and `may_make`.
    pub(super) fn load(source: &KeySource, may_make: bool) -> Result<Self, KeyError> {
        if let Some(text) = &source.text {
            return Self::parse(text).ok_or(KeyError::Text);
        }
        let path = source.file.as_path();
        let failed = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        match fs::metadata(path) {
            Ok(metadata) => {
                let mode = metadata.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    let path = path.to_owned();
                    return Err(KeyError::Mode { path, mode });
                }
                let text = fs::read_to_string(path).map_err(failed)?;
                Self::parse(&text).ok_or_else(|| KeyError::Content(path.to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => Self::make(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(KeyError::Missing(path.to_owned()))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() == 2 * LENGTH && text.is_ascii() {
            let mut key = [0; LENGTH];
            for (index, octet) in key.iter_mut().enumerate() {
                let digits = text.get(2 * index..2 * index + 2)?;
                *octet = u8::from_str_radix(digits, 16).ok()?;
            }
            return Some(Self(key));
        }
        let octets = STANDARD.decode(text).ok()?;
        octets.try_into().ok().map(Self)
    }

    /// Writes a new key beside its place and renames it, so that no crash leaves half of one.
    fn make(path: &Path) -> Result<Self, KeyError> {
        let mut key = [0; LENGTH];
        getrandom::fill(&mut key).map_err(|error| KeyError::Random(error.to_string()))?;
        let write = || -> io::Result<()> {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            let folder = folder.unwrap_or_else(|| Path::new("."));
            fs::create_dir_all(folder)?;
            let draft = path.with_extension("new");
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)?;
            writeln!(file, "{}", STANDARD.encode(key))?;
            file.sync_all()?;
            fs::rename(&draft, path)?;
            fs::File::open(folder)?.sync_all()
        };
        write().map_err(|source| KeyError::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self(key))
    }
}

const LENGTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::tests::Directory;

    fn source(directory: &Directory) -> KeySource {
        KeySource {
            text: None,
            file: directory.0.join("storage.key"),
        }
    }

    #[test]
    fn a_file_is_made_once_for_us_alone_and_read_again() {
        let directory = Directory::new();
        let source = source(&directory);
        let made = MasterKey::load(&source, true).unwrap();
        let mode = fs::metadata(&source.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = MasterKey::load(&source, false).unwrap();
        assert_eq!(made.octets(), again.octets());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_what_to_do() {
        let directory = Directory::new();
        let source = source(&directory);
        MasterKey::load(&source, true).unwrap();
        fs::set_permissions(&source.file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = MasterKey::load(&source, true).err().unwrap().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_missing_or_broken_file_is_refused() {
        let directory = Directory::new();
        let source = source(&directory);
        assert!(matches!(
            MasterKey::load(&source, false),
            Err(KeyError::Missing(_))
        ));
        MasterKey::load(&source, true).unwrap();
        fs::write(&source.file, "half").unwrap();
        assert!(matches!(
            MasterKey::load(&source, true),
            Err(KeyError::Content(_))
        ));
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let directory = Directory::new();
        for (text, wanted) in [
            ("0f".repeat(32), Some([0x0f; 32])),
            (STANDARD.encode([7; 32]), Some([7; 32])),
            ("0f".repeat(31), None),
            ("é".repeat(32), None),
        ] {
            let source = KeySource {
                text: Some(text),
                ..source(&directory)
            };
            let key = MasterKey::load(&source, true).ok();
            assert_eq!(key.map(|key| *key.octets()), wanted);
        }
        assert!(!source(&directory).file.exists());
    }
}
