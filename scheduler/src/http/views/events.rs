//! What happened, as the API shows it.

use chrono::{DateTime, Utc};
use drover_pages::Saying;
use drover_policies::events::Event;
use drover_policies::ids::{HostName, ImportId, MaintenanceId, MigrationId, OwnerId, ServerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{ProgressView, tag};
use super::sayings::said_to_owner;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its place in the order of all events; to be given as `after` or `Last-Event-ID`.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// A stable word: `requested`, `planned`, `began`, `arrived`, …
    pub kind: String,
    /// What, as a sentence that goes on after the server's or host's name.
    pub text: String,
    /// The maintenance that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub maintenance: Option<MaintenanceId>,
    /// The migration that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub migration: Option<MigrationId>,
    /// The import that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub import: Option<ImportId>,
    /// The server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub server: Option<ServerId>,
    /// Its name at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Whose server it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<OwnerId>,
    /// The host; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub host: Option<HostName>,
    /// All figures of it, as they are stored; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<serde_json::Value>,
    /// What `text` says, for pages: they say it in the reader's language.
    #[serde(skip)]
    pub saying: Option<Saying>,
}

impl EventView {
    /// As an operator sees it.
    #[must_use]
    pub fn for_operator(seq: i64, event: &Event) -> Self {
        Self {
            seq,
            at: event.at,
            kind: tag(&event.what, "kind"),
            text: event.what.to_string(),
            maintenance: event.maintenance,
            migration: event.migration,
            import: event.import,
            server: event.server.as_ref().map(|(id, _)| *id),
            server_name: event.server.as_ref().map(|(_, name)| name.clone()),
            owner: event.owner.clone(),
            host: event.host.clone(),
            figures: serde_json::to_value(&event.what).ok(),
            saying: None,
        }
    }

    /// As an owner sees it; nothing when it isn't about one of his servers, or means something to operators only.
    #[must_use]
    pub fn for_owner(seq: i64, event: &Event, owner: &OwnerId) -> Option<Self> {
        if event.owner.as_ref() != Some(owner) {
            return None;
        }
        let saying = said_to_owner(&event.what)?;
        let mut view = Self::for_operator(seq, event);
        view.text = saying.in_english();
        view.saying = Some(saying);
        view.host = None;
        view.import = None;
        view.figures = None;
        Some(view)
    }

    /// What happened, for whoever reads it.
    #[must_use]
    pub fn saying(&self) -> Saying {
        self.saying.clone().unwrap_or_else(|| Saying::from(self.text.as_str()))
    }
}

/// Live figures of one migration, as `event: progress` of the stream carries them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProgressEvent {
    /// Which.
    #[schema(value_type = uuid::Uuid)]
    pub migration: MigrationId,
    /// The server's name.
    pub server_name: String,
    /// `live` or `reboot`.
    pub method: String,
    /// How far.
    pub progress: ProgressView,
}
