//! What somebody wants to be done, if it is one of the things that can be done by mail.
//!
//! A command is the whole first line, but for a greeting before it and thanks after it. A line that begins like a command and goes on
//! otherwise is not obeyed and not ignored either: whoever wrote "ok, but not on Friday" must learn that he has agreed to nothing.

use chrono_tz::Tz;
use drover_policies::time::Instant;

use super::when::when;
use crate::letter::STOP_REMINDERS;
use crate::words;

/// What can be done by mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The proposed time suits.
    Accept,
    /// Begin at once.
    Now,
    /// Another time.
    MoveTo(Instant),
    /// No reminders from here on.
    NoReminders,
}

/// What somebody's words come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Understood {
    /// A command.
    Command {
        /// Which.
        command: Command,
        /// The line that says so.
        line: String,
        /// What else stands there, for people; nothing but thanks and a name is left out.
        besides: Option<String>,
    },
    /// It may be meant as one, and is not understood. Nothing is done.
    Unclear {
        /// The line.
        line: String,
        /// What was not understood.
        why: String,
    },
    /// Words for people.
    Words,
}

const ACCEPT: [&str; 14] = [
    "accept",
    "accepted",
    "i accept",
    "ok",
    "okay",
    "yes",
    "agree",
    "agreed",
    "i agree",
    "approve",
    "approved",
    "i approve",
    "confirm",
    "confirmed",
];
const NOW: [&str; 9] = [
    "now",
    "migrate now",
    "start now",
    "start it now",
    "do it now",
    "move now",
    "move it now",
    "right now",
    "migrate it now",
];
const MOVE: [&str; 6] = ["move", "reschedule", "postpone", "shift", "change", "migrate"];
const WHAT: [&str; 10] = [
    "it",
    "this",
    "that",
    "me",
    "us",
    "the migration",
    "the server",
    "my server",
    "the appointment",
    "the time",
];
const TO: [&str; 4] = ["to", "for", "until", "till"];
const GREETINGS: [&str; 10] = [
    "hi",
    "hello",
    "hey",
    "dear",
    "good morning",
    "good afternoon",
    "good evening",
    "hallo",
    "moin",
    "greetings",
];
const THANKS: [&str; 15] = [
    "thanks",
    "thank you",
    "many thanks",
    "thx",
    "ty",
    "cheers",
    "regards",
    "best regards",
    "kind regards",
    "best",
    "best wishes",
    "sincerely",
    "yours",
    "greetings",
    "bye",
];
/// The longest line of a greeting or of a signature, in characters.
const NAME: usize = 60;

/// Finds out what fresh text means, at a place and a time.
#[must_use]
pub fn understand(text: &str, zone: Tz, now: Instant) -> Understood {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let begin = usize::from(lines.first().is_some_and(|line| is_greeting(line)));
    let Some(line) = lines.get(begin) else { return Understood::Words };
    let besides = besides(&lines[begin + 1..]);
    let line_shown = words::one_line(line, 200);
    let unclear = |why: String| Understood::Unclear { line: line_shown.clone(), why };
    let command = match read(line, zone, now) {
        Reading::Command(command) => command,
        Reading::Unclear(why) => return unclear(why),
        Reading::Other => return Understood::Words,
    };
    if let Some(besides) = &besides {
        let second = besides.lines().find(|line| !matches!(read(line, zone, now), Reading::Other));
        if let Some(second) = second {
            return unclear(format!(
                "there is a second line that can be a command: {:?}; send one at a time",
                words::one_line(second, 80)
            ));
        }
    }
    // It can't be taken back, so whatever else is said comes first, if it is not plainly a goodbye.
    let more = &lines[begin + 1..];
    if command == Command::Now && !(besides.is_none() && more.first().is_none_or(|line| is_thanks(line))) {
        return unclear(
            "there is more than \"now\" in the mail; to begin at once, answer with nothing but \"now\""
                .to_owned(),
        );
    }
    Understood::Command { command, line: line_shown, besides }
}

enum Reading {
    Command(Command),
    Unclear(String),
    Other,
}

fn read(line: &str, zone: Tz, now: Instant) -> Reading {
    match read_plain(&plain(line), zone, now) {
        Reading::Command(_) if line.contains('?') => Reading::Unclear(
            "it is a question; to have it done, answer with the same line without the question mark"
                .to_owned(),
        ),
        reading => reading,
    }
}

fn read_plain(said: &str, zone: Tz, now: Instant) -> Reading {
    if ACCEPT.contains(&said) {
        return Reading::Command(Command::Accept);
    }
    if NOW.contains(&said) {
        return Reading::Command(Command::Now);
    }
    if said == STOP_REMINDERS {
        return Reading::Command(Command::NoReminders);
    }
    if let Some(rest) = after_any(said, &MOVE) {
        let rest = after_any(rest, &WHAT).unwrap_or(rest);
        return match after_any(rest, &TO) {
            Some("now") => Reading::Command(Command::Now),
            Some(time) => match when(time, zone, now) {
                Ok(at) => Reading::Command(Command::MoveTo(at)),
                Err(why) => Reading::Unclear(why),
            },
            None => Reading::Unclear("there is no time in it; write \"move to\" and a time".to_owned()),
        };
    }
    let first = said.split([' ', ',', ';', ':', '.', '-']).next().unwrap_or_default();
    if ACCEPT.contains(&first) || first == "now" {
        return Reading::Unclear(format!(
            "it begins like {first:?} and says more; if you mean just that, answer with nothing but {first:?}"
        ));
    }
    Reading::Other
}

/// In small letters, without marks around it and without politeness.
fn plain(line: &str) -> String {
    let mut said = line.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    loop {
        let shorter = said
            .trim_matches(|c: char| c.is_ascii_punctuation() && !"+-()".contains(c) || "“”„«»’‘…".contains(c))
            .trim()
            .to_owned();
        let shorter = ["please ", "pls "]
            .iter()
            .fold(shorter, |said, word| said.strip_prefix(word).map_or(said.clone(), ToOwned::to_owned));
        let shorter = [" please", " pls", " thanks", " thank you", " thx"]
            .iter()
            .fold(shorter, |said, word| said.strip_suffix(word).map_or(said.clone(), ToOwned::to_owned));
        if shorter == said {
            return said;
        }
        said = shorter;
    }
}

/// What comes after one of these words.
fn after_any<'a>(said: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|word| {
        let rest = said.strip_prefix(word)?;
        (rest.is_empty() || rest.starts_with(' ')).then(|| rest.trim_start())
    })
}

fn is_greeting(line: &str) -> bool {
    let said = plain(line);
    line.chars().count() <= NAME
        && after_any(&said.replace(',', " "), &GREETINGS).is_some_and(|rest| rest.split(' ').count() <= 4)
}

/// What is said after a command, if it is more than thanks and a name.
fn besides(lines: &[&str]) -> Option<String> {
    let ends = match lines.iter().position(|line| is_thanks(line)) {
        Some(at) if lines[at + 1..].iter().all(|line| is_signature(line)) => at,
        // A bare name is a signature too.
        None if lines.len() <= 1 && lines.iter().all(|line| is_signature(line)) => 0,
        Some(_) | None => lines.len(),
    };
    let said = &lines[..ends];
    (!said.is_empty()).then(|| said.join("\n"))
}

/// `Thanks`, `Best regards, Ada`.
fn is_thanks(line: &str) -> bool {
    let said = plain(line).replace([',', '.', '!'], " ");
    // Politeness alone leaves nothing of a line.
    said.is_empty() || after_any(&said, &THANKS).is_some_and(|rest| rest.split_whitespace().count() <= 2)
}

/// Words that begin like a name at the beginning of a line, and say something all the same.
const NO_NAMES: [&str; 16] = [
    "not", "no", "never", "later", "after", "before", "until", "unless", "except", "only", "but", "wait",
    "stop", "if", "when", "then",
];

/// A name, a company, a number to call.
fn is_signature(line: &str) -> bool {
    let words: Vec<String> = line.split_whitespace().map(plain).collect();
    let begins = line.chars().next().is_some_and(|c| !c.is_alphabetic() || c.is_uppercase());
    begins
        && words.len() <= 4
        && line.chars().count() <= NAME
        && !words.iter().any(|word| {
            let word = word.as_str();
            NO_NAMES.contains(&word)
                || ACCEPT.contains(&word)
                || word == "now"
                || word.parse::<chrono::Weekday>().is_ok()
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_IS: &str = "2026-11-25T09:30:00Z";

    fn understood(text: &str) -> Understood {
        understand(text, Tz::Europe__Berlin, NOW_IS.parse().expect("a moment"))
    }

    fn at(text: &str) -> Command {
        Command::MoveTo(text.parse().expect("a moment"))
    }

    #[test]
    fn a_command_is_understood_with_greetings_thanks_and_marks_around_it() {
        for (text, command) in [
            ("accept", Command::Accept),
            ("Ok.", Command::Accept),
            ("\"accept\"", Command::Accept),
            ("Yes, please!", Command::Accept),
            ("Hi Bob,\n\nOK thanks\n\nBest regards,\nAda Lovelace\nAcme Ltd.", Command::Accept),
            ("Hello,\nI agree.\nAda", Command::Accept),
            ("now", Command::Now),
            ("No reminders.", Command::NoReminders),
            ("Please start it now.\nThanks", Command::Now),
            ("move to 2026-12-03 22:00", at("2026-12-03T21:00:00Z")),
            ("*Move to 2026-12-03 22:00*", at("2026-12-03T21:00:00Z")),
            ("please reschedule it to tomorrow at 6pm, thanks", at("2026-11-26T17:00:00Z")),
            ("Postpone the migration until Monday 06:00", at("2026-11-30T05:00:00Z")),
            ("move to 2026-10-25 02:30 +01:00", at("2026-10-25T01:30:00Z")),
            ("move to Thursday, 3 December 2026, 22:00 CET (UTC+01:00)", at("2026-12-03T21:00:00Z")),
        ] {
            match understood(text) {
                Understood::Command { command: found, besides: None, .. } => {
                    assert_eq!(found, command, "{text}")
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_else_is_said_goes_to_people() {
        let Understood::Command { command: Command::Accept, line, besides } =
            understood("accept\n\nDoes it keep its addresses?\n\nThanks,\nAda")
        else {
            panic!("a command");
        };
        assert_eq!((line.as_str(), besides.as_deref()), ("accept", Some("Does it keep its addresses?")));
        for text in ["accept\nNot on Friday", "accept\nThanks\nbut call me before"] {
            let kept = text.strip_prefix("accept\n").expect("more");
            let found = understood(text);
            assert!(
                matches!(&found, Understood::Command { besides: Some(more), .. } if more == kept),
                "{found:?}"
            );
        }
    }

    #[test]
    fn what_may_be_a_command_is_asked_back() {
        for (text, says) in [
            ("ok, but not on Friday", "it begins like \"ok\""),
            ("Yes. And can you call me?", "it begins like \"yes\""),
            ("ok?", "it is a question"),
            ("now?", "it is a question"),
            ("move to tomorrow 22:00?", "it is a question"),
            ("now is a bad time", "it begins like \"now\""),
            ("move it please", "there is no time in it"),
            ("move to 3/4/2026 22:00", "\"3/4/2026\" can be"),
            ("reschedule to next friday 18:00", "\"next friday\" can be"),
            (
                "accept\nmove to tomorrow 22:00",
                "there is a second line that can be a command: \"move to tomorrow 22:00\"",
            ),
            ("accept\nNow", "there is a second line that can be a command: \"Now\""),
            ("now\nAfter Friday", "there is more than"),
            ("now\nPlease wait until noon", "there is more than"),
            ("now\nThanks\nbut not on Friday", "there is more than"),
            ("now\nAda", "there is more than"),
            ("now\nunless the backup is still running", "there is more than \"now\" in the mail"),
        ] {
            match understood(text) {
                Understood::Unclear { why, .. } => assert!(why.starts_with(says), "{text}: {why}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn everything_else_is_for_people() {
        for text in [
            "",
            "Hello Bob,",
            "Can you please call me?",
            "Moving is fine with me",
            "I don't accept this",
            "not ok",
            "no",
            "Okayama is where it is",
        ] {
            assert_eq!(understood(text), Understood::Words, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "\\PC{0,200}") {
            let _ = understood(&text);
        }

        /// Nothing that a person adds within the line makes another command of it.
        #[test]
        fn a_line_with_more_in_it_is_never_obeyed(
            command in prop::sample::select(vec!["accept", "ok", "yes", "now"]),
            more in "[a-z]{4,10}( [a-z]{4,10}){0,3}",
        ) {
            prop_assume!(!["please", "thanks"].iter().any(|word| more.contains(word)));
            let found = understood(&format!("{command} {more}"));
            prop_assert!(matches!(found, Understood::Unclear { .. }), "{found:?}");
        }
    }
}
