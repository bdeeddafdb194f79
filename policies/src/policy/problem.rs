//! What is wrong with a policy file, for the person who wrote it.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyProblem {
    /// The file, by the name under which it was given.
    pub file: String,
    /// The line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// Where: `live.ladder.patience`, `rule "databases" set.live.allowed`. Empty where the text as a whole is no TOML.
    pub key: String,
    /// What was wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}; {}", self.wrong, self.right)
    }
}

/// Of the names known in one place, the one that was probably meant.
pub(super) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let given = plain(given);
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given, &plain(name)), name))
        .filter(|(near, _)| *near > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// `did you mean "patience"?`, or all the names there are.
pub(super) fn advice_for<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(given, known.iter().copied()) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// Our own errors say what is wrong and, after a semicolon, what would be right.
pub(super) fn split_advice(message: &str, otherwise: &str) -> (String, String) {
    match message.rsplit_once("; ") {
        Some((wrong, right)) => (wrong.to_owned(), right.to_owned()),
        None => (message.to_owned(), otherwise.to_owned()),
    }
}
