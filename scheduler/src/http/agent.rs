//! `POST /agent/v1/sync`: the call of the host agents. What it means is [`crate::sync`]'s.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::routing::post;
use axum::{Json, Router};
use drover_agent_api::{SyncRequest, SyncResponse};

use super::problem::{Kind, Problem};
use crate::agents::SyncRefusal;
use crate::app::App;
use crate::auth::AgentToken;
use crate::commands::store_problem;
use crate::sync::{SyncError, sync};

const LARGEST: usize = 16 * 1024 * 1024;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/agent/v1/sync", post(handler))
}

async fn handler(
    State(app): State<Arc<App>>,
    AgentToken(host): AgentToken,
    request: Request,
) -> Result<Json<SyncResponse>, Problem> {
    let bytes = to_bytes(request.into_body(), LARGEST)
        .await
        .map_err(|_| Problem::new(Kind::TooLarge, format!("the body is larger than {LARGEST} bytes")))?;
    let request: SyncRequest = super::extract::parse(&bytes)?;
    sync(&app, &host, request).await.map(Json).map_err(|error| match error {
        SyncError::Refused(refusal) => {
            let kind = match refusal {
                SyncRefusal::WrongHost { .. } => Kind::WrongToken,
                SyncRefusal::TooNew { .. } | SyncRefusal::Replaced { .. } => Kind::Refused,
            };
            Problem::new(kind, refusal.to_string())
        }
        SyncError::Store(error) => store_problem(&error),
    })
}
