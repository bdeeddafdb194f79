//! What is out of date on a page, as it happens: names of topics, by which the page knows which of its parts to draw anew. What is in them is
//! fetched like everything else, by the same session, so nothing is told here but that something has changed.
//!
//! Topics: `migration/1001`, `ticket/DR-1001`, `maintenance/MT-1`, `fleet/CLUSTER/RACK`, `my`; and `*`, which is all of the page.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::routing::get;
use futures_util::Stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};
use tokio_stream::wrappers::ReceiverStream;

use super::news::{Audience, Change, EVERYTHING, News, Tellings};
use super::session::{Anybody, Visitor, still};
use crate::app::App;
use crate::http::problem::Problem;
use crate::store::Seq;

/// How often something is said when there is nothing to say. A page that hears nothing for three of these takes the connection for lost.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often the reader's session is looked at again.
const SESSION_CHECKED: Duration = Duration::from_secs(30);

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/live", get(live))
}

async fn live(
    State(app): State<Arc<App>>,
    Anybody(visitor): Anybody,
    RawQuery(query): RawQuery,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let tellings = News::subscribe(&app);
    // The topics of the page; without any, all.
    let query = query.unwrap_or_default();
    let said = || form_urlencoded::parse(query.as_bytes());
    let on = said().filter(|(name, _)| name == "on").map(|(_, topic)| topic.into_owned()).collect();
    // What happens between the drawing of a page and its listening is told by nobody else.
    let drawn = said().find(|(name, _)| name == "since").and_then(|(_, seen)| seen.parse().ok());
    let missed = match drawn {
        Some(seen) => News::since(&app, Seq(seen)).await,
        None => BTreeSet::new(),
    };
    let (sender, receiver) = mpsc::channel(4);
    let watcher = Watcher { turn: app.news.turn(), app, visitor, on, sender };
    tokio::spawn(watcher.run(tellings, missed));
    // One that a script hears: of a comment it is not told.
    let beat = KeepAlive::new().interval(HEARTBEAT).event(Sent::default().event("beat").data("."));
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(beat))
}

struct Watcher {
    app: Arc<App>,
    visitor: Arc<Visitor>,
    on: Vec<String>,
    /// How long after a telling.
    turn: Duration,
    sender: mpsc::Sender<Result<Sent, Infallible>>,
}

/// Whether what has changed is on a page about a topic: one is a part of the other.
fn concerns(on: &str, topic: &str) -> bool {
    let within = |part: &str, whole: &str| {
        part.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within(topic, on) || within(on, topic)
}

impl Watcher {
    async fn run(self, mut tellings: Tellings, missed: BTreeSet<Change>) {
        if !self.tell(self.topics(missed.iter())).await {
            return;
        }
        let mut check = interval_at(Instant::now() + SESSION_CHECKED, SESSION_CHECKED);
        loop {
            let told = tokio::select! {
                told = tellings.recv() => told,
                () = self.sender.closed() => return,
                _ = check.tick() => {
                    if still(&self.app, &self.visitor).await { continue }
                    return;
                }
            };
            let topics = match &told {
                Ok(changes) => self.topics(changes.iter()),
                Err(RecvError::Lagged(_)) => BTreeSet::from([EVERYTHING]),
                Err(RecvError::Closed) => return,
            };
            if topics.is_empty() {
                continue;
            }
            tokio::time::sleep(self.turn).await;
            if !self.tell(topics).await {
                return;
            }
        }
    }

    /// What of it is on the page, and for its reader to know.
    fn topics<'a>(&self, changes: impl Iterator<Item = &'a Change>) -> BTreeSet<&'a str> {
        let known = changes.filter(|change| self.may_know(&change.audience));
        known.map(|change| change.topic.as_str()).filter(|topic| self.shows(topic)).collect()
    }

    /// False when nobody listens any more. One who does not read is behind, and is told so when he reads again.
    async fn tell(&self, topics: BTreeSet<&str>) -> bool {
        let words: Vec<&str> = topics.into_iter().collect();
        words.is_empty() || self.sender.send(Ok(Sent::default().data(words.join(" ")))).await.is_ok()
    }

    fn shows(&self, topic: &str) -> bool {
        topic == EVERYTHING || self.on.is_empty() || self.on.iter().any(|on| concerns(on, topic))
    }

    fn may_know(&self, audience: &Audience) -> bool {
        let (caller, only) = (&self.visitor.caller, self.visitor.only());
        let is_operator = caller.owner().is_none();
        match audience {
            Audience::Everybody => true,
            Audience::Operators => is_operator,
            Audience::Migration { owner, ticket } => {
                caller.may_see(owner.as_ref()) && only.is_none_or(|only| *ticket == Some(only))
            }
            Audience::Owner(owner) => !is_operator && only.is_none() && caller.may_see(Some(owner)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_of_its_parts_and_of_what_it_is_a_part_of() {
        assert!(concerns("fleet", "fleet/c1/r1") && concerns("fleet/c1/r1", "fleet"));
        assert!(concerns("migration/1001", "migration/1001"));
        assert!(!concerns("migration/1001", "migration/10012") && !concerns("my", "migration/1001"));
    }
}
