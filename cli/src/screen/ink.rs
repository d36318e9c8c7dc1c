//! Colours, and when to use them. Never decides what is good or bad: `figure` does.

use std::env;

/// What a piece of text should look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it is.
    Plain,
    /// Good, or in a call.
    Green,
    /// Between good and bad, or on the way into a call.
    Yellow,
    /// Bad, or failed.
    Red,
    /// Registered, or neutral emphasis.
    Cyan,
    /// On the way out.
    Magenta,
    /// Less important.
    Dim,
    /// More important.
    Bold,
    /// White on green.
    GreenBadge,
    /// White on red.
    RedBadge,
    /// Black on yellow.
    YellowBadge,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
            Self::Cyan => "36",
            Self::Magenta => "35",
            Self::Dim => "2",
            Self::Bold => "1",
            Self::GreenBadge => "1;97;42",
            Self::RedBadge => "1;97;41",
            Self::YellowBadge => "1;30;43",
        }
    }
}

/// Paints text, or leaves it plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ink {
    coloured: bool,
}

impl Ink {
    /// Ink for a stream: colours on a terminal, unless NO_COLOR is set or TERM is `dumb`;
    /// CLICOLOR_FORCE asks for them everywhere.
    pub(crate) fn for_stream(is_terminal: bool) -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let forced =
            env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0" && !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            coloured: !set("NO_COLOR") && (forced || (is_terminal && !dumb)),
        }
    }

    /// Ink that never colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { coloured: false }
    }

    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        if !self.coloured || paint == Paint::Plain || text.is_empty() {
            return text.to_owned();
        }
        format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code())
    }

    /// Paints consecutive characters of one paint together.
    pub(crate) fn paint_cells(self, cells: &[(Paint, char)]) -> String {
        let mut painted = String::new();
        let mut rest = cells;
        while let Some((paint, _)) = rest.first() {
            let length = rest.iter().take_while(|(other, _)| other == paint).count();
            let (run, tail) = rest.split_at(length);
            let text: String = run.iter().map(|(_, c)| *c).collect();
            painted.push_str(&self.paint(*paint, &text));
            rest = tail;
        }
        painted
    }
}
