//! Where the answer goes: a person's terminal, a pipe, or a program that wants JSON.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use chrono_tz::Tz;
use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use drover_policies::time::Clock;
use serde::Serialize;

use super::args::{Color, Global};
use super::exit::Failed;
use super::words::Times;
use crate::clock::SystemClock;

/// How things are shown.
#[derive(Debug, Clone)]
pub struct Screen {
    /// Print the API's JSON.
    pub json: bool,
    /// Paint, and move the cursor about.
    pub lively: bool,
    color: bool,
    /// Fit tables into this terminal; whole lines where there is none.
    fits: bool,
    zone: Tz,
}

/// What a word means, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Done, in order.
    Good,
    /// Goes on, or waits.
    Busy,
    /// Needs somebody.
    Bad,
    /// Less important.
    Faint,
    /// As it is.
    Plain,
}

impl Tone {
    /// The tone of a state's name.
    #[must_use]
    pub fn of_state(state: &str) -> Self {
        match state {
            "succeeded" | "completed" | "closed" | "drained" | "open" | "running" | "discarding"
            | "avoided" | "delivered" | "ok" | "done" => Self::Good,
            "failed" | "crashed" | "undeliverable" | "problem" | "overdue" | "blocked" | "no_place" => {
                Self::Bad
            }
            "cancelled" | "canceled" | "off" | "skipped" => Self::Faint,
            _ => Self::Busy,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Good => "\u{1b}[32m",
            Self::Busy => "\u{1b}[33m",
            Self::Bad => "\u{1b}[1;31m",
            Self::Faint => "\u{1b}[2m",
            Self::Plain => "",
        }
    }
}

impl Screen {
    /// As the command line and the terminal want it.
    ///
    /// # Errors
    /// The time zone that was asked for isn't known.
    pub fn new(global: &Global) -> Result<Self, Failed> {
        let terminal = io::stdout().is_terminal();
        let no_color = global.no_color.as_ref().is_some_and(|value| !value.is_empty());
        let color = match global.color {
            Color::Auto => terminal && !no_color,
            Color::Always => true,
            Color::Never => false,
        };
        Ok(Self {
            json: global.json,
            // Moving the cursor is no matter of colour, but where somebody forbids the one he expects plain lines.
            lively: terminal && !global.json && global.color != Color::Never,
            color: color && !global.json,
            fits: terminal,
            zone: zone(global.timezone.as_deref())?,
        })
    }

    /// Plain text in a zone, whatever the terminal is.
    #[must_use]
    pub fn plain(zone: Tz) -> Self {
        Self { json: false, lively: false, color: false, fits: false, zone }
    }

    /// The present, in the zone in which times are told.
    #[must_use]
    pub fn times(&self) -> Times {
        Times { now: SystemClock.now(), zone: self.zone }
    }

    /// A word in its colour, if there is colour.
    #[must_use]
    pub fn paint(&self, text: &str, tone: Tone) -> String {
        if self.color && tone != Tone::Plain {
            format!("{}{text}\u{1b}[0m", tone.code())
        } else {
            text.to_owned()
        }
    }

    /// A state's name in its colour.
    #[must_use]
    pub fn state(&self, state: &str) -> String {
        self.paint(&state.replace('_', " "), Tone::of_state(state))
    }

    /// One line.
    pub fn line(&self, text: impl std::fmt::Display) {
        // A reader that went away (`| head`) is no error of ours.
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// JSON, as a person can read it.
    pub fn json(&self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string_pretty(value) {
            self.line(text);
        }
    }

    /// JSON on one line.
    pub fn json_line(&self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            self.line(text);
        }
    }

    /// A table; `empty` where it has no rows.
    pub fn table(&self, rows: &Rows, empty: &str) {
        if rows.rows.is_empty() {
            self.line(empty);
        } else {
            self.line(rows.text(self.fits, self.color));
        }
    }

    /// Names and values below each other; those without a value are left out.
    pub fn facts(&self, facts: &[(&str, String)]) {
        self.line(facts_text(facts));
    }
}

/// Names and values below each other, the values aligned.
fn facts_text(facts: &[(&str, String)]) -> String {
    let width =
        facts.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        let mut lines = value.lines();
        let first = lines.next().unwrap_or_default();
        let _ = writeln!(text, "{name:width$}  {first}");
        for line in lines {
            let _ = writeln!(text, "{:width$}  {line}", "");
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The rows of a table.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    header: Vec<&'static str>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Rows {
    /// A table with these columns.
    #[must_use]
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// One more row, as plain words.
    pub fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells.into_iter().map(|cell| (cell, Tone::Plain)).collect());
    }

    /// One more row, with tones.
    pub fn push_toned(&mut self, cells: Vec<(String, Tone)>) {
        self.rows.push(cells);
    }

    /// The table as text.
    #[must_use]
    pub fn text(&self, fits: bool, color: bool) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(if fits {
            ContentArrangement::Dynamic
        } else {
            ContentArrangement::Disabled
        });
        table.set_header(self.header.iter().map(|name| {
            let cell = Cell::new(name.to_uppercase());
            if color { cell.add_attribute(Attribute::Bold) } else { cell }
        }));
        if color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|(text, tone)| cell(text, *tone, color)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let text = table.to_string();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

fn cell(text: &str, tone: Tone, color: bool) -> Cell {
    let cell = Cell::new(text);
    match tone {
        _ if !color => cell,
        Tone::Good => cell.fg(comfy_table::Color::Green),
        Tone::Busy => cell.fg(comfy_table::Color::Yellow),
        Tone::Bad => cell.fg(comfy_table::Color::Red).add_attribute(Attribute::Bold),
        Tone::Faint => cell.add_attribute(Attribute::Dim),
        Tone::Plain => cell,
    }
}

/// The zone that was asked for, or the machine's.
fn zone(asked: Option<&str>) -> Result<Tz, Failed> {
    // `TZ` may be written `:Europe/Berlin`, and may be empty for UTC.
    match asked.map(|name| name.trim_start_matches(':')) {
        Some("") => Ok(Tz::UTC),
        Some(name) => drover_policies::windows::parse_timezone(name)
            .map_err(|bad| Failed::usage(format!("--timezone or TZ: {bad}"))),
        None => Ok(iana_time_zone::get_timezone().ok().and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_in_a_pipe_has_whole_lines_and_no_colour() {
        let mut rows = Rows::new(&["name", "state"]);
        rows.push(vec!["web-1".to_owned(), "running".to_owned()]);
        rows.push_toned(vec![
            ("a-much-longer-name".to_owned(), Tone::Plain),
            ("failed".to_owned(), Tone::Bad),
        ]);
        assert_eq!(
            rows.text(false, false),
            "NAME                STATE\nweb-1               running\na-much-longer-name  failed"
        );
    }

    #[test]
    fn colour_is_there_only_when_asked_for() {
        let mut rows = Rows::new(&["state"]);
        rows.push_toned(vec![("failed".to_owned(), Tone::Bad)]);
        assert!(rows.text(false, true).contains('\u{1b}'));
        assert!(!rows.text(false, false).contains('\u{1b}'));
    }

    #[test]
    fn facts_are_aligned_and_those_without_a_value_left_out() {
        let facts =
            [("host", "h1".to_owned()), ("standing", "draining".to_owned()), ("reason", String::new())];
        assert_eq!(facts_text(&facts), "host      h1\nstanding  draining");
    }

    #[test]
    fn a_wrong_zone_is_refused_by_name() {
        assert!(zone(Some("Europe/Berln")).expect_err("refused").to_string().contains("Berln"));
        assert_eq!(zone(Some(":Europe/Berlin")), Ok(chrono_tz::Europe::Berlin));
        assert_eq!(zone(Some("")), Ok(Tz::UTC));
    }
}
