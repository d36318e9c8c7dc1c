//! How deeply JSON is nested, found in one pass and without recursion: serde recurses, and a body
//! of a hundred thousand brackets would cost a worker its stack.

use super::problem::ApiError;

/// Arrays and objects inside each other, at most.
pub(crate) const DEPTH_MAX: usize = 32;

/// Refuses what is nested deeper than [`DEPTH_MAX`]. Text that is no JSON passes: the parser that
/// follows says what is wrong with it, and cannot go deeper than the brackets counted here.
pub(crate) fn check(octets: &[u8]) -> Result<(), ApiError> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for octet in octets {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(ApiError::bad_request(
                        "too_deep",
                        format!("JSON may be nested {DEPTH_MAX} levels deep"),
                    ));
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_nesting_is_refused_without_recursion() {
        for open in ["[", "{\"a\":"] {
            assert!(check(open.repeat(DEPTH_MAX).as_bytes()).is_ok());
            assert!(check(open.repeat(DEPTH_MAX + 1).as_bytes()).is_err());
            assert!(check(open.repeat(100_000).as_bytes()).is_err());
        }
    }

    #[test]
    fn brackets_in_strings_and_side_by_side_do_not_count() {
        let wide = format!("[{}0]", "[],".repeat(1_000));
        assert!(check(wide.as_bytes()).is_ok());
        let text = format!("\"{}\\\"{}\"", "[".repeat(100), "{".repeat(100));
        assert!(check(text.as_bytes()).is_ok());
    }
}
