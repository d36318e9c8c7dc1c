//! One run from the terminal: submit, show, stop when asked, write what was asked for.
//!
//! Owns the order of things and the two meanings of Ctrl-C. `run` and `demo` differ only in where
//! the test comes from.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use coordinator::{Handle, LiveStream, StopReason};
use shared::definition::Test;
use shared::id::RunId;
use shared::result::{LiveUpdate, RunResult};

use crate::args::OutputArguments;
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::junit;
use crate::screen::Ink;
use crate::screen::live::LiveView;
use crate::screen::plain::{PlainView, new_failures};
use crate::screen::terminal::Screen;
use crate::summary::{self, Page};
use crate::traces;

/// What a session shows and writes.
pub(crate) struct Session<'s> {
    pub(crate) outputs: Outputs,
    pub(crate) screen: Screen,
    /// Where the data stays, for the last line; none where it is temporary.
    pub(crate) kept_in: Option<&'s Path>,
    pub(crate) quiet: bool,
}

impl Session<'_> {
    /// Runs a test to its end.
    pub(crate) async fn run(mut self, handle: &Handle, test: Test) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::listen(self.screen.clone())?;
        let name = test.name.clone();
        let run = handle
            .submit(test)
            .await
            .context("cannot submit the test")?;
        let stream = handle
            .subscribe(run)
            .await
            .context("cannot watch the run")?;
        let mut show = Show::new(&self, &name);
        follow(handle, run, stream, &mut interrupts, &mut show).await?;
        handle
            .finished(run)
            .await
            .context("the run's data is not complete")?;
        show.end();
        let result = handle
            .result(run, false)
            .await
            .context("cannot read the result")?;
        self.outputs.write(handle, run, &result).await?;
        self.print(&result)?;
        Ok(Exit::from(result.verdict))
    }

    fn print(&self, result: &RunResult) -> anyhow::Result<()> {
        // The JSON on standard output must stay JSON.
        let to_stderr = self.outputs.json_on_stdout;
        let terminal = if to_stderr {
            io::stderr().is_terminal()
        } else {
            io::stdout().is_terminal()
        };
        let width = if terminal {
            Screen::size().0
        } else {
            WIDTH_UNKNOWN
        };
        let page = Page {
            ink: Ink::for_stream(terminal),
            width,
            data_dir: self.kept_in,
        };
        let lines = if self.quiet {
            summary::verdict(result, page)
        } else {
            summary::lines(result, page)
        };
        let text = lines.join("\n") + "\n";
        let printed = if to_stderr {
            io::stderr().lock().write_all(text.as_bytes())
        } else {
            io::stdout().lock().write_all(text.as_bytes())
        };
        match printed {
            // The reader of a pipe may have seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot print the summary"),
        }
    }
}

/// Watches a run until its end; the first Ctrl-C stops it.
async fn follow(
    handle: &Handle,
    run: RunId,
    mut stream: LiveStream,
    interrupts: &mut Interrupts,
    show: &mut Show,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(REDRAW_EVERY);
    loop {
        tokio::select! {
            update = stream.next() => match update {
                Some(update) => show.update(update),
                None => return Ok(()),
            },
            _ = tick.tick() => show.tick(),
            () = interrupts.first() => {
                show.stopping();
                handle.stop(run, StopReason::Interrupted).await.context("cannot stop the run")?;
            }
        }
    }
}

/// How progress is shown.
enum Show {
    Live {
        view: Box<LiveView>,
        screen: Screen,
        ink: Ink,
    },
    Plain(PlainView),
    Quiet,
}

impl Show {
    fn new(session: &Session<'_>, name: &str) -> Self {
        let terminal = io::stderr().is_terminal();
        let ink = Ink::for_stream(terminal);
        if session.quiet {
            Self::Quiet
        } else if terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
            Self::Live {
                view: Box::new(LiveView::new(ink, name)),
                screen: session.screen.clone(),
                ink,
            }
        } else {
            Self::Plain(PlainView::new(ink))
        }
    }

    fn update(&mut self, update: LiveUpdate) {
        match self {
            Self::Live { view, screen, ink } => {
                let failures: Vec<String> = new_failures(*ink, &update).collect();
                if !failures.is_empty() {
                    let width = Screen::size().0;
                    let cut = failures
                        .iter()
                        .map(|line| console::truncate_str(line, width, "…"));
                    screen.above(&cut.collect::<Vec<_>>().join("\n"));
                }
                view.update(Instant::now(), update);
            }
            Self::Plain(view) => {
                for line in view.update(Instant::now(), &update) {
                    say(&line);
                }
            }
            Self::Quiet => {}
        }
        self.tick();
    }

    fn tick(&mut self) {
        if let Self::Live { view, screen, .. } = self {
            let (columns, rows) = Screen::size();
            screen.draw(view.lines(Instant::now(), columns, rows));
        }
    }

    fn stopping(&mut self) {
        let note = "stopping: calls are ended, registrations removed; Ctrl-C again leaves at once";
        match self {
            Self::Live { view, .. } => view.note(note),
            Self::Plain(_) | Self::Quiet => say(note),
        }
        self.tick();
    }

    fn end(&mut self) {
        if let Self::Live { screen, .. } = self {
            screen.clear();
        }
    }
}

/// A line to standard error; one that nobody reads is no reason to end a run.
pub(crate) fn say(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// The files that were asked for. They are made before the run, so that a wrong path is told at
/// once and not after an hour.
pub(crate) struct Outputs {
    json: Option<(PathBuf, File)>,
    json_on_stdout: bool,
    junit: Option<(PathBuf, File)>,
    traces: Option<PathBuf>,
}

impl Outputs {
    pub(crate) fn open(arguments: &OutputArguments) -> anyhow::Result<Self> {
        let open = |path: &PathBuf| -> anyhow::Result<(PathBuf, File)> {
            let file = File::create(path)
                .with_context(|| format!("cannot write to {}", path.display()))?;
            Ok((path.clone(), file))
        };
        let on_stdout = |path: &PathBuf| path.as_os_str() == "-";
        if arguments.junit.as_ref().is_some_and(on_stdout) {
            bail!("--junit needs a file; only --json can go to standard output");
        }
        if let Some(folder) = &arguments.traces {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self {
            traces: arguments.traces.clone(),
            json: arguments
                .json
                .as_ref()
                .filter(|path| !on_stdout(path))
                .map(open)
                .transpose()?,
            json_on_stdout: arguments.json.as_ref().is_some_and(on_stdout),
            junit: arguments.junit.as_ref().map(open).transpose()?,
        })
    }

    async fn write(
        &mut self,
        handle: &Handle,
        run: RunId,
        result: &RunResult,
    ) -> anyhow::Result<()> {
        if let Some((path, file)) = self.json.take() {
            let out = Box::new(BufWriter::with_capacity(JSON_BUFFER, file));
            let written = handle.write_json(run, out).await;
            written.with_context(|| format!("cannot write the result to {}", path.display()))?;
        }
        if self.json_on_stdout {
            let out = Box::new(BufWriter::with_capacity(JSON_BUFFER, io::stdout()));
            handle
                .write_json(run, out)
                .await
                .context("cannot write the result")?;
        }
        if let Some(folder) = &self.traces {
            traces::write(handle, run, result, folder).await?;
        }
        if let Some((path, mut file)) = self.junit.take() {
            let written = junit::write(result, &mut file);
            written.with_context(|| format!("cannot write the report to {}", path.display()))?;
        }
        Ok(())
    }
}

/// Four times a second: the bar moves evenly, the terminal has nothing to do.
const REDRAW_EVERY: Duration = Duration::from_millis(250);
/// Lines of a summary that goes to a file.
const WIDTH_UNKNOWN: usize = 100;
const JSON_BUFFER: usize = 1 << 20;
