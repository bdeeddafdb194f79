//! From a notice to the words of a message.
//!
//! The shipped templates are compiled in. An operator may replace any of them by a file of the same name in a directory; each is
//! tried on samples of every kind when the scheduler starts, so that a slip of the pen is found then and not by an owner. Should
//! one fail nevertheless, the shipped one takes its place: a notice in our words is better than none.

use std::collections::BTreeMap;
use std::path::Path;

use drover_policies::bulletins::Bulletin;
use drover_policies::ids::NoticeId;
use drover_policies::language::Language;
use drover_policies::notices::{Contact, Notice};
use minijinja::Environment;

use crate::bulletin::BulletinLetter;
use crate::letter::{Letter, Links};
pub use crate::problems::{TemplateFault, TemplateProblem};
use crate::speech::Speech;
use crate::tongues::{Tongue, shipped_files, tongues};
use crate::words;

/// Columns of the plain text.
const WIDTH: usize = 76;
/// Calendars break lines themselves.
const UNFOLDED: usize = 100_000;
/// Longest subject, in characters.
const SUBJECT: usize = 200;

/// A notice or a bulletin in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// Plain text, lines of at most 76 columns but for commands and addresses.
    pub text: String,
    /// A whole HTML document that loads nothing from elsewhere.
    pub html: String,
    /// How the appointment is called in a calendar. One line; empty in a bulletin, which has none.
    pub entry_title: String,
    /// What stands below that.
    pub entry_text: String,
}

/// What templates are filled in with.
pub(crate) struct Sheet {
    /// Where the templates are.
    pub(crate) folder: &'static str,
    /// Stands before the subject.
    pub(crate) mark: &'static str,
    /// The template of its entry in a calendar; nothing of what has no appointment.
    pub(crate) entry: Option<&'static str>,
    /// Their variables.
    pub(crate) values: minijinja::Value,
}

/// A notice could not be put into words, not even by the shipped templates.
#[derive(Debug, thiserror::Error)]
#[error("the template {template:?} can't be filled in")]
pub struct RenderError {
    /// Which.
    pub template: String,
    pub(crate) source: minijinja::Error,
}

/// Turns notices into messages.
#[derive(Debug)]
pub struct Renderer {
    tongues: BTreeMap<Language, Tongue>,
}

impl Renderer {
    /// Reads an operator's templates, if there is a directory of them, and tries them on samples of every kind.
    ///
    /// # Errors
    /// Everything that is wrong with those files, not only the first.
    pub fn new(overrides: Option<&Path>) -> Result<Self, Vec<TemplateProblem>> {
        Ok(Self { tongues: tongues(overrides)? })
    }

    /// The languages that there are words for.
    pub fn languages(&self) -> impl Iterator<Item = &Language> {
        self.tongues.keys()
    }

    /// The shipped templates and words: names, as in a directory of an operator's own, and texts.
    pub fn shipped() -> impl Iterator<Item = (String, &'static str)> {
        shipped_files()
    }

    /// The language in which a reader of this one is written to: the nearest that there are words for.
    #[must_use]
    pub fn nearest(&self, language: &Language) -> Language {
        [language.clone(), language.bare()]
            .into_iter()
            .find(|language| self.tongues.contains_key(language))
            .unwrap_or_default()
    }

    /// Puts a notice into words for its owner.
    ///
    /// # Errors
    /// A shipped template fails, which the tests over all kinds rule out as far as they can.
    pub fn render(&self, notice: &Notice, contact: &Contact, links: &Links) -> Result<Message, RenderError> {
        self.filled(contact, notice.id, |tongue| Letter::new(notice, contact, links, tongue).sheet())
    }

    /// Puts a bulletin into words for operators.
    ///
    /// # Errors
    /// As [`Renderer::render`].
    pub fn render_bulletin(
        &self,
        bulletin: &Bulletin,
        contact: &Contact,
        links: &Links,
    ) -> Result<Message, RenderError> {
        self.filled(contact, bulletin.id, |tongue| {
            BulletinLetter::new(bulletin, contact, links, tongue).sheet()
        })
    }

    fn filled(
        &self,
        contact: &Contact,
        id: NoticeId,
        sheet: impl Fn((&Language, &Speech)) -> Sheet,
    ) -> Result<Message, RenderError> {
        let language = self.nearest(&contact.language);
        // English is always there.
        let tongue = &self.tongues[&language];
        let sheet = sheet((&language, &tongue.speech));
        if let Some(own) = &tongue.own {
            match message(own, &sheet) {
                Ok(message) if !message.subject.is_empty() => return Ok(message),
                Ok(_) => {
                    tracing::warn!(notice = %id, "an operator's subject is empty; using the shipped templates");
                }
                Err(error) => {
                    tracing::warn!(notice = %id, template = error.template, error = %error.source,
                        "an operator's template fails; using the shipped ones");
                }
            }
        }
        message(&tongue.shipped, &sheet)
    }
}

pub(crate) fn message(templates: &Environment<'_>, sheet: &Sheet) -> Result<Message, RenderError> {
    let Sheet { folder, mark, entry, values } = sheet;
    let fill = |template: String| {
        templates
            .get_template(&template)
            .and_then(|found| found.render(values.clone()))
            .map_err(|source| RenderError { template, source })
    };
    let entry = entry.map(|entry| fill(entry.to_owned())).transpose()?.unwrap_or_default();
    let (entry_title, entry_text) = entry.trim().split_once('\n').unwrap_or((entry.trim(), ""));
    Ok(Message {
        subject: marked(mark, &words::joined(&fill(format!("{folder}/subject.txt"))?, SUBJECT)),
        text: words::fold(&fill(format!("{folder}/body.txt"))?, WIDTH),
        html: fill(format!("{folder}/body.html"))?,
        entry_title: marked(mark, &words::joined(entry_title, SUBJECT)),
        entry_text: words::fold(entry_text, UNFOLDED).trim().to_owned(),
    })
}

/// Not by the templates: one that an operator has written must not lose it. An empty one stays empty, which is found elsewhere.
fn marked(mark: &str, title: &str) -> String {
    if title.is_empty() { String::new() } else { format!("{mark}{title}") }
}
