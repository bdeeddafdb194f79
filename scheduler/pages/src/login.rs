//! Signing in.

use crate::form::{Field, Form, Input};
use crate::page;

/// The page on which one signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Where to go on afterwards.
    pub next: String,
    /// What was wrong with the token.
    pub error: Option<String>,
    /// Whether a session has just come to its end.
    pub expired: bool,
    /// What was typed into the form whose session was over; it waits until somebody has signed in.
    pub kept: Vec<(String, String)>,
}

impl Login {
    fn form(&self) -> Form {
        Form {
            action: "/login".to_owned(),
            fields: vec![
                Field::line("token", "token")
                    .input(Input::Secret)
                    .hint("token-hint")
                    .error(self.error.clone())
                    .required(),
                Field::line("next", "").input(Input::Hidden).value(self.next.clone()),
            ],
            submit: "sign-in",
            kept: self.kept.clone(),
            ..Form::default()
        }
    }
}

page!(Login, "login.html", |_p, f| f.t("sign-in"));
