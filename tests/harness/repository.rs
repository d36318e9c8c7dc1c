//! The repository as text: its files as git knows them, and the briefing folder beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout that this crate was compiled from.
#[derive(Debug)]
pub struct Repository {
    root: PathBuf,
}

/// A file of the repository.
#[derive(Debug)]
pub struct SourceFile {
    /// From the root, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
    /// Its parent compiles it for tests only.
    tests_only: bool,
}

impl SourceFile {
    /// The part before the tests: everything up to an inline `#[cfg(test)] mod … {`; nothing of a
    /// file that holds tests only.
    #[must_use]
    pub fn product(&self) -> &str {
        if self.is_test() {
            return "";
        }
        let mut from = 0;
        while let Some(found) = self
            .text
            .get(from..)
            .and_then(|rest| rest.find("#[cfg(test)]\nmod "))
        {
            let at = from + found;
            let line = self.text[at..].lines().nth(1).unwrap_or_default();
            if line.ends_with('{') {
                return &self.text[..at];
            }
            from = at + 1;
        }
        &self.text
    }

    /// True for files that hold tests only.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
            || self.path.starts_with("tests/")
            || self.path.contains("/benches/")
            || self.tests_only
    }

    /// The line number of an offset, from 1.
    #[must_use]
    pub fn line_of(&self, offset: usize) -> usize {
        self.text
            .get(..offset)
            .map_or(1, |before| before.matches('\n').count() + 1)
    }
}

impl Repository {
    /// Finds it.
    ///
    /// # Panics
    /// Where the crate was compiled outside a checkout.
    #[must_use]
    pub fn find() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("a root")
            .to_owned();
        Self { root }
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the briefing folder beside the checkout; `None`, with a line that says so, where
    /// the folder is missing.
    #[must_use]
    pub fn shared(&self, path: &str) -> Option<PathBuf> {
        let full = self.root.join("../shared").join(path);
        if full.exists() {
            return Some(full);
        }
        println!("skipped: ../shared/{path} is not beside the checkout");
        None
    }

    /// Reads a file of it.
    ///
    /// # Panics
    /// Where it is missing.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// All files that git tracks, or would track, with this ending.
    ///
    /// # Panics
    /// Where git is missing.
    #[must_use]
    pub fn files(&self, ending: &str) -> Vec<SourceFile> {
        let listed = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(&self.root)
            .output()
            .expect("git");
        let mut paths: Vec<String> = String::from_utf8_lossy(&listed.stdout)
            .split('\0')
            .filter(|path| path.ends_with(ending) && !path.is_empty())
            .map(str::to_owned)
            .collect();
        paths.sort();
        paths.dedup();
        assert!(
            !paths.is_empty(),
            "git lists no file that ends with {ending:?}"
        );
        let mut files: Vec<SourceFile> = paths
            .into_iter()
            // A file that is deleted but not yet committed is still listed; binary files have no text.
            .filter_map(|path| {
                let text = std::fs::read_to_string(self.root.join(&path)).ok()?;
                Some(SourceFile {
                    path,
                    text,
                    tests_only: false,
                })
            })
            .collect();
        let tests_only: Vec<String> = files.iter().flat_map(test_modules).collect();
        for file in &mut files {
            file.tests_only = tests_only.contains(&file.path);
        }
        files
    }
}

/// Where the modules of a file lie that only its tests have: `#[cfg(test)] mod NAME;`.
fn test_modules(file: &SourceFile) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let stem = name.trim_end_matches(".rs");
    let folder = match stem {
        "lib" | "main" | "mod" => folder.to_owned(),
        _ => format!("{folder}/{stem}"),
    };
    file.text
        .split("#[cfg(test)]\nmod ")
        .skip(1)
        .filter_map(|rest| rest.lines().next()?.strip_suffix(';'))
        .flat_map(|module| {
            [
                format!("{folder}/{module}.rs"),
                format!("{folder}/{module}/mod.rs"),
            ]
        })
        .collect()
}
