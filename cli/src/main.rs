//! The one binary, `carillon`: reads the command line, runs a command, exits by its result.
//!
//! Owns arguments, exit codes (PRODUCT §8) and what is shown in a terminal. Never decides about a
//! run: that is the coordinator's.

mod args;
mod check;
mod exit;
mod test_file;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};

/// Signalling makes many short-lived pieces on several threads; jemalloc keeps them from
/// fragmenting memory over long runs.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let exit = match arguments.command {
        Command::Check(check) => check::run(&check),
    };
    exit.into()
}
