//! Tokens for programs.

use drover_policies::time::Instant;

use crate::form::{Action, Actions, Form};
use crate::{Tone, page};

/// The tokens of whoever looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokensPage {
    /// They, without their secrets.
    pub tokens: Vec<Token>,
    /// What came of issuing one.
    pub issued: Option<Issued>,
    /// The form of a new one, where new ones can be had here.
    pub new: Option<Form>,
}

/// What came of issuing a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issued {
    /// This is it, shown this once.
    Now(String),
    /// The form came a second time: it was shown in answer to the first.
    Before,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub subject: String,
    /// When it was issued.
    pub created_at: Instant,
    /// When it was last used.
    pub last_used_at: Option<Instant>,
    /// When it was revoked.
    pub revoked_at: Option<Instant>,
    /// Whether it is the one by which this session was begun.
    pub this_session: bool,
    /// How it is revoked.
    pub revoke: Option<Action>,
}

page!(TokensPage, "portal/tokens.html", |_p, f| f.t("nav-my-tokens"));

impl Token {
    fn actions(&self) -> Actions {
        Actions(self.revoke.iter().cloned().collect())
    }
}
