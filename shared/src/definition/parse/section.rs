//! A typed walk over a TOML table that goes on after a mistake.
//!
//! Owns: which keys of a table were asked for (the others are unknown keys), and the sentence for
//! a value of the wrong type. Never knows what a key means.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::mistake::{Mistakes, Spot};
use super::nearest::nearest;
use crate::units::Millis;

/// A value with the place where it was given.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) spot: Spot,
}

/// A table that is being read.
pub(super) struct Section<'a, 'i> {
    entries: &'a DeTable<'i>,
    spot: Spot,
    known: Vec<&'static str>,
}

/// A table with a name: `[registrars.NAME]`, or an element of `[[registrars]]` with a `name`.
pub(super) struct Named<'a, 'i> {
    pub(super) name: Given<String>,
    pub(super) section: Section<'a, 'i>,
}

impl<'a, 'i> Section<'a, 'i> {
    pub(super) fn new(entries: &'a DeTable<'i>, spot: Spot) -> Self {
        Self {
            entries,
            spot,
            known: Vec::new(),
        }
    }

    pub(super) fn spot(&self) -> &Spot {
        &self.spot
    }

    /// True where the key is given, with whatever value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.get(key).is_some()
    }

    /// The value of a key, which is a known key from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Field<'a, 'i>> {
        self.known.push(key);
        let value = self.entries.get(key)?;
        let spot = Spot {
            at: value.span().start,
            key: self.path(key),
        };
        Some(Field { value, spot })
    }

    pub(super) fn text(
        &mut self,
        key: &'static str,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<Given<String>> {
        let field = self.take(key)?;
        let text = field.text("a string in quotes", mistakes)?;
        if text.trim().is_empty() {
            mistakes.add(
                &field.spot,
                "is empty; leave the key out or give it a value",
            );
            return None;
        }
        Some(field.given(text.to_owned()))
    }

    /// A string that has to be there.
    pub(super) fn required_text(
        &mut self,
        key: &'static str,
        example: &str,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<Given<String>> {
        if !self.has(key) {
            self.known.push(key);
            let spot = Spot {
                at: self.spot.at,
                key: self.path(key),
            };
            mistakes.add(&spot, format!("is missing; write {key} = \"{example}\""));
            return None;
        }
        self.text(key, mistakes)
    }

    pub(super) fn flag(&mut self, key: &'static str, mistakes: &mut Mistakes<'_>) -> Option<bool> {
        let field = self.take(key)?;
        match field.value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                field.wrong_type("true or false", mistakes);
                None
            }
        }
    }

    /// A whole number between two bounds, both included.
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        least: u32,
        most: u32,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<Given<u32>> {
        let field = self.take(key)?;
        let number = field.integer(mistakes)?;
        match u32::try_from(number) {
            Ok(value) if (least..=most).contains(&value) => Some(field.given(value)),
            _ => {
                let message = format!("{number} is out of range; write {least} to {most}");
                mistakes.add(&field.spot, message);
                None
            }
        }
    }

    /// A duration between two bounds, both included.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        least: Millis,
        most: Millis,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<Given<Millis>> {
        let field = self.take(key)?;
        if let DeValue::Integer(number) = field.value.get_ref() {
            let number = number.as_str();
            let message = format!(
                "{number} has no unit; write \"{number}s\" for seconds or \"{number}ms\" for \
                 milliseconds"
            );
            mistakes.add(&field.spot, message);
            return None;
        }
        let text = field.text("a duration with its unit, such as \"30s\"", mistakes)?;
        match Millis::parse(text) {
            Ok(span) if (least..=most).contains(&span) => Some(field.given(span)),
            Ok(span) => {
                let message = format!("{span} is out of range; write \"{least}\" to \"{most}\"");
                mistakes.add(&field.spot, message);
                None
            }
            Err(message) => {
                mistakes.add(&field.spot, message);
                None
            }
        }
    }

    /// The tables of `[key.NAME]` or `[[key]]`, in the order of the text.
    pub(super) fn named(
        &mut self,
        key: &'static str,
        mistakes: &mut Mistakes<'_>,
    ) -> Vec<Named<'a, 'i>> {
        let Some(field) = self.take(key) else {
            return Vec::new();
        };
        match field.value.get_ref() {
            DeValue::Table(table) => named_by_key(table, key, mistakes),
            DeValue::Array(_) => named_by_field(&field, mistakes),
            _ => {
                field.wrong_type(&format!("tables: [{key}.NAME]"), mistakes);
                Vec::new()
            }
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self, mistakes: &mut Mistakes<'_>) {
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let spot = Spot {
                at: key.span().start,
                key: self.path(name),
            };
            let message = match nearest(name, self.known.iter().copied()) {
                Some(meant) => format!("unknown key; did you mean `{meant}`?"),
                None => format!("unknown key; known here are {}", self.known.join(", ")),
            };
            mistakes.add(&spot, message);
        }
    }

    fn path(&self, key: &str) -> String {
        join(&self.spot.key, key)
    }
}

/// A value that is being read.
#[derive(Clone)]
pub(super) struct Field<'a, 'i> {
    pub(super) value: &'a Spanned<DeValue<'i>>,
    pub(super) spot: Spot,
}

impl<'a, 'i> Field<'a, 'i> {
    pub(super) fn given<T>(&self, value: T) -> Given<T> {
        Given {
            value,
            spot: self.spot.clone(),
        }
    }

    /// The string, or a mistake that says what was wanted.
    pub(super) fn text(&self, wanted: &str, mistakes: &mut Mistakes<'_>) -> Option<&'a str> {
        if let DeValue::String(text) = self.value.get_ref() {
            return Some(text);
        }
        self.wrong_type(wanted, mistakes);
        None
    }

    pub(super) fn integer(&self, mistakes: &mut Mistakes<'_>) -> Option<i64> {
        if let DeValue::Integer(number) = self.value.get_ref()
            && let Ok(number) = i64::from_str_radix(number.as_str(), number.radix())
        {
            return Some(number);
        }
        self.wrong_type("a whole number", mistakes);
        None
    }

    /// A number (`Ok`) or a string (`Err`), where either may stand.
    pub(super) fn text_or_integer(&self) -> Option<Result<i64, &'a str>> {
        match self.value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .map(Ok),
            DeValue::String(text) => Some(Err(text)),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub(super) fn section(&self) -> Option<Section<'a, 'i>> {
        match self.value.get_ref() {
            DeValue::Table(table) => Some(Section::new(table, self.spot.clone())),
            _ => None,
        }
    }

    /// The elements, if it is an array; their paths are numbered from 0.
    pub(super) fn elements(&self) -> Option<Vec<Field<'a, 'i>>> {
        let DeValue::Array(array) = self.value.get_ref() else {
            return None;
        };
        let element = |(index, value): (usize, &'a Spanned<DeValue<'i>>)| Field {
            value,
            spot: Spot {
                at: value.span().start,
                key: format!("{}[{index}]", self.spot.key),
            },
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// The strings of an array, with a mistake for every element that is none.
    pub(super) fn texts(
        &self,
        wanted: &str,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<Vec<Given<&'a str>>> {
        let Some(elements) = self.elements() else {
            self.wrong_type(&format!("a list of strings: {wanted}"), mistakes);
            return None;
        };
        let texts = elements.iter().filter_map(|element| {
            element
                .text(wanted, mistakes)
                .map(|text| element.given(text))
        });
        Some(texts.collect())
    }

    pub(super) fn wrong_type(&self, wanted: &str, mistakes: &mut Mistakes<'_>) {
        let kind = match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let source = mistakes.source(self.value.span());
        let short =
            source.len() <= SOURCE_SHOWN_MAX && !source.contains('\n') && !source.starts_with('[');
        let message = if short && !source.is_empty() {
            format!("`{source}` is {kind}; write {wanted}")
        } else {
            format!("is {kind}; write {wanted}")
        };
        mistakes.add(&self.spot, message);
    }
}

fn named_by_key<'a, 'i>(
    table: &'a DeTable<'i>,
    key: &'static str,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Named<'a, 'i>> {
    let mut fields: Vec<(&str, usize, Field<'a, 'i>)> = table
        .iter()
        .map(|(name, value)| {
            let at = name.span().start;
            let name: &str = name.get_ref();
            let spot = Spot {
                at,
                key: join(key, name),
            };
            (name, at, Field { value, spot })
        })
        .collect();
    fields.sort_by_key(|(_, at, _)| *at);
    let mut named = Vec::new();
    for (name, _, field) in fields {
        match field.section() {
            Some(section) => named.push(Named {
                name: field.given(name.to_owned()),
                section,
            }),
            None => field.wrong_type(&format!("a table: [{key}.NAME]"), mistakes),
        }
    }
    named
}

fn named_by_field<'a, 'i>(
    field: &Field<'a, 'i>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Named<'a, 'i>> {
    let mut named: Vec<Named<'a, 'i>> = Vec::new();
    for element in field.elements().unwrap_or_default() {
        let Some(mut section) = element.section() else {
            element.wrong_type("a table", mistakes);
            continue;
        };
        let name = section
            .required_text("name", "NAME", mistakes)
            .unwrap_or_else(|| Given {
                value: String::new(),
                spot: section.spot().clone(),
            });
        let twice = named.iter().any(|other| other.name.value == name.value);
        if twice && !name.value.is_empty() {
            let message = format!("`{}` is taken; names must be unique", name.value);
            mistakes.add(&name.spot, message);
        }
        named.push(Named { name, section });
    }
    named
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Longer values are not repeated in a message.
const SOURCE_SHOWN_MAX: usize = 40;
