//! Figures as people read them, and the colour bands of PRODUCT §5.

use super::ink::Paint;

/// A measure that is shown with a colour band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Mos,
    Jitter,
    Loss,
    Rtt,
    /// A delay without a band.
    Delay,
}

impl Measure {
    /// Good, between, or bad.
    pub(crate) fn paint(self, value: f64) -> Paint {
        let (good, bad) = match self {
            Self::Mos if value >= MOS_GOOD => (true, false),
            Self::Mos => (false, value < MOS_BAD),
            Self::Jitter => (value < JITTER_GOOD_MS, value > JITTER_BAD_MS),
            Self::Loss => (value < LOSS_GOOD_PCT, value > LOSS_BAD_PCT),
            Self::Rtt => (value < RTT_GOOD_MS, value > RTT_BAD_MS),
            Self::Delay => return Paint::Plain,
        };
        match (good, bad) {
            (true, _) => Paint::Green,
            (false, true) => Paint::Red,
            (false, false) => Paint::Yellow,
        }
    }

    /// Height of a value in a small chart, 0.0 to 1.0. The scale is fixed by the bands, so that a
    /// full column always looks as bad (or, for MOS, as good) as it is; it grows with `largest`.
    pub(crate) fn height(self, value: f64, largest: f64) -> f64 {
        let (low, high) = match self {
            Self::Mos => (1.0, 4.5),
            Self::Jitter => (0.0, JITTER_BAD_MS),
            Self::Loss => (0.0, LOSS_BAD_PCT),
            Self::Rtt => (0.0, RTT_BAD_MS),
            Self::Delay => (0.0, 1.0),
        };
        let high = if self == Self::Mos {
            high
        } else {
            f64::max(high, largest)
        };
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    }

    pub(crate) fn format(self, value: f64) -> String {
        match self {
            Self::Mos | Self::Loss => format!("{value:.2}"),
            Self::Jitter | Self::Rtt | Self::Delay => milliseconds(value),
        }
    }
}

/// Three or four digits of a delay: `0.31`, `12.4`, `180`, `2 300`.
pub(crate) fn milliseconds(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        large if large < 1e15 => grouped(value.round() as i64),
        _ => format!("{value:e}"),
    }
}

/// Per cent; 100 only where nothing is missing, and 0 only where nothing is there.
pub(crate) fn percent(value: f64) -> String {
    if value >= 100.0 {
        return "100 %".to_owned();
    }
    if value <= 0.0 {
        return "0 %".to_owned();
    }
    let rounded = (value * 100.0).round() / 100.0;
    if rounded >= 100.0 {
        return "99.99 %".to_owned();
    }
    if rounded <= 0.0 {
        return "< 0.01 %".to_owned();
    }
    let text = format!("{rounded:.2}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Whole numbers with a thin gap between thousands: `12 345`.
pub(crate) fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    if value < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(GAP);
        }
        text.push(digit);
    }
    text
}

/// [`grouped`] for counts.
pub(crate) fn count(value: u64) -> String {
    grouped(i64::try_from(value).unwrap_or(i64::MAX))
}

/// `00:12`, `1:02:03`.
pub(crate) fn clock(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes:02}:{seconds:02}")
    }
}

/// Octets: `512 KiB`, `34 MiB`, `1.2 GiB`.
pub(crate) fn octets(value: u64) -> String {
    let value = value as f64;
    match value {
        v if v < 1024.0 * 1024.0 => format!("{:.0} KiB", v / 1024.0),
        v if v < 1024.0 * 1024.0 * 1024.0 => format!("{:.0} MiB", v / 1024.0 / 1024.0),
        v => format!("{:.1} GiB", v / 1024.0 / 1024.0 / 1024.0),
    }
}

/// Removes control characters: what a peer put into a reason phrase must not reach a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

const MOS_GOOD: f64 = 3.5;
const MOS_BAD: f64 = 3.0;
const JITTER_GOOD_MS: f64 = 30.0;
const JITTER_BAD_MS: f64 = 50.0;
const LOSS_GOOD_PCT: f64 = 1.0;
const LOSS_BAD_PCT: f64 = 3.0;
const RTT_GOOD_MS: f64 = 150.0;
const RTT_BAD_MS: f64 = 300.0;
/// NARROW NO-BREAK SPACE: digits stay together when they are copied or wrapped.
const GAP: char = '\u{202f}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_those_of_the_product() {
        for (measure, value, paint) in [
            (Measure::Mos, 3.5, Paint::Green),
            (Measure::Mos, 3.49, Paint::Yellow),
            (Measure::Mos, 3.0, Paint::Yellow),
            (Measure::Mos, 2.99, Paint::Red),
            (Measure::Jitter, 29.9, Paint::Green),
            (Measure::Jitter, 50.0, Paint::Yellow),
            (Measure::Jitter, 50.1, Paint::Red),
            (Measure::Loss, 0.99, Paint::Green),
            (Measure::Loss, 1.0, Paint::Yellow),
            (Measure::Loss, 3.1, Paint::Red),
            (Measure::Rtt, 150.0, Paint::Yellow),
            (Measure::Rtt, 301.0, Paint::Red),
        ] {
            assert_eq!(measure.paint(value), paint, "{measure:?} {value}");
        }
    }

    #[test]
    fn percentages_never_round_to_all_or_nothing() {
        for (value, text) in [
            (100.0, "100 %"),
            (99.999, "99.99 %"),
            (99.5, "99.5 %"),
            (0.001, "< 0.01 %"),
            (0.0, "0 %"),
            (33.333, "33.33 %"),
        ] {
            assert_eq!(percent(value), text);
        }
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(milliseconds(0.314), "0.31");
        assert_eq!(milliseconds(12.36), "12.4");
        assert_eq!(milliseconds(2_345.6), "2\u{202f}346");
        assert_eq!(grouped(-1_234_567), "-1\u{202f}234\u{202f}567");
        assert_eq!(clock(3_723_000), "1:02:03");
        assert_eq!(clock(9_999), "00:09");
        assert_eq!(octets(36 << 20), "36 MiB");
        assert_eq!(printable("Busy\u{1b}[31m\r\nHere"), "Busy[31mHere");
    }
}
