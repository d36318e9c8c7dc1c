//! The program under development, run as a user runs it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use shared::result::{RunResult, Verdict};

use crate::{Child, Scratch, until};

/// A running `carillon run TEST.toml --json …`.
#[derive(Debug)]
pub struct Carillon {
    process: Child,
    scratch: Scratch,
}

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub output: String,
    /// The result it wrote; none where it wrote none.
    pub result: Option<RunResult>,
}

/// What the reasons of a saturated generator say where it was late and nothing else.
const LATENESS: [&str; 4] = ["left late", "send lateness", "engine was late", "ran late"];

impl Finished {
    /// The result.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn result(&self) -> &RunResult {
        self.result
            .as_ref()
            .unwrap_or_else(|| panic!("no result was written; it printed:\n{}", self.output))
    }

    /// Checks that it ended with this code, 0 or 99, or with 98 in its stead where this machine was
    /// too slow ([`assert_late_at_most`]).
    ///
    /// # Panics
    /// Where it ended with another code, or was saturated for another reason than lateness.
    pub fn assert_ended(&self, code: i32) {
        if let Some(result) = self.result.as_ref().filter(|_| self.code == Some(98)) {
            assert_late_at_most(result);
            assert_eq!(all_held(result), code == 0, "{}", self.output);
        } else {
            assert_eq!(self.code, Some(code), "{}", self.output);
        }
    }
}

/// Checks that nothing held the generator up but, perhaps, the pace of this machine: no drops, no full
/// queue, no panic. The figures of a run that was late are not to be used (NOT VALID, exit code 98),
/// but what the platform did is counted all the same, and that is what most suites are about.
///
/// # Panics
/// Where something else did.
pub fn assert_late_at_most(result: &RunResult) {
    let health = &result.generator;
    let late = |reason: &String| LATENESS.iter().any(|words| reason.contains(words));
    assert!(health.reasons.iter().all(late), "{health:?}");
    if health.saturated {
        println!("held up by this machine: {:?}", health.reasons);
    }
}

/// Checks that a run has passed, or would have on a machine with time for it ([`assert_late_at_most`]).
///
/// # Panics
/// Where it failed.
pub fn assert_passed(result: &RunResult) {
    assert_late_at_most(result);
    let verdict = match result.generator.saturated {
        true => Verdict::Invalid,
        false => Verdict::Passed,
    };
    assert_eq!(result.verdict, verdict, "{:?}", result.history);
    assert!(all_held(result), "{:?}", result.thresholds);
}

fn all_held(result: &RunResult) -> bool {
    result.thresholds.iter().all(|threshold| threshold.passed)
}

impl Carillon {
    /// The binary: `CARILLON` in the environment, else beside this test's own build.
    ///
    /// # Panics
    /// Where it has not been built.
    #[must_use]
    pub fn binary() -> PathBuf {
        if let Some(path) = std::env::var_os("CARILLON") {
            return path.into();
        }
        let own = std::env::current_exe().expect("this test's path");
        // …/target/PROFILE/deps/NAME-HASH
        let folders = own.ancestors().skip(2).take(1).map(Path::to_owned);
        let found = folders
            .map(|folder| folder.join("carillon"))
            .find(|path| path.is_file());
        found.unwrap_or_else(|| {
            panic!("carillon is not built: run `cargo build` with the profile of the tests first (tests/run does)")
        })
    }

    /// Starts a run of a test file with these further arguments.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn run(name: &str, test: &str, arguments: &[&str]) -> Self {
        let scratch = Scratch::new(name);
        let file = scratch.write("test.toml", test);
        Self::start(scratch, |command, scratch| {
            command.arg("run").arg(file);
            command
                .arg("--json")
                .arg(scratch.path().join("result.json"));
            command.arg("--data-dir").arg(scratch.path().join("data"));
            command.args(arguments);
        })
    }

    /// Runs any other command of it to its end.
    ///
    /// # Panics
    /// Where it does not end in time.
    #[must_use]
    pub fn command(name: &str, arguments: &[&str], within: Duration) -> Finished {
        let scratch = Scratch::new(name);
        Self::start(scratch, |command, scratch| {
            command.args(arguments).current_dir(scratch.path());
        })
        .wait(within)
    }

    /// Starts any command of it in a folder that is there already, with these further variables.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn beside(
        scratch: &Scratch,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Child {
        let mut command = Command::new(Self::binary());
        command.env("NO_COLOR", "1");
        command.args(arguments).current_dir(scratch.path());
        command.envs(environment.iter().copied());
        Child::start(name, &mut command, scratch)
    }

    /// Writes a file beside a command's run and runs it there, to its end.
    ///
    /// # Panics
    /// Where it does not end in time.
    #[must_use]
    pub fn check(test: &str) -> Finished {
        let scratch = Scratch::new("check");
        scratch.write("test.toml", test);
        Self::start(scratch, |command, scratch| {
            command
                .args(["check", "test.toml"])
                .current_dir(scratch.path());
        })
        .wait(Duration::from_secs(10))
    }

    fn start(scratch: Scratch, arguments: impl FnOnce(&mut Command, &Scratch)) -> Self {
        let mut command = Command::new(Self::binary());
        // Plain output, whoever started the tests.
        command.env("NO_COLOR", "1");
        arguments(&mut command, &scratch);
        let process = Child::start("carillon", &mut command, &scratch);
        Self { process, scratch }
    }

    /// The process.
    pub fn process(&mut self) -> &mut Child {
        &mut self.process
    }

    /// The folder of the run.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Waits for its end and reads what it left.
    ///
    /// # Panics
    /// At the deadline, or where the result cannot be read.
    #[must_use]
    pub fn wait(mut self, within: Duration) -> Finished {
        let status = self.process.wait(within);
        let json = self.scratch.read("result.json");
        let result = (!json.is_empty()).then(|| {
            serde_json::from_str(&json).unwrap_or_else(|error| panic!("the result: {error}"))
        });
        Finished {
            code: status.code(),
            output: self.process.output(),
            result,
        }
    }

    /// Waits until `ask` says yes, failing where the run ends first.
    ///
    /// # Panics
    /// At the deadline, or at the run's end.
    pub fn wait_while_running(
        &mut self,
        what: &str,
        within: Duration,
        mut ask: impl FnMut() -> bool,
    ) {
        let process = &mut self.process;
        until(what, within, || {
            if ask() {
                return Some(());
            }
            if let Some(status) = process.ended() {
                panic!(
                    "carillon ended ({status}) before: {what}\n{}",
                    process.tail()
                );
            }
            None
        });
    }
}
