//! Commands that ask a coordinator over its HTTP API, as any other client does.
//!
//! Owns the API key on this machine and how lists look in a terminal. Never reads the coordinator's
//! data itself.

mod accounts;
mod api;
pub(crate) mod args;
mod credentials;
mod definition;
mod error;
mod find;
mod live;
mod login;
mod nodes;
mod projects;
mod result;
mod runs;
mod table;
mod tests_command;
mod watch;

use anyhow::bail;

use crate::args::Command;
use crate::exit::Exit;
use crate::screen::terminal::Screen;
use api::Api;
pub(crate) use error::ApiError;

/// Runs one of the client's commands.
pub(crate) fn run(command: &Command, screen: &Screen) -> anyhow::Result<Exit> {
    match command {
        Command::Login(arguments) => login::run(arguments),
        Command::Projects { command } => with_api(|api| projects::run(api, command.as_ref())),
        Command::Tests(arguments) => with_api(|api| tests_command::run(api, arguments)),
        Command::Runs(arguments) => with_api(|api| runs::run(api, arguments)),
        Command::Start(arguments) => with_api(|api| watch::start(api, arguments, screen)),
        Command::Stop(arguments) => with_api(|api| runs::stop(api, arguments)),
        Command::Watch(arguments) => with_api(|api| watch::watch(api, arguments, screen)),
        Command::Accounts { command } => with_api(|api| accounts::run(api, command, screen)),
        Command::Nodes(arguments) => with_api(|api| nodes::run(api, arguments)),
        other => bail!("{other:?} asks no coordinator"),
    }
}

fn with_api(act: impl FnOnce(&Api) -> anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    let api = Api::new(&credentials::current()?)?;
    act(&api)
}
