//! Contacts, windows and tokens, as the API shows them.

use chrono::{DateTime, Utc};
use drover_policies::ids::{OwnerId, ServerId, WindowId};
use drover_policies::language::Language;
use drover_policies::notices::{Contact, Reminders};
use drover_policies::owners::{Opens, OwnerWindow, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::SlotView;

/// How an owner is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContactView {
    /// The account.
    #[schema(value_type = String)]
    pub owner: OwnerId,
    /// For the salutation.
    pub name: String,
    /// Mail addresses. Without one, notices are kept in the ticket only.
    pub mail: Vec<String>,
    /// In which times are told: an IANA name such as `Europe/Berlin`.
    pub timezone: String,
    /// In which mails are written: a BCP 47 tag such as `de`. A language without words is refused.
    #[schema(value_type = String)]
    pub language: Language,
    /// Whether reminders are mailed.
    pub reminders: bool,
}

impl From<&Contact> for ContactView {
    fn from(contact: &Contact) -> Self {
        Self {
            owner: contact.owner.clone(),
            name: contact.name.clone(),
            mail: contact.mail.clone(),
            timezone: contact.timezone.name().to_owned(),
            language: contact.language.clone(),
            reminders: match contact.reminders {
                Reminders::Wanted => true,
                Reminders::Unwanted => false,
            },
        }
    }
}

/// A contact as it is put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactBody {
    /// For the salutation; may be empty.
    #[serde(default)]
    pub name: String,
    /// Mail addresses.
    #[serde(default)]
    pub mail: Vec<String>,
    /// An IANA name such as `Europe/Berlin`.
    #[serde(default = "utc")]
    pub timezone: String,
    /// In which mails are written: a BCP 47 tag such as `de`. A language without words is refused.
    #[serde(default = "english")]
    pub language: String,
    /// Whether reminders are mailed. Everything else is what he has to know, and is always mailed.
    #[serde(default = "wanted")]
    pub reminders: bool,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn english() -> String {
    Language::default().to_string()
}

fn wanted() -> bool {
    true
}

/// A time in which an owner allows reboot migrations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WindowView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: WindowId,
    /// Whose.
    #[schema(value_type = String)]
    pub owner: OwnerId,
    /// For which of his servers.
    pub scope: ScopeView,
    /// When.
    pub opens: OpensView,
    /// When it is open next.
    pub next: Vec<SlotView>,
}

/// A window as it is put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowBody {
    /// Whose; an owner may leave it out, for it is his own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// For which servers; without it, for the whole account.
    #[serde(default)]
    pub scope: ScopeView,
    /// When.
    pub opens: OpensView,
}

/// For which servers of an owner a window holds; the nearest wins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(tag = "for", rename_all = "snake_case", deny_unknown_fields)]
pub enum ScopeView {
    /// One server, by its id or name.
    Server {
        /// Its id or name.
        server: String,
    },
    /// Servers with a label.
    Label {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// All of the account's.
    #[default]
    Account,
}

/// When a window is open: either `cron`, `duration` and `timezone`, or `start` and `end`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpensView {
    /// When it opens: minute, hour, day of month, month, day of week (Sunday is 0 and 7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "0 2 * * 0")]
    pub cron: Option<String>,
    /// How long it stays open: `4h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "4h")]
    pub duration: Option<String>,
    /// In which zone the expression is meant: `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub timezone: Option<String>,
    /// First moment of a window that is open once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<DateTime<Utc>>,
    /// First moment after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<DateTime<Utc>>,
}

impl WindowView {
    /// A window, and when it is open next.
    #[must_use]
    pub fn of(id: WindowId, window: &OwnerWindow, next: Vec<SlotView>) -> Self {
        let opens = match &window.opens {
            Opens::Recurring { recurrence } => OpensView {
                cron: Some(recurrence.cron.clone()),
                duration: Some(recurrence.duration.to_string()),
                timezone: Some(recurrence.timezone.name().to_owned()),
                ..OpensView::default()
            },
            Opens::Once { slot } => {
                OpensView { start: Some(slot.start), end: Some(slot.end), ..OpensView::default() }
            }
        };
        Self { id, owner: window.owner.clone(), scope: ScopeView::from(&window.scope), opens, next }
    }
}

impl From<&Scope> for ScopeView {
    fn from(scope: &Scope) -> Self {
        match scope {
            Scope::Server { server } => Self::Server { server: server.to_string() },
            Scope::Label { name, value } => Self::Label { name: name.clone(), value: value.clone() },
            Scope::Account => Self::Account,
        }
    }
}

impl ScopeView {
    /// The server's id, when it is given as one.
    #[must_use]
    pub fn server_id(&self) -> Option<ServerId> {
        match self {
            Self::Server { server } => server.parse().ok(),
            Self::Label { .. } | Self::Account => None,
        }
    }
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    pub id: uuid::Uuid,
    /// What it is for.
    pub role: RoleView,
    /// The operator's, owner's or host's name.
    pub subject: String,
    /// Which of an owner's it is, if he has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "backup script")]
    pub note: Option<String>,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to a quarter of an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A token that was just issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuedToken {
    /// What is known of it from now on.
    #[serde(flatten)]
    pub token: TokenView,
    /// The token itself. It is shown this once, for only a hash of it is kept: the answer to a repeat under the same `Idempotency-Key`
    /// lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A token as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// What it is for; an owner issues tokens of owners only.
    pub role: RoleView,
    /// The operator's, owner's or host's name; an owner may leave it out, for it is his own.
    #[serde(default)]
    pub subject: String,
    /// Of an owner's token: which of his it is, such as `backup script`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleView {
    /// Does everything.
    Operator,
    /// Sees and moves the servers of one account.
    Owner,
    /// Speaks for one host.
    Agent,
}
