//! `carillon projects`.

use shared::api::{CreateProject, Project, Retention};
use ureq::http::Method;

use super::api::Api;
use super::args::ProjectsCommand;
use super::table::{self, cell};
use crate::exit::Exit;
use crate::screen::draw::{Cell, Table};

pub(super) fn run(api: &Api, command: Option<&ProjectsCommand>) -> anyhow::Result<Exit> {
    match command {
        None | Some(ProjectsCommand::List) => list(api)?,
        Some(ProjectsCommand::Create { name }) => {
            let new = CreateProject {
                name: name.clone(),
                retention: Retention::default(),
            };
            let made: Project = api.send(Method::POST, "projects", &new)?;
            table::lines(&[format!("made the project {} ({})", made.name, made.id)])?;
        }
    }
    Ok(Exit::Passed)
}

fn list(api: &Api) -> anyhow::Result<()> {
    let projects: Vec<Project> = api.list("projects", PROJECTS_MAX)?;
    let mut table = Table::new(0..4, &["project", "id", "made", "runs are kept"]);
    for project in &projects {
        table.row(vec![
            cell(&project.name),
            Cell::new(project.id.to_string()),
            Cell::new(table::time(project.created_unix_ms)),
            Cell::new(kept(project.retention)),
        ]);
    }
    table::print(&table)
}

fn kept(retention: Retention) -> String {
    match (retention.days, retention.runs) {
        (None, None) => "for ever".to_owned(),
        (Some(days), None) => format!("{days} days"),
        (None, Some(runs)) => format!("the newest {runs}"),
        (Some(days), Some(runs)) => format!("{days} days, at most {runs}"),
    }
}

/// Listed at once.
const PROJECTS_MAX: usize = 10_000;
