//! What surrounds every page.

use chrono_tz::Tz;
use drover_policies::language::Language;
use drover_policies::time::Instant;

use crate::assets;
use crate::states::Tone;
use crate::words::Words;

/// What surrounds a page: who reads it, where, when, and in which words.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Who is signed in.
    pub who: Option<Who>,
    /// Path and query of the page, as they were asked for.
    pub path: String,
    /// Goes with every form, so that no other site can send one.
    pub csrf: String,
    /// Goes with every form of this page: sent twice, what it asks for is done once.
    pub once: String,
    /// In which times are shown.
    pub zone: Tz,
    /// In which an owner reads. The console is in English.
    pub language: Language,
    /// The present.
    pub now: Instant,
    /// How far the story was told when the page was read: of what happens after that its stream tells.
    pub since: i64,
    /// What came of the last action.
    pub flash: Option<Flash>,
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The operator's or the account's name.
    pub name: String,
    /// Whether it is an operator.
    pub operator: bool,
}

/// What came of the last action, told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flash {
    /// How it went.
    pub tone: Tone,
    /// In a sentence.
    pub text: String,
}

/// An entry of the navigation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) href: &'static str,
    pub(crate) text: String,
    pub(crate) current: bool,
}

const CONSOLE: &[(&str, &str)] = &[
    ("/fleet", "nav-fleet"),
    ("/maintenances", "nav-maintenances"),
    ("/migrations", "nav-migrations"),
    ("/servers", "nav-servers"),
    ("/hosts", "nav-hosts"),
    ("/windows", "nav-windows"),
    ("/tickets", "nav-tickets"),
    ("/policies", "nav-policies"),
    ("/agents", "nav-agents"),
    ("/audit", "nav-audit"),
];

const PORTAL: &[(&str, &str)] = &[
    ("/my", "nav-my"),
    ("/tickets", "nav-tickets"),
    ("/my/windows", "nav-my-windows"),
    ("/my/contacts", "nav-my-contacts"),
    ("/my/tokens", "nav-my-tokens"),
];

impl Frame {
    /// The words of this page.
    #[must_use]
    pub fn words(&self) -> &'static Words {
        if self.is_operator() { Words::of(&Language::default()) } else { Words::of(&self.language) }
    }

    /// A word or sentence of the interface by its key. What is no key is shown as it is said.
    #[must_use]
    pub fn t(&self, key: &str) -> String {
        self.words().find(key).unwrap_or_else(|| self.said(key))
    }

    /// A sentence with one thing in it, named `what`.
    #[must_use]
    pub fn t1(&self, key: &str, what: impl AsRef<str>) -> String {
        self.words().say(key, &[("what", what.as_ref().into())])
    }

    /// A sentence with a number in it, named `n`.
    pub(crate) fn tn(&self, key: &str, n: impl Into<Count>) -> String {
        self.words().say(key, &[("n", n.into().0.into())])
    }

    /// What the scheduler says, in the reader's language where it is known word for word, else as it is said.
    pub(crate) fn said(&self, text: &str) -> String {
        self.words().said(text).unwrap_or_else(|| text.to_owned())
    }

    /// What the scheduler says, under its stable word: in the reader's language where there are words for it, else as it was said.
    pub(crate) fn coded(&self, family: &str, code: &str, text: &str) -> String {
        self.words().find(&format!("{family}-{}", code.replace('_', "-"))).unwrap_or_else(|| self.said(text))
    }

    pub(crate) fn is_operator(&self) -> bool {
        self.who.as_ref().is_some_and(|who| who.operator)
    }

    pub(crate) fn nav(&self) -> Vec<Entry> {
        let Some(who) = &self.who else { return Vec::new() };
        let entries = if who.operator { CONSOLE } else { PORTAL };
        let here = self.path.split(['?', '#']).next().unwrap_or_default();
        let within = |href: &str| here == href || here.strip_prefix(href).is_some_and(|r| r.starts_with('/'));
        // The longest that fits: /my/windows is not also /my.
        let current = entries.iter().map(|(href, _)| *href).filter(|h| within(h)).max_by_key(|h| h.len());
        entries
            .iter()
            .map(|(href, key)| Entry { href, text: self.t(key), current: current == Some(*href) })
            .collect()
    }

    pub(crate) fn home(&self) -> &'static str {
        if self.is_operator() { "/fleet" } else { "/my" }
    }

    pub(crate) fn css(&self) -> &'static str {
        &assets::CSS.path
    }

    pub(crate) fn icon(&self) -> &'static str {
        &assets::ICON.path
    }

    pub(crate) fn js(&self) -> &'static str {
        &assets::JS.path
    }
}

/// A number in a sentence.
pub(crate) struct Count(i64);

macro_rules! counts {
    ($($number:ty),*) => {$(
        impl From<$number> for Count {
            fn from(n: $number) -> Self { Self(i64::try_from(n).unwrap_or(i64::MAX)) }
        }
        impl From<&$number> for Count {
            fn from(n: &$number) -> Self { Self::from(*n) }
        }
    )*};
}

counts!(u8, u32, u64, usize);
