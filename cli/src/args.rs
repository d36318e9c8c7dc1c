//! The command line's grammar.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Load-tests SIP platforms with real calls and tells what they sound like.
#[derive(Debug, Parser)]
#[command(name = "carillon", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Validate a test file: all mistakes at once, with line and key.
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The test file.
    #[arg(value_name = "TEST.toml")]
    pub(crate) file: PathBuf,
    /// Print nothing where there is no mistake.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
