//! The small lexical rules that every header shares: tokens, LWS, quoted strings, lists and
//! parameters.
//!
//! Owns: cutting a byte slice by RFC 3261 §25.1 rules without copying. Never: allocates, or indexes
//! past a slice.
//! Source: RFC 3261 §25.1.

/// A stretch of the header section; an empty one stands for "absent".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

impl Span {
    /// The span of positions `start..end`; both fit because a header section is bounded to 16 KiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let clip = |position: usize| u16::try_from(position).unwrap_or(u16::MAX);
        Self {
            start: clip(start),
            end: clip(end),
        }
    }

    /// Where `part` lies in `whole`; the empty span when it does not.
    pub(crate) fn within(whole: &[u8], part: &[u8]) -> Self {
        let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        if offset.saturating_add(part.len()) > whole.len() {
            return Self::default();
        }
        Self::new(offset, offset + part.len())
    }

    /// The octets of this span; empty when it does not fit `text`.
    pub(crate) fn of(self, text: &[u8]) -> &[u8] {
        text.get(usize::from(self.start)..usize::from(self.end))
            .unwrap_or_default()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// Whether `byte` may stand in a token (RFC 3261 §25.1 `token`).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    class(byte) & TOKEN != 0
}

pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

pub(crate) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    text
}

pub(crate) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

pub(crate) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

/// The octets as text, when they are UTF-8.
pub(crate) fn utf8(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok()
}

/// Cuts at the first `byte`: what is before and what is after.
pub(crate) fn cut(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, text)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Reads `1*DIGIT`; `None` for anything else or a value past `u64`.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// The position of the first `separator` outside quoted strings and angle brackets.
///
/// Errors: `Err(())` when a quoted string or a bracket is still open at the end.
pub(crate) fn find_top(text: &[u8], separator: u8) -> Result<Option<usize>, Unbalanced> {
    let mut quoted = false;
    let mut escaped = false;
    let mut angle = false;
    for (at, &byte) in text.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            escaped = byte == b'\\';
            quoted = byte != b'"';
        } else if byte == separator && !angle {
            return Ok(Some(at));
        } else {
            match byte {
                b'"' => quoted = true,
                b'<' => angle = true,
                b'>' => angle = false,
                _ => {}
            }
        }
    }
    if quoted || angle {
        Err(Unbalanced)
    } else {
        Ok(None)
    }
}

/// A quoted string or a pair of angle brackets is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unbalanced;

/// The elements of a comma-separated value, trimmed; quoted strings and `<>` are respected, empty
/// elements skipped.
#[derive(Debug, Clone)]
pub(crate) struct Elements<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Elements<'a> {
    pub(crate) fn of(value: &'a [u8]) -> Self {
        Self { rest: Some(value) }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some(rest) = self.rest {
            let element = match find_top(rest, b',') {
                Ok(Some(comma)) => {
                    self.rest = rest.get(comma + 1..);
                    rest.get(..comma).unwrap_or_default()
                }
                Ok(None) | Err(Unbalanced) => {
                    self.rest = None;
                    rest
                }
            };
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// The name of a parameter and its value, if it has one.
type ParamPair<'a> = (&'a [u8], Option<&'a [u8]>);

/// The parameters of `;name=value;name` text: pairs of name and value, trimmed; a value keeps its
/// quotes.
#[derive(Debug, Clone)]
pub(crate) struct ParamPairs<'a> {
    rest: &'a [u8],
}

impl<'a> ParamPairs<'a> {
    /// `text` starts at the first `;` (or is empty).
    pub(crate) fn of(text: &'a [u8]) -> Self {
        Self { rest: text }
    }
}

impl<'a> Iterator for ParamPairs<'a> {
    type Item = ParamPair<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let [b';', rest @ ..] = trim_start(self.rest) else {
            return None;
        };
        let (pair, _, rest) = one_param(rest);
        self.rest = rest;
        Some(pair)
    }
}

/// Cuts one parameter off `text` (which starts after its `;`): name and value, whether it is sound,
/// and the rest.
fn one_param(text: &[u8]) -> (ParamPair<'_>, bool, &[u8]) {
    let name_end = text
        .iter()
        .position(|byte| matches!(byte, b';' | b'='))
        .unwrap_or(text.len());
    let name = trim(text.get(..name_end).unwrap_or_default());
    let name_is_sound = !name.is_empty() && name.iter().all(|byte| class(*byte) & PARAM_NAME != 0);
    let after = text.get(name_end..).unwrap_or_default();
    let [b'=', after @ ..] = after else {
        return ((name, None), name_is_sound, after);
    };
    let mut quoted = false;
    let mut escaped = false;
    let end = after.iter().position(|&byte| {
        if escaped {
            escaped = false;
        } else if quoted {
            escaped = byte == b'\\';
            quoted = byte != b'"';
        } else if byte == b';' {
            return true;
        } else {
            quoted = byte == b'"';
        }
        false
    });
    let (value, rest) = after
        .split_at_checked(end.unwrap_or(after.len()))
        .unwrap_or((after, &[]));
    ((name, Some(trim(value))), name_is_sound && !quoted, rest)
}

/// The value of the first parameter called `name` (any case); `Some(None)` for one without a value.
pub(crate) fn param<'a>(params: &'a [u8], name: &[u8]) -> Option<Option<&'a [u8]>> {
    ParamPairs::of(params)
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Whether `text` is nothing or a list of parameters that all have a name, with all quoted strings
/// closed.
pub(crate) fn params_are_sound(text: &[u8]) -> bool {
    let mut rest = trim(text);
    while let [b';', after @ ..] = rest {
        let (_, sound, left) = one_param(after);
        if !sound {
            return false;
        }
        rest = left;
    }
    rest.is_empty()
}

/// The content of a quoted string with its quoted-pairs resolved; text without quotes is given back
/// as it is.
pub(crate) fn unquote(text: &[u8]) -> Vec<u8> {
    let [b'"', inner @ .., b'"'] = text else {
        return text.to_vec();
    };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            other => plain.push(other),
        }
    }
    plain
}

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

/// In a token.
const TOKEN: u8 = 1;
/// In the name of a parameter: header parameters are named by tokens, URI parameters also by `[ ] /
/// : & $ ( )`.
const PARAM_NAME: u8 = 2;

/// What each octet may be part of, looked up rather than compared: every header name and parameter
/// passes here.
static CLASSES: [u8; 256] = {
    let mut classes = [0_u8; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        let octet = byte as u8;
        if octet.is_ascii_alphanumeric()
            || matches!(
                octet,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            )
        {
            classes[byte] = TOKEN | PARAM_NAME;
        } else if matches!(octet, b'[' | b']' | b'/' | b':' | b'&' | b'$' | b'(' | b')')
            || octet >= 0x80
        {
            classes[byte] = PARAM_NAME;
        }
        byte += 1;
    }
    classes
};
