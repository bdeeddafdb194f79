//! The scheduler itself, as the API shows it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RoleView;

/// What a scheduler is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Of the program.
    pub version: String,
    /// Its clock, for whoever wonders about a difference.
    pub now: DateTime<Utc>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// What the token is for.
    pub role: RoleView,
    /// Its name: the operator's, owner's or host's.
    pub name: String,
    /// The token's id.
    pub token: uuid::Uuid,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Findings {
    /// The scheduler's clock.
    pub now: DateTime<Utc>,
    /// Its version.
    pub version: String,
    /// Everything that was looked at, also what is in order.
    pub items: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// A stable word for what was looked at.
    pub check: String,
    /// How it is.
    pub severity: Severity,
    /// In a sentence.
    pub text: String,
    /// What to do; empty where all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// In order.
    Ok,
    /// It may do harm some day.
    Warning,
    /// Something does not work.
    Problem,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn ok(check: &str, text: impl Into<String>) -> Self {
        Self { check: check.to_owned(), severity: Severity::Ok, text: text.into(), remedy: String::new() }
    }

    /// It may do harm some day.
    #[must_use]
    pub fn warning(check: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            severity: Severity::Warning,
            text: text.into(),
            remedy: remedy.into(),
        }
    }

    /// Something does not work.
    #[must_use]
    pub fn problem(check: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            severity: Severity::Problem,
            text: text.into(),
            remedy: remedy.into(),
        }
    }
}
