//! Subjects and patterns as NATS has them: tokens parted by dots, `*` for one, a last `>` for the rest.

/// True where `pattern` covers `subject`.
///
/// Bounds: one pass, no allocation. Source: NATS protocol, "Subject-Based Messaging".
#[must_use]
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut wanted = pattern.split('.');
    let mut given = subject.split('.');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return wanted.next().is_none(),
            (Some("*"), Some(token)) if !token.is_empty() => {}
            (Some(want), Some(token)) if want == token => {}
            (None | Some(_), _) => return false,
        }
    }
}

/// True where a name can stand in a subject as it is: letters, digits, `-` and `_`.
#[must_use]
pub fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_plain)
}

/// A name as one token of a subject: every octet that is not a letter, a digit, `-` or `_` becomes
/// `%` and two hexadecimal digits; no name at all becomes `%`. Two names never become one token.
#[must_use]
pub fn token(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let mut token = String::with_capacity(name.len());
    for octet in name.bytes() {
        if is_plain(octet) {
            token.push(char::from(octet));
        } else {
            token.push('%');
            for half in [octet >> 4, octet & 0xF] {
                token.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
            }
        }
    }
    token
}

fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::{is_token, matches, token};

    #[test]
    fn a_name_is_one_token_and_no_wildcard() {
        for (name, want) in [
            ("callers", "callers"),
            ("fra-1_b", "fra-1_b"),
            ("a.b", "a%2Eb"),
            ("a b", "a%20b"),
            ("*", "%2A"),
            (">", "%3E"),
            ("%2E", "%252E"),
            ("über", "%C3%BCber"),
            ("", "%"),
        ] {
            let token = token(name);
            assert_eq!(token, want);
            assert!(matches("a.*.b", &format!("a.{token}.b")), "{name:?}");
            assert_eq!(is_token(name), token == name, "{name:?}");
        }
    }

    #[test]
    fn wildcards_are_those_of_nats() {
        for (pattern, subject, want) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.b", "a.b.c", false),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.b.d", false),
            ("a.*", "a", false),
            ("a.>", "a.b", true),
            ("a.>", "a.b.c.d", true),
            ("a.>", "a", false),
            (">", "a.b", true),
            ("a.>.c", "a.b.c", false),
            ("a.*", "a.", false),
        ] {
            assert_eq!(matches(pattern, subject), want, "{pattern} on {subject}");
        }
    }
}
