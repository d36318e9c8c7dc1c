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

#[cfg(test)]
mod tests {
    use super::matches;

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
