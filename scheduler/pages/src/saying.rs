//! Sentences with figures in them, which become words only when it is known who reads them, where, and in which language.

use drover_policies::language::Language;
use drover_policies::time::{Instant, Span};
use fluent_bundle::FluentValue;

use crate::frame::Frame;
use crate::say::amount;
use crate::words::Words;

/// Something that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saying {
    /// In words that are looked up.
    Worded {
        /// Under which they stand in `words/`.
        word: &'static str,
        /// What is put into them, by its name there.
        figures: Vec<(&'static str, Figure)>,
    },
    /// In words that are already made, in English and with times in UTC.
    Story(String),
}

/// What is put into a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Figure {
    /// A moment.
    At(Instant),
    /// A length of time.
    Long(Span),
    /// An amount, in bytes.
    Bytes(u64),
    /// What is the same in all languages, or chooses between words.
    Name(String),
    /// A sentence of the scheduler's, which is known in other languages word for word, if at all.
    Said(String),
    /// A sentence of the scheduler's that has a stable word, of a family of such words.
    Coded {
        /// The family.
        family: &'static str,
        /// The word.
        code: String,
        /// The sentence.
        text: String,
    },
    /// Another thing that is said.
    Saying(Saying),
}

impl From<String> for Saying {
    fn from(text: String) -> Self {
        Self::Story(text)
    }
}

impl From<&str> for Saying {
    fn from(text: &str) -> Self {
        Self::Story(text.to_owned())
    }
}

impl Saying {
    /// Words without anything in them.
    #[must_use]
    pub fn new(word: &'static str) -> Self {
        Self::Worded { word, figures: Vec::new() }
    }

    /// With this in them.
    #[must_use]
    pub fn with(mut self, name: &'static str, figure: Figure) -> Self {
        if let Self::Worded { figures, .. } = &mut self {
            figures.push((name, figure));
        }
        self
    }

    /// In English, with times in UTC and to the second: for programs, and for whoever is not known.
    #[must_use]
    pub fn in_english(&self) -> String {
        match self {
            Self::Story(text) => text.clone(),
            Self::Worded { word, figures } => {
                put(Words::of(&Language::default()), word, figures, |figure| match figure {
                    Figure::At(at) => at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
                    Figure::Long(long) => long.rounded().to_string(),
                    Figure::Bytes(bytes) => amount(*bytes),
                    Figure::Name(text) | Figure::Said(text) | Figure::Coded { text, .. } => text.clone(),
                    Figure::Saying(saying) => saying.in_english(),
                })
            }
        }
    }
}

impl Frame {
    /// A sentence in the reader's language, with times in his zone.
    #[must_use]
    pub fn saying(&self, saying: &Saying) -> String {
        match saying {
            Saying::Story(text) => self.story(text),
            Saying::Worded { word, figures } => put(self.words(), word, figures, |figure| match figure {
                Figure::At(at) => self.moment(at).text(),
                Figure::Long(long) => self.span(long),
                Figure::Bytes(bytes) => amount(*bytes),
                Figure::Name(text) => text.clone(),
                Figure::Said(text) => self.said(text),
                Figure::Coded { family, code, text } => self.coded(family, code, text),
                Figure::Saying(saying) => self.saying(saying),
            }),
        }
    }
}

fn put(
    words: &Words,
    word: &str,
    figures: &[(&'static str, Figure)],
    text: impl Fn(&Figure) -> String,
) -> String {
    let given: Vec<(&str, FluentValue<'_>)> =
        figures.iter().map(|(name, figure)| (*name, FluentValue::from(text(figure)))).collect();
    words.say(word, &given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn moved() -> Saying {
        Saying::new("event-moved-after")
            .with("method", Figure::Name("reboot".to_owned()))
            .with("for", Figure::Long(Span::milliseconds(75_400)))
    }

    #[test]
    fn a_program_reads_english_and_utc() {
        let at = "2026-12-01T03:00:00Z".parse().expect("a moment");
        assert_eq!(
            Saying::new("event-proposed").with("at", Figure::At(at)).in_english(),
            "ticket: 2026-12-01 03:00:00 UTC proposed"
        );
        assert_eq!(moved().in_english(), "moved (reboot, stood still for 1m 15s)");
        assert_eq!(Saying::from("as it is").in_english(), "as it is");
    }

    #[test]
    fn an_owner_reads_his_language_and_his_zone() {
        let mut owner = samples::owner("/my");
        owner.language = "de".parse().expect("a language");
        let at = "2026-12-01T03:00:00Z".parse().expect("a moment");
        let by = Figure::Saying(Saying::new("by-operator"));
        let moved_to = Saying::new("event-rescheduled").with("at", Figure::At(at)).with("by", by);
        assert_eq!(
            owner.saying(&moved_to),
            "auf Di 1. Dezember 2026 04:00 CET verlegt, von einem Mitarbeiter"
        );
        assert_eq!(owner.saying(&moved()), "mit einem Neustart umgezogen, stand 1 Minute 15 Sekunden still");
    }
}
