//! Texts as a reader of a mail wants them, whatever his language. Nothing here knows what is told.

use chrono::TimeZone;
use chrono_tz::Tz;
use drover_policies::time::Instant;
use unicode_bidi::BidiClass;

/// A moment as a command takes it: with its offset, and to the minute.
#[must_use]
pub fn for_command(at: Instant, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%dT%H:%M%:z").to_string()
}

/// A moment as an answer by mail takes it: in the reader's zone, to the minute. With its offset where the clocks show that time twice.
#[must_use]
pub fn for_answer(at: Instant, zone: Tz) -> String {
    let local = at.with_timezone(&zone);
    let twice = zone.from_local_datetime(&local.naive_local()).single().is_none();
    local.format(if twice { "%Y-%m-%d %H:%M %:z" } else { "%Y-%m-%d %H:%M" }).to_string()
}

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn list(things: &[&str]) -> String {
    match things {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// A text from elsewhere as one line: white space of any kind becomes one space, what can't be seen or turns the direction of
/// writing is left out, and what is longer than `most` characters ends in an ellipsis.
///
/// Names of servers are the customers' own; a line break in one must not become a header of a mail or a paragraph that we seem
/// to have written.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let spaced: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    joined(&seen(&spaced, is_unseen), most)
}

/// A text of ours as one line: white space of any kind becomes one space, and what is longer than `most` characters ends in an
/// ellipsis.
#[must_use]
pub fn joined(text: &str, most: usize) -> String {
    let visible = text.split(char::is_whitespace).filter(|word| !word.is_empty());
    let joined = visible.collect::<Vec<_>>().join(" ");
    if joined.chars().count() <= most {
        return joined;
    }
    let mut cut: String = joined.chars().take(most.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// A text from elsewhere with its lines: each as [`one_line`] would have it, never two empty ones in a row, and no more than `most`
/// characters in all.
#[must_use]
pub fn paragraphs(text: &str, most: usize) -> String {
    let mut left = most;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if left == 0 {
            lines.push("…".to_owned());
            break;
        }
        let line = one_line(line, left);
        if line.is_empty() && lines.last().is_none_or(String::is_empty) {
            continue;
        }
        left = left.saturating_sub(line.chars().count() + 1);
        lines.push(line);
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.join("\n")
}

/// A text from elsewhere with its lines and its spacing, without what can't be seen or turns the direction of writing, and without
/// empty lines at its beginning and end.
#[must_use]
pub fn visible(text: &str) -> String {
    let lines: Vec<String> =
        text.lines().map(|line| seen(line, |c| c != '\t' && is_unseen(c)).trim_end().to_owned()).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// Joiners stay where they join: between characters of scripts that need them, and the parts of an emoji.
fn seen(text: &str, is_unseen: impl Fn(char) -> bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let joins = |at: usize| {
        let written = |at: Option<usize>| {
            at.and_then(|at| chars.get(at))
                .is_some_and(|c| !c.is_ascii() && !c.is_whitespace() && !is_unseen(*c))
        };
        matches!(chars[at], '\u{200C}' | '\u{200D}') && written(at.checked_sub(1)) && written(Some(at + 1))
    };
    (0..chars.len()).filter(|at| !is_unseen(chars[*at]) || joins(*at)).map(|at| chars[at]).collect()
}

/// A name from elsewhere as one line, to stand among words of any script: one that is written from right to left is set apart, or it
/// would turn the figures and brackets after it round as well.
#[must_use]
pub fn name(text: &str, most: usize) -> String {
    let line = one_line(text, most);
    let turns = |c| matches!(unicode_bidi::bidi_class(c), BidiClass::R | BidiClass::AL);
    if line.contains(turns) { format!("\u{2068}{line}\u{2069}") } else { line }
}

/// An error with all that lies behind it, in one line.
#[must_use]
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        behind = cause.source();
    }
    one_line(&text, 400)
}

fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{00AD}')
}

/// A text from elsewhere as a sentence: one line, a capital first letter, a full stop.
#[must_use]
pub fn sentence(text: &str, most: usize) -> String {
    let line = one_line(text, most);
    let mut chars = line.chars();
    let Some(first) = chars.next() else { return line };
    let stop = if line.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), chars.as_str())
}

/// A text from elsewhere to stand within a sentence: one line without a full stop.
#[must_use]
pub fn phrase(text: &str, most: usize) -> String {
    one_line(text, most).trim_end_matches(['.', ' ']).to_owned()
}

/// Breaks the lines of a plain text at `width` columns and leaves one empty line where there are several.
///
/// An indented line, and one of a list, goes on under its own text, a row like `When      Tuesday` under its second column. A line that starts with
/// `$ ` or holds an address is never broken, because it will be copied.
#[must_use]
pub fn fold(text: &str, width: usize) -> String {
    let mut folded = String::with_capacity(text.len() + text.len() / 20);
    let mut empty_before = true;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            if !empty_before {
                folded.push('\n');
            }
            empty_before = true;
            continue;
        }
        empty_before = false;
        if line.trim_start().starts_with("$ ") || line.contains("://") {
            folded.push_str(line);
        } else {
            let hanging = " ".repeat(hanging_indent(line));
            let indent = line.len() - line.trim_start().len();
            let options = textwrap::Options::new(width)
                .subsequent_indent(&hanging)
                .break_words(false)
                .word_splitter(textwrap::WordSplitter::NoHyphenation);
            // The indent is taken off first: textwrap would take it for a word's white space and drop it at a break.
            let (lead, rest) = line.split_at(indent);
            folded.push_str(&textwrap::fill(rest, options.initial_indent(lead)));
        }
        folded.push('\n');
    }
    folded.truncate(folded.trim_end().len());
    folded.push('\n');
    folded
}

/// The column of a row's second cell, or of the text itself.
fn hanging_indent(line: &str) -> usize {
    let indent = line.len() - line.trim_start().len();
    if indent == 0 {
        return if line.starts_with("* ") { 2 } else { 0 };
    }
    let text = &line[indent..];
    let Some(gap) = text.find("  ") else { return indent };
    let after = &text[gap..];
    indent + textwrap::core::display_width(&text[..gap]) + after.len() - after.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().expect("a moment")
    }

    #[test]
    fn a_command_gets_a_time_with_its_offset() {
        assert_eq!(for_command(at("2026-11-24T02:00:00Z"), Tz::Asia__Kolkata), "2026-11-24T07:30+05:30");
    }

    #[test]
    fn lists_end_in_and() {
        assert_eq!(list(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn foreign_text_becomes_one_visible_line() {
        assert_eq!(one_line("web\r\nBcc: x@y\t\u{202E}1 \u{0}", 80), "web Bcc: x@y 1");
        assert_eq!(one_line("Zürich 東京", 80), "Zürich 東京");
        assert_eq!(one_line("👩‍👩‍👧 می‌خواهم", 80), "👩‍👩‍👧 می‌خواهم");
        assert_eq!(one_line("a\u{200D}b\u{200D}\u{200D}ü\u{200C}", 80), "abü");
        assert_eq!(one_line(&"ü".repeat(100), 10), format!("{}…", "ü".repeat(9)));
        assert_eq!(sentence("it has a\nhost device", 80), "It has a host device.");
        assert_eq!(sentence("", 80), "");
        assert_eq!(phrase("Kernel update. ", 80), "Kernel update");
    }

    #[test]
    fn a_message_keeps_its_lines_and_nothing_that_can_not_be_seen() {
        assert_eq!(
            paragraphs("\n\nHello,\r\n\n\n\n can\tyou \u{202E}wait?\n\n", 80),
            "Hello,\n\ncan you wait?"
        );
        assert_eq!(paragraphs("one\ntwo\nthree", 8), "one\ntwo\n…");
        assert_eq!(paragraphs(" \u{200B}\n", 8), "");
    }

    #[test]
    fn a_time_to_be_answered_with_has_its_offset_only_where_the_clocks_show_it_twice() {
        assert_eq!(for_answer(at("2026-11-24T02:00:00Z"), Tz::Europe__Berlin), "2026-11-24 03:00");
        assert_eq!(for_answer(at("2026-10-25T01:30:00Z"), Tz::Europe__Berlin), "2026-10-25 02:30 +01:00");
    }

    #[test]
    fn a_name_from_right_to_left_is_set_apart_and_turns_nothing_else_round() {
        assert_eq!(name("שרת-1", 80), "\u{2068}שרת-1\u{2069}");
        assert_eq!(name("\u{202E}خادم\u{2069}", 80), "\u{2068}خادم\u{2069}");
        assert_eq!(name("web-1 🚀 Ω", 80), "web-1 🚀 Ω");
    }

    #[test]
    fn folding_keeps_rows_and_commands_whole() {
        let text =
            "one two three four\n\n\n\n  When    aaa bbb ccc ddd\n  $ drover reschedule DR-1 --to TIME\n";
        assert_eq!(
            fold(text, 18),
            "one two three four\n\n  When    aaa bbb\n          ccc ddd\n  $ drover reschedule DR-1 --to TIME\n"
        );
    }
}
