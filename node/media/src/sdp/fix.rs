//! Repairs descriptions that the parser refuses, keeping only the lines that negotiation reads.
//!
//! Never: is run on a description that parses. Its use is always reported as a finding.

/// A description with the usual mistakes taken out.
///
/// Shape: any octets in; CRLF lines out, `v=`, `o=`, `s=`, `c=`, `t=`, `m=` and `a=` only, in the
/// peer's order. Bounds: O(octets); the result is at most three times as long (text that is not
/// UTF-8 becomes replacement characters).
pub(super) fn clean(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let mut lines: Vec<String> = vec!["v=0".to_owned()];
    let mut seen = Seen::default();
    for line in text.split(['\r', '\n', '\0']) {
        if let Some(line) = clean_line(line.trim(), &mut seen) {
            lines.push(line);
        }
    }
    if !seen.origin {
        lines.insert(1, "o=- 0 0 IN IP4 0.0.0.0".to_owned());
    }
    let mut octets = lines.join("\r\n").into_bytes();
    octets.extend_from_slice(b"\r\n");
    octets
}

/// Lines that may stand once only.
#[derive(Default)]
struct Seen {
    origin: bool,
    name: bool,
    time: bool,
    connection: bool,
    media: bool,
}

fn clean_line(line: &str, seen: &mut Seen) -> Option<String> {
    let (key, value) = line.split_once('=')?;
    let words: Vec<&str> = value.split_whitespace().collect();
    match key.trim() {
        "o" if !replace(&mut seen.origin) => Some(origin(&words)),
        "s" if !replace(&mut seen.name) => Some("s=-".to_owned()),
        "t" if !replace(&mut seen.time) => Some("t=0 0".to_owned()),
        // One at session level; at media level as many as there are media.
        "c" if words.len() >= 3 && (seen.media || !replace(&mut seen.connection)) => {
            Some(format!("c={}", words.get(..3)?.join(" ")))
        }
        "m" if words.len() >= 3 => {
            seen.media = true;
            Some(format!("m={}", words.join(" ")))
        }
        "a" if !value.trim().is_empty() => Some(format!("a={}", value.trim())),
        _ => None,
    }
}

/// The address is at the end whatever stands before it; name, number and version are not used.
fn origin(words: &[&str]) -> String {
    match words {
        [.., net, family, address] if net.eq_ignore_ascii_case("IN") => {
            format!("o=- 0 0 IN {family} {address}")
        }
        _ => "o=- 0 0 IN IP4 0.0.0.0".to_owned(),
    }
}

/// Sets the flag and returns what it was.
fn replace(flag: &mut bool) -> bool {
    std::mem::replace(flag, true)
}
