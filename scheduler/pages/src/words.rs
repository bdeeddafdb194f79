//! The words of the interface, in English and in German.
//!
//! They are in `words/en.ftl` and `words/de.ftl`, in the format of [Fluent](https://projectfluent.org), as those of the mails are. A language
//! without words of its own is answered in English. The console is for operators, and in English only; what both have is in both languages.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use drover_policies::language::Language;
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::{LanguageIdentifier, langid};

const ENGLISH: &str = include_str!("../words/en.ftl");
const CONSOLE: &str = include_str!("../words/console.ftl");
const GERMAN: &str = include_str!("../words/de.ftl");

static SPOKEN: LazyLock<[Words; 2]> = LazyLock::new(|| {
    [Words::read(langid!("en"), &[ENGLISH, CONSOLE]), Words::read(langid!("de"), &[GERMAN])]
});

/// The keys of what stands in English without anything in it.
static SAID: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let lines = ENGLISH.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
    let pairs = lines.filter_map(|line| line.split_once(" = "));
    // What is said more than once has its words in the section of what the scheduler says, which is the last.
    pairs.filter(|(_, text)| !text.contains('{')).map(|(key, text)| (text, key)).collect()
});

/// The words of one language.
pub struct Words {
    tag: LanguageIdentifier,
    bundle: FluentBundle<FluentResource>,
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Words").field(&self.tag.to_string()).finish()
    }
}

impl Words {
    /// Those of this language, or the English ones.
    #[must_use]
    pub fn of(language: &Language) -> &'static Self {
        let bare = language.bare();
        SPOKEN.iter().find(|words| words.tag == *bare.identifier()).unwrap_or(&SPOKEN[0])
    }

    fn read(tag: LanguageIdentifier, texts: &[&str]) -> Self {
        let mut bundle = FluentBundle::new_concurrent(vec![tag.clone()]);
        // The marks around what is put in would be copied with it, and served to whoever reads the source.
        bundle.set_use_isolating(false);
        for text in texts {
            // What can't be read is left out, and a test finds that it is missing.
            bundle.add_resource_overriding(
                FluentResource::try_new((*text).to_owned()).unwrap_or_else(|(rest, _)| rest),
            );
        }
        Self { tag, bundle }
    }

    /// Its tag, for `lang`.
    #[must_use]
    pub fn tag(&self) -> String {
        self.tag.to_string()
    }

    /// What stands under a key; the key itself where nothing does.
    pub(crate) fn say(&self, key: &str, args: &[(&str, FluentValue<'_>)]) -> String {
        self.look(key, args).unwrap_or_else(|| key.to_owned())
    }

    /// What stands under a key without anything in it, if something does.
    pub(crate) fn find(&self, key: &str) -> Option<String> {
        self.look(key, &[])
    }

    /// Whether something stands under a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.bundle.get_message(key).is_some_and(|message| message.value().is_some())
    }

    /// What stands in this language for what is said in English, word for word; nothing where that is not known.
    pub(crate) fn said(&self, english: &str) -> Option<String> {
        if self.tag == langid!("en") {
            return None;
        }
        SAID.get(english).and_then(|key| self.find(key))
    }

    fn look(&self, key: &str, args: &[(&str, FluentValue<'_>)]) -> Option<String> {
        let pattern = self.bundle.get_message(key)?.value()?;
        let mut given = FluentArgs::new();
        for (name, value) in args {
            given.set((*name).to_owned(), value.clone());
        }
        let mut wrong = Vec::new();
        Some(self.bundle.format_pattern(pattern, Some(&given), &mut wrong).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What the scheduler says, by its stable words: in English it is shown as it is said.
    const CODED: [&str; 12] = [
        "why-",
        "waits-",
        "outcome-",
        "refused-",
        "field-",
        "problem-",
        "notice-",
        "channel-",
        "delivery-",
        "check-",
        "verdict-",
        "test-state-",
    ];

    fn keys(text: &str) -> BTreeSet<&str> {
        let starts = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
        text.lines().filter(starts).filter_map(|line| Some(line.split_once('=')?.0.trim())).collect()
    }

    #[test]
    fn both_languages_say_the_same_things() {
        let said = |key: &&str| CODED.iter().any(|family| key.starts_with(family));
        let (english, german) = (keys(ENGLISH), keys(GERMAN));
        assert_eq!(english.difference(&german).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in German");
        let more: Vec<&&str> = german.difference(&english).filter(|key| !said(key)).collect();
        assert_eq!(more, Vec::<&&str>::new(), "only in German");
        assert_eq!(
            english.intersection(&keys(CONSOLE)).collect::<Vec<_>>(),
            Vec::<&&str>::new(),
            "said twice"
        );
    }

    #[test]
    fn what_the_scheduler_says_is_recognised_word_for_word() {
        let german = Words::of(&"de-AT".parse().expect("a language"));
        assert_eq!(german.said("continuous data replication").as_deref(), Some("wird laufend aufgefrischt"));
        assert_eq!(german.said("continuous data replication of db-1"), None);
        assert_eq!(Words::of(&Language::default()).said("gone"), None);
    }

    #[test]
    fn every_file_is_read_as_a_whole() {
        for text in [ENGLISH, CONSOLE, GERMAN] {
            if let Err((_, errors)) = FluentResource::try_new(text.to_owned()) {
                panic!("{errors:?}");
            }
        }
    }

    /// The keys that stand in a file.
    fn used(text: &str) -> impl Iterator<Item = &str> {
        let calls = [
            "f.t(\"",
            "f.t1(\"",
            "f.tn(\"",
            ", \"col-",
            "Label::new(\"",
            "Self::new(\"state",
            "Saying::new(\"",
            "said_by(\"",
            "=> \"said-",
        ];
        calls.into_iter().flat_map(move |call| {
            let skipped = call.rfind('"').map_or(0, |quote| quote + 1);
            text.match_indices(call).filter_map(move |(at, _)| text[at + skipped..].split('"').next())
        })
    }

    fn missing(paths: &[&str], known: &BTreeSet<&str>) -> Vec<String> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
        let mut missing = Vec::new();
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                let entries = std::fs::read_dir(path).expect("readable");
                paths.extend(entries.map(|entry| entry.expect("an entry").path()));
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            let unknown = used(&text).filter(|key| !known.contains(key));
            missing.extend(unknown.map(|key| format!("{}: {key}", path.display())));
        }
        missing
    }

    #[test]
    fn every_key_of_a_template_has_words() {
        let english: BTreeSet<&str> = keys(ENGLISH).union(&keys(CONSOLE)).copied().collect();
        assert_eq!(
            missing(&["templates", "src", "../src/http/views/sayings.rs"], &english),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_owners_read_has_words_in_german_too() {
        let of_owners = [
            "templates/portal",
            "templates/parts",
            "templates/layout.html",
            "templates/login.html",
            "templates/problem.html",
            "templates/confirm.html",
            "templates/console/ticket.html",
            "templates/console/tickets.html",
            "templates/console/server.html",
            "src/portal",
            "src/parts.rs",
            "src/list.rs",
            "src/say.rs",
            "src/frame.rs",
            "../src/http/views/sayings.rs",
        ];
        assert_eq!(missing(&of_owners, &keys(GERMAN)), Vec::<String>::new());
    }
}
