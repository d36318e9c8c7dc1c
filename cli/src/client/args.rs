//! The grammar of the commands that ask a coordinator.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Log in to a coordinator: checks an API key and keeps it for the other commands.
#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// Where the coordinator serves [default: http://127.0.0.1:8080].
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The API key; without it it is asked for. CARILLON_KEY hands it over unseen by other users.
    #[arg(long, value_name = "KEY", env = "CARILLON_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Trust these certificates (PEM) instead of the public authorities.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// Which project.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ProjectArgument {
    /// The project, by name or id; not needed where there is one only.
    #[arg(long, value_name = "NAME", env = "CARILLON_PROJECT")]
    pub(crate) project: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectsCommand {
    /// Every project that the key sees (also without `list`).
    List,
    /// Make a project.
    Create {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TestsArguments {
    #[command(flatten)]
    pub(crate) project: ProjectArgument,
    #[command(subcommand)]
    pub(crate) command: Option<TestsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TestsCommand {
    /// Every test of the project (also without `list`).
    List,
    /// A test's definition as JSON.
    Show {
        /// Its name or id.
        test: String,
    },
    /// Save a test file, with its registrars, accounts and media files.
    Create {
        /// The test file, as for `carillon run`.
        #[arg(value_name = "TEST.toml")]
        file: PathBuf,
        /// Replace the test of the same name.
        #[arg(long)]
        replace: bool,
    },
    /// Delete a test; its runs stay.
    Delete {
        /// Its name or id.
        test: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunsArguments {
    #[command(subcommand)]
    pub(crate) command: Option<RunsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// The newest runs (also without `list`).
    List(RunsListArguments),
    /// A run: its way, its problems and its summary.
    Show {
        /// Its id.
        run: String,
    },
    /// Delete ended runs with all their data.
    Delete {
        /// Their ids.
        #[arg(required = true)]
        runs: Vec<String>,
    },
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunsListArguments {
    /// Only those of this project, by name or id.
    #[arg(long, value_name = "NAME", env = "CARILLON_PROJECT")]
    pub(crate) project: Option<String>,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

/// How a run is watched and what it leaves behind.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct WatchOutput {
    /// Write the whole result as JSON, with every endpoint's every second (`-`: standard output).
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write thresholds and groups as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Print the verdict only.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StartArguments {
    /// The test, by name or id.
    pub(crate) test: String,
    #[command(flatten)]
    pub(crate) project: ProjectArgument,
    /// What is said about this run: a build number, a change.
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// Show it until its end and exit by its verdict; this is the default.
    #[arg(long, overrides_with = "no_watch")]
    pub(crate) watch: bool,
    /// Print the run's id and leave.
    #[arg(long, conflicts_with_all = ["json", "junit"])]
    pub(crate) no_watch: bool,
    #[command(flatten)]
    pub(crate) output: WatchOutput,
}

#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    /// The run's id.
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// The run's id.
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) output: WatchOutput,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountsCommand {
    /// Take in the accounts of a CSV file; those that are there get the new values.
    Import {
        /// Columns: username, password, auth_username, realm; docs/TESTFILE.md describes it.
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
        /// The registrar that they belong to, by name or id.
        #[arg(long, value_name = "NAME")]
        registrar: String,
        #[command(flatten)]
        project: ProjectArgument,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct NodesArguments {
    #[command(flatten)]
    pub(crate) list: NodesListArguments,
    #[command(subcommand)]
    pub(crate) command: Option<NodesCommand>,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct NodesListArguments {
    /// As JSON, with every field.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodesCommand {
    /// Every node that was seen (also without `list`).
    List(NodesListArguments),
    /// Let a node end its runs and take no new ones.
    Drain {
        /// Its name.
        node: String,
    },
    /// Let a drained node take runs again.
    Undrain {
        /// Its name.
        node: String,
    },
}
