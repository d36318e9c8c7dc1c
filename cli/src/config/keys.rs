//! How keys are visited, each once: where it stands, what it sets, and the rule for its value.

use std::path::Path;

use super::read::BadConfig;
use super::rule::{self, Raw};
use super::{Log, LogFormat, Settings};

/// Takes a value for one key.
pub(super) type Set<'s> = &'s mut dyn FnMut(&Raw<'_>) -> Result<(), String>;

/// Visits every key as `section.key` (or `key` at the top), with what sets it.
pub(super) fn every<S: Settings>(settings: &mut S, on: &mut dyn FnMut(&'static str, Set<'_>)) {
    settings.keys(&mut Visit { on });
}

/// Goes from key to key.
pub(crate) struct Visit<'v, 'o> {
    on: &'v mut (dyn FnMut(&'static str, Set<'_>) + 'o),
}

impl Visit<'_, '_> {
    pub(super) fn key<T>(
        &mut self,
        path: &'static str,
        place: &mut T,
        rule: impl Fn(&Raw<'_>) -> Result<T, String>,
    ) {
        (self.on)(path, &mut |raw| {
            *place = rule(raw)?;
            Ok(())
        });
    }
}

pub(super) fn log(log: &mut Log, visit: &mut Visit<'_, '_>) {
    visit.key("log.format", &mut log.format, |raw| {
        rule::choice(raw, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
    });
    visit.key("log.filter", &mut log.filter, rule::log_filter);
}

/// A certificate and its key: one without the other is a mistake.
pub(super) fn both_or_neither(
    section: &str,
    (first_name, second_name): (&str, &str),
    first: &Path,
    second: &Path,
    bad: &mut BadConfig,
) {
    let blank = |path: &Path| path.as_os_str().is_empty();
    let (missing, given) = match (blank(first), blank(second)) {
        (true, false) => (first_name, second_name),
        (false, true) => (second_name, first_name),
        (true, true) | (false, false) => return,
    };
    bad.add(format!(
        "{section}.{missing}: is missing, while {given} is given; TLS needs both"
    ));
}
