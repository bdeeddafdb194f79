//! Who calls: bearer tokens, of which only a hash is kept.
//!
//! A token says by its first letters what it is for (`drv_op_`, `drv_ow_`, `drv_ag_`), so that one in the wrong place is recognised by
//! people and by scanners. What it may do is decided by what is stored under its hash, never by its letters.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use drover_policies::ids::{HostName, OwnerId};
use drover_policies::notices::Actor;
use drover_policies::time::{Instant, Span};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::app::App;
use crate::clock;
use crate::http::problem::{Kind, Problem};
use crate::http::views::Eyes;
use crate::store::{Role, Token};

/// How exactly the last use of a token is known: noting it is a write.
const USE_NOTED_EVERY: Span = Span::minutes(15);

/// A token that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// To be stored.
    pub token: Token,
    /// To be shown, once.
    pub secret: String,
}

/// Makes a token. `name` is for people: an operator's, or that of the owner or host.
#[must_use]
pub fn issue(id: Uuid, role: Role, name: &str, now: Instant) -> Issued {
    let prefix = match &role {
        Role::Operator => "drv_op_",
        Role::Owner(_) => "drv_ow_",
        Role::Agent(_) => "drv_ag_",
    };
    let secret = format!("{prefix}{}", hex(&clock::secret()));
    let token = Token {
        id,
        hash: hash(&secret),
        name: name.to_owned(),
        role,
        created_at: now,
        last_used_at: None,
        revoked_at: None,
    };
    Issued { token, secret }
}

/// The form in which a token is stored. No salt: a random token of 32 bytes can't be guessed from a list.
#[must_use]
pub fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whoever holds a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Which token.
    pub token: Uuid,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl Caller {
    /// As whom the caller acts.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match &self.role {
            Role::Operator => Actor::Operator { name: self.name.clone() },
            Role::Owner(owner) => Actor::Owner { owner: owner.clone() },
            // Agents have no request that is told of in the story.
            Role::Agent(_) => Actor::Drover,
        }
    }

    /// Whose eyes an answer is for.
    #[must_use]
    pub fn eyes(&self) -> Eyes {
        match &self.role {
            Role::Operator => Eyes::Operator,
            Role::Owner(_) | Role::Agent(_) => Eyes::Owner,
        }
    }

    /// The account to which everything is confined; nothing for an operator.
    #[must_use]
    pub fn owner(&self) -> Option<&OwnerId> {
        match &self.role {
            Role::Owner(owner) => Some(owner),
            Role::Operator | Role::Agent(_) => None,
        }
    }

    /// Whether something of this owner's may be shown.
    #[must_use]
    pub fn may_see(&self, owner: Option<&OwnerId>) -> bool {
        match &self.role {
            Role::Operator => true,
            Role::Owner(own) => owner == Some(own),
            Role::Agent(_) => false,
        }
    }

    fn kind(&self) -> &'static str {
        match &self.role {
            Role::Operator => "an operator's",
            Role::Owner(_) => "an owner's",
            Role::Agent(_) => "an agent's",
        }
    }
}

async fn caller(parts: &Parts, app: &App) -> Result<Caller, Problem> {
    let missing = |detail: &str| Problem::new(Kind::Unauthenticated, detail);
    let header = parts
        .headers
        .get(AUTHORIZATION)
        .ok_or_else(|| missing("a token is needed: send it as `Authorization: Bearer drv_…`"))?;
    let secret = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim())
        .ok_or_else(|| {
            missing("the Authorization header is not understood: write `Bearer ` and the token")
        })?;
    caller_of(app, secret).await
}

/// Whoever holds this token.
///
/// # Errors
/// It is unknown or was revoked.
pub(crate) async fn caller_of(app: &App, secret: &str) -> Result<Caller, Problem> {
    let found = app.store.token_by_hash(&hash(secret)).await.map_err(|error| Problem::internal(&error))?;
    let token = found.filter(|token| token.revoked_at.is_none()).ok_or_else(|| {
        Problem::new(
            Kind::Unauthenticated,
            "this token is unknown or was revoked; an operator can issue another with `drover tokens create`",
        )
    })?;
    note_use(app, &token).await;
    Ok(token.into())
}

impl From<Token> for Caller {
    fn from(token: Token) -> Self {
        Self { token: token.id, name: token.subject().to_owned(), role: token.role }
    }
}

pub(crate) async fn note_use(app: &App, token: &Token) {
    let now = app.clock.now();
    let stale = token.last_used_at.is_none_or(|last| now - last > USE_NOTED_EVERY.delta());
    if stale && let Err(error) = app.store.token_used(token.id, now).await {
        tracing::warn!(%error, token = %token.id, "the use of a token could not be noted");
    }
}

/// Nobody in particular, as long as the token is valid.
impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        caller(parts, app).await
    }
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator(pub Caller);

/// An operator or an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person(pub Caller);

/// The agent of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentToken(pub HostName);

impl From<Operator> for Caller {
    fn from(operator: Operator) -> Self {
        operator.0
    }
}

impl From<Person> for Caller {
    fn from(person: Person) -> Self {
        person.0
    }
}

fn wrong(caller: &Caller, needed: &str) -> Problem {
    let kind = caller.kind();
    Problem::new(Kind::WrongToken, format!("this is {kind} token, and {needed} is needed here"))
        .with("needs", needed)
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = caller(parts, app).await?;
        match caller.role {
            Role::Operator => Ok(Self(caller)),
            Role::Owner(_) | Role::Agent(_) => Err(wrong(&caller, "an operator's token")),
        }
    }
}

impl FromRequestParts<Arc<App>> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = caller(parts, app).await?;
        match caller.role {
            Role::Operator | Role::Owner(_) => Ok(Self(caller)),
            Role::Agent(_) => Err(wrong(&caller, "an operator's or owner's token")),
        }
    }
}

impl FromRequestParts<Arc<App>> for AgentToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = caller(parts, app).await?;
        match &caller.role {
            Role::Agent(host) => Ok(Self(host.clone())),
            Role::Operator | Role::Owner(_) => Err(wrong(&caller, "an agent's token")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_by_its_letters_and_kept_as_a_hash_only() {
        let now = Instant::UNIX_EPOCH;
        let one = issue(Uuid::from_u128(1), Role::Operator, "ada", now);
        let two = issue(Uuid::from_u128(2), Role::Operator, "ada", now);
        assert!(one.secret.starts_with("drv_op_") && one.secret.len() == 7 + 64, "{}", one.secret);
        assert_ne!(one.secret, two.secret);
        assert_eq!(one.token.hash, hash(&one.secret));
        assert!(!format!("{:?}", one.token).contains(&one.secret));
    }
}
