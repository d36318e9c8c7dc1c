//! Durations with their unit in the text: `"30s"`, `"20ms"`, `"1h30m"`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whole milliseconds. In test files and JSON written by people: `"30s"`, `"20ms"`, `"1m30s"`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Millis(pub u64);

impl Millis {
    /// The same span as a [`Duration`].
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Reads `"30s"`, `"20ms"`, `"1h30m"`; a bare number has no unit and is refused.
    ///
    /// Errors: a sentence that says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a duration; write a number and a unit, like \"30s\", \"20ms\" or \"1m30s\""
            )
        };
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong());
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let factor = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return Err(wrong()),
            };
            total = number
                .checked_mul(factor)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(wrong)?;
            rest = tail;
        }
        Ok(Self(total))
    }
}

impl From<Duration> for Millis {
    fn from(span: Duration) -> Self {
        Self(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Millis {
    /// Prints the shortest exact form: `90s` as `1m30s`, `20` as `20ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let (hours, rest) = (self.0 / 3_600_000, self.0 % 3_600_000);
        let (minutes, rest) = (rest / 60_000, rest % 60_000);
        let (seconds, millis) = (rest / 1_000, rest % 1_000);
        for (count, unit) in [(hours, "h"), (minutes, "m"), (seconds, "s"), (millis, "ms")] {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, ms) in [
            ("30s", 30_000),
            ("20ms", 20),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(Millis::parse(text), Ok(Millis(ms)));
            assert_eq!(Millis(ms).to_string(), text);
        }
        for text in ["", "30", "s", "-3s", "3 s", "1.5s", "99999999999999999999s"] {
            assert!(Millis::parse(text).is_err(), "{text}");
        }
    }
}
