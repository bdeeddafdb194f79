//! Anything, found by its name or number.

use crate::{Label, page};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPage {
    /// What was searched for.
    pub q: String,
    /// What was found, by kind.
    pub groups: Vec<Group>,
}

/// What was found of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The key of its name.
    pub name: &'static str,
    /// The best of it.
    pub hits: Vec<Hit>,
    /// Where all of it is listed; nothing when this is all.
    pub all: Option<String>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its page.
    pub href: String,
    /// Its name.
    pub name: String,
    /// What it is, in a few words.
    pub text: String,
    /// How it stands.
    pub state: Option<Label>,
}

page!(SearchPage, "console/search.html", |p, f| f.t1("found-for", &p.q));
