//! Reads a test file (TOML) into a [`Test`], or says everything that is wrong with it.
//!
//! Owns the file's grammar, its defaults and the checks across its parts. Never opens a file: what
//! the test names (CSV, WAV) is read by the caller's function. Every key is described in
//! docs/TESTFILE.md.

mod accounts;
mod allow;
mod check;
mod csv;
pub mod field;
mod group;
mod media;
mod nearest;
mod placement;
mod registrar;
mod saved;
mod section;
mod target;
mod threshold;
mod wav;

use std::io;

use toml::de::DeTable;

pub use self::nearest::nearest;

use self::check::Parts;
use self::group::GroupDraft;
use self::registrar::RegistrarDraft;
use self::section::{Given, Section};
use super::mistake::{Mistake, Mistakes, Spot};
use super::{OnNodeLoss, Test};
use crate::units::Millis;

/// How [`parse`] gets at the files that a test names: a path as it is written, to its octets.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

pub use saved::{SavedDefinition, parse_saved, read_saved, saved_from_json};

/// What is being read.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// A test file: registrars and accounts stand in it, files are read.
    File(ReadFile<'a>),
    /// A saved test: registrars, accounts and media files are its project's.
    Saved {
        registrars: &'a [crate::api::Registrar],
        media: &'a [&'a str],
    },
}

/// Reads a test file.
///
/// Shape: `text` is the file; `default_name` is the test's name where the file gives none (the
/// file's stem); `read` resolves paths relative to the file.
/// Errors: every mistake at once, in the order of the text.
/// Bounds: files that the test names are read once each.
pub fn parse(text: &str, default_name: &str, read: ReadFile<'_>) -> Result<Test, Vec<Mistake>> {
    let mut mistakes = Mistakes::new(text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let at = error.span().map_or(0, |span| span.start);
        let spot = Spot {
            at,
            key: key_around(text, at),
        };
        mistakes.add(&spot, error.message().trim().replace('\n', ", "));
    }
    let guessed = mistakes.count();
    let root = Section::new(document.get_ref(), Spot::default());
    let test = read_test(root, default_name, Source::File(read), &mut mistakes);
    if guessed > 0 {
        mistakes.drop_echoes(guessed);
    }
    if mistakes.count() == 0 {
        Ok(test)
    } else {
        Err(mistakes.finish())
    }
}

/// The key that a syntax error stands at, from the lines alone: the last table header above it and
/// what stands before the `=`.
fn key_around(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text
        .get(start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or("");
    let header = before.lines().rfind(|line| line.starts_with('['));
    let table = header.map(|line| line.trim_matches(|c: char| "[] \t\r".contains(c)));
    let key = line
        .split_once('=')
        .map(|(key, _)| key.trim())
        .filter(|key| !key.starts_with('#'));
    let parts: Vec<&str> = [table, key].into_iter().flatten().collect();
    parts.join(".")
}

fn read_test(
    mut root: Section<'_, '_>,
    default_name: &str,
    source: Source<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Test {
    let name = root.text("name", mistakes);
    let duration = root.duration("duration", DURATION_MIN, DURATION_MAX, mistakes);
    let buildup = root.duration("buildup", Millis(0), DURATION_MAX, mistakes);
    let trace_sample = root.integer("trace_sample", 0, TRACE_SAMPLE_MAX, mistakes);
    let on_node_loss = read_on_node_loss(&mut root, mistakes);
    let publish_endpoints = root.flag("publish_endpoints", mistakes);
    let allow_targets = allow::read(&mut root, mistakes);
    let mut registrars = read_registrars(&mut root, source, mistakes);
    let (drafts, groups_spot) = read_groups(&mut root, source, mistakes);
    if let Source::Saved { .. } = source {
        registrars.retain(|own| {
            let named = |draft: &GroupDraft| {
                let name = draft.registrar.as_ref();
                name.is_some_and(|name| name.value == own.registrar.name)
            };
            drafts.iter().any(named)
        });
    }
    let names: Vec<String> = drafts
        .iter()
        .map(|draft| draft.group.name.clone())
        .collect();
    let thresholds = threshold::read(&mut root, &names, mistakes);
    let broken = root.has("duration") && duration.is_none();
    root.finish(mistakes);

    let duration = duration.map_or(DURATION_DEFAULT, |given| given.value);
    // A duration that was not understood makes nothing else wrong.
    let bound = if broken { Millis(u64::MAX) } else { duration };
    let buildup = buildup_within(buildup, bound, mistakes);
    let parts = Parts {
        registrars: &registrars,
        allow: &allow_targets,
        duration: bound,
        project: match source {
            Source::File(_) => None,
            Source::Saved { registrars, .. } => Some(registrars),
        },
    };
    let groups = check::resolve(&parts, drafts, mistakes);
    check::total_fits(&groups, &groups_spot, mistakes);
    Test {
        name: name.map_or_else(|| default_name.to_owned(), |given| given.value),
        duration,
        buildup,
        registrars: registrars
            .into_iter()
            .map(|draft| draft.registrar)
            .collect(),
        groups,
        thresholds,
        allow_targets,
        trace_sample: trace_sample.map_or(TRACE_SAMPLE_DEFAULT, |given| given.value),
        on_node_loss: on_node_loss.unwrap_or_default(),
        publish_endpoints: publish_endpoints.unwrap_or_default(),
    }
}

fn read_on_node_loss(
    root: &mut Section<'_, '_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<OnNodeLoss> {
    let given = root.text("on_node_loss", mistakes)?;
    match given.value.as_str() {
        "fail" => Some(OnNodeLoss::Fail),
        "continue" => Some(OnNodeLoss::Continue),
        other => {
            let message = format!(
                "\"{other}\" is neither \"fail\" (the run ends FAILED) nor \"continue\" (it goes on without the lost node's share)"
            );
            mistakes.add(&given.spot, message);
            None
        }
    }
}

fn read_registrars(
    root: &mut Section<'_, '_>,
    source: Source<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<RegistrarDraft> {
    if let Source::Saved { registrars, .. } = source {
        return registrars.iter().map(saved::registrar).collect();
    }
    let named = root.named("registrars", mistakes);
    named
        .into_iter()
        .map(|named| registrar::read(named, mistakes))
        .collect()
}

fn read_groups(
    root: &mut Section<'_, '_>,
    source: Source<'_>,
    mistakes: &mut Mistakes<'_>,
) -> (Vec<GroupDraft>, Spot) {
    let spot = Spot {
        at: 0,
        key: "groups".to_owned(),
    };
    let given = root.has("groups");
    let named = root.named("groups", mistakes);
    let spot = named.first().map_or(spot, |first| Spot {
        at: first.section.spot().at,
        key: "groups".to_owned(),
    });
    if named.is_empty() && !given {
        let message = "is missing; a test needs at least one group: [groups.callers]";
        mistakes.add(&spot, message);
    }
    if named.len() > GROUPS_MAX {
        mistakes.add(
            &spot,
            format!("{} groups; a test has at most {GROUPS_MAX}", named.len()),
        );
    }
    let drafts = named.into_iter().take(GROUPS_MAX);
    (
        drafts
            .map(|named| group::read(named, source, mistakes))
            .collect(),
        spot,
    )
}

/// The buildup as it was given, if it is shorter than the duration; else its default.
fn buildup_within(
    given: Option<Given<Millis>>,
    duration: Millis,
    mistakes: &mut Mistakes<'_>,
) -> Millis {
    let Some(given) = given else {
        return BUILDUP_DEFAULT.min(Millis(duration.0 / 4));
    };
    if given.value >= duration {
        let message = format!(
            "{} is not shorter than the duration ({duration}), which includes the buildup",
            given.value
        );
        mistakes.add(&given.spot, message);
    }
    given.value
}

const DURATION_DEFAULT: Millis = Millis(60_000);
const DURATION_MIN: Millis = Millis(1_000);
/// A week: soak tests run over a weekend.
const DURATION_MAX: Millis = Millis(7 * 86_400_000);
/// Or a quarter of the duration, where that is less.
const BUILDUP_DEFAULT: Millis = Millis(10_000);
/// Traces kept of endpoints that did not fail; failures are always kept.
const TRACE_SAMPLE_DEFAULT: u32 = 10;
const TRACE_SAMPLE_MAX: u32 = 1_000;
/// Groups of one test; each has its own row on every page.
const GROUPS_MAX: usize = 100;

#[cfg(test)]
mod tests;
