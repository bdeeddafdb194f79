//! Google Compute Engine: what an instance's metadata server tells of maintenance, also as it changes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use drover_policies::upcoming::gce::{MaintenanceEvent, UpcomingMaintenance};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout_at};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Problems;
use super::super::extract::Params;
use super::super::problem::Problem;
use super::{demand, whom_of_one};
use crate::app::App;
use crate::auth::{Person, hex};
use crate::commands::store_problem;
use crate::upcoming::{Whom, active};

/// How long an answer is held open at the most; a client that wants to wait longer asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often a held answer is put together anew without anything having been stored: what is a minute away comes nearer by itself.
const LOOKED_AT: Duration = Duration::from_secs(1);

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(maintenance_event)).routes(routes!(upcoming_maintenance))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Which server, by id or name.
    server: Option<String>,
    /// Of this owner.
    owner: Option<String>,
    /// `json` or `text`.
    alt: Option<String>,
    /// Hold the answer until it is another one.
    #[serde(default)]
    wait_for_change: bool,
    /// The answer that is known, by its `ETag`; without it the present one.
    last_etag: Option<String>,
    /// Hold it for so many seconds at the most; 60 unless said, and never longer.
    timeout_sec: Option<u64>,
}

enum What {
    Event,
    Upcoming,
}

struct Value {
    text: String,
    media_type: &'static str,
    etag: String,
}

impl Value {
    fn new(text: String, media_type: &'static str) -> Self {
        let etag = hex(&Sha256::digest(text.as_bytes())[..8]);
        Self { text, media_type, etag }
    }

    fn answer(self) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert("metadata-flavor", HeaderValue::from_static("Google"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(ETAG, etag);
        }
        (headers, self.text).into_response()
    }
}

async fn value(app: &App, whom: &Whom, what: &What) -> Result<Value, Problem> {
    let events = active(app, whom).await.map_err(|error| store_problem(&error))?;
    Ok(match what {
        What::Event => {
            let event = MaintenanceEvent::of(&events, app.clock.now());
            Value::new(event.as_str().to_owned(), "application/text")
        }
        What::Upcoming => {
            let text = match UpcomingMaintenance::first(&events) {
                Some(first) => serde_json::to_string(&first).map_err(|error| Problem::internal(&error))?,
                None => "{}".to_owned(),
            };
            Value::new(text, "application/json")
        }
    })
}

async fn answer(app: &App, whom: Whom, which: &Which, what: What) -> Result<Response, Problem> {
    let mut news = app.subscribe();
    let mut now = value(app, &whom, &what).await?;
    if !which.wait_for_change {
        return Ok(now.answer());
    }
    let known = which.last_etag.clone().unwrap_or_else(|| now.etag.clone());
    let wait = which.timeout_sec.map_or(LONGEST_WAIT, Duration::from_secs).min(LONGEST_WAIT);
    let end = Instant::now() + wait;
    while now.etag == known {
        let changed = async {
            tokio::select! {
                _ = news.recv() => {}
                () = sleep(LOOKED_AT) => {}
            }
        };
        if timeout_at(end, changed).await.is_err() {
            break;
        }
        now = value(app, &whom, &what).await?;
    }
    Ok(now.answer())
}

/// GCE: what happens to a server now
///
/// `NONE`, `MIGRATE_ON_HOST_MAINTENANCE` or `TERMINATE_ON_HOST_MAINTENANCE`, the latter from a minute before. Needs `Metadata-Flavor: Google`.
#[utoipa::path(get, path = "/compat/gce/computeMetadata/v1/instance/maintenance-event", tag = "compat",
    params(Which, ("Metadata-Flavor" = String, Header, description = "`Google`")), security(("token" = [])),
    responses((status = 200, description = "A word", body = String, content_type = "application/text"), Problems))]
async fn maintenance_event(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    demand(&headers, "metadata-flavor", "Google", StatusCode::FORBIDDEN)?;
    let whom = whom_of_one(&app, &caller, (which.owner.as_deref(), which.server.as_deref()))?;
    answer(&app, whom, &which, What::Event).await
}

/// GCE: what lies ahead of a server
///
/// `{}` when nothing does. Needs `Metadata-Flavor: Google` and `alt=json`.
#[utoipa::path(get, path = "/compat/gce/computeMetadata/v1/instance/upcoming-maintenance", tag = "compat",
    params(Which, ("Metadata-Flavor" = String, Header, description = "`Google`")), security(("token" = [])),
    responses((status = 200, description = "The first event", body = serde_json::Value), Problems))]
async fn upcoming_maintenance(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    demand(&headers, "metadata-flavor", "Google", StatusCode::FORBIDDEN)?;
    if which.alt.as_deref() != Some("json") {
        return Err(
            Problem::parameter("alt", "this is told as JSON alone; add alt=json").with("allowed", ["json"])
        );
    }
    let whom = whom_of_one(&app, &caller, (which.owner.as_deref(), which.server.as_deref()))?;
    answer(&app, whom, &which, What::Upcoming).await
}
