//! The one binary, `carillon`: reads the command line, runs a command, exits by its result.
//!
//! Owns arguments, exit codes (PRODUCT §8) and what is shown in a terminal. Never decides about a
//! run: that is the coordinator's.

mod args;
mod check;
mod client;
mod cluster;
mod config;
mod demo;
mod exit;
mod interrupt;
mod junit;
mod lab;
mod lab_options;
mod man;
mod nkey;
mod run;
mod screen;
mod service;
mod session;
mod show;
mod summary;
mod test_file;
mod traces;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Command};
use crate::exit::Exit;
use crate::screen::terminal::Screen;

/// Signalling makes many short-lived pieces on several threads; jemalloc keeps them from
/// fragmenting memory over long runs.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let screen = Screen::default();
    let ended = match &arguments.command {
        // Their logs are configured.
        Command::Coordinator(coordinator) => service::coordinator(coordinator),
        Command::Node(node) => service::node(node),
        command => {
            log_above(&screen);
            at_the_terminal(command, &screen)
        }
    };
    screen.clear();
    let exit = ended.unwrap_or_else(|error| {
        show::say(&format!("carillon: {error:#}"));
        let told = error.downcast_ref::<client::ApiError>();
        told.map_or(Exit::Failed, client::ApiError::exit)
    });
    exit.into()
}

fn at_the_terminal(command: &Command, screen: &Screen) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(demo) => demo::run(demo, screen.clone()),
        Command::Run(run) => run::run(run, screen.clone()),
        Command::Check(check) => Ok(check::run(check)),
        Command::Lab(lab) => lab::run(lab),
        Command::Nkey { file } => nkey::make(file),
        Command::Man { folder } => man::write(folder),
        asking => client::run(asking, screen),
    }
}

/// The log goes to standard error, above the live block; `CARILLON_LOG` sets what is told.
fn log_above(screen: &Screen) {
    let filter = EnvFilter::try_from_env("CARILLON_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let screen = screen.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(move || screen.clone())
        .init();
}
