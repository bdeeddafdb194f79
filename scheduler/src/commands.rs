//! Changes that people wish for, each one function: what was wished is checked, a pure transition decides, and everything that follows
//! from it is written at once.
//!
//! Wherever a wish comes from, it is carried out here. A wish with a key is done once: what was answered is stored in the same
//! transaction as the change, and a repeat gets that answer.

pub mod blueprints;
mod checks;
pub mod deliveries;
pub mod drills;
pub mod freezes;
pub mod hosts;
pub mod imports;
pub mod maintenances;
pub mod migrate;
pub mod migrations;
pub mod owners;
pub mod replicas;
pub mod revert;
pub mod tickets;
pub mod tokens;
pub mod webhooks;

mod find;

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::app::App;
use crate::auth::Caller;
use crate::http::extract::Envelope;
use crate::http::problem::{Kind, Problem};
use crate::store::{Answer, Batch, StoreError};

pub use find::{
    find_host, find_import, find_maintenance, find_migration, find_server, find_ticket, owned, reverting,
    suggestions, with_time,
};

/// How often a wish is decided anew when somebody else changed the same thing in between.
const TRIES: u32 = 5;

/// Somebody's wish.
#[derive(Clone)]
pub struct Wish {
    /// The scheduler.
    pub app: Arc<App>,
    /// Who wishes.
    pub caller: Caller,
    /// What came with it.
    pub envelope: Envelope,
}

/// What a wish comes to.
#[derive(Debug, Clone)]
pub struct Decided {
    /// What is written.
    pub batch: Batch,
    /// What is answered.
    pub reply: Reply,
    /// What is stored as the answer for a repeat, where it differs: a secret is shown once and stored nowhere.
    pub for_repeat: Option<serde_json::Value>,
}

/// An answer to a wish.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Where the new object is.
    pub location: Option<String>,
    /// What it says.
    pub body: serde_json::Value,
    /// Whether it is a stored one.
    pub repeated: bool,
}

impl Reply {
    /// Done; this is how it is now.
    ///
    /// # Errors
    /// The answer can't be written as JSON.
    pub fn ok(body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_value(body).map_err(|error| Problem::internal(&error))?;
        Ok(Self { status: StatusCode::OK, location: None, body, repeated: false })
    }

    /// Made; this is it.
    ///
    /// # Errors
    /// The answer can't be written as JSON.
    pub fn created(location: String, body: &impl Serialize) -> Result<Self, Problem> {
        Ok(Self { status: StatusCode::CREATED, location: Some(location), ..Self::ok(body)? })
    }

    /// Done; there is nothing to say.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            location: None,
            body: serde_json::Value::Null,
            repeated: false,
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = if self.body.is_null() {
            self.status.into_response()
        } else {
            (self.status, axum::Json(self.body)).into_response()
        };
        let headers = response.headers_mut();
        if let Some(location) = self.location.and_then(|location| HeaderValue::from_str(&location).ok()) {
            headers.insert(header::LOCATION, location);
        }
        if self.repeated {
            headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

impl Decided {
    /// To be written, and this to be answered.
    #[must_use]
    pub fn new(batch: Batch, reply: Reply) -> Self {
        Self { batch, reply, for_repeat: None }
    }
}

impl Wish {
    /// Decides and writes. When somebody else changes the same thing in between, it is decided anew.
    ///
    /// # Errors
    /// The wish is refused, or can't be carried out now; nothing has changed then.
    pub async fn carry_out<D, F>(&self, decide: D) -> Result<Reply, Problem>
    where
        D: Fn() -> F,
        F: Future<Output = Result<Decided, Problem>>,
    {
        for _ in 0..TRIES {
            if let Some(reply) = self.repeated().await? {
                return Ok(reply);
            }
            let mut decided = match decide().await {
                Ok(decided) => decided,
                // Its own repeat, which came at the same moment, may have done it in between: then that is no reason to refuse it.
                Err(problem) => return self.repeated().await?.ok_or(problem),
            };
            let changes = decided.batch != Batch::new(decided.batch.at);
            decided.batch.answer = self.answer(&decided)?;
            if !changes && decided.batch.answer.is_none() {
                return Ok(decided.reply);
            }
            match self.app.commit(decided.batch).await {
                Ok(_) => return Ok(decided.reply),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(store_problem(&error)),
            }
        }
        Err(Problem::new(
            Kind::Conflict,
            "others changed the same thing again and again while this was being done; nothing was changed, ask again",
        ))
    }

    fn answer(&self, decided: &Decided) -> Result<Option<Answer>, Problem> {
        let Some(key) = &self.envelope.key else { return Ok(None) };
        let body = decided.for_repeat.as_ref().unwrap_or(&decided.reply.body);
        Ok(Some(Answer {
            principal: self.caller.token.to_string(),
            key: key.clone(),
            request_hash: self.envelope.hash.clone(),
            status: decided.reply.status.as_u16(),
            location: decided.reply.location.clone(),
            body: serde_json::to_string(body).map_err(|error| Problem::internal(&error))?,
            at: decided.batch.at,
        }))
    }

    /// Whether it is done already: a repeat under the same key.
    ///
    /// # Errors
    /// The key came with another wish, or the database failed.
    pub async fn is_repeat(&self) -> Result<bool, Problem> {
        Ok(self.repeated().await?.is_some())
    }

    /// The answer to an earlier one of the same key.
    async fn repeated(&self) -> Result<Option<Reply>, Problem> {
        let Some(key) = &self.envelope.key else { return Ok(None) };
        let principal = self.caller.token.to_string();
        let Some(answer) =
            self.app.store.answer(&principal, key).await.map_err(|error| store_problem(&error))?
        else {
            return Ok(None);
        };
        if answer.request_hash != self.envelope.hash {
            return Err(Problem::new(
                Kind::KeyReused,
                "this Idempotency-Key came with another request before; use a new key for a new wish",
            ));
        }
        Ok(Some(Reply {
            status: StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK),
            location: answer.location,
            body: serde_json::from_str(&answer.body).map_err(|error| Problem::internal(&error))?,
            repeated: true,
        }))
    }
}

/// What a failure of the store is to a caller.
#[must_use]
pub fn store_problem(error: &StoreError) -> Problem {
    match error {
        StoreError::Conflict { .. } => Problem::new(
            Kind::Conflict,
            "somebody else changed it at the same moment; read it again, and ask again",
        ),
        StoreError::Fenced { .. } => Problem::new(
            Kind::Unavailable,
            "another scheduler has taken over from this one; nothing was changed, ask that one",
        ),
        StoreError::Corrupt { .. }
        | StoreError::Unstorable { .. }
        | StoreError::Database { .. }
        | StoreError::Schema { .. }
        | StoreError::BadUrl { .. }
        | StoreError::File { .. } => Problem::internal(error),
    }
}
