//! Policies: what holds, and a place to try a file.

use super::servers::Rule;
use crate::form::Form;
use crate::{Tone, page};

/// What holds where no rule says otherwise, and what a file would be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoliciesPage {
    /// Every setting, and who set it.
    pub settings: Vec<Rule>,
    /// The form by which a file is checked.
    pub check: Form,
    /// What came of the last check.
    pub findings: Option<Vec<(Tone, String)>>,
    /// The form by which a server's treatment is explained.
    pub explain: ExplainForm,
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
