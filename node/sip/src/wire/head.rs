//! The start line and the index of header lines.
//!
//! Owns: finding lines, unfolding them, cutting names from values, within the limits. Never: judges
//! a value.
//! Source: RFC 3261 §7.1, §7.2, §7.3.1, §7.5.

use super::lex::{self, Span};
use super::{MAX_HEADER_LINES, MAX_HEADER_SECTION, MAX_LINE, Method, Name, RejectKind};

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    Request { method: Method, uri: Span },
    Response { code: u16, reason: Span },
}

/// One header line: its name, and where name and value stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: Name,
    pub(crate) name_span: Span,
    pub(crate) value: Span,
}

/// A cut header section.
///
/// Shape: spans count from the first octet of the start line, in `unfolded` if there is one, else
/// in the octets as received: unfolding writes two spaces over each CRLF, so positions are the same
/// in both.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) start: Start,
    pub(crate) lines: Vec<Line>,
    pub(crate) end: usize,
    pub(crate) unfolded: Option<Box<[u8]>>,
    /// The first thing that is wrong but does not hide where the header section ends.
    pub(crate) fault: Option<RejectKind>,
}

impl Head {
    /// Cuts the header section at the start of `octets`.
    ///
    /// Errors: the kinds after which nothing more can be said: no end, a limit, a bare CR or LF, no
    /// SIP start line.
    /// Bounds: one pass over at most `MAX_HEADER_SECTION` octets; one allocation, two more when a
    /// line is folded.
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, RejectKind> {
        let cut = cut_lines(octets)?;
        let unfolded = (!cut.folds.is_empty()).then(|| unfold(octets, cut.end, &cut.folds));
        let text = unfolded.as_deref().unwrap_or(octets);
        let (start, start_fault) = start_line(text, cut.start_line.of(text))?;
        let fault = start_fault.or_else(|| cut.bad_line.then_some(RejectKind::HeaderLine));
        Ok(Self {
            start,
            lines: cut.lines,
            end: cut.end,
            unfolded,
            fault,
        })
    }

    /// The header section with folded lines joined.
    pub(crate) fn text<'a>(&'a self, octets: &'a [u8]) -> &'a [u8] {
        self.unfolded.as_deref().unwrap_or(octets)
    }

    /// The value of the first line called `name`.
    pub(crate) fn value<'a>(&self, text: &'a [u8], name: Name) -> Option<&'a [u8]> {
        self.lines
            .iter()
            .find(|line| line.name == name)
            .map(|line| line.value.of(text))
    }
}

/// What one pass over the octets found.
struct Cut {
    start_line: Span,
    lines: Vec<Line>,
    folds: Vec<usize>,
    end: usize,
    bad_line: bool,
}

fn cut_lines(octets: &[u8]) -> Result<Cut, RejectKind> {
    let window = octets.get(..MAX_HEADER_SECTION).unwrap_or(octets);
    let mut cut = Cut {
        start_line: Span::default(),
        lines: Vec::with_capacity(LINES_HINT),
        folds: Vec::new(),
        end: 0,
        bad_line: false,
    };
    let mut line_start = 0;
    let mut expected_lf = None;
    for at in memchr::memchr2_iter(b'\r', b'\n', window) {
        if window.get(at) == Some(&b'\n') {
            if expected_lf != Some(at) {
                return Err(RejectKind::BareLineEnd);
            }
            continue;
        }
        match octets.get(at + 1) {
            Some(b'\n') => expected_lf = Some(at + 1),
            Some(_) => return Err(RejectKind::BareLineEnd),
            None => return Err(RejectKind::NoBlankLine),
        }
        if at == line_start {
            cut.end = at + 2;
            return if cut.start_line.is_empty() {
                Err(RejectKind::NotSip)
            } else {
                Ok(cut)
            };
        }
        if at - line_start > MAX_LINE {
            return Err(RejectKind::LineTooLong);
        }
        if matches!(octets.get(at + 2), Some(b' ' | b'\t')) {
            cut.folds.push(at);
            continue;
        }
        finish_line(&mut cut, octets, line_start, at)?;
        line_start = at + 2;
    }
    if octets.len() >= MAX_HEADER_SECTION {
        return Err(RejectKind::HeaderSectionTooLong);
    }
    Err(RejectKind::NoBlankLine)
}

fn finish_line(cut: &mut Cut, octets: &[u8], start: usize, end: usize) -> Result<(), RejectKind> {
    if cut.start_line.is_empty() {
        // A folded start line is no start line.
        if !cut.folds.is_empty() {
            return Err(RejectKind::NotSip);
        }
        cut.start_line = Span::new(start, end);
        return Ok(());
    }
    if cut.lines.len() >= MAX_HEADER_LINES {
        return Err(RejectKind::TooManyHeaders);
    }
    let line = octets.get(start..end).unwrap_or_default();
    let Some((name, value)) = lex::cut(line, b':') else {
        cut.bad_line = true;
        return Ok(());
    };
    // RFC 3261 §25.1 HCOLON: white space may stand before the colon.
    let name = lex::trim_end(name);
    if !lex::is_token(name) {
        cut.bad_line = true;
        return Ok(());
    }
    cut.lines.push(Line {
        name: Name::from_bytes(name),
        name_span: Span::new(start, start + name.len()),
        value: Span::within(octets, lex::trim(value)),
    });
    Ok(())
}

/// RFC 3261 §7.3.1: a line end followed by white space counts as white space.
fn unfold(octets: &[u8], end: usize, folds: &[usize]) -> Box<[u8]> {
    let mut text: Box<[u8]> = octets.get(..end).unwrap_or_default().into();
    for &at in folds {
        if let Some(line_end) = text.get_mut(at..at + 2) {
            line_end.fill(b' ');
        }
    }
    text
}

/// Reads the first line; the second part is what is wrong with it, when it can still be told what
/// it is.
fn start_line(text: &[u8], line: &[u8]) -> Result<(Start, Option<RejectKind>), RejectKind> {
    if line
        .get(..4)
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"SIP/"))
    {
        return status_line(text, line);
    }
    let (method, rest) = lex::cut(line, b' ').ok_or(RejectKind::NotSip)?;
    let method = Method::from_token(method).ok_or(RejectKind::NotSip)?;
    // RFC 4475 §3.1.2.9, §3.1.2.10: more than one SP between the parts, or SP at the end, is
    // tolerated.
    let rest = lex::trim(rest);
    let version_at = memchr::memrchr(b' ', rest).ok_or(RejectKind::NotSip)?;
    let version = rest.get(version_at + 1..).unwrap_or_default();
    let uri = lex::trim(rest.get(..version_at).unwrap_or_default());
    if !version
        .get(..4)
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"SIP/"))
    {
        return Err(RejectKind::NotSip);
    }
    let fault = (!version.eq_ignore_ascii_case(VERSION)).then_some(RejectKind::Version);
    Ok((
        Start::Request {
            method,
            uri: Span::within(text, uri),
        },
        fault,
    ))
}

fn status_line(text: &[u8], line: &[u8]) -> Result<(Start, Option<RejectKind>), RejectKind> {
    let (version, rest) = lex::cut(line, b' ').ok_or(RejectKind::NotSip)?;
    let rest = lex::trim_start(rest);
    // A phrase (or its SP) that is missing altogether is tolerated: some stacks send `SIP/2.0 180`.
    let (code, reason) = lex::cut(rest, b' ').unwrap_or((rest, &[]));
    let code = lex::digits(code)
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (100..700).contains(code));
    let fault = if version.eq_ignore_ascii_case(VERSION) {
        code.is_none().then_some(RejectKind::Status)
    } else {
        Some(RejectKind::Version)
    };
    Ok((
        Start::Response {
            code: code.unwrap_or(0),
            reason: Span::within(text, reason),
        },
        fault,
    ))
}

/// The only version of SIP there is.
const VERSION: &[u8] = b"SIP/2.0";
/// Room for the header lines of a usual message, so that the index grows at most once.
const LINES_HINT: usize = 16;
