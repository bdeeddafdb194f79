//! Linode's `GET /v4/account/maintenance`. Where its published description and its client's sample disagree, this follows the description.

use serde::{Deserialize, Serialize};

use super::{Category, EventState, ScheduledEvent, Source};
use crate::attempt::Method;
use crate::ids::ServerId;
use crate::time::Instant;

/// One page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The items.
    pub data: Vec<Maintenance>,
    /// Which page this is, from 1.
    pub page: usize,
    /// How many there are.
    pub pages: usize,
    /// How many items there are on all pages.
    pub results: usize,
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// The server.
    pub entity: Entity,
    /// Why, for people.
    pub reason: String,
    /// How.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Which policy of the server's led to it, as a slug.
    pub maintenance_policy_set: String,
    /// Whether it was announced.
    pub description: Description,
    /// Who wanted it.
    pub source: Source,
    /// It begins no earlier. Times carry no zone and are UTC.
    pub not_before: Option<String>,
    /// When it begins, or began.
    pub start_time: Option<String>,
    /// When it was done.
    pub complete_time: Option<String>,
    /// The same as `start_time`, in the words of older clients.
    pub when: Option<String>,
    /// Where in its life it is.
    pub status: Status,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// A number: the last 48 bits of its uuid, which every client can hold.
    pub id: u64,
    /// Its name.
    pub label: String,
    /// Always `linode`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where more is told.
    pub url: String,
}

/// How a server is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Restarted where it is.
    Reboot,
    /// Moved by a restart.
    ColdMigration,
    /// Moved while it runs.
    LiveMigration,
    /// Moved either way.
    Migrate,
    /// Powered off, and on again.
    PowerOffOn,
}

/// Whether an item was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Description {
    /// It was.
    Scheduled,
    /// It was not.
    Emergency,
}

/// Where in its life an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// No time is agreed.
    Pending,
    /// The time is agreed.
    Scheduled,
    /// About to begin.
    Started,
    /// Under way.
    InProgress,
    /// Done.
    Completed,
    /// Given up.
    Canceled,
}

impl Maintenance {
    /// The event as Linode tells it; nothing when it failed, for which there is no word.
    #[must_use]
    pub fn of(event: &ScheduledEvent) -> Option<Self> {
        let status = match event.state {
            EventState::Pending | EventState::Notified => Status::Pending,
            EventState::Scheduled => Status::Scheduled,
            EventState::Starting => Status::Started,
            EventState::Running | EventState::Verifying => Status::InProgress,
            EventState::Completed => Status::Completed,
            EventState::Canceled | EventState::Avoided => Status::Canceled,
            EventState::Failed => return None,
        };
        let mark = if event.drill { "[DRILL] " } else { "" };
        let start = event.started_at.or(event.not_before).map(without_zone);
        Some(Self {
            entity: Entity {
                id: number(event.server),
                label: event.server_name.clone(),
                kind: "linode".to_owned(),
                url: format!("/v1/servers/{}", event.server),
            },
            reason: format!("{mark}{}", event.reason_text),
            kind: match event.method {
                Method::Live => Kind::LiveMigration,
                Method::Reboot => Kind::ColdMigration,
            },
            maintenance_policy_set: match event.method {
                Method::Live => "linode/migrate",
                Method::Reboot => "linode/power_off_on",
            }
            .to_owned(),
            description: match event.category {
                Category::Planned | Category::Requested => Description::Scheduled,
                Category::Emergency => Description::Emergency,
            },
            source: event.source,
            not_before: event.not_before.map(without_zone),
            start_time: start.clone(),
            complete_time: event.finished_at.map(without_zone),
            when: start,
            status,
        })
    }
}

impl Page {
    /// The page `page`, from 1, of `size` items each.
    #[must_use]
    pub fn cut(all: Vec<Maintenance>, page: usize, size: usize) -> Self {
        let results = all.len();
        let size = size.max(1);
        let data = all.into_iter().skip(page.saturating_sub(1).saturating_mul(size)).take(size).collect();
        Self { data, page, pages: results.div_ceil(size).max(1), results }
    }
}

/// A server as a number.
#[must_use]
pub fn number(server: ServerId) -> u64 {
    server.0.as_u64_pair().1 & ((1 << 48) - 1)
}

/// `2025-03-25T10:00:00`
fn without_zone(moment: Instant) -> String {
    moment.format("%Y-%m-%dT%H:%M:%S").to_string()
}
