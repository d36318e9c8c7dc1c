//! Small drawings of characters: charts, bars, tables.

use std::ops::Range;

use console::measure_text_width;

use super::figure::Measure;
use super::ink::{Ink, Paint};

/// One column for each value, in the colour of its band; a gap where there is none.
///
/// Shape: more values than columns are merged, the worst of each column stands for it; fewer take
/// a column each.
pub(crate) fn sparkline(
    ink: Ink,
    measure: Measure,
    values: &[Option<f64>],
    width: usize,
) -> String {
    let worse = if measure == Measure::Mos {
        f64::min
    } else {
        f64::max
    };
    let columns = merge(values, width, worse);
    let largest = columns.iter().flatten().copied().fold(0.0, f64::max);
    let cells: Vec<(Paint, char)> = columns
        .into_iter()
        .map(|value| match value {
            None => (Paint::Dim, '·'),
            Some(value) => (measure.paint(value), level(measure.height(value, largest))),
        })
        .collect();
    ink.paint_cells(&cells)
}

/// At most `width` values; where several share a column, `choose` picks.
pub(crate) fn merge(
    values: &[Option<f64>],
    width: usize,
    choose: fn(f64, f64) -> f64,
) -> Vec<Option<f64>> {
    if values.len() <= width || width == 0 {
        return values.to_vec();
    }
    let column = |index: usize| {
        let from = index * values.len() / width;
        let to = ((index + 1) * values.len() / width).max(from + 1);
        values
            .get(from..to)
            .unwrap_or(&[])
            .iter()
            .flatten()
            .copied()
            .reduce(choose)
    };
    (0..width).map(column).collect()
}

/// The column character of a height from 0.0 to 1.0.
pub(crate) fn level(height: f64) -> char {
    let index = (height.clamp(0.0, 1.0) * 6.0).round() as usize;
    LEVELS.get(index).copied().unwrap_or('▇')
}

/// A bar whose parts are as long as their counts; a part that is there has a cell at least.
pub(crate) fn stacked(ink: Ink, parts: &[(Paint, u64)], width: usize) -> String {
    let total: u64 = parts.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return ink.paint(Paint::Dim, &"░".repeat(width));
    }
    let mut lengths: Vec<usize> = parts
        .iter()
        .map(|(_, count)| {
            let share = u128::from(*count) * width as u128 / u128::from(total);
            usize::try_from(share)
                .unwrap_or(width)
                .max(usize::from(*count > 0))
        })
        .collect();
    // What rounding left over, or took too much, is the longest part's.
    let sum: usize = lengths.iter().sum();
    if let Some(longest) = (0..lengths.len()).max_by_key(|index| lengths[*index]) {
        lengths[longest] = (lengths[longest] + width).saturating_sub(sum);
    }
    let cells = parts.iter().zip(&lengths);
    cells
        .map(|((paint, _), length)| ink.paint(*paint, &"█".repeat(*length)))
        .collect()
}

/// A progress bar in eighths of a cell.
pub(crate) fn progress(ink: Ink, paint: Paint, done: f64, width: usize) -> String {
    let eighths = (done.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    let (whole, part) = (eighths / 8, eighths % 8);
    let mut filled = "█".repeat(whole.min(width));
    if whole < width && part > 0 {
        filled.push(EIGHTHS.get(part).copied().unwrap_or(' '));
    }
    let empty = width.saturating_sub(filled.chars().count());
    format!(
        "{}{}",
        ink.paint(paint, &filled),
        ink.paint(Paint::Dim, &"·".repeat(empty))
    )
}

/// Text in lines of at most `width`, broken at blanks; a longer word has a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            paint: Paint::Plain,
        }
    }

    pub(crate) fn painted(text: impl Into<String>, paint: Paint) -> Self {
        Self {
            text: text.into(),
            paint,
        }
    }
}

/// A table without lines: columns parted by two spaces, those in `left` aligned left.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    left: Range<usize>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(left: Range<usize>, header: &[&str]) -> Self {
        let header = header
            .iter()
            .map(|title| Cell::painted(*title, Paint::Dim))
            .collect();
        Self {
            left,
            rows: vec![header],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The lines, each at most `width` wide: the last columns go first, the last text is cut.
    pub(crate) fn lines(&self, ink: Ink, indent: usize, width: usize) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| measure_text_width(&cell.text))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(widest).collect();
        let mut lines = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            let mut used = indent;
            for (column, cell) in row.iter().enumerate() {
                let Some(wanted) = widths.get(column) else {
                    break;
                };
                let last = column + 1 == row.len();
                let gap = if column == 0 { 0 } else { 2 };
                let room = width.saturating_sub(used + gap);
                let is_left = self.left.contains(&column);
                let own = measure_text_width(&cell.text);
                if room < *wanted && !(last && is_left && room > 8) {
                    break;
                }
                let text = console::truncate_str(&cell.text, room, "…");
                let pad = " ".repeat(wanted.saturating_sub(own));
                line.push_str(&" ".repeat(gap));
                match (is_left, last) {
                    (true, true) => line.push_str(&ink.paint(cell.paint, &text)),
                    (true, false) => {
                        line.push_str(&format!("{}{pad}", ink.paint(cell.paint, &text)))
                    }
                    (false, _) => line.push_str(&format!("{pad}{}", ink.paint(cell.paint, &text))),
                }
                used += gap + wanted;
            }
            lines.push(line);
        }
        lines
    }
}

/// No full block, so that charts below each other stay apart.
const LEVELS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_the_worst_of_merged_seconds_and_gaps() {
        let ink = Ink::plain();
        let mos = [Some(4.5), Some(1.0), None, None, Some(4.5), Some(4.5)];
        assert_eq!(sparkline(ink, Measure::Mos, &mos, 6), "▇▁··▇▇");
        assert_eq!(sparkline(ink, Measure::Mos, &mos, 3), "▁·▇");
        let jitter = [Some(0.0), Some(50.0), Some(25.0)];
        assert_eq!(sparkline(ink, Measure::Jitter, &jitter, 10), "▁▇▄");
    }

    #[test]
    fn a_bar_is_as_wide_as_asked_and_hides_no_part() {
        let ink = Ink::plain();
        for counts in [[1, 9_999, 1], [3, 3, 3], [0, 1, 0], [7, 11, 0]] {
            let parts = counts.map(|count| (Paint::Plain, count));
            let bar = stacked(ink, &parts, 40);
            assert_eq!(bar.chars().count(), 40, "{counts:?}");
        }
        assert_eq!(stacked(ink, &[(Paint::Red, 0)], 3), "░░░");
        assert_eq!(progress(ink, Paint::Plain, 0.5, 5), "██▌··");
        assert_eq!(progress(ink, Paint::Plain, 7.0, 3), "███");
    }

    #[test]
    fn text_wraps_at_blanks() {
        assert_eq!(
            wrap("no answer from 127.0.0.1:5066", 10),
            ["no answer", "from", "127.0.0.1:5066"]
        );
        assert_eq!(wrap("  ", 10), Vec::<String>::new());
    }

    #[test]
    fn tables_align_and_stay_inside_their_width() {
        let mut table = Table::new(0..1, &["", "p50", "worst"]);
        table.row(vec![Cell::new("MOS"), Cell::new("4.41"), Cell::new("4.3")]);
        let lines = table.lines(Ink::plain(), 2, 80);
        assert_eq!(lines, ["        p50  worst", "  MOS  4.41    4.3"]);
        for line in table.lines(Ink::plain(), 2, 14) {
            assert!(measure_text_width(&line) <= 14, "{line}");
        }
    }
}
