//! A mistake in a test file or in an API's test object: where it is, and what would be right.
//!
//! Owns the collecting of mistakes, so that all of them are told at once. Never decides whether
//! something is a mistake.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One mistake, for a person and for a tool.
///
/// Units: `line` and `column` count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// Line in the text.
    pub line: u32,
    /// Column in that line.
    pub column: u32,
    /// Path of the key, `groups[1].codecs`, numbered from 0 as in JSON; blank for the whole file.
    pub key: String,
    /// What is wrong and what would be right, without a final dot.
    pub message: String,
}

impl fmt::Display for Mistake {
    /// `12: groups[1].codecs: …`; the caller puts the file's name and a colon in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// A place in the text with the path of the key that stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spot {
    /// Octet offset in the text.
    pub(super) at: usize,
    /// Path of the key.
    pub(super) key: String,
}

/// Collects the mistakes of one text.
///
/// Bounds: keeps [`MISTAKES_MAX`] and counts the rest.
pub(super) struct Mistakes<'a> {
    text: &'a str,
    line_starts: Vec<usize>,
    /// Values are not repeated in messages.
    quiet: bool,
    found: Vec<(usize, Mistake)>,
    left_out: usize,
}

impl<'a> Mistakes<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            line_starts: std::iter::once(0).chain(breaks).collect(),
            quiet: false,
            found: Vec::new(),
            left_out: 0,
        }
    }

    /// For a text that nobody wrote like this: values of the wrong type are not repeated.
    pub(super) fn quiet(text: &'a str) -> Self {
        Self {
            quiet: true,
            ..Self::new(text)
        }
    }

    /// Notes a mistake.
    pub(super) fn add(&mut self, spot: &Spot, message: impl Into<String>) {
        if self.found.len() >= MISTAKES_MAX {
            self.left_out += 1;
            return;
        }
        let (line, column) = self.position(spot.at);
        let mistake = Mistake {
            line,
            column,
            key: spot.key.clone(),
            message: message.into(),
        };
        self.found.push((spot.at, mistake));
    }

    /// Forgets mistakes that were added since `mark` on a line that had one before it, because
    /// a value on a line with a syntax error was only guessed.
    pub(super) fn drop_echoes(&mut self, mark: usize) {
        let known: Vec<u32> = self.found.iter().take(mark).map(|(_, m)| m.line).collect();
        let mut index = 0;
        self.found.retain(|(_, mistake)| {
            index += 1;
            index <= mark || !known.contains(&mistake.line)
        });
    }

    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// The mistakes in the order of the text.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        self.found.sort_by_key(|(at, _)| *at);
        let mut mistakes: Vec<Mistake> = self.found.into_iter().map(|(_, m)| m).collect();
        mistakes.dedup();
        if let (true, Some(last)) = (self.left_out > 0, mistakes.last()) {
            let (line, column) = (last.line, last.column);
            mistakes.push(Mistake {
                line,
                column,
                key: String::new(),
                message: format!("{} more mistakes are not listed", self.left_out),
            });
        }
        mistakes
    }

    /// The source text of a span.
    pub(super) fn source(&self, span: Range<usize>) -> &'a str {
        if self.quiet {
            return "";
        }
        self.text.get(span).unwrap_or("")
    }

    fn position(&self, at: usize) -> (u32, u32) {
        let line = self
            .line_starts
            .partition_point(|start| *start <= at)
            .max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or("");
        let column = before.chars().count() + 1;
        (
            u32::try_from(line).unwrap_or(u32::MAX),
            u32::try_from(column).unwrap_or(u32::MAX),
        )
    }
}

/// Mistakes listed for one text; nobody reads more, and a broken file may hold thousands.
const MISTAKES_MAX: usize = 100;
