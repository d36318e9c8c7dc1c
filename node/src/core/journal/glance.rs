//! A look at a message of our own, as far as the journal needs it: our printers write one header a
//! line, under its full name, without folding.

use std::str;

/// What a glance shows. Fields that are not there are empty.
#[derive(Debug, Default)]
pub(crate) struct Glance<'a> {
    /// The method of a request.
    pub(crate) method: &'a str,
    /// The code of a response; 0 for a request.
    pub(crate) code: u16,
    pub(crate) branch: &'a str,
    pub(crate) from_tag: &'a str,
    pub(crate) to_tag: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) cseq_method: &'a str,
    /// From the first line to the last of From, To, Call-ID and CSeq.
    pub(crate) head: &'a [u8],
}

/// Glances at a message; none where it cannot be of a call.
pub(crate) fn glance(message: &[u8]) -> Option<Glance<'_>> {
    let mut found = Glance::default();
    let mut end = 0;
    let mut missing = 4;
    for (index, line) in message.split_inclusive(|octet| *octet == b'\n').enumerate() {
        end += line.len();
        let text = line.trim_ascii_end();
        if index == 0 {
            start(&mut found, text)?;
            continue;
        }
        let at = text.iter().position(|octet| *octet == b':')?;
        let value = text.get(at + 1..)?.trim_ascii();
        match text.get(..at)? {
            // The topmost only.
            b"Via" if found.branch.is_empty() => found.branch = parameter(value, b";branch=")?,
            b"From" => {
                found.from_tag = parameter(value, b";tag=").unwrap_or_default();
                missing -= 1;
            }
            b"To" => {
                found.to_tag = parameter(value, b";tag=").unwrap_or_default();
                missing -= 1;
            }
            b"Call-ID" => {
                found.call_id = str::from_utf8(value).ok()?;
                missing -= 1;
            }
            b"CSeq" => {
                let (number, method) = str::from_utf8(value).ok()?.split_once(' ')?;
                found.cseq = number.parse().ok()?;
                found.cseq_method = method;
                missing -= 1;
            }
            _ => {}
        }
        if missing == 0 {
            found.head = message.get(..end)?;
            return Some(found);
        }
    }
    None
}

fn start<'a>(found: &mut Glance<'a>, line: &'a [u8]) -> Option<()> {
    match line.strip_prefix(b"SIP/2.0 ") {
        Some(rest) => found.code = str::from_utf8(rest.get(..3)?).ok()?.parse().ok()?,
        None => {
            let length = line.iter().position(|octet| *octet == b' ')?;
            let method = str::from_utf8(line.get(..length)?).ok()?;
            // Nothing else belongs to a call that can be left open.
            let of_calls = matches!(
                method,
                "INVITE" | "ACK" | "BYE" | "PRACK" | "UPDATE" | "INFO"
            );
            found.method = of_calls.then_some(method)?;
        }
    }
    Some(())
}

/// A parameter behind the address, or of Via; the last of the name, so that one inside a URI or a
/// display name does not count.
fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let at = value.windows(name.len()).rposition(|part| part == name)?;
    let rest = value.get(at + name.len()..)?;
    let end = rest
        .iter()
        .position(|octet| matches!(octet, b';' | b',' | b'>' | b' '));
    str::from_utf8(rest.get(..end.unwrap_or(rest.len()))?).ok()
}
