//! The language in which somebody is written to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unic_langid::{CharacterDirection, LanguageIdentifier, langid};

/// A language by its BCP 47 tag: `de`, `de-AT`, `zh-Hant`. Well formed, which is all that can be known of it here: whether there are
/// words in it is known to whoever writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(LanguageIdentifier);

/// Why a text is no language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no language tag; write for example \"en\", \"de\" or \"pt-BR\"")]
pub struct BadLanguage {
    /// The refused text.
    pub given: String,
}

/// From left to right, or from right to left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Latin, Greek, Han, …
    LeftToRight,
    /// Arabic, Hebrew, …
    RightToLeft,
}

impl Language {
    /// The bare language, without script, region and variants: `de` of `de-AT`.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self(LanguageIdentifier::from_parts(self.0.language, None, None, &[]))
    }

    /// Whither it is written.
    #[must_use]
    pub fn direction(&self) -> Direction {
        match self.0.character_direction() {
            CharacterDirection::RTL => Direction::RightToLeft,
            CharacterDirection::LTR | CharacterDirection::TTB => Direction::LeftToRight,
        }
    }

    /// As libraries of language take it.
    #[must_use]
    pub fn identifier(&self) -> &LanguageIdentifier {
        &self.0
    }
}

impl Default for Language {
    fn default() -> Self {
        Self(langid!("en"))
    }
}

impl FromStr for Language {
    type Err = BadLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || BadLanguage { given: text.to_owned() };
        // The parser takes the underscores of POSIX's names too; a tag has none.
        if text.contains('_') {
            return Err(wrong());
        }
        let parsed: LanguageIdentifier = text.parse().map_err(|_| wrong())?;
        // "und", which is what the parser makes of an empty text, says nothing.
        if parsed.language.is_empty() { Err(wrong()) } else { Ok(Self(parsed)) }
    }
}

impl TryFrom<String> for Language {
    type Error = BadLanguage;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.to_string()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_in_any_case_and_kept_in_the_usual_one() {
        for (given, kept, bare) in
            [("de", "de", "de"), ("DE-at", "de-AT", "de"), ("zh-hant", "zh-Hant", "zh")]
        {
            let language: Language = given.parse().expect("a tag");
            assert_eq!((language.to_string().as_str(), language.bare().to_string().as_str()), (kept, bare));
        }
        assert_eq!(Language::default().to_string(), "en");
    }

    #[test]
    fn what_is_no_tag_is_refused_with_what_would_be() {
        for given in ["", "german language", "d", "de_DE", "de-", "und", "../en", "de/DE"] {
            let refused = given.parse::<Language>().expect_err(given);
            assert!(
                refused.to_string().contains("write for example \"en\", \"de\" or \"pt-BR\""),
                "{refused}"
            );
        }
    }

    #[test]
    fn arabic_is_written_from_right_to_left() {
        let direction = |tag: &str| tag.parse::<Language>().expect("a tag").direction();
        assert_eq!(direction("ar-EG"), Direction::RightToLeft);
        assert_eq!(direction("de"), Direction::LeftToRight);
    }
}
