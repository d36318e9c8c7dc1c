//! The summary at the end of a run, as lines. Everything in it is in the `--json` result too.

mod charts;
mod judgement;

mod tables;

use std::path::Path;

use shared::result::RunResult;

use crate::screen::Ink;

pub(crate) use judgement::{measured, reason};

/// Where and how a summary is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'p> {
    pub(crate) ink: Ink,
    pub(crate) width: usize,
    /// Where the run's data stays; none where it goes with the program.
    pub(crate) data_dir: Option<&'p Path>,
}

/// The whole summary.
pub(crate) fn lines(result: &RunResult, page: Page<'_>) -> Vec<String> {
    let page = Page {
        width: page.width.clamp(WIDTH_MIN, WIDTH_MAX),
        ..page
    };
    let sections = [
        judgement::head(result, page),
        charts::lines(result, page),
        tables::counts(result, page),
        tables::ratios(result, page),
        tables::metrics(result, page),
        tables::failures(result, page),
        judgement::generator(result, page),
        judgement::thresholds(result, page),
    ];
    let mut lines = Vec::new();
    for section in sections {
        if !section.is_empty() {
            lines.extend(section);
            lines.push(String::new());
        }
    }
    lines.extend(judgement::verdict(result, page));
    lines
}

/// Only the verdict, for `--quiet`.
pub(crate) fn verdict(result: &RunResult, page: Page<'_>) -> Vec<String> {
    judgement::verdict(result, page)
}

/// Narrower terminals get lines that wrap.
const WIDTH_MIN: usize = 60;
const WIDTH_MAX: usize = 120;

#[cfg(test)]
pub(crate) mod tests;
