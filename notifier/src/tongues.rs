//! Languages: the words and templates of each, the shipped ones and an operator's in their places.
//!
//! A template is looked for, first to last: the operator's in this language, the shipped one in this language, the operator's own English,
//! the shipped English. For `de-AT`, what is there for `de` comes after it. An operator adds a language by a folder of its name with
//! its `words.ftl`; what else is missing is told in English.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use drover_policies::language::Language;
use drover_policies::notices::Tells;
use minijinja::{Environment, UndefinedBehavior};

use crate::bulletin::FOLDER;
use crate::problems::{TemplateFault, TemplateProblem};
use crate::speech::{Speech, WordsFault};
use crate::trial::Trial;

/// Where the words of a language are.
const WORDS: &str = "words.ftl";
/// Longest name of the first part of a language's tag; longer ones are no languages in use, but misspelt kinds.
const LONGEST_TAG: usize = 3;

macro_rules! shipped {
    (in $prefix:literal; $($folder:literal: $($file:literal),+;)+) => {
        &[$($((
            concat!($folder, "/", $file),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $prefix, $folder, "/", $file)),
        )),+),+]
    };
}

/// Names and texts.
type Texts = &'static [(&'static str, &'static str)];

pub(crate) const ENGLISH_WORDS: &str = include_str!("../templates/words.ftl");
pub(crate) const GERMAN_WORDS: &str = include_str!("../templates/de/words.ftl");

/// The English templates that come with Drover; their names are the names that there are.
const ENGLISH: Texts = shipped! { in "";
    "shared": "layout.txt", "layout.html", "hello.txt", "hello.html", "when.txt", "when.html", "choices.txt", "choices.html", "copied.txt", "copied.html", "trial.txt", "trial.html", "shape.txt", "shape.html", "footer.txt",
        "footer.html", "calendar.txt", "drill.txt", "drill.html", "checks.txt", "checks.html";
    "proposed": "subject.txt", "body.txt", "body.html";
    "reminder": "subject.txt", "body.txt", "body.html";
    "rescheduled": "subject.txt", "body.txt", "body.html";
    "accepted": "subject.txt", "body.txt", "body.html";
    "missed": "subject.txt", "body.txt", "body.html";
    "started": "subject.txt", "body.txt", "body.html";
    "done": "subject.txt", "body.txt", "body.html";
    "not_seen_alive": "subject.txt", "body.txt", "body.html";
    "checks_failed": "subject.txt", "body.txt", "body.html";
    "rolled_back": "subject.txt", "body.txt", "body.html";
    "cancelled": "subject.txt", "body.txt", "body.html";
    "avoided": "subject.txt", "body.txt", "body.html";
    "emergency": "subject.txt", "body.txt", "body.html";
    "no_slot": "subject.txt", "body.txt", "body.html";
    "requested": "subject.txt", "body.txt", "body.html";
    "needed": "subject.txt", "body.txt", "body.html";
    "given_up": "subject.txt", "body.txt", "body.html";
    "confirmed": "subject.txt", "body.txt", "body.html";
    "reverting": "subject.txt", "body.txt", "body.html";
    "reverted": "subject.txt", "body.txt", "body.html";
    "written": "subject.txt", "body.txt", "body.html";
    "answered": "subject.txt", "body.txt", "body.html";
    "maintenance": "subject.txt", "body.txt", "body.html";
};

/// The German ones. Layouts have no words, so those of English do for every language.
const GERMAN: Texts = shipped! { in "de/";
    "shared": "hello.txt", "hello.html", "when.txt", "when.html", "choices.txt", "choices.html", "copied.txt", "copied.html", "trial.txt", "trial.html", "shape.txt", "shape.html", "footer.txt", "footer.html", "calendar.txt",
        "drill.txt", "drill.html", "checks.txt", "checks.html";
    "proposed": "subject.txt", "body.txt", "body.html";
    "reminder": "subject.txt", "body.txt", "body.html";
    "rescheduled": "subject.txt", "body.txt", "body.html";
    "accepted": "subject.txt", "body.txt", "body.html";
    "missed": "subject.txt", "body.txt", "body.html";
    "started": "subject.txt", "body.txt", "body.html";
    "done": "subject.txt", "body.txt", "body.html";
    "not_seen_alive": "subject.txt", "body.txt", "body.html";
    "checks_failed": "subject.txt", "body.txt", "body.html";
    "rolled_back": "subject.txt", "body.txt", "body.html";
    "cancelled": "subject.txt", "body.txt", "body.html";
    "avoided": "subject.txt", "body.txt", "body.html";
    "emergency": "subject.txt", "body.txt", "body.html";
    "no_slot": "subject.txt", "body.txt", "body.html";
    "requested": "subject.txt", "body.txt", "body.html";
    "needed": "subject.txt", "body.txt", "body.html";
    "given_up": "subject.txt", "body.txt", "body.html";
    "confirmed": "subject.txt", "body.txt", "body.html";
    "reverting": "subject.txt", "body.txt", "body.html";
    "reverted": "subject.txt", "body.txt", "body.html";
    "written": "subject.txt", "body.txt", "body.html";
    "answered": "subject.txt", "body.txt", "body.html";
    "maintenance": "subject.txt", "body.txt", "body.html";
};

/// Folder, words and templates of each language that comes with Drover, English first.
const SHIPPED: [(&str, &str, Texts); 2] = [("", ENGLISH_WORDS, ENGLISH), ("de", GERMAN_WORDS, GERMAN)];

/// One language.
#[derive(Debug)]
pub(crate) struct Tongue {
    pub(crate) speech: Speech,
    pub(crate) shipped: Environment<'static>,
    /// With the operator's in their places; nothing where he has none.
    pub(crate) own: Option<Environment<'static>>,
}

/// Every language that there are words for, English among them.
///
/// # Errors
/// Everything that is wrong with the operator's files.
pub(crate) fn tongues(overrides: Option<&Path>) -> Result<BTreeMap<Language, Tongue>, Vec<TemplateProblem>> {
    let overrides = overrides.map_or_else(|| Ok(Overrides::default()), Overrides::read)?;
    let shipped = SHIPPED.iter().filter_map(|(folder, _, _)| folder.parse().ok());
    let languages: BTreeSet<Language> =
        shipped.chain([Language::default()]).chain(overrides.languages()).collect();
    let mut tongues = BTreeMap::new();
    let mut problems = Vec::new();
    for language in languages {
        match overrides.tongue(&language) {
            Ok(tongue) => drop(tongues.insert(language, tongue)),
            Err(wrong) => problems.extend(wrong),
        }
    }
    // A file in which several languages meet is wrong once.
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    problems.dedup();
    if problems.is_empty() { Ok(tongues) } else { Err(problems) }
}

/// Names, as in a directory of overrides, and texts of all that is shipped.
pub(crate) fn shipped_files() -> impl Iterator<Item = (String, &'static str)> {
    SHIPPED.iter().flat_map(|(folder, words, texts)| {
        let all = texts.iter().copied().chain([(WORDS, *words)]);
        all.map(move |(name, text)| (within(folder, name), text))
    })
}

fn within(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// An operator's files by their names below his directory.
#[derive(Debug, Default)]
struct Overrides {
    directory: PathBuf,
    files: BTreeMap<String, String>,
}

impl Overrides {
    /// Files of editors and of version control, which begin with a dot, are left alone.
    fn read(directory: &Path) -> Result<Self, Vec<TemplateProblem>> {
        let mut files = BTreeMap::new();
        let mut problems = Vec::new();
        let mut folders = vec![directory.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
                Ok(entries) => entries,
                Err(e) => {
                    problems.push(TemplateProblem::unreadable(folder, &e));
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
                if !is_known(&name) {
                    let known = ENGLISH.iter().map(|(known, _)| (*known).to_owned()).collect();
                    let wrong = TemplateFault::NoSuchTemplate { known };
                    problems.push(TemplateProblem { file: path, line: None, wrong });
                    continue;
                }
                match fs::read_to_string(&path) {
                    Ok(text) => drop(files.insert(name, text)),
                    Err(e) => problems.push(TemplateProblem::unreadable(path, &e)),
                }
            }
        }
        if problems.is_empty() { Ok(Self { directory: directory.to_owned(), files }) } else { Err(problems) }
    }

    fn languages(&self) -> BTreeSet<Language> {
        let folder = |name: &String| language_of(name.split_once('/')?.0);
        self.files.keys().filter_map(folder).collect()
    }

    /// # Errors
    /// What is wrong with the operator's words and templates in this language.
    fn tongue(&self, language: &Language) -> Result<Tongue, Vec<TemplateProblem>> {
        let speech = self.speech(language)?;
        let (mut shipped, mut own) = (environment(), environment());
        let mut of_operator = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, _) in ENGLISH {
            let layers = self.layers(language, name);
            let plain = layers.iter().find(|layer| layer.file.is_none());
            for (environment, layer) in [(&mut shipped, plain), (&mut own, layers.first())] {
                let Some(layer) = layer else { continue };
                if let Err(error) = environment.add_template_owned(*name, layer.text.to_owned()) {
                    let file = layer.file.clone().unwrap_or_else(|| PathBuf::from(name));
                    problems.push(TemplateProblem::syntax(&file, &error));
                }
                if let Some(file) = &layer.file {
                    of_operator.insert((*name).to_owned(), (file.clone(), layer.text.to_owned()));
                }
            }
        }
        if problems.is_empty() && !of_operator.is_empty() {
            problems = Trial { language, speech: &speech, own: &own, files: &of_operator }.problems();
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let own = (!of_operator.is_empty()).then_some(own);
        Ok(Tongue { speech, shipped, own })
    }

    fn speech(&self, language: &Language) -> Result<Speech, Vec<TemplateProblem>> {
        let mut layers = Vec::new();
        for folder in folders(language).iter().rev() {
            // English words in another language would be put together to no sentence in either.
            if folder.is_empty() && language.bare() != Language::default() {
                continue;
            }
            layers.extend(self.layers_in(folder, WORDS).into_iter().rev());
        }
        let Some(newest) = layers.len().checked_sub(1) else {
            let file = self.directory.join(language.to_string()).join(WORDS);
            let why =
                "a language that does not come with Drover needs its words; begin with the English ones"
                    .to_owned();
            return Err(vec![TemplateProblem::words(file, WordsFault { line: None, why })]);
        };
        let texts: Vec<&str> = layers.iter().map(|layer| layer.text).collect();
        for last in 0..newest {
            Speech::new(language, &texts[..=last]).map_err(|faults| layers[last].words_problems(faults))?;
        }
        Speech::new(language, &texts).map_err(|faults| layers[newest].words_problems(faults))
    }

    /// Where a template is found, the first place first.
    fn layers(&self, language: &Language, name: &str) -> Vec<Layer<'_>> {
        folders(language).iter().flat_map(|folder| self.layers_in(folder, name)).collect()
    }

    fn layers_in(&self, folder: &str, name: &str) -> Vec<Layer<'_>> {
        let path = within(folder, name);
        let own = self.files.get(&path).map(|text| Layer { file: Some(self.directory.join(&path)), text });
        let shipped =
            SHIPPED.iter().find(|(shipped, _, _)| *shipped == folder).and_then(|(_, words, texts)| {
                if name == WORDS {
                    return Some(*words);
                }
                texts.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
            });
        own.into_iter().chain(shipped.map(|text| Layer { file: None, text })).collect()
    }
}

/// One place at which a template or words were found.
struct Layer<'a> {
    /// The operator's file; none is shipped.
    file: Option<PathBuf>,
    text: &'a str,
}

impl Layer<'_> {
    fn words_problems(&self, faults: Vec<WordsFault>) -> Vec<TemplateProblem> {
        let file = self.file.clone().unwrap_or_else(|| PathBuf::from(WORDS));
        faults.into_iter().map(|fault| TemplateProblem::words(file.clone(), fault)).collect()
    }
}

/// The folders of a language, the nearest first; the last is that of English, which has no name.
fn folders(language: &Language) -> Vec<String> {
    let mut folders = vec![language.to_string(), language.bare().to_string(), String::new()];
    folders.dedup();
    folders
}

fn is_known(name: &str) -> bool {
    let is_shipped = |name: &str| name == WORDS || ENGLISH.iter().any(|(known, _)| *known == name);
    let in_language =
        name.split_once('/').is_some_and(|(folder, rest)| language_of(folder).is_some() && is_shipped(rest));
    is_shipped(name) || in_language
}

/// The language that a folder is for. Names of kinds look like tags of languages that nobody speaks.
fn language_of(folder: &str) -> Option<Language> {
    let first = folder.split('-').next().unwrap_or(folder);
    let is_folder = folder == FOLDER || Tells::KINDS.contains(&folder);
    if first.len() > LONGEST_TAG || is_folder { None } else { folder.parse().ok() }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{bulletins, samples};
    use drover_policies::bulletins::Says;

    #[test]
    fn every_kind_has_templates_in_every_language_and_a_sample_and_no_template_is_left_over() {
        let kinds: BTreeSet<&str> = Tells::KINDS.into_iter().collect();
        let sampled: BTreeSet<&str> =
            samples().expect("samples").iter().map(|s| s.notice.tells.kind()).collect();
        assert_eq!(kinds, sampled);
        let kinds_of_bulletins: BTreeSet<&str> = Says::KINDS.into_iter().collect();
        let sampled: BTreeSet<&str> =
            bulletins().expect("samples").iter().map(|s| s.bulletin.says.kind()).collect();
        assert_eq!(kinds_of_bulletins, sampled);
        for (folder, _, texts) in SHIPPED {
            let shipped: BTreeSet<String> = texts.iter().map(|(name, _)| (*name).to_owned()).collect();
            let wordless = |name: &&str| !folder.is_empty() && name.starts_with("shared/layout.");
            let mut expected: BTreeSet<String> = ENGLISH
                .iter()
                .map(|(name, _)| *name)
                .filter(|name| name.starts_with("shared/") && !wordless(name))
                .map(ToOwned::to_owned)
                .collect();
            for kind in kinds.iter().chain([&FOLDER]) {
                expected
                    .extend(["subject.txt", "body.txt", "body.html"].map(|part| format!("{kind}/{part}")));
            }
            assert_eq!(shipped, expected, "in {folder:?}");
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let on_disk: BTreeSet<String> = Overrides::read(&root).expect("readable").files.into_keys().collect();
        assert_eq!(on_disk, shipped_files().map(|(name, _)| name).collect());
    }

    #[test]
    fn the_shipped_templates_pass_the_trial_that_an_operators_have_to_pass() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let tongues = tongues(Some(&root)).unwrap_or_else(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}", problems.join("\n"))
        });
        let languages: Vec<String> = tongues.keys().map(ToString::to_string).collect();
        assert_eq!(languages, ["de", "en"]);
    }

    #[test]
    fn a_template_is_the_operators_before_the_shipped_one_and_in_the_language_before_english() {
        let files = ["de-AT/done/body.txt", "done/body.txt", "de/missed/body.txt", "missed/body.txt"];
        let overrides = Overrides {
            directory: PathBuf::from("/o"),
            files: files.into_iter().map(|file| (file.to_owned(), String::new())).collect(),
        };
        let found = |language: &str, name: &str| -> Vec<Option<String>> {
            let language = language.parse().expect("a language");
            let layers = overrides.layers(&language, name);
            layers.into_iter().map(|layer| layer.file.map(|file| file.display().to_string())).collect()
        };
        let own = |file: &str| Some(format!("/o/{file}"));
        assert_eq!(
            found("de-AT", "done/body.txt"),
            [own("de-AT/done/body.txt"), None, own("done/body.txt"), None]
        );
        assert_eq!(
            found("de-AT", "missed/body.txt"),
            [own("de/missed/body.txt"), None, own("missed/body.txt"), None]
        );
        assert_eq!(found("fr", "done/body.txt"), [own("done/body.txt"), None]);
        assert_eq!(found("en", "done/body.txt"), [own("done/body.txt"), None]);
    }

    #[test]
    fn kinds_are_no_languages_and_neither_are_misspelt_ones() {
        for (folder, is_one) in
            [("de", true), ("pt-BR", true), ("fil", true), ("done", false), ("propsed", false)]
        {
            assert_eq!(language_of(folder).is_some(), is_one, "{folder}");
        }
    }
}
