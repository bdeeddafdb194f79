//! Webhooks: where owners' programs hear of their tickets.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use drover_policies::ids::OwnerId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Named, Nothing, Params};
use super::lists::OfOwner;
use super::problem::Problem;
use super::views::{IssuedWebhook, Page, RotateBody, TestedWebhook, WebhookBody, WebhookView};
use crate::app::App;
use crate::auth::Person;
use crate::commands::{Reply, owned};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
        .routes(routes!(rotate))
        .routes(routes!(test))
}

/// List webhooks
///
/// In the order of ids, without their secrets. An owner sees his own; operators see theirs, which are set in the configuration, too.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", params(OfOwner), security(("token" = [])),
    responses((status = 200, description = "A page of webhooks", body = Page<WebhookView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<OfOwner>,
) -> Result<Json<Page<WebhookView>>, Problem> {
    let owner: Option<OwnerId> = owned(&caller, which.owner.as_deref())?;
    let now = app.clock.now();
    let all = app.store.webhooks(owner.as_ref()).await.map(|stored| {
        let configured = app
            .config
            .webhooks
            .iter()
            .filter(|webhook| caller.owner().is_none() && (owner.is_none() || webhook.owner == owner));
        let stored = stored.iter().map(|webhook| WebhookView::of(webhook, now));
        stored.chain(configured.map(WebhookView::from)).collect::<Vec<_>>()
    });
    which.page(all, |webhook| webhook.id.clone(), WebhookView::clone)
}

/// Add a webhook
///
/// Each message of this account's tickets is posted to it as an event (CloudEvents 1.0), signed after Standard Webhooks with the secret
/// that stands in this answer and in no other.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookBody, security(("token" = [])),
    responses((status = 201, description = "The webhook", body = IssuedWebhook), Problems))]
async fn add(State(app): State<Arc<App>>, change: Change<Person, WebhookBody>) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.add_webhook(&body).await
}

/// Remove a webhook
///
/// What waits for it is not sent any more.
#[utoipa::path(delete, path = "/v1/webhooks/{webhook}", tag = "webhooks",
    params(("webhook" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 204, description = "Removed"), Problems))]
async fn remove(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.remove_webhook(&name).await
}

/// Give a webhook another secret
///
/// It stands in this answer and in no other. Until the time of grace is over, events are signed with both: a receiver takes an event if
/// one of the signatures in `webhook-signature` is right. Three secrets that were replaced may sign at once (429, `too-often`, with the
/// moment of the `next`).
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/rotate", tag = "webhooks", request_body = RotateBody,
    params(("webhook" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 200, description = "The webhook", body = IssuedWebhook), Problems))]
async fn rotate(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, RotateBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.rotate_webhook(&name, &body).await
}

/// Try a webhook out
///
/// An event of the type `dev.drover.notice.test` is posted to it at once; the answer says what came of it. An owner may have ten posted
/// within ten minutes (429, `too-often`, with `Retry-After`).
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/test", tag = "webhooks",
    params(("webhook" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 200, description = "What the receiver answered", body = TestedWebhook), Problems))]
async fn test(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.test_webhook(&name).await
}
