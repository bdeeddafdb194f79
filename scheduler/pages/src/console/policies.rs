//! Policies: what holds, and a place to try a file.

use super::servers::Rule;
use crate::form::Form;
use crate::{Tone, page};

/// What holds where no rule says otherwise, and what a file would be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoliciesPage {
    /// Every setting, and who set it, by tables.
    pub tables: Vec<Table>,
    /// Settings for parts of the fleet.
    pub rules: Vec<PolicyRule>,
    /// The form by which a file is checked.
    pub check: Form,
    /// What came of the last check.
    pub findings: Option<Vec<(Tone, String)>>,
    /// The form by which a server's treatment is explained.
    pub explain: ExplainForm,
}

/// Settings that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name: `live`.
    pub name: String,
    /// Its settings, in the order of the shipped file.
    pub settings: Vec<Setting>,
}

/// A setting, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name, its value and who set it.
    pub rule: Rule,
    /// In a sentence or two.
    pub meaning: String,
}

/// A rule: settings for a part of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRule {
    /// Its name.
    pub name: String,
    /// Whom it is about: `label role=database`.
    pub about: String,
    /// The file and the line.
    pub said_by: String,
    /// For how many servers it holds now.
    pub servers: usize,
    /// What it sets: name and value.
    pub sets: Vec<(String, String)>,
}

/// Asks for a server: its page says why it is treated as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExplainForm {
    /// What was typed.
    pub q: String,
    /// What is wrong with it.
    pub error: Option<String>,
}

page!(PoliciesPage, "console/policies.html", |_p, f| f.t("nav-policies"));
