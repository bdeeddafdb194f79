//! From a notice to the words of a message.
//!
//! The shipped templates are compiled in. An operator may replace any of them by a file of the same name in a directory; each is
//! tried on samples of every kind when the scheduler starts, so that a slip of the pen is found then and not by an owner. Should
//! one fail nevertheless, the shipped one takes its place: a notice in our words is better than none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use drover_policies::notices::{Contact, Notice};
use minijinja::{Environment, UndefinedBehavior};

use crate::letter::{Letter, Links};
use crate::samples::samples;
use crate::words;

/// Columns of the plain text.
const WIDTH: usize = 76;
/// Longest subject, in characters.
const SUBJECT: usize = 200;

macro_rules! shipped {
    ($($folder:literal: $($file:literal),+;)+) => {
        &[$($((
            concat!($folder, "/", $file),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $folder, "/", $file)),
        )),+),+]
    };
}

/// Names and texts of the templates that come with Drover.
const SHIPPED: &[(&str, &str)] = shipped! {
    "shared": "layout.txt", "layout.html", "when.txt", "when.html", "choices.txt", "choices.html", "footer.txt", "footer.html";
    "proposed": "subject.txt", "body.txt", "body.html";
    "reminder": "subject.txt", "body.txt", "body.html";
    "rescheduled": "subject.txt", "body.txt", "body.html";
    "accepted": "subject.txt", "body.txt", "body.html";
    "missed": "subject.txt", "body.txt", "body.html";
    "started": "subject.txt", "body.txt", "body.html";
    "done": "subject.txt", "body.txt", "body.html";
    "not_seen_alive": "subject.txt", "body.txt", "body.html";
    "rolled_back": "subject.txt", "body.txt", "body.html";
    "cancelled": "subject.txt", "body.txt", "body.html";
    "avoided": "subject.txt", "body.txt", "body.html";
    "emergency": "subject.txt", "body.txt", "body.html";
    "no_slot": "subject.txt", "body.txt", "body.html";
    "written": "subject.txt", "body.txt", "body.html";
    "answered": "subject.txt", "body.txt", "body.html";
};

/// A notice in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// Plain text, lines of at most 76 columns but for commands and addresses.
    pub text: String,
    /// A whole HTML document that loads nothing from elsewhere.
    pub html: String,
}

/// What is wrong with an operator's templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// The file.
    pub file: PathBuf,
    /// The line in it, counted from 1, where that is known.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub wrong: TemplateFault,
}

/// What can be wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateFault {
    /// The file or directory can't be read.
    Unreadable {
        /// What the system says.
        why: String,
    },
    /// No template has this name, so the file would never be used.
    NoSuchTemplate {
        /// The names that there are.
        known: Vec<String>,
    },
    /// It is no template.
    Syntax {
        /// Where the parser stumbled.
        why: String,
    },
    /// It names a variable that notices of this kind haven't got.
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The variables that there are.
        known: Vec<String>,
    },
    /// It can't be filled in.
    Fails {
        /// The sample on which that was seen.
        sample: String,
        /// What went wrong.
        why: String,
    },
    /// It says nothing.
    Empty {
        /// The sample on which that was seen.
        sample: String,
    },
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        match &self.wrong {
            TemplateFault::Unreadable { why } => write!(f, ": can't be read: {why}"),
            TemplateFault::NoSuchTemplate { known } => {
                write!(f, ": there is no such template; there are {}", known.join(", "))
            }
            TemplateFault::Syntax { why } => write!(f, ": {why}"),
            TemplateFault::UnknownVariable { variable, known } => {
                write!(f, ": unknown variable {variable:?}; there are {}", known.join(", "))
            }
            TemplateFault::Fails { sample, why } => {
                write!(f, ": fails on the sample {sample:?}: {why}")
            }
            TemplateFault::Empty { sample } => write!(f, ": says nothing on the sample {sample:?}"),
        }
    }
}

impl std::error::Error for TemplateProblem {}

/// A notice could not be put into words, not even by the shipped templates.
#[derive(Debug, thiserror::Error)]
#[error("the template {template:?} can't be filled in")]
pub struct RenderError {
    /// Which.
    pub template: String,
    source: minijinja::Error,
}

/// Turns notices into messages.
#[derive(Debug)]
pub struct Renderer {
    shipped: Environment<'static>,
    /// The shipped ones with the operator's in their places; nothing without an operator's directory.
    own: Option<Environment<'static>>,
}

impl Renderer {
    /// Reads an operator's templates, if there is a directory of them, and tries them on samples of every kind.
    ///
    /// # Errors
    /// Everything that is wrong with those files, not only the first.
    pub fn new(overrides: Option<&Path>) -> Result<Self, Vec<TemplateProblem>> {
        let mut shipped = environment();
        for (name, text) in SHIPPED {
            shipped.add_template(name, text).map_err(|e| vec![syntax_problem(Path::new(name), &e)])?;
        }
        let Some(directory) = overrides else { return Ok(Self { shipped, own: None }) };
        let files = read_overrides(directory)?;
        let mut own = shipped.clone();
        let mut problems = Vec::new();
        for (name, text) in &files {
            if let Err(e) = own.add_template_owned(name.clone(), text.clone()) {
                problems.push(syntax_problem(&directory.join(name), &e));
            }
        }
        if problems.is_empty() {
            problems = Trial { own: &own, files: &files, directory }.problems();
        }
        if problems.is_empty() { Ok(Self { shipped, own: Some(own) }) } else { Err(problems) }
    }

    /// Puts a notice into words for its owner.
    ///
    /// # Errors
    /// A shipped template fails, which the tests over all kinds rule out as far as they can.
    pub fn render(&self, notice: &Notice, contact: &Contact, links: &Links) -> Result<Message, RenderError> {
        let letter = Letter::new(notice, contact, links);
        if let Some(own) = &self.own {
            match message(own, &letter, notice.tells.kind()) {
                Ok(message) if !message.subject.is_empty() => return Ok(message),
                Ok(_) => {
                    tracing::warn!(notice = %notice.id, "an operator's subject is empty; using the shipped templates");
                }
                Err(error) => {
                    tracing::warn!(notice = %notice.id, template = error.template, error = %error.source,
                        "an operator's template fails; using the shipped ones");
                }
            }
        }
        message(&self.shipped, &letter, notice.tells.kind())
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

fn message(templates: &Environment<'_>, letter: &Letter, kind: &str) -> Result<Message, RenderError> {
    let fill = |part: &str| {
        let template = format!("{kind}/{part}");
        templates
            .get_template(&template)
            .and_then(|found| found.render(minijinja::value::Serde(letter)))
            .map_err(|source| RenderError { template, source })
    };
    Ok(Message {
        subject: words::one_line(&fill("subject.txt")?, SUBJECT),
        text: words::fold(&fill("body.txt")?, WIDTH),
        html: fill("body.html")?,
    })
}

fn syntax_problem(file: &Path, error: &minijinja::Error) -> TemplateProblem {
    let why = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    TemplateProblem { file: file.to_owned(), line: error.line(), wrong: TemplateFault::Syntax { why } }
}

/// Name and text of every file below the directory. Files of editors and of version control, which begin with a dot, are left alone.
fn read_overrides(directory: &Path) -> Result<BTreeMap<String, String>, Vec<TemplateProblem>> {
    let mut found = BTreeMap::new();
    let mut problems = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(e) => {
                problems.push(unreadable(folder, &e));
                continue;
            }
        };
        for path in entries.iter().map(fs::DirEntry::path) {
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if hidden {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(directory).unwrap_or(&path).to_string_lossy().into_owned();
            if !SHIPPED.iter().any(|(known, _)| *known == name) {
                let known = SHIPPED.iter().map(|(known, _)| (*known).to_owned()).collect();
                let wrong = TemplateFault::NoSuchTemplate { known };
                problems.push(TemplateProblem { file: path, line: None, wrong });
                continue;
            }
            match fs::read_to_string(&path) {
                Ok(text) => drop(found.insert(name, text)),
                Err(e) => problems.push(unreadable(path, &e)),
            }
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

fn unreadable(file: PathBuf, error: &io::Error) -> TemplateProblem {
    TemplateProblem { file, line: None, wrong: TemplateFault::Unreadable { why: error.to_string() } }
}

/// An operator's templates on trial.
struct Trial<'a> {
    own: &'a Environment<'static>,
    files: &'a BTreeMap<String, String>,
    directory: &'a Path,
}

impl Trial<'_> {
    fn problems(&self) -> Vec<TemplateProblem> {
        let letters: Vec<(&str, &str, Letter)> = samples()
            .unwrap_or_default()
            .iter()
            .map(|s| (s.name, s.notice.tells.kind(), Letter::new(&s.notice, &s.contact, &s.links)))
            .collect();
        let mut known: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (_, kind, letter) in &letters {
            let value = serde_json::to_value(letter).unwrap_or_default();
            collect_paths("", &value, known.entry(kind).or_default());
        }
        let mut problems: Vec<_> =
            self.files.iter().flat_map(|(name, text)| self.unknown(name, text, &known)).collect();
        if problems.is_empty() {
            problems =
                letters.iter().flat_map(|(sample, kind, letter)| self.tried(sample, kind, letter)).collect();
            problems.dedup_by(|a, b| a.file == b.file && a.line == b.line);
        }
        problems
    }

    /// Names that no notice of the kind has. Found without filling in, so that no branch hides one.
    fn unknown(
        &self,
        name: &str,
        text: &str,
        known: &BTreeMap<&str, BTreeSet<String>>,
    ) -> Vec<TemplateProblem> {
        let kind = name.split('/').next().unwrap_or(name);
        // A shared template may name what only some kinds have, behind a condition; the samples show whether it does.
        let known: BTreeSet<&String> = known
            .iter()
            .filter(|(k, _)| **k == kind || kind == "shared")
            .flat_map(|(_, paths)| paths)
            .collect();
        let Ok(template) = self.own.get_template(name) else { return Vec::new() };
        let mut unknown: Vec<String> = template
            .undeclared_variables(true)
            .into_iter()
            .filter(|variable| !known.contains(variable) && !is_built_in(self.own, variable))
            .collect();
        unknown.sort();
        unknown
            .into_iter()
            .map(|variable| TemplateProblem {
                file: self.directory.join(name),
                line: line_of(text, &variable),
                wrong: TemplateFault::UnknownVariable {
                    variable,
                    known: known.iter().map(ToString::to_string).collect(),
                },
            })
            .collect()
    }

    fn tried(&self, sample: &str, kind: &str, letter: &Letter) -> Option<TemplateProblem> {
        let sample = sample.to_owned();
        match message(self.own, letter, kind) {
            Ok(message) => {
                let parts = [
                    ("subject.txt", &message.subject),
                    ("body.txt", &message.text),
                    ("body.html", &message.html),
                ];
                let (part, _) = parts.iter().find(|(_, filled)| filled.trim().is_empty())?;
                let file = self.directory.join(format!("{kind}/{part}"));
                Some(TemplateProblem { file, line: None, wrong: TemplateFault::Empty { sample } })
            }
            Err(error) => {
                let innermost = innermost(&error.source);
                let file = self.directory.join(innermost.name().unwrap_or(&error.template));
                let why = match innermost.kind() {
                    minijinja::ErrorKind::UndefinedError => {
                        "a value is named that not every notice has; put it behind {% if … %}".to_owned()
                    }
                    _ => innermost.detail().map_or_else(|| innermost.kind().to_string(), ToOwned::to_owned),
                };
                Some(TemplateProblem {
                    file,
                    line: innermost.line(),
                    wrong: TemplateFault::Fails { sample, why },
                })
            }
        }
    }
}

/// An error within an included template is told by the including one first.
fn innermost(error: &minijinja::Error) -> &minijinja::Error {
    let mut found = error;
    while let Some(inner) =
        std::error::Error::source(found).and_then(|e| e.downcast_ref::<minijinja::Error>())
    {
        found = inner;
    }
    found
}

fn is_built_in(environment: &Environment<'_>, variable: &str) -> bool {
    let first = variable.split('.').next().unwrap_or(variable);
    ["self", "super", "loop", "caller"].contains(&first)
        || environment.globals().any(|(name, _)| name == first)
}

/// `ticket`, `ticket.number`, …
fn collect_paths(prefix: &str, value: &serde_json::Value, paths: &mut BTreeSet<String>) {
    let Some(fields) = value.as_object() else { return };
    for (name, inner) in fields {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        collect_paths(&path, inner, paths);
        paths.insert(path);
    }
}

/// The first line that names the variable between braces.
fn line_of(text: &str, variable: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        let mut rest = line;
        while !rest.is_empty() {
            let (mark, other): (&[&str], bool) =
                if inside { (&["}}", "%}"], false) } else { (&["{{", "{%"], true) };
            let end = mark.iter().filter_map(|m| rest.find(m)).min();
            let part = &rest[..end.unwrap_or(rest.len())];
            if inside && part.split(|c| !is_part(c)).any(|word| word == variable) {
                return Some(number + 1);
            }
            let Some(end) = end else { break };
            rest = &rest[end + 2..];
            inside = other;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use drover_policies::notices::Tells;

    use super::*;

    #[test]
    fn every_kind_has_templates_and_a_sample_and_no_template_is_left_over() {
        let kinds: BTreeSet<&str> = Tells::KINDS.into_iter().collect();
        let sampled: BTreeSet<&str> =
            samples().expect("samples").iter().map(|s| s.notice.tells.kind()).collect();
        assert_eq!(kinds, sampled);
        let mut expected: BTreeSet<String> = SHIPPED
            .iter()
            .filter(|(name, _)| name.starts_with("shared/"))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        for kind in kinds {
            expected.extend(["subject.txt", "body.txt", "body.html"].map(|part| format!("{kind}/{part}")));
        }
        let shipped: BTreeSet<String> = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(shipped, expected);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let on_disk: BTreeSet<String> = read_overrides(&root).expect("readable").into_keys().collect();
        assert_eq!(on_disk, shipped);
    }

    #[test]
    fn the_shipped_templates_pass_the_trial_that_an_operators_have_to_pass() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        Renderer::new(Some(&root)).expect("no problems");
    }

    #[test]
    fn a_variable_is_found_on_its_line_and_only_between_braces() {
        let text = "reason nmae\n{{ name }}\n{% if x\n  and server.nmae %}{{ y }}";
        assert_eq!(line_of(text, "server.nmae"), Some(4));
        assert_eq!(line_of(text, "y"), Some(4));
        assert_eq!(line_of(text, "reason"), None);
    }
}
