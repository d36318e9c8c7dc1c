//! `carillon accounts import`.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use shared::api::BulkResult;

use super::api::Api;
use super::args::AccountsCommand;
use super::find;
use super::table;
use super::tests_command::BULK_WAIT;
use crate::exit::Exit;
use crate::screen::draw::progress;
use crate::screen::figure::{count, octets, printable};
use crate::screen::terminal::Screen;
use crate::screen::{Ink, Paint};

pub(super) fn run(api: &Api, command: &AccountsCommand, screen: &Screen) -> anyhow::Result<Exit> {
    let AccountsCommand::Import {
        file,
        registrar,
        project,
    } = command;
    let project = find::project(api, project.project.as_deref())?;
    let registrar = find::registrar(api, &project, registrar)?;
    let path = format!(
        "projects/{}/registrars/{}/accounts/bulk",
        project.id, registrar.id
    );
    let result = import(api, &path, file, screen);
    screen.clear();
    let result = result?;
    table::lines(&[format!(
        "{}: {} new, {} updated; the registrar {} has {} accounts",
        file.display(),
        count(u64::from(result.created)),
        count(u64::from(result.updated)),
        printable(&registrar.name),
        count(u64::from(result.accounts)),
    )])?;
    Ok(Exit::Passed)
}

fn import(api: &Api, path: &str, file: &Path, screen: &Screen) -> anyhow::Result<BulkResult> {
    let open = || format!("cannot read {}", file.display());
    let opened = File::open(file).with_context(open)?;
    let length = opened.metadata().with_context(open)?.len();
    let mut shown = Progress::new(file, length, screen.clone());
    shown.draw();
    let body = Counted {
        file: opened,
        progress: shown,
    };
    Ok(api.upload(path, "text/csv", length, body, BULK_WAIT)?)
}

/// A file that shows how much of it has been read.
struct Counted {
    file: File,
    progress: Progress,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.progress.sent(read as u64);
        Ok(read)
    }
}

/// How far an upload is, where standard error is a terminal.
struct Progress {
    name: String,
    sent: u64,
    length: u64,
    drawn: Instant,
    screen: Option<Screen>,
}

impl Progress {
    fn new(file: &Path, length: u64, screen: Screen) -> Self {
        Self {
            name: file.display().to_string(),
            sent: 0,
            length,
            drawn: Instant::now(),
            screen: io::stderr().is_terminal().then_some(screen),
        }
    }

    fn sent(&mut self, octets: u64) {
        self.sent += octets;
        if self.drawn.elapsed() >= DRAW_EVERY || self.sent >= self.length {
            self.drawn = Instant::now();
            self.draw();
        }
    }

    fn draw(&mut self) {
        let Some(screen) = &self.screen else {
            return;
        };
        let ink = Ink::for_stream(true);
        let done = self.sent as f64 / self.length.max(1) as f64;
        let bar = progress(ink, Paint::Cyan, done, BAR);
        let stage = if self.sent >= self.length {
            "sent; the coordinator stores the accounts".to_owned()
        } else {
            format!("{} of {}", octets(self.sent), octets(self.length))
        };
        let line = format!("{} {bar} {stage}", self.name);
        let line = console::truncate_str(&line, Screen::size().0, "…").into_owned();
        screen.draw(vec![line]);
    }
}

const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Columns of the bar.
const BAR: usize = 30;
