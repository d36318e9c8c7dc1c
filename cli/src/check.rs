//! `carillon check TEST.toml`: every mistake of a test file at once.

use std::io::{self, Write};

use shared::definition::{Target, Test};

use crate::args::CheckArguments;
use crate::exit::Exit;
use crate::test_file;

/// Checks the file and says what it found.
pub(crate) fn run(arguments: &CheckArguments) -> Exit {
    let loaded = test_file::load(&arguments.file);
    let (printed, exit) = match &loaded {
        Ok(test) if arguments.quiet => (io::stdout().flush(), Exit::Passed),
        Ok(test) => (describe(test, &mut io::stdout().lock()), Exit::Passed),
        Err(bad) => (bad.print(&mut io::stderr().lock()), Exit::BadInput),
    };
    // A closed pipe is the reader's wish; the exit code still tells the result.
    drop(printed);
    exit
}

/// What the test would do, in a few lines.
fn describe(test: &Test, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{}: no mistakes. {} endpoints in {} {}, {} (buildup {})",
        test.name,
        test.endpoint_count(),
        test.groups.len(),
        if test.groups.len() == 1 {
            "group"
        } else {
            "groups"
        },
        test.duration,
        test.buildup
    )?;
    let width = test
        .groups
        .iter()
        .map(|group| group.name.chars().count())
        .max()
        .unwrap_or(0);
    for group in &test.groups {
        let does = match &group.target {
            Target::Uri(uri) => format!("call {uri}"),
            Target::Group(index) => {
                let callee = test
                    .groups
                    .get(usize::from(*index))
                    .map_or("", |g| g.name.as_str());
                format!("call the group {callee}, one to one")
            }
            Target::Receives => "receive calls".to_owned(),
            Target::Nobody => "register and stay registered".to_owned(),
        };
        let registrar = group
            .registrar
            .and_then(|index| test.registrars.get(usize::from(index)));
        let at = registrar.map_or_else(
            || "without a registrar".to_owned(),
            |registrar| {
                format!(
                    "at {} ({}:{})",
                    registrar.domain, registrar.host, registrar.port
                )
            },
        );
        writeln!(
            out,
            "  {:width$}  {:>6}  {at}, {does}",
            group.name, group.count
        )?;
    }
    for threshold in &test.thresholds {
        writeln!(out, "  must hold: {}", threshold.text)?;
    }
    Ok(())
}
