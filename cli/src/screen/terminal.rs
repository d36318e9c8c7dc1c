//! Draws a block of lines at the bottom of the terminal and other lines above it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use console::Term;

/// Standard error, shared by the live block and by the log. Clones are the same screen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    block: Vec<String>,
    drawn: usize,
    hidden: bool,
}

impl Screen {
    /// Columns and rows, where standard error is a terminal.
    pub(crate) fn size() -> (usize, usize) {
        let (rows, columns) = Term::stderr().size();
        (usize::from(columns), usize::from(rows))
    }

    /// Replaces the block.
    pub(crate) fn draw(&self, lines: Vec<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.block = lines;
        let hide = if state.hidden { "" } else { HIDE_CURSOR };
        state.hidden = true;
        let text = format!("{hide}{}", state.redraw(""));
        emit(&text);
    }

    /// Writes text, whole lines, above the block.
    pub(crate) fn above(&self, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = state.redraw(text);
        emit(&text);
    }

    /// Takes the block away and gives the cursor back.
    pub(crate) fn clear(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.block.clear();
        let mut text = state.redraw("");
        if state.hidden {
            text.push_str(SHOW_CURSOR);
            state.hidden = false;
        }
        emit(&text);
    }
}

impl State {
    /// One write that moves up, prints `above`, and draws the block anew: no flicker.
    fn redraw(&mut self, above: &str) -> String {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\u{1b}[{}A\r", self.drawn));
        }
        for line in above.lines().chain(self.block.iter().map(String::as_str)) {
            text.push_str(line);
            text.push_str(CLEAR_TO_END_OF_LINE);
            text.push('\n');
        }
        if self.drawn > 0 {
            text.push_str(CLEAR_BELOW);
        }
        self.drawn = self.block.len();
        text
    }
}

/// A log line goes above the block.
impl Write for Screen {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.above(&String::from_utf8_lossy(octets));
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn emit(text: &str) {
    // A terminal that went away is no reason to end a run.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

const HIDE_CURSOR: &str = "\u{1b}[?25l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";
const CLEAR_TO_END_OF_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";
