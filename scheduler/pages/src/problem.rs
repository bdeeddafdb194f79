//! When something can't be shown or done.

use crate::page;

/// A page that says what went wrong and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status that it is sent with.
    pub status: u16,
    /// What went wrong, in a few words.
    pub title: String,
    /// What went wrong, in a sentence.
    pub detail: String,
    /// What to do next.
    pub links: Vec<Link>,
}

/// A way on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where to.
    pub href: String,
    /// In words.
    pub text: String,
}

page!(Problem, "problem.html", |p, _f| p.title.clone());
