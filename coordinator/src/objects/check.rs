//! Fields of requests: all problems at once.
//!
//! Owns the collecting and the rules of single fields. Never repeats a password in a problem.

use shared::api::{FieldProblem, NAME_MAX};
use shared::units::Millis;

use super::ObjectError;

/// Collects what is wrong with one request.
#[derive(Default)]
pub(super) struct Check {
    problems: Vec<FieldProblem>,
    left_out: usize,
}

impl Check {
    /// Notes a problem.
    pub(super) fn add(&mut self, field: &str, code: &str, detail: impl Into<String>) {
        if self.problems.len() >= PROBLEMS_MAX {
            self.left_out += 1;
            return;
        }
        self.problems.push(FieldProblem {
            field: field.to_owned(),
            code: code.to_owned(),
            detail: detail.into(),
        });
    }

    /// Notes problems that another part found.
    pub(super) fn extend(&mut self, problems: Vec<FieldProblem>) {
        for problem in problems {
            self.add(&problem.field, &problem.code, problem.detail);
        }
    }

    /// A name: 1 to [`NAME_MAX`] octets, no control characters, no blanks at its ends.
    pub(super) fn name(&mut self, field: &str, name: &str) {
        if name.trim().is_empty() {
            self.add(field, "missing", "is empty; give it a name");
        } else if name.trim() != name {
            self.add(
                field,
                "invalid",
                "begins or ends with a blank; leave it out",
            );
        }
        self.text(field, name, NAME_MAX);
    }

    /// A name that test files can hold without quotes.
    pub(super) fn plain_name(&mut self, field: &str, name: &str) {
        self.name(field, name);
        let odd = |c: &char| !(c.is_ascii_alphanumeric() || "-_.".contains(*c));
        if let Some(odd) = name.trim().chars().find(odd) {
            let detail = format!("holds {odd:?}; write letters, digits, `-`, `_` and `.`");
            self.add(field, "invalid", detail);
        }
    }

    /// A text of at most `most` octets without control characters.
    pub(super) fn text(&mut self, field: &str, text: &str, most: usize) {
        if text.len() > most {
            let detail = format!("has {} octets; at most {most} are kept", text.len());
            self.add(field, "too_long", detail);
        }
        if text.chars().any(char::is_control) {
            self.add(field, "invalid", "holds a control character; leave it out");
        }
    }

    /// A password: 1 to [`PASSWORD_MAX`] octets of text without control characters.
    pub(super) fn password(&mut self, field: &str, password: &str) {
        if password.is_empty() {
            self.add(field, "missing", "is empty; give a password");
        }
        self.text(field, password, PASSWORD_MAX);
    }

    /// A whole number between two bounds, both included.
    pub(super) fn number(&mut self, field: &str, number: u32, least: u32, most: u32) {
        if !(least..=most).contains(&number) {
            let detail = format!("{number} is out of range; write {least} to {most}");
            self.add(field, "out_of_range", detail);
        }
    }

    /// A duration with its unit between two bounds, both included.
    pub(super) fn duration(&mut self, field: &str, text: &str, least: Millis, most: Millis) {
        match Millis::parse(text) {
            Err(detail) => self.add(field, "invalid", detail),
            Ok(span) if !(least..=most).contains(&span) => {
                let detail = format!("{span} is out of range; write \"{least}\" to \"{most}\"");
                self.add(field, "out_of_range", detail);
            }
            Ok(_) => {}
        }
    }

    /// What a checker of `shared` says, if it says something.
    pub(super) fn fault(&mut self, field: &str, fault: Option<String>) {
        if let Some(fault) = fault {
            self.add(field, "invalid", fault);
        }
    }

    /// Everything that was found, as one error.
    pub(super) fn done(mut self) -> Result<(), ObjectError> {
        if self.left_out > 0 {
            let detail = format!("{} more problems are not listed", self.left_out);
            self.problems.push(FieldProblem {
                field: String::new(),
                code: "more".to_owned(),
                detail,
            });
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ObjectError::Invalid(self.problems))
        }
    }
}

/// Problems told of one request; nobody reads more.
const PROBLEMS_MAX: usize = 100;
/// Octets of a SIP password.
pub(super) const PASSWORD_MAX: usize = 256;
/// Octets of a realm or a host: a DNS name has 253.
pub(super) const HOST_MAX: usize = 256;
