//! Issuing and revoking tokens: operators every one, owners those of their own accounts.

use drover_policies::events::{Event, Happened};
use drover_policies::ids::{BadName, HostName, OwnerId};
use drover_policies::time::Instant;
use uuid::Uuid;

use super::hosts::reason;
use super::{Decided, Reply, Wish, store_problem};
use crate::auth;
use crate::http::problem::{Kind, Problem};
use crate::http::views::{IssuedToken, RoleView, TokenBody, TokenView};
use crate::store::{Batch, Role, Token};

/// The most tokens that an owner can have at the same time: who needs more has lost count of them.
const MOST_TOKENS: usize = 50;

impl From<&Token> for TokenView {
    fn from(token: &Token) -> Self {
        let role = match &token.role {
            Role::Operator => RoleView::Operator,
            Role::Owner(_) => RoleView::Owner,
            Role::Agent(_) => RoleView::Agent,
        };
        let subject = token.subject();
        Self {
            id: token.id,
            role,
            subject: subject.to_owned(),
            note: (token.name != subject).then(|| token.name.clone()),
            created_at: token.created_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
        }
    }
}

/// For whom a token is to be, and what it is called.
fn role_of(body: &TokenBody) -> Result<(Role, String), Problem> {
    let bad = |bad: BadName| Problem::field("subject", format!("field subject: {bad}"));
    if body.role != RoleView::Owner && body.note.is_some() {
        return Err(Problem::field("note", "field note: only an owner's token has one; leave it out"));
    }
    Ok(match body.role {
        RoleView::Operator => (Role::Operator, reason("subject", &body.subject)?),
        RoleView::Owner => {
            let owner = OwnerId::new(&body.subject).map_err(bad)?;
            let name =
                body.note.as_ref().map_or_else(|| Ok(owner.to_string()), |note| reason("note", note))?;
            (Role::Owner(owner), name)
        }
        RoleView::Agent => {
            let host = HostName::new(&body.subject).map_err(bad)?;
            (Role::Agent(host), body.subject.clone())
        }
    })
}

impl Wish {
    /// Issues a token; it is shown this once.
    ///
    /// # Errors
    /// The subject is no name, it is not for the caller to issue, or he has too many.
    pub async fn issue_token(&self, body: &TokenBody) -> Result<Reply, Problem> {
        let (role, name) = role_of(&self.for_caller(body)?)?;
        self.carry_out(|| async {
            let now = self.app.clock.now();
            self.room_for_token().await?;
            let issued = auth::issue(self.app.ids.next(), role.clone(), &name, now);
            let token = TokenView::from(&issued.token);
            let location = format!("/v1/tokens/{}", token.id);
            let shown = IssuedToken { token: token.clone(), secret: Some(issued.secret) };
            let (id, by) = (token.id, self.caller.actor());
            let what = Happened::TokenIssued { token: id, name: name.clone(), by };
            let mut batch = Batch::new(now);
            batch.events.push(event(&issued.token, now, what));
            batch.tokens_added.push(issued.token);
            let mut decided = Decided::new(batch, Reply::created(location, &shown)?);
            decided.for_repeat = Some(Reply::ok(&IssuedToken { token, secret: None })?.body);
            Ok(decided)
        })
        .await
    }

    /// What is asked for, as far as it is for the caller to ask: an owner has tokens of his own account alone.
    fn for_caller(&self, body: &TokenBody) -> Result<TokenBody, Problem> {
        let Some(own) = self.caller.owner() else { return Ok(body.clone()) };
        if body.role != RoleView::Owner {
            return Err(Problem::new(
                Kind::WrongToken,
                "an owner can issue tokens of his own account only; write \"role\": \"owner\"",
            ));
        }
        if !body.subject.is_empty() && body.subject != own.as_str() {
            return Err(Problem::not_found("owner", &body.subject));
        }
        Ok(TokenBody { subject: own.to_string(), ..body.clone() })
    }

    async fn room_for_token(&self) -> Result<(), Problem> {
        let Some(own) = self.caller.owner() else { return Ok(()) };
        let tokens = self.app.store.tokens(Some(own)).await.map_err(|error| store_problem(&error))?;
        if tokens.iter().filter(|token| token.revoked_at.is_none()).count() < MOST_TOKENS {
            return Ok(());
        }
        let detail = format!("an account has at most {MOST_TOKENS} valid tokens; revoke one first");
        Err(Problem::new(Kind::Refused, detail).with("rule", "token_limit").with("most", MOST_TOKENS))
    }

    /// Makes a token worthless, at once.
    ///
    /// # Errors
    /// There is no such token for the caller, or it is the last one of an operator.
    pub async fn revoke_token(&self, given: &str) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let tokens = self.app.store.tokens(self.caller.owner()).await;
            let tokens = tokens.map_err(|error| store_problem(&error))?;
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
            let now = self.app.clock.now();
            let mut batch = Batch { tokens_revoked: vec![token.id], ..Batch::new(now) };
            if token.revoked_at.is_none() {
                let (name, by) = (token.name.clone(), self.caller.actor());
                batch.events.push(event(token, now, Happened::TokenRevoked { token: token.id, name, by }));
            }
            Ok(Decided::new(batch, Reply::nothing()))
        })
        .await
    }
}

fn event(token: &Token, at: Instant, what: Happened) -> Event {
    let (owner, host) = match &token.role {
        Role::Operator => (None, None),
        Role::Owner(owner) => (Some(owner.clone()), None),
        Role::Agent(host) => (None, Some(host.clone())),
    };
    Event { at, maintenance: None, migration: None, import: None, server: None, owner, host, what }
}
