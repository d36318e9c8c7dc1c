//! `carillon runs` and `carillon stop`.

use shared::api::Run;

use super::api::{Api, encoded};
use super::args::{RunsArguments, RunsCommand, RunsListArguments, StopArguments};
use super::find;
use super::result;
use super::table::{self, cell, figure};
use crate::exit::Exit;
use crate::screen::draw::{Cell, Table, wrap};
use crate::screen::figure::{Measure, clock, count, percent, printable};
use crate::show::{self, Printing};

pub(super) fn run(api: &Api, arguments: &RunsArguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        None => list(
            api,
            &RunsListArguments {
                project: None,
                limit: LISTED,
            },
        )?,
        Some(RunsCommand::List(arguments)) => list(api, arguments)?,
        Some(RunsCommand::Show { run }) => return show(api, run),
        Some(RunsCommand::Delete { runs }) => {
            for run in runs {
                api.delete(&format!("runs/{}", encoded(run)))?;
                table::lines(&[format!("deleted {run}")])?;
            }
        }
    }
    Ok(Exit::Passed)
}

/// Asks a run to stop; its watchers see it end.
pub(super) fn stop(api: &Api, arguments: &StopArguments) -> anyhow::Result<Exit> {
    let path = format!("runs/{}", encoded(&arguments.run));
    api.act(&format!("{path}/stop"))?;
    let run: Run = api.get(&path)?;
    table::lines(&[standing(&run)])?;
    Ok(Exit::Passed)
}

fn list(api: &Api, arguments: &RunsListArguments) -> anyhow::Result<()> {
    let path = match arguments.project.as_deref() {
        Some(given) => format!("projects/{}/runs", find::project(api, Some(given))?.id),
        None => "runs".to_owned(),
    };
    let runs: Vec<Run> = api.list(&format!("{path}?sort=-created"), arguments.limit as usize)?;
    let header = [
        "run",
        "status",
        "verdict",
        "test",
        "label",
        "began",
        "time",
        "endpoints",
        "calls",
        "MOS",
        "loss %",
    ];
    let mut table = Table::new(0..6, &header);
    for run in &runs {
        let headline = run.headline.unwrap_or_default();
        table.row(vec![
            Cell::new(run.id.to_string()),
            table::status(run.status),
            table::verdict(run.verdict),
            cell(&run.test_name),
            cell(&run.label),
            Cell::new(table::time(
                run.began_unix_ms.unwrap_or(run.created_unix_ms),
            )),
            Cell::new(clock(run.elapsed_ms)),
            Cell::new(count(u64::from(run.endpoints))),
            figure(headline.call_success_pct.map(percent)),
            figure(headline.mos_p50.map(|value| Measure::Mos.format(value))),
            figure(
                headline
                    .loss_pct_p95
                    .map(|value| Measure::Loss.format(value)),
            ),
        ]);
    }
    table::print(&table)
}

fn show(api: &Api, run: &str) -> anyhow::Result<Exit> {
    let path = format!("runs/{}", encoded(run));
    let run: Run = api.get(&path)?;
    let (ink, width) = table::page();
    let mut lines = vec![standing(&run)];
    for step in &run.history {
        let text = format!(
            "{}  {:<18}  {}",
            table::time(step.at_unix_ms),
            step.status.name(),
            printable(&step.sentence)
        );
        lines.extend(wrap_hanging(&text, width.min(WIDTH_MAX)));
    }
    for problem in &run.problems {
        let text = format!("✗ {}: {}", problem.code, printable(&problem.sentence));
        let text = ink.paint(crate::screen::Paint::Red, &text);
        lines.extend(wrap_hanging(&text, width.min(WIDTH_MAX)));
    }
    table::lines(&lines)?;
    if run.status.is_terminal() && run.began_unix_ms.is_some() {
        let result = result::read(api, &run.id.to_string())?;
        table::lines(&[String::new()])?;
        show::print(&result, Printing::default())?;
    }
    Ok(Exit::Passed)
}

/// How a run stands, in a line.
pub(super) fn standing(run: &Run) -> String {
    let queue = match run.queue_position {
        Some(position) => format!(", number {position} of those that wait"),
        None => String::new(),
    };
    format!(
        "run {} of {} is {}{queue}: {}",
        run.id,
        printable(&run.test_name),
        run.status,
        printable(&run.sentence)
    )
}

fn wrap_hanging(text: &str, width: usize) -> Vec<String> {
    let lines = wrap(text, width.saturating_sub(INDENT));
    let hung = |(index, line): (usize, String)| {
        let indent = if index == 0 { 2 } else { INDENT };
        format!("{:indent$}{line}", "")
    };
    lines.into_iter().enumerate().map(hung).collect()
}

/// Listed where nothing is said.
const LISTED: u32 = 20;
const INDENT: usize = 4;
const WIDTH_MAX: usize = 120;
