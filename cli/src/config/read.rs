//! Reads the configuration from its sources, and tells everything that is wrong at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use shared::definition::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::rule::Raw;
use super::{KEY_VARIABLE, Settings, keys};

/// A value from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    /// What the user wrote, for messages: `--bind`.
    pub(crate) shown: String,
    /// `section.key`.
    pub(crate) key: String,
    pub(crate) value: String,
}

/// A configuration that cannot be used: a sentence for each mistake, with its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BadConfig {
    mistakes: Vec<String>,
}

impl BadConfig {
    pub(super) fn add(&mut self, mistake: String) {
        if self.mistakes.len() < MISTAKES_MAX {
            self.mistakes.push(mistake);
        }
    }
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.mistakes {
            writeln!(f, "{mistake}")?;
        }
        let count = self.mistakes.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "{count} {noun} in the configuration")
    }
}

/// Reads the configuration: defaults, over them the file, over it the environment, over that the
/// flags.
///
/// Errors: everything that is wrong in any of them.
pub(crate) fn load<S: Settings>(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<S, BadConfig> {
    let mut config = S::default();
    let mut bad = BadConfig::default();
    if let Some(path) = file {
        match std::fs::read_to_string(path) {
            Ok(text) => from_file(&mut config, path, &text, &mut bad),
            Err(error) => bad.add(format!("{}: cannot be read: {error}", path.display())),
        }
    }
    from_environment(&mut config, environment, &mut bad);
    from_flags(&mut config, flags, &mut bad);
    config.settle(&mut bad);
    if bad.mistakes.is_empty() {
        Ok(config)
    } else {
        Err(bad)
    }
}

/// The environment of this process. What is no text is no variable of ours.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// `CARILLON_` + section + `_` + key in capitals.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

pub(super) fn from_file<S: Settings>(config: &mut S, path: &Path, text: &str, bad: &mut BadConfig) {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let mut found: Vec<(usize, String)> = Vec::new();
    for error in &syntax {
        let at = error.span().map_or(0, |span| span.start);
        found.push((at, error.message().trim().replace('\n', ", ")));
    }
    let table = document.get_ref();
    let mut known = Vec::new();
    keys::every(config, &mut |path, set| {
        known.push(path);
        if let Some(value) = value_at(table, path)
            && let Err(message) = set(&Raw::Toml(value.get_ref()))
        {
            found.push((value.span().start, format!("{path}: {message}")));
        }
    });
    unknown(table, &known, &mut found);
    found.sort();
    for (at, message) in found {
        let (line, column) = position(text, at);
        bad.add(format!("{}:{line}:{column}: {message}", path.display()));
    }
}

fn value_at<'t, 'i>(table: &'t DeTable<'i>, path: &str) -> Option<&'t Spanned<DeValue<'i>>> {
    match path.split_once('.') {
        None => table.get(path),
        Some((section, key)) => match table.get(section)?.get_ref() {
            DeValue::Table(inner) => inner.get(key),
            _ => None,
        },
    }
}

/// Keys and sections that nobody asks for.
fn unknown(table: &DeTable<'_>, known: &[&'static str], found: &mut Vec<(usize, String)>) {
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in known {
        let (section, key) = path.split_once('.').unwrap_or(("", path));
        sections.entry(section).or_default().push(key);
    }
    let top = sections.get("").map_or(&[][..], Vec::as_slice);
    for (key, value) in table {
        let name: &str = key.get_ref();
        let at = key.span().start;
        let is_section = !name.is_empty() && sections.contains_key(name);
        match (is_section, value.get_ref()) {
            (true, DeValue::Table(inner)) => {
                let keys = sections.get(name).map_or(&[][..], Vec::as_slice);
                for (key, _) in inner {
                    let inner_name: &str = key.get_ref();
                    if !keys.contains(&inner_name) {
                        let message = unknown_key(inner_name, keys.iter().copied());
                        found.push((key.span().start, format!("{name}.{inner_name}: {message}")));
                    }
                }
            }
            (true, _) => found.push((at, format!("{name}: is no section; write [{name}]"))),
            (false, _) if top.contains(&name) => {}
            (false, _) => {
                let names = sections.keys().copied().filter(|name| !name.is_empty());
                let message = unknown_key(name, top.iter().copied().chain(names));
                found.push((at, format!("{name}: {message}")));
            }
        }
    }
}

fn unknown_key<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(meant) => format!("unknown key; did you mean `{meant}`?"),
        None => {
            let known: Vec<&str> = known.collect();
            format!("unknown key; known here are {}", known.join(", "))
        }
    }
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before.get(start..).unwrap_or("").chars().count() + 1)
}

pub(super) fn from_environment<S: Settings>(
    config: &mut S,
    environment: impl Iterator<Item = (String, String)>,
    bad: &mut BadConfig,
) {
    let mut given: BTreeMap<String, String> = environment
        .filter(|(name, _)| name.starts_with(PREFIX) && name != KEY_VARIABLE)
        .collect();
    let mut known = Vec::new();
    let mut sections = Vec::new();
    keys::every(config, &mut |path, set| {
        let name = variable(path);
        if let Some(value) = given.remove(&name)
            && let Err(message) = set(&Raw::Text(&value))
        {
            bad.add(format!("{name}: {message}"));
        }
        if let Some((section, _)) = path.split_once('.') {
            sections.push(format!("{}_", variable(section)));
        }
        known.push(name);
    });
    // Variables of other commands (CARILLON_URL, CARILLON_LOG) have no section.
    for name in given.keys() {
        if sections.iter().any(|section| name.starts_with(section)) {
            let message = match nearest(name, known.iter().map(String::as_str)) {
                Some(meant) => format!("no such key; did you mean {meant}?"),
                None => format!("no such key; {} lists them all", S::SHIPPED),
            };
            bad.add(format!("{name}: {message}"));
        }
    }
}

pub(super) fn from_flags<S: Settings>(config: &mut S, flags: &[Flag], bad: &mut BadConfig) {
    let mut known = Vec::new();
    keys::every(config, &mut |path, set| {
        known.push(path);
        for flag in flags.iter().filter(|flag| flag.key == path) {
            if let Err(message) = set(&Raw::Text(&flag.value)) {
                bad.add(format!("{}: {message}", flag.shown));
            }
        }
    });
    for flag in flags {
        if !known.contains(&flag.key.as_str()) {
            let message = match nearest(&flag.key, known.iter().copied()) {
                Some(meant) => format!("no such key; did you mean `{meant}`?"),
                None => format!("no such key; {} lists them all", S::SHIPPED),
            };
            bad.add(format!("{}: {message}", flag.shown));
        }
    }
}

const PREFIX: &str = "CARILLON_";
/// Nobody reads more at once.
const MISTAKES_MAX: usize = 100;
