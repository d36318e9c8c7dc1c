//! `carillon node` as a process: started, killed, frozen, restarted under the same name.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::{Carillon, Child, Scratch};

/// A node's process. Ended on drop.
#[derive(Debug)]
pub struct Worker {
    // Ends before the folder goes.
    process: Option<Child>,
    name: String,
    environment: Vec<(String, String)>,
    under: Vec<String>,
    starts: u32,
    scratch: Scratch,
}

impl Worker {
    /// A node that has not started: name, region and the NATS server it joins.
    #[must_use]
    pub fn new(name: &str, region: &str, nats: &str) -> Self {
        let scratch = Scratch::new(&format!("node-{name}"));
        let state = scratch.path().join("state");
        let environment = [
            ("CARILLON_NODE_NAME", name),
            ("CARILLON_NODE_REGION", region),
            ("CARILLON_NATS_URL", nats),
        ];
        let mut worker = Self {
            process: None,
            name: name.to_owned(),
            environment: environment
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            under: Vec::new(),
            starts: 0,
            scratch,
        };
        worker.set("CARILLON_NODE_STATE_DIR", &state.to_string_lossy());
        worker
    }

    /// A variable of its environment, such as `CARILLON_NODE_ADDRESS`.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A program that starts it: `["ip", "netns", "exec", NAME]`. It must replace itself by the node.
    #[must_use]
    pub fn under(mut self, program: &[&str]) -> Self {
        self.under = program.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Starts it (again) and waits for nothing: the coordinator's list shows when it has joined.
    ///
    /// # Panics
    /// Where it still runs, or cannot be started.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.starts += 1;
        let mut words = self.under.iter();
        let mut command = match words.next() {
            None => Command::new(Carillon::binary()),
            Some(program) => {
                let mut command = Command::new(program);
                command.args(words).arg(Carillon::binary());
                command
            }
        };
        command.arg("node");
        command.env("NO_COLOR", "1");
        command.envs(self.environment.iter().cloned());
        command.current_dir(self.scratch.path());
        let name = format!("node-{}", self.starts);
        self.process = Some(Child::start(&name, &mut command, &self.scratch));
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait(Duration::from_secs(10));
    }

    /// Sends a signal: `STOP`, `CONT`, `TERM`.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn signal(&self, signal: &str) {
        self.process
            .as_ref()
            .expect("a running node")
            .signal(signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let process = self.process.as_mut().expect("a running node");
        let status = process.wait(within);
        self.process = None;
        status
    }

    /// How it ended, where it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().and_then(Child::ended)
    }

    /// The process id.
    ///
    /// # Panics
    /// Where it does not run.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("a running node").id()
    }

    /// What the newest start printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.scratch.read(&format!("node-{}.out", self.starts))
    }

    /// The last lines of that.
    #[must_use]
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Where it keeps its journal and what is not stored yet.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.scratch.path().join("state")
    }
}
