//! The `name=value` lists of authentication header fields.
//!
//! Owns: cutting them, quoted strings and quoted-pairs included, and writing a quoted string.
//! Never: knows a name.
//! Source: RFC 3261 §25.1 `challenge`, `credentials`; RFC 7616 §3.3, §3.4.

use crate::wire::lex;

/// One `name=value` of an authentication header, the value as plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    pub(super) name: &'a str,
    pub(super) value: String,
}

/// Cuts one or more challenges (or one set of credentials) into scheme and pairs.
///
/// Shape: `Digest a="b", c=d, Basic e="f"` gives two groups; an element without `=` or with a space
/// before its first name starts a new group (RFC 7235 §4.1).
/// Errors: `None` when it does not start with a scheme, a name is not a token or the text is not
/// UTF-8.
/// Bounds: at most `MAX_PAIRS` pairs are kept, the rest is refused.
pub(super) fn groups(value: &[u8]) -> Option<Vec<(&str, Vec<Pair<'_>>)>> {
    let mut groups: Vec<(&str, Vec<Pair<'_>>)> = Vec::new();
    let mut pairs = 0;
    for element in lex::Elements::of(value) {
        let (before, _) = lex::cut(element, b'=').unwrap_or((element, &[]));
        let before = lex::trim(before);
        let pair = match before.iter().position(|byte| lex::is_space(*byte)) {
            Some(space) => {
                groups.push((lex::utf8(before.get(..space)?)?, Vec::new()));
                lex::trim(element.get(space..)?)
            }
            None if lex::cut(element, b'=').is_none() => {
                groups.push((lex::utf8(before)?, Vec::new()));
                continue;
            }
            None => element,
        };
        pairs += 1;
        if pairs > MAX_PAIRS {
            return None;
        }
        groups.last_mut()?.1.push(one(pair)?);
    }
    (!groups.is_empty()).then_some(groups)
}

fn one(pair: &[u8]) -> Option<Pair<'_>> {
    let (name, value) = lex::cut(pair, b'=')?;
    let name = lex::trim(name);
    if !lex::is_token(name) {
        return None;
    }
    Some(Pair {
        name: lex::utf8(name)?,
        value: String::from_utf8(lex::unquote(lex::trim(value))).ok()?,
    })
}

/// Appends `text` as a quoted string.
pub(super) fn put_quoted(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

/// More pairs than any real header has.
const MAX_PAIRS: usize = 64;
