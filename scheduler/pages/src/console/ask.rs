//! A form that fills a page: a new maintenance, a reason for something.

use crate::form::Form;
use crate::page;

/// A form, and what should be known before it is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskPage {
    /// What it is for.
    pub title: String,
    /// What should be known first.
    pub lead: String,
    /// The form.
    pub form: Form,
}

page!(AskPage, "console/ask.html", |p, _f| p.title.clone());
