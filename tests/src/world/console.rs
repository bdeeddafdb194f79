//! What people call the scheduler with: the real API, without a network between.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::body::Body;
use axum::http::{Method, Request, header};
use drover_policies::ids::OwnerId;
use drover_policies::notices::Contact;
use drover_scheduler::app::App;
use drover_scheduler::store::{Batch, Role, Token};
use drover_scheduler::{auth, http};
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

use super::script::Caller;

/// Tokens that everybody in the world has.
#[derive(Debug, Default)]
pub struct Console {
    owners: BTreeMap<OwnerId, String>,
}

const OPERATOR: &str = "drv_op_world";

/// How a request was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What it says.
    pub body: Value,
}

impl Answer {
    /// Why it was refused, if it was.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let detail = || self.body.get("detail").and_then(Value::as_str).unwrap_or("no reason is given");
        (self.status >= 400).then(|| format!("refused ({}): {}", self.status, detail()))
    }
}

impl Console {
    /// Gives everybody a token, and tells how owners are reached.
    ///
    /// # Errors
    /// The database failed.
    pub async fn equip(app: &App, owners: &[Contact]) -> Result<Self> {
        let mut batch = Batch::new(app.clock.now());
        batch.owners_put = owners.to_vec();
        batch.tokens_added.push(token(app, OPERATOR, Role::Operator, "ops"));
        let mut console = Self::default();
        for contact in owners {
            let owner = contact.owner.clone();
            let secret = format!("drv_ow_{owner}");
            batch.tokens_added.push(token(app, &secret, Role::Owner(owner.clone()), owner.as_str()));
            console.owners.insert(owner, secret);
        }
        app.commit(batch).await?;
        Ok(console)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The caller has no token, or the answer can't be read.
    pub async fn call(
        &self,
        app: &Arc<App>,
        by: &Caller,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer> {
        let secret = match by {
            Caller::Operator => OPERATOR,
            Caller::Owner(owner) => {
                self.owners.get(owner).with_context(|| format!("{owner} is not in fleet.toml"))?
            }
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {secret}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(if body.is_null() { Body::empty() } else { Body::from(serde_json::to_vec(body)?) })?;
        let response = http::router(Arc::clone(app)).oneshot(request).await?;
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await?;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok(Answer { status, body })
    }
}

fn token(app: &App, secret: &str, role: Role, name: &str) -> Token {
    Token {
        // Its own kind of number: ids of tokens are in no log, but must not clash.
        id: Uuid::new_v5(&Uuid::NAMESPACE_URL, secret.as_bytes()),
        hash: auth::hash(secret),
        name: name.to_owned(),
        role,
        created_at: app.clock.now(),
        last_used_at: None,
        revoked_at: None,
    }
}
