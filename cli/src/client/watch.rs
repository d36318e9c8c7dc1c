//! `carillon start` and `carillon watch`: a run at a coordinator, shown as `carillon run` shows one.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use shared::api::{Run, StartRun};
use shared::phase::RunStatus;
use shared::result::{LivePart, LiveUpdate, RunResult, StatusMove, Verdict};
use tokio::sync::mpsc;

use super::api::{Api, encoded};
use super::args::{StartArguments, WatchArguments, WatchOutput};
use super::error::ApiError;
use super::find;
use super::live::{self, Told};
use super::result;
use super::runs::standing;
use super::table;
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::junit;
use crate::screen::figure::printable;
use crate::screen::terminal::Screen;
use crate::show::{Printing, REDRAW_EVERY, Show, print, say};

/// Starts a run of a test and, unless told otherwise, watches it; Ctrl-C stops it.
pub(super) fn start(
    api: &Api,
    arguments: &StartArguments,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    let outputs = match Outputs::open(&arguments.output) {
        Ok(outputs) => outputs,
        Err(error) => return Ok(bad_input(&error)),
    };
    let project = find::project(api, arguments.project.project.as_deref())?;
    let test = find::test(api, &project, &arguments.test)?;
    let path = format!("projects/{}/tests/{}/runs", project.id, test.id);
    let body = StartRun {
        label: arguments.label.clone(),
    };
    let run = begin(api, &path, &body)?;
    if arguments.no_watch && !arguments.watch {
        let refused = run.status == RunStatus::CannotRunForNow;
        if refused {
            say(&standing(&run));
            say_problems(&run);
        }
        table::lines(&[run.id.to_string()])?;
        return Ok(if refused { Exit::Failed } else { Exit::Passed });
    }
    let session = Session {
        api: api.clone(),
        outputs,
        quiet: arguments.output.quiet,
        screen: screen.clone(),
        interrupt: Interrupt::Stops,
    };
    session.watch(run)
}

/// Watches a run from now to its end; Ctrl-C leaves it alone.
pub(super) fn watch(
    api: &Api,
    arguments: &WatchArguments,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    let outputs = match Outputs::open(&arguments.output) {
        Ok(outputs) => outputs,
        Err(error) => return Ok(bad_input(&error)),
    };
    let run: Run = api.get(&format!("runs/{}", encoded(&arguments.run)))?;
    let session = Session {
        api: api.clone(),
        outputs,
        quiet: arguments.output.quiet,
        screen: screen.clone(),
        interrupt: Interrupt::Leaves,
    };
    session.watch(run)
}

/// Starts a run. A request that got lost is sent again under the same key, so it starts one only.
fn begin(api: &Api, path: &str, body: &StartRun) -> Result<Run, ApiError> {
    let random = || RandomState::new().build_hasher().finish();
    let once = format!("{:016x}{:016x}", random(), random());
    match api.post_once(path, body, &once) {
        Err(ApiError::Unreachable { .. }) => api.post_once(path, body, &once),
        answered => answered,
    }
}

fn bad_input(error: &anyhow::Error) -> Exit {
    say(&format!("carillon: {error:#}"));
    Exit::BadInput
}

fn say_problems(run: &Run) {
    for problem in &run.problems {
        say(&format!(
            "  {}: {}",
            problem.code,
            printable(&problem.sentence)
        ));
    }
}

/// What the first Ctrl-C does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interrupt {
    /// The run is ours: it is stopped and shown to its end.
    Stops,
    /// The run is someone's: only the watching ends.
    Leaves,
}

/// One watching.
struct Session {
    api: Api,
    outputs: Outputs,
    quiet: bool,
    screen: Screen,
    interrupt: Interrupt,
}

/// How a watching ended.
enum Followed {
    /// With the run; whether we had asked it to stop.
    Ended { stopped: bool },
    /// Before it.
    Left,
}

impl Session {
    fn watch(self, run: Run) -> anyhow::Result<Exit> {
        let system = actix::System::new();
        let id = run.id.to_string();
        let mut show = Show::new(self.quiet, &self.screen, &run.test_name);
        let followed = system.block_on(self.follow(&run, &mut show));
        show.end();
        let stopped = match followed? {
            Followed::Ended { stopped } => stopped,
            Followed::Left => {
                say(&format!(
                    "run {id} goes on; carillon watch {id} shows it again"
                ));
                return Ok(Exit::Interrupted);
            }
        };
        self.finish(&id, stopped)
    }

    /// Shows the run until its end.
    async fn follow(&self, run: &Run, show: &mut Show) -> anyhow::Result<Followed> {
        let mut interrupts = Interrupts::listen(self.screen.clone())?;
        let id = run.id.to_string();
        let told = live::follow(self.api.clone(), &id);
        let mut told: mpsc::Receiver<Told> = told.context("cannot watch the run")?;
        let mut tick = tokio::time::interval(REDRAW_EVERY);
        let mut stopped = false;
        loop {
            tokio::select! {
                news = told.recv() => match news {
                    Some(Told::Update(update)) => {
                        let last = update.status.is_terminal();
                        show.update(*update);
                        if last {
                            return Ok(Followed::Ended { stopped });
                        }
                    }
                    Some(Told::End(step)) => {
                        show.update(last(run, *step));
                        return Ok(Followed::Ended { stopped });
                    }
                    Some(Told::Lost(why)) => {
                        show.note(&format!("the coordinator is not heard ({why}); trying again"));
                    }
                    Some(Told::Over(error)) => return Err(error.into()),
                    None => bail!("the run cannot be watched any more"),
                },
                _ = tick.tick() => show.tick(),
                () = interrupts.first() => {
                    if self.interrupt == Interrupt::Leaves {
                        return Ok(Followed::Left);
                    }
                    show.stopping();
                    stopped = true;
                    self.stop(&id).await?;
                }
            }
        }
    }

    async fn stop(&self, run: &str) -> anyhow::Result<()> {
        let api = self.api.clone();
        let path = format!("runs/{}/stop", encoded(run));
        let asked = tokio::task::spawn_blocking(move || api.act(&path)).await;
        asked
            .context("the request broke down")?
            .context("cannot stop the run")
    }

    /// Writes what was asked for, prints the summary, and exits by the verdict.
    fn finish(mut self, run: &str, stopped: bool) -> anyhow::Result<Exit> {
        let result = result::read(&self.api, run)?;
        self.outputs.write(&self.api, run, &result)?;
        let result = RunResult {
            verdict: if stopped {
                Verdict::Interrupted
            } else {
                result.verdict
            },
            ..result
        };
        let printing = Printing {
            kept_in: None,
            quiet: self.quiet,
            to_stderr: self.outputs.json_on_stdout,
        };
        print(&result, printing)?;
        Ok(Exit::from(result.verdict))
    }
}

/// How a run stands that had ended before anything of it was heard.
fn last(run: &Run, step: StatusMove) -> LiveUpdate {
    LiveUpdate {
        run: run.id.to_string(),
        status: step.status,
        last_move: step,
        elapsed_ms: run.elapsed_ms,
        duration_ms: run.duration_ms,
        all: LivePart {
            name: "all".to_owned(),
            counts: run.counts.clone().unwrap_or_default(),
            ..LivePart::default()
        },
        groups: Vec::new(),
        new_failures: Vec::new(),
        failures_left_out: 0,
        send_late_p99_ms: None,
        cpu_cores: None,
    }
}

/// The files that were asked for, made before the run, so that a wrong path is told at once.
struct Outputs {
    json: Option<(PathBuf, File)>,
    json_on_stdout: bool,
    junit: Option<(PathBuf, File)>,
}

impl Outputs {
    fn open(arguments: &WatchOutput) -> anyhow::Result<Self> {
        let open = |path: &PathBuf| -> anyhow::Result<(PathBuf, File)> {
            let file = File::create(path)
                .with_context(|| format!("cannot write to {}", path.display()))?;
            Ok((path.clone(), file))
        };
        let on_stdout = |path: &PathBuf| path.as_os_str() == "-";
        if arguments.junit.as_ref().is_some_and(on_stdout) {
            bail!("--junit needs a file; only --json can go to standard output");
        }
        let json = arguments.json.as_ref();
        Ok(Self {
            json: json.filter(|path| !on_stdout(path)).map(open).transpose()?,
            json_on_stdout: json.is_some_and(on_stdout),
            junit: arguments.junit.as_ref().map(open).transpose()?,
        })
    }

    fn write(&mut self, api: &Api, run: &str, result: &RunResult) -> anyhow::Result<()> {
        let whole = result::path(run);
        if let Some((path, file)) = self.json.take() {
            copy(api, &whole, file)
                .with_context(|| format!("cannot write the result to {}", path.display()))?;
        }
        if self.json_on_stdout {
            copy(api, &whole, io::stdout()).context("cannot write the result")?;
        }
        if let Some((path, mut file)) = self.junit.take() {
            let written = junit::write(result, &mut file);
            written.with_context(|| format!("cannot write the report to {}", path.display()))?;
        }
        Ok(())
    }
}

/// The result as it comes: it may be larger than memory.
fn copy(api: &Api, path: &str, out: impl Write) -> anyhow::Result<()> {
    let mut body = api.stream(path, "application/json", None)?;
    let mut out = BufWriter::with_capacity(JSON_BUFFER, out);
    io::copy(&mut body, &mut out)?;
    out.flush()?;
    Ok(())
}

const JSON_BUFFER: usize = 1 << 20;
