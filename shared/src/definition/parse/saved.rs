//! Saved tests: the test file's grammar in JSON, with registrars, accounts and media of a project.
//!
//! Owns the way from JSON to the file's parser and from its mistakes to the API's problems. So there
//! is one grammar, one set of defaults and one set of checks (docs/TESTFILE.md). A path in a mistake
//! is the path in the JSON.

use std::fmt::Write;

use serde_json::Value;
use toml::de::DeTable;

use super::super::mistake::{Mistake, Mistakes, Spot};
use super::super::{Registrar, Test};
use super::check::{NO_REGISTRAR, NOT_ALLOWED};
use super::media::NO_MEDIA;
use super::nearest::nearest;
use super::registrar::{RegistrarDraft, SIP_PORT};
use super::section::Section;
use super::{Source, read_test};
use crate::api::{self, FieldProblem, TestDefinition};

/// A saved test that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedDefinition {
    /// The test: groups have no accounts, `media` holds names of the project's files, `registrars`
    /// are those that groups use.
    pub test: Test,
    /// For each group the user names that it may take; none: any of the registrar's.
    pub account_patterns: Vec<Option<Vec<String>>>,
}

/// Reads a saved test.
///
/// `registrars`, `media`: what its project has now.
/// Errors: everything that is wrong with it, with codes `missing`, `unknown_field`,
/// `registrar_missing`, `media_missing`, `target_not_allowed` and `invalid`.
pub fn parse_saved(
    definition: &TestDefinition,
    registrars: &[api::Registrar],
    media: &[&str],
) -> Result<SavedDefinition, Vec<FieldProblem>> {
    let (saved, problems) = read_saved(definition, registrars, media);
    if problems.is_empty() {
        Ok(saved)
    } else {
        Err(problems)
    }
}

/// As [`parse_saved`], with what could be made of a test that has problems: good for its size only.
#[must_use]
pub fn read_saved(
    definition: &TestDefinition,
    registrars: &[api::Registrar],
    media: &[&str],
) -> (SavedDefinition, Vec<FieldProblem>) {
    let text = toml_of(definition);
    let mut mistakes = Mistakes::quiet(&text);
    let (document, syntax) = DeTable::parse_recoverable(&text);
    for error in &syntax {
        let at = error.span().map_or(0, |span| span.start);
        let spot = Spot {
            at,
            key: "groups".to_owned(),
        };
        mistakes.add(&spot, error.message().trim().replace('\n', ", "));
    }
    if definition.groups.is_empty() {
        let spot = Spot {
            at: 0,
            key: "groups".to_owned(),
        };
        mistakes.add(&spot, "is empty; a test needs at least one group");
    }
    let root = Section::new(document.get_ref(), Spot::default());
    let source = Source::Saved { registrars, media };
    let mut test = read_test(root, &definition.name, source, &mut mistakes);
    let account_patterns = test
        .groups
        .iter_mut()
        .map(|group| {
            let accounts = std::mem::take(&mut group.accounts);
            let names: Vec<String> = accounts.into_iter().map(|a| a.username).collect();
            (!names.is_empty()).then_some(names)
        })
        .collect();
    let problems = mistakes.finish().into_iter().map(problem).collect();
    let saved = SavedDefinition {
        test,
        account_patterns,
    };
    (saved, problems)
}

/// A saved test from free JSON, with a problem for each key that is not one of its.
pub fn saved_from_json(json: Value) -> Result<TestDefinition, Vec<FieldProblem>> {
    let problem = |field: &str, code: &str, detail: String| FieldProblem {
        field: field.to_owned(),
        code: code.to_owned(),
        detail,
    };
    let Value::Object(keys) = &json else {
        let detail = "is no object; write {\"name\": …, \"groups\": {…}}".to_owned();
        return Err(vec![problem("", "invalid", detail)]);
    };
    let unknown = keys.keys().filter(|key| !KEYS.contains(&key.as_str()));
    let mut problems: Vec<FieldProblem> = unknown
        .map(|key| {
            let detail = match (key.as_str(), nearest(key, KEYS)) {
                ("registrars", _) => {
                    "registrars are the project's; store them there (POST …/registrars), and name \
                     them in the groups: \"registrar\": \"NAME\""
                        .to_owned()
                }
                (_, Some(meant)) => format!("unknown key; did you mean `{meant}`?"),
                (_, None) => format!("unknown key; known here are {}", KEYS.join(", ")),
            };
            problem(key, "unknown_field", detail)
        })
        .collect();
    for required in ["name", "groups"] {
        if !keys.contains_key(required) {
            problems.push(problem(required, "missing", "is missing".to_owned()));
        }
    }
    for (key, is, wanted) in [
        ("name", Value::is_string as fn(&Value) -> bool, "a string"),
        ("duration", Value::is_string, "a string: \"60s\""),
        ("buildup", Value::is_string, "a string: \"10s\""),
        ("groups", Value::is_object, "an object: {\"callers\": {…}}"),
        (
            "thresholds",
            is_texts,
            "a list of strings: [\"mos.p5 >= 3.8\"]",
        ),
        (
            "allow_targets",
            is_texts,
            "a list of strings: [\"10.0.0.0/8\"]",
        ),
        ("trace_sample", is_u32, "a whole number: 10"),
        (
            "on_node_loss",
            Value::is_string,
            "a string: \"fail\" or \"continue\"",
        ),
        ("publish_endpoints", Value::is_boolean, "true or false"),
    ] {
        let optional = !["name", "groups"].contains(&key);
        let null = |value: &&Value| !(optional && value.is_null());
        if keys.get(key).filter(null).is_some_and(|value| !is(value)) {
            problems.push(problem(key, "invalid", format!("is not {wanted}")));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_json::from_value(json).map_err(|error| vec![problem("", "invalid", error.to_string())])
}

fn is_texts(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|elements| elements.iter().all(Value::is_string))
}

fn is_u32(value: &Value) -> bool {
    value
        .as_u64()
        .is_some_and(|number| u32::try_from(number).is_ok())
}

/// A project's registrar as the file's parser has them.
pub(super) fn registrar(own: &api::Registrar) -> RegistrarDraft {
    let spot = Spot {
        at: 0,
        key: "allow_targets".to_owned(),
    };
    RegistrarDraft {
        registrar: Registrar {
            name: own.name.clone(),
            domain: own.domain.clone(),
            host: own.host.clone().unwrap_or_else(|| own.domain.clone()),
            port: own.port.unwrap_or(SIP_PORT),
            transport: own.transport,
            outbound_proxy: own.outbound_proxy.clone(),
            expires_s: own.expires_s,
        },
        host_spot: spot.clone(),
        proxy_spot: own.outbound_proxy.as_ref().map(|_| spot),
    }
}

fn problem(mistake: Mistake) -> FieldProblem {
    let message = mistake.message;
    let code = if message.starts_with("unknown key") {
        "unknown_field"
    } else if message.starts_with("is missing") {
        "missing"
    } else if message.starts_with(NO_REGISTRAR) {
        "registrar_missing"
    } else if message.starts_with(NO_MEDIA) {
        "media_missing"
    } else if message.contains(NOT_ALLOWED) {
        "target_not_allowed"
    } else {
        "invalid"
    };
    FieldProblem {
        field: mistake.key,
        code: code.to_owned(),
        detail: message,
    }
}

/// The same fields as TOML, on one line a key; keys keep their order.
fn toml_of(definition: &TestDefinition) -> String {
    let mut out = String::new();
    let mut pair = |key: &str, value: Value| {
        out.push_str(key);
        out.push_str(" = ");
        write_value(&mut out, &value);
        out.push('\n');
    };
    pair("name", Value::from(definition.name.as_str()));
    for (key, given) in [
        ("duration", &definition.duration),
        ("buildup", &definition.buildup),
    ] {
        if let Some(text) = given {
            pair(key, Value::from(text.as_str()));
        }
    }
    for (key, given) in [
        ("thresholds", &definition.thresholds),
        ("allow_targets", &definition.allow_targets),
    ] {
        if let Some(texts) = given {
            pair(key, Value::from(texts.as_slice()));
        }
    }
    if let Some(number) = definition.trace_sample {
        pair("trace_sample", Value::from(number));
    }
    if let Some(text) = &definition.on_node_loss {
        pair("on_node_loss", Value::from(text.as_str()));
    }
    if let Some(flag) = definition.publish_endpoints {
        pair("publish_endpoints", Value::from(flag));
    }
    let mut groups = definition.groups.clone();
    for group in groups.values_mut().filter(|group| group.is_null()) {
        // A key that is null counts as left out; a group that is, is a mistake.
        *group = Value::from("");
    }
    pair("groups", Value::Object(groups));
    out
}

/// Depth is bounded by the JSON parser that made the value.
fn write_value(out: &mut String, value: &Value) {
    match value {
        // Only in a list, where it is a mistake whatever it says.
        Value::Null => out.push_str("\"\""),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{number}");
        }
        Value::String(text) => write_text(out, text),
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(out, element);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            out.push('{');
            // A key that is null is a key that is not there.
            let given = entries.iter().filter(|(_, value)| !value.is_null());
            for (index, (key, value)) in given.enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_text(out, key);
                out.push_str(" = ");
                write_value(out, value);
            }
            out.push('}');
        }
    }
}

/// A TOML basic string: quotes, backslashes and control characters escaped.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

const KEYS: [&str; 9] = [
    "name",
    "duration",
    "buildup",
    "groups",
    "thresholds",
    "allow_targets",
    "trace_sample",
    "on_node_loss",
    "publish_endpoints",
];

#[cfg(test)]
mod tests;
