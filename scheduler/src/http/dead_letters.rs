//! Dead letters: messages that were given up on a channel.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use drover_policies::channels::ChannelName;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Named, Nothing, Params};
use super::lists::{cursor, limit, page};
use super::problem::Problem;
use super::views::{DeadLetterView, Page, ReplayBody, Replayed};
use crate::app::App;
use crate::auth::Person;
use crate::commands::deliveries::letters_of;
use crate::commands::{Reply, owned};
use crate::store::DeadLetterFilter;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(replay_all)).routes(routes!(replay))
}

/// Which dead letters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Of this channel: `mail`, `rt`, or `webhook:` and its name.
    channel: Option<String>,
    /// Of this owner's tickets.
    owner: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// List dead letters
///
/// Messages that were given up on a channel, latest first. An owner sees those of his webhooks.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "tickets", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of dead letters", body = Page<DeadLetterView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Page<DeadLetterView>>, Problem> {
    let channel = which.channel.as_deref().map(str::parse::<ChannelName>).transpose();
    let filter = DeadLetterFilter {
        channel: channel.map_err(|bad| Problem::parameter("channel", bad.to_string()))?,
        owner: owned(&caller, which.owner.as_deref())?,
        ..letters_of(&caller)
    };
    let cursor = cursor(which.cursor.as_deref())?;
    let letters = app.store.dead_letters_page(&filter, cursor.as_ref(), limit(which.limit)?).await;
    page(letters, |letter| DeadLetterView::from(letter)).map(Json)
}

/// Replay a channel's dead letters
///
/// All of them are tried again, as if they were new. Whoever has got later messages of a ticket already gets these after them.
#[utoipa::path(post, path = "/v1/dead-letters/replay", tag = "tickets", request_body = ReplayBody,
    security(("token" = [])),
    responses((status = 200, description = "They are on their way", body = Replayed), Problems))]
async fn replay_all(
    State(app): State<Arc<App>>,
    change: Change<Person, ReplayBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.replay_channel(&body.channel).await
}

/// Replay a dead letter
///
/// It is tried again, as if it were new.
#[utoipa::path(post, path = "/v1/dead-letters/{letter}/replay", tag = "tickets",
    params(("letter" = String, Path, description = "Its number")), security(("token" = [])),
    responses((status = 200, description = "It is on its way", body = Replayed), Problems))]
async fn replay(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.replay_letter(&name).await
}
