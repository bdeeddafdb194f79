//! How the demonstration speaks: readable on a terminal and in a log.

use std::io::IsTerminal as _;
use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};

/// Where the demonstration's words go.
#[derive(Debug)]
pub struct Show {
    color: bool,
    begun: Instant,
}

/// The look of a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A heading.
    Title,
    /// What could be typed.
    Command,
    /// In order.
    Good,
    /// Beside the point.
    Faint,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Self::Title => "\u{1b}[1m",
            Self::Command => "\u{1b}[36m",
            Self::Good => "\u{1b}[32m",
            Self::Faint => "\u{1b}[2m",
        }
    }
}

impl Show {
    /// Speaks in colour on a terminal, unless `no_color` says what `NO_COLOR` says everywhere.
    #[must_use]
    pub fn new(no_color: Option<&str>) -> Self {
        let refused = no_color.is_some_and(|value| !value.is_empty());
        Self { color: std::io::stdout().is_terminal() && !refused, begun: Instant::now() }
    }

    /// Words in their look, if there is colour.
    #[must_use]
    pub fn paint(&self, text: &str, look: Look) -> String {
        if self.color { format!("{}{text}\u{1b}[0m", look.code()) } else { text.to_owned() }
    }

    /// Begins a chapter.
    pub fn title(&self, text: &str) {
        let at = format!("[{:>3} s]", self.begun.elapsed().as_secs());
        println!("\n{} {}", self.paint(&at, Look::Faint), self.paint(&format!("=== {text}"), Look::Title));
    }

    /// One line.
    pub fn line(&self, text: &str) {
        println!("{text}");
    }

    /// A line that could be typed.
    pub fn command(&self, text: &str) {
        println!("{}", self.paint(&format!("$ {text}"), Look::Command));
    }

    /// A line that says that something is as it should be.
    pub fn good(&self, text: &str) {
        println!("{} {text}", self.paint("ok", Look::Good));
    }

    /// Lines set in from the left.
    pub fn quote(&self, text: &str) {
        for line in text.lines() {
            println!("{}", format!("    {line}").trim_end());
        }
    }
}

/// A table without lines; the columns named in `right` are figures.
#[must_use]
pub fn table(header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.force_no_tty();
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Bytes as people read them.
#[must_use]
pub fn size(bytes: u64) -> String {
    if bytes == 0 { "0".to_owned() } else { format!("{:.1} MB", bytes as f64 / 1e6) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_on_the_right_and_lines_have_no_blanks_at_their_end() {
        let rows = vec![vec!["a".to_owned(), "7".to_owned()], vec!["bc".to_owned(), "1234".to_owned()]];
        assert_eq!(table(&["name", "figure"], rows, &[1]), "name  figure\na          7\nbc      1234");
    }
}
