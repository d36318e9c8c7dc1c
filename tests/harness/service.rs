//! `carillon coordinator` as a process: started on a free port, killed, restarted, asked.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::{Api, Carillon, Child, Scratch, until};

/// How a coordinator is started; kept for its restarts.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    name: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    config: Option<String>,
    data: Option<PathBuf>,
    under: Vec<String>,
}

impl Setup {
    /// A coordinator with defaults, on a free port of 127.0.0.1, with a folder of its own.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Further arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        let further = arguments.iter().map(|argument| (*argument).to_owned());
        self.arguments.extend(further);
        self
    }

    /// A variable of its environment, such as `CARILLON_RUNS_STARTS_AT_ONCE`.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The text of its configuration file.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// Its data folder, instead of one in its scratch folder.
    #[must_use]
    pub fn data_dir(mut self, path: &Path) -> Self {
        self.data = Some(path.to_owned());
        self
    }

    /// A program that starts it: `["prlimit", "--nofile=256"]`. It must replace itself by the
    /// coordinator, so that a signal reaches that.
    #[must_use]
    pub fn under(mut self, program: &[&str]) -> Self {
        self.under = program.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not get ready.
    #[must_use]
    pub fn start(self) -> Service {
        let mut service = self.prepare();
        service.start();
        service
    }

    /// Starts it and waits until it answers: one without a node of its own is not ready before one
    /// has joined.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub fn start_without_nodes(self) -> Service {
        let mut service = self.prepare();
        service.launch();
        service.wait_until_alive();
        assert!(
            !service.key.is_empty(),
            "no key was printed:\n{}",
            service.tail()
        );
        service
    }

    /// All that a start needs, without the start: for one that is expected to fail.
    #[must_use]
    pub fn prepare(self) -> Service {
        let scratch = Scratch::new(&self.name);
        let data = self
            .data
            .clone()
            .unwrap_or_else(|| scratch.path().join("data"));
        Service {
            process: None,
            data,
            setup: self,
            starts: 0,
            address: String::new(),
            key: String::new(),
            scratch,
        }
    }
}

/// A coordinator with its embedded node. Ended on drop.
#[derive(Debug)]
pub struct Service {
    // Ends before the folder goes.
    process: Option<Child>,
    data: PathBuf,
    setup: Setup,
    starts: u32,
    address: String,
    key: String,
    scratch: Scratch,
}

impl Service {
    /// Starts one with defaults; see [`Setup`] for more.
    ///
    /// # Panics
    /// Where it does not get ready.
    #[must_use]
    pub fn start_new(name: &str) -> Self {
        Setup::new(name).start()
    }

    /// Starts it (again, after [`Self::kill`] or [`Self::stop`]) and waits until it is ready. The
    /// port is a new one.
    ///
    /// # Panics
    /// Where it does not get ready, or still runs.
    pub fn start(&mut self) {
        self.launch();
        self.wait_until("/readyz");
        assert!(!self.key.is_empty(), "no key was printed:\n{}", self.tail());
    }

    /// Starts it where it may be killed before it is ready; false where it was.
    ///
    /// # Panics
    /// Where it neither gets ready nor ends.
    pub fn start_or_die(&mut self) -> bool {
        self.launch();
        until("the coordinator being ready, or its end", READY, || {
            if self.process_mut().ended().is_some() {
                return Some(false);
            }
            self.find_address()?;
            let ready = self.api().raw("GET", "/readyz").send();
            ready
                .is_ok_and(|answer| answer.status == 200)
                .then_some(true)
        })
    }

    /// Waits until it answers, ready or not: for a start on a full disk.
    ///
    /// # Panics
    /// Where it does not.
    pub fn wait_until_alive(&mut self) {
        self.wait_until("/healthz");
    }

    fn wait_until(&mut self, path: &str) {
        until("the coordinator answering", READY, || {
            if let Some(status) = self.process_mut().ended() {
                panic!("the coordinator ended ({status}):\n{}", self.tail());
            }
            self.find_address()?;
            let ready = self.api().raw("GET", path).send();
            ready.is_ok_and(|answer| answer.status == 200).then_some(())
        });
    }

    /// The address, and at the first start the key, once they are printed.
    fn find_address(&mut self) -> Option<()> {
        let printed = self.printed();
        // A line is whole once its end is there.
        let whole = &printed[..printed.rfind('\n').map_or(0, |end| end + 1)];
        let address = whole
            .split_whitespace()
            .find(|word| word.starts_with("http://") || word.starts_with("https://"))?;
        self.address = address.trim_end_matches('/').to_owned();
        if let Some(key) = whole.split_whitespace().find(|word| is_key(word)) {
            self.key = key.to_owned();
        }
        Some(())
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    /// Where it still runs.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        self.starts += 1;
        let mut words = self.setup.under.iter();
        let mut command = match words.next() {
            None => Command::new(Carillon::binary()),
            Some(program) => {
                let mut command = Command::new(program);
                command.args(words).arg(Carillon::binary());
                command
            }
        };
        command.arg("coordinator");
        if let Some(text) = &self.setup.config {
            let file = self.scratch.write("coordinator.toml", text);
            command.arg("--config").arg(file);
        }
        let bound = |argument: &String| argument.starts_with("--bind");
        if !self.setup.arguments.iter().any(bound) {
            command.args(["--bind", "127.0.0.1:0"]);
        }
        command.arg("--data-dir").arg(&self.data);
        command.args(&self.setup.arguments);
        command.env("NO_COLOR", "1");
        command.envs(self.setup.environment.iter().cloned());
        command.current_dir(self.scratch.path());
        let name = format!("coordinator-{}", self.starts);
        self.process = Some(Child::start_apart(&name, &mut command, &self.scratch));
    }

    /// Ends it as a power cut would (SIGKILL), and waits for that.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self) {
        self.process_mut().signal("KILL");
        self.wait(Duration::from_secs(10));
    }

    /// Sets or removes a variable of the next starts.
    pub fn set_environment(&mut self, name: &str, value: Option<&str>) {
        self.setup.environment.retain(|(known, _)| known != name);
        if let Some(value) = value {
            self.setup
                .environment
                .push((name.to_owned(), value.to_owned()));
        }
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Panics
    /// Where it does not run or does not end in time.
    pub fn stop(&mut self, within: Duration) -> ExitStatus {
        self.process_mut().signal("TERM");
        self.wait(within)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let status = self.process_mut().wait(within);
        self.process = None;
        status
    }

    /// The process, while it runs.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn process_mut(&mut self) -> &mut Child {
        self.process.as_mut().expect("a running coordinator")
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The admin API key of the first start.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The API with the admin key.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(&self.address, &self.key)
    }

    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Its folder, with its output and configuration.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// What the newest start printed to standard output.
    #[must_use]
    pub fn printed(&self) -> String {
        self.scratch
            .read(&format!("coordinator-{}.out", self.starts))
    }

    /// What the newest start logged (standard error).
    #[must_use]
    pub fn log(&self) -> String {
        self.scratch
            .read(&format!("coordinator-{}.err", self.starts))
    }

    /// What all starts printed and logged.
    #[must_use]
    pub fn everything_printed(&self) -> String {
        let streams = (1..=self.starts).flat_map(|start| {
            ["out", "err"].map(|end| self.scratch.read(&format!("coordinator-{start}.{end}")))
        });
        streams.collect()
    }

    /// The last lines of both, for a message.
    #[must_use]
    pub fn tail(&self) -> String {
        let all = format!("{}{}", self.printed(), self.log());
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

/// `clk_<id>_<secret>`.
fn is_key(word: &str) -> bool {
    word.starts_with("clk_") && word.len() > 40
}

/// With room for a machine that builds beside.
const READY: Duration = Duration::from_secs(20);
