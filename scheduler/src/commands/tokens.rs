//! Issuing and revoking tokens.

use drover_policies::ids::{HostName, OwnerId};
use uuid::Uuid;

use super::hosts::reason;
use super::{Decided, Reply, Wish, store_problem};
use crate::auth;
use crate::http::problem::{Kind, Problem};
use crate::http::views::{IssuedToken, RoleView, TokenBody, TokenView};
use crate::store::{Batch, Role, Token};

impl From<&Token> for TokenView {
    fn from(token: &Token) -> Self {
        let role = match &token.role {
            Role::Operator => RoleView::Operator,
            Role::Owner(_) => RoleView::Owner,
            Role::Agent(_) => RoleView::Agent,
        };
        Self {
            id: token.id,
            role,
            subject: token.name.clone(),
            created_at: token.created_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
        }
    }
}

impl Wish {
    /// Issues a token; it is shown this once.
    ///
    /// # Errors
    /// The subject is no name.
    pub async fn issue_token(&self, body: &TokenBody) -> Result<Reply, Problem> {
        let bad =
            |bad: drover_policies::ids::BadName| Problem::field("subject", format!("field subject: {bad}"));
        let (role, name) = match body.role {
            RoleView::Operator => (Role::Operator, reason("subject", &body.subject)?),
            RoleView::Owner => {
                let owner = OwnerId::new(&body.subject).map_err(bad)?;
                (Role::Owner(owner), body.subject.clone())
            }
            RoleView::Agent => {
                let host = HostName::new(&body.subject).map_err(bad)?;
                (Role::Agent(host), body.subject.clone())
            }
        };
        self.carry_out(|| async {
            let now = self.app.clock.now();
            let issued = auth::issue(self.app.ids.next(), role.clone(), &name, now);
            let token = TokenView::from(&issued.token);
            let location = format!("/v1/tokens/{}", token.id);
            let shown = IssuedToken { token: token.clone(), secret: Some(issued.secret) };
            let batch = Batch { tokens_added: vec![issued.token], ..Batch::new(now) };
            let mut decided = Decided::new(batch, Reply::created(location, &shown)?);
            decided.for_repeat = Some(Reply::ok(&IssuedToken { token, secret: None })?.body);
            Ok(decided)
        })
        .await
    }

    /// Makes a token worthless, at once.
    ///
    /// # Errors
    /// There is no such token, or it is the last one of an operator.
    pub async fn revoke_token(&self, given: &str) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let tokens = self.app.store.tokens().await.map_err(|error| store_problem(&error))?;
            let token = Uuid::parse_str(given)
                .ok()
                .and_then(|id| tokens.iter().find(|token| token.id == id))
                .ok_or_else(|| Problem::not_found("token", given))?;
            let operators =
                tokens.iter().filter(|token| token.role == Role::Operator && token.revoked_at.is_none());
            if token.role == Role::Operator && token.revoked_at.is_none() && operators.count() == 1 {
                return Err(Problem::new(
                    Kind::Refused,
                    "this is the last operator's token; issue another first, or nobody can operate this scheduler",
                ));
            }
            let batch = Batch { tokens_revoked: vec![token.id], ..Batch::new(self.app.clock.now()) };
            Ok(Decided::new(batch, Reply::nothing()))
        })
        .await
    }
}
