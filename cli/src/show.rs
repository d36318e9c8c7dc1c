//! How a run is shown while it lives and at its end, wherever it runs: in this process or at a
//! coordinator.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use shared::result::{LiveUpdate, RunResult};

use crate::screen::Ink;
use crate::screen::live::LiveView;
use crate::screen::plain::{PlainView, new_failures};
use crate::screen::terminal::Screen;
use crate::summary::{self, Page};

/// How progress is shown.
pub(crate) enum Show {
    Live {
        view: Box<LiveView>,
        screen: Screen,
        ink: Ink,
    },
    Plain(PlainView),
    Quiet,
}

impl Show {
    /// Progress of the test of this name, where standard error leads.
    pub(crate) fn new(quiet: bool, screen: &Screen, name: &str) -> Self {
        let terminal = io::stderr().is_terminal();
        let ink = Ink::for_stream(terminal);
        if quiet {
            Self::Quiet
        } else if terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
            Self::Live {
                view: Box::new(LiveView::new(ink, name)),
                screen: screen.clone(),
                ink,
            }
        } else {
            Self::Plain(PlainView::new(ink))
        }
    }

    /// An update has come.
    pub(crate) fn update(&mut self, update: LiveUpdate) {
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

    /// Time has passed: the clock of a live block goes on.
    pub(crate) fn tick(&mut self) {
        if let Self::Live { view, screen, .. } = self {
            let (columns, rows) = Screen::size();
            screen.draw(view.lines(Instant::now(), columns, rows));
        }
    }

    /// A stop was asked for.
    pub(crate) fn stopping(&mut self) {
        self.note("stopping: calls are ended, registrations removed; Ctrl-C again leaves at once");
    }

    /// Something about the watching itself.
    pub(crate) fn note(&mut self, note: &str) {
        match self {
            Self::Live { view, .. } => view.note(note),
            Self::Plain(_) | Self::Quiet => say(note),
        }
        self.tick();
    }

    /// The run is over.
    pub(crate) fn end(&mut self) {
        if let Self::Live { screen, .. } = self {
            screen.clear();
        }
    }
}

/// Where and how the summary is printed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Printing<'p> {
    /// Where the data stays, for the last line; none where it is temporary or elsewhere.
    pub(crate) kept_in: Option<&'p Path>,
    /// The verdict only.
    pub(crate) quiet: bool,
    /// Standard output is taken.
    pub(crate) to_stderr: bool,
}

/// Prints the summary.
pub(crate) fn print(result: &RunResult, printing: Printing<'_>) -> anyhow::Result<()> {
    let terminal = if printing.to_stderr {
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
        data_dir: printing.kept_in,
    };
    let lines = if printing.quiet {
        summary::verdict(result, page)
    } else {
        summary::lines(result, page)
    };
    let text = lines.join("\n") + "\n";
    let printed = if printing.to_stderr {
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

/// A line to standard error; one that nobody reads is no reason to end a run.
pub(crate) fn say(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Four times a second: the bar moves evenly, the terminal has nothing to do.
pub(crate) const REDRAW_EVERY: Duration = Duration::from_millis(250);
/// Lines of a summary that goes to a file.
const WIDTH_UNKNOWN: usize = 100;
