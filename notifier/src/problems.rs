//! What can be wrong with an operator's templates and words.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::speech::WordsFault;

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
    /// It holds words, and something is wrong with them.
    Words {
        /// What, and what would be right.
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
            TemplateFault::Syntax { why } | TemplateFault::Words { why } => write!(f, ": {why}"),
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

impl TemplateProblem {
    pub(crate) fn syntax(file: &Path, error: &minijinja::Error) -> Self {
        let why = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
        Self { file: file.to_owned(), line: error.line(), wrong: TemplateFault::Syntax { why } }
    }

    pub(crate) fn unreadable(file: PathBuf, error: &io::Error) -> Self {
        Self { file, line: None, wrong: TemplateFault::Unreadable { why: error.to_string() } }
    }

    pub(crate) fn words(file: PathBuf, fault: WordsFault) -> Self {
        Self { file, line: fault.line, wrong: TemplateFault::Words { why: fault.why } }
    }
}
