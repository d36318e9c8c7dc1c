//! One run from the terminal: submit, show, stop when asked, write what was asked for.
//!
//! Owns the order of things and the two meanings of Ctrl-C. `run` and `demo` differ only in where
//! the test comes from.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use coordinator::{Handle, LiveStream, StopReason};
use shared::definition::Test;
use shared::id::RunId;
use shared::result::RunResult;

use crate::args::OutputArguments;
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::junit;
use crate::screen::terminal::Screen;
use crate::show::{Printing, REDRAW_EVERY, Show, print};
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
        let mut show = Show::new(self.quiet, &self.screen, &name);
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
        // The JSON on standard output must stay JSON.
        let printing = Printing {
            kept_in: self.kept_in,
            quiet: self.quiet,
            to_stderr: self.outputs.json_on_stdout,
        };
        print(&result, printing)?;
        Ok(Exit::from(result.verdict))
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

const JSON_BUFFER: usize = 1 << 20;
