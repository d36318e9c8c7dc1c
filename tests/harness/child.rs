//! A process of a test: its output goes to files, its group is ended on drop, its life is bounded.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::{Scratch, until};

/// A running (or ended) process.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    output: PathBuf,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts a process whose standard output and error go to `NAME.out` in the scratch folder.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(name: &str, command: &mut Command, scratch: &Scratch) -> Self {
        let output = scratch.path().join(format!("{name}.out"));
        let file = File::create(&output).expect("an output file");
        let errors = file.try_clone().expect("a second handle");
        Self::spawn(name, command, output, file, errors)
    }

    /// The same with standard error in a file of its own, `NAME.err`.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start_apart(name: &str, command: &mut Command, scratch: &Scratch) -> Self {
        let output = scratch.path().join(format!("{name}.out"));
        let file = File::create(&output).expect("an output file");
        let errors = scratch.path().join(format!("{name}.err"));
        let errors = File::create(errors).expect("a file for errors");
        Self::spawn(name, command, output, file, errors)
    }

    fn spawn(
        name: &str,
        command: &mut Command,
        output: PathBuf,
        stdout: File,
        stderr: File,
    ) -> Self {
        let process = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // Its own group: what it starts ends with it, and Ctrl-C at the terminal is ours.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: name.to_owned(),
            process,
            output,
            ended: None,
        }
    }

    /// Everything it printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        let octets = std::fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, where it has.
    ///
    /// # Panics
    /// Where the system does not tell.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().expect("the state of a child");
        }
        self.ended
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// At the deadline, with its output.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            if Instant::now() >= deadline {
                panic!(
                    "{} does not end within {within:?}; it printed:\n{}",
                    self.name,
                    self.tail()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a text in its output.
    ///
    /// # Panics
    /// At the deadline, or where it ends first.
    pub fn wait_for_output(&mut self, text: &str, within: Duration) {
        until(&format!("{} printing {text:?}", self.name), within, || {
            if self.output().contains(text) {
                return Some(());
            }
            if let Some(status) = self.ended() {
                panic!(
                    "{} ended ({status}) before {text:?}; it printed:\n{}",
                    self.name,
                    self.tail()
                );
            }
            None
        });
    }

    /// Sends a signal by its name: `INT`, `TERM`, `KILL`.
    ///
    /// # Panics
    /// Where `kill` cannot be run.
    pub fn signal(&self, signal: &str) {
        let group = format!("-{}", self.process.id());
        let status = Command::new("kill")
            .args([&format!("-{signal}"), "--", &group])
            .stderr(Stdio::null())
            .status();
        status.expect("kill, of every Unix");
    }

    /// The last lines of its output.
    #[must_use]
    pub fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal("TERM");
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.ended().is_none() {
            self.signal("KILL");
            self.process.wait().ok();
        }
    }
}
