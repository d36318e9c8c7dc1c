//! A clean minimal Debian in a folder, entered by chroot: what a package finds where nothing of a
//! developer's machine is.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::{Repository, Scratch};

/// A root of its own for one test.
#[derive(Debug)]
pub struct Debian {
    root: PathBuf,
    _scratch: Scratch,
}

/// How a command in it ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it printed, standard error behind standard output.
    pub output: String,
}

impl Debian {
    /// Unpacks a fresh one; none, with a line that says so, where tests/run has not made the root.
    ///
    /// # Panics
    /// Where it cannot be unpacked, or is missing and the environment has `CI`.
    #[must_use]
    pub fn unpack(name: &str) -> Option<Self> {
        let Some(packed) = packed() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "no Debian root in target/tools (tests/run makes it, as root)"
            );
            println!("skipped: no Debian root in target/tools (tests/run makes it, as root)");
            return None;
        };
        let scratch = Scratch::new(name);
        let root = scratch.path().join("root");
        fs::create_dir(&root).expect("a folder for the root");
        let unpacked = Command::new("tar")
            .args(["--extract", "--numeric-owner", "--same-permissions"])
            .arg("--file")
            .arg(packed)
            .arg("--directory")
            .arg(&root)
            .status()
            .expect("tar");
        assert!(unpacked.success(), "the root cannot be unpacked");
        Some(Self {
            root,
            _scratch: scratch,
        })
    }

    /// A path in it, as this machine sees it.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Runs a command in it.
    ///
    /// # Panics
    /// Where chroot cannot be started.
    pub fn run(&self, words: &[&str]) -> Ran {
        let output = Command::new("chroot")
            .arg(&self.root)
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .expect("chroot");
        ran(&output)
    }

    /// Runs a command that must succeed, and returns what it printed.
    ///
    /// # Panics
    /// Where it fails, with its output.
    pub fn must(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(0), "{words:?}:\n{}", ran.output);
        ran.output
    }

    /// A file's owner, group and mode: `root:carillon 640`.
    pub fn standing(&self, inside: &str) -> String {
        let printed = self.must(&["stat", "--format", "%U:%G %a", inside]);
        printed.trim().to_owned()
    }

    /// Copies a file into it and returns where it is there.
    ///
    /// # Panics
    /// Where it cannot be copied.
    #[must_use]
    pub fn take(&self, file: &Path) -> String {
        let name = file.file_name().expect("a name").to_string_lossy();
        let inside = format!("/srv/{name}");
        fs::copy(file, self.path(&inside)).expect("a copy");
        inside
    }

    /// Puts a program in place of the service manager's, which only writes down what it is told, and
    /// makes the root look like a machine that systemd has booted.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn pretend_booted(&self) {
        fs::create_dir_all(self.path("/run/systemd/system")).expect("a folder");
        let program = self.path("/usr/bin/systemctl");
        let script = format!("#!/bin/sh\necho \"$@\" >> {TOLD}\n");
        fs::write(&program, script).expect("a program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    /// What the service manager was told since the last question, a line each.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let path = self.path(TOLD);
        let told = fs::read_to_string(&path).unwrap_or_default();
        fs::remove_file(&path).ok();
        told.lines().map(str::to_owned).collect()
    }
}

fn ran(output: &Output) -> Ran {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let _ = write!(text, "{}", String::from_utf8_lossy(&output.stderr));
    Ran {
        code: output.status.code(),
        output: text,
    }
}

/// The root that tests/run has made, where this process may use it.
fn packed() -> Option<PathBuf> {
    // The owner of /proc/self is the effective user.
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let path = Repository::find().root().join("target/tools/debian.tar");
    (is_root && path.is_file()).then_some(path)
}

const TOLD: &str = "/run/systemctl.told";
