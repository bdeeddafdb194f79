//! An operator's templates are tried on samples of every kind before the scheduler starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use drover_policies::language::Language;
use minijinja::Environment;

use crate::bulletin::BulletinLetter;
use crate::letter::Letter;
use crate::problems::{TemplateFault, TemplateProblem};
use crate::render::{Sheet, message};
use crate::samples::{bulletins, samples};
use crate::speech::Speech;

/// An operator's templates in one language, on trial.
pub(crate) struct Trial<'a> {
    pub(crate) language: &'a Language,
    pub(crate) speech: &'a Speech,
    pub(crate) own: &'a Environment<'static>,
    /// Those of them that are the operator's, each with its file and its text.
    pub(crate) files: &'a BTreeMap<String, (PathBuf, String)>,
}

impl Trial<'_> {
    pub(crate) fn problems(&self) -> Vec<TemplateProblem> {
        let tongue = (self.language, self.speech);
        let notices = samples().unwrap_or_default().into_iter().map(|s| {
            let letter = Letter::new(&s.notice, &s.contact, &s.links, tongue);
            (s.name, letter.sheet())
        });
        let bulletins = bulletins().unwrap_or_default().into_iter().map(|s| {
            let letter = BulletinLetter::new(&s.bulletin, &s.contact, &s.links, tongue);
            (s.name, letter.sheet())
        });
        let sheets: Vec<(&str, Sheet)> = notices.chain(bulletins).collect();
        let mut known: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (_, sheet) in &sheets {
            let value = serde_json::to_value(&sheet.values).unwrap_or_default();
            collect_paths("", &value, known.entry(sheet.folder).or_default());
        }
        let mut problems: Vec<_> = self
            .files
            .iter()
            .flat_map(|(name, (file, text))| self.unknown(name, file, text, &known))
            .collect();
        if problems.is_empty() {
            problems = sheets.iter().flat_map(|(sample, sheet)| self.tried(sample, sheet)).collect();
            problems.dedup_by(|a, b| a.file == b.file && a.line == b.line);
        }
        problems
    }

    /// Names that no notice of the kind has. Found without filling in, so that no branch hides one.
    fn unknown(
        &self,
        name: &str,
        file: &Path,
        text: &str,
        known: &BTreeMap<&str, BTreeSet<String>>,
    ) -> Vec<TemplateProblem> {
        let folder = name.split('/').next().unwrap_or(name);
        // A shared template may name what only some kinds have, behind a condition; the samples show whether it does.
        let known: BTreeSet<&String> = known
            .iter()
            .filter(|(k, _)| **k == folder || folder == "shared")
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
                file: file.to_owned(),
                line: line_of(text, &variable),
                wrong: TemplateFault::UnknownVariable {
                    variable,
                    known: known.iter().map(ToString::to_string).collect(),
                },
            })
            .collect()
    }

    /// The operator's file of this name; the name itself where the shipped one stumbles over what the operator's leaves out.
    fn file(&self, name: &str) -> PathBuf {
        self.files.get(name).map_or_else(|| PathBuf::from(name), |(file, _)| file.clone())
    }

    fn tried(&self, sample: &str, sheet: &Sheet) -> Option<TemplateProblem> {
        let sample = sample.to_owned();
        match message(self.own, sheet) {
            Ok(message) => {
                let parts = [
                    ("subject.txt", &message.subject),
                    ("body.txt", &message.text),
                    ("body.html", &message.html),
                ];
                let (part, _) = parts.iter().find(|(_, filled)| filled.trim().is_empty())?;
                let file = self.file(&format!("{}/{part}", sheet.folder));
                Some(TemplateProblem { file, line: None, wrong: TemplateFault::Empty { sample } })
            }
            Err(error) => {
                let innermost = innermost(&error.source);
                let file = self.file(innermost.name().unwrap_or(&error.template));
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
    use super::*;

    #[test]
    fn a_variable_is_found_on_its_line_and_only_between_braces() {
        let text = "reason nmae\n{{ name }}\n{% if x\n  and server.nmae %}{{ y }}";
        assert_eq!(line_of(text, "server.nmae"), Some(4));
        assert_eq!(line_of(text, "y"), Some(4));
        assert_eq!(line_of(text, "reason"), None);
    }
}
