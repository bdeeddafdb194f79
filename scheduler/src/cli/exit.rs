//! How the command line ends, so that scripts can tell one end from another.

use std::fmt;
use std::process::ExitCode;

/// Shown under `--help` and in the man page.
pub const EXPLAINED: &str = "\
Exit codes:
  0  done
  1  refused, or failed
  2  the command line is wrong
  3  the scheduler could not be reached
  4  not allowed: no token, or one of another kind
  5  there is no such host, server, maintenance or migration
  6  the wait ended because something needs a person
130  the watching was ended with Ctrl-C; what was watched goes on";

/// An end that is not success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Refused, or failed.
    Refused,
    /// The command line is wrong.
    Usage,
    /// The scheduler could not be reached.
    Unreachable,
    /// No token, or one of another kind.
    NotAllowed,
    /// No such object.
    NotFound,
    /// The wait ended because something needs a person.
    NeedsPerson,
    /// The watching was ended; what was watched goes on.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::NotAllowed => 4,
            Exit::NotFound => 5,
            Exit::NeedsPerson => 6,
            Exit::Interrupted => 130,
        })
    }
}

/// Why a command ended, and what to do about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// Its code.
    pub exit: Exit,
    /// What went wrong; empty where it has been shown already.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The scheduler's own words, for `--json`.
    pub problem: Option<serde_json::Value>,
}

impl Failed {
    /// An end with its sentence.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), hint: None, problem: None }
    }

    /// Refused, or failed.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// The command line is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n{hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failed {}
