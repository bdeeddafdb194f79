//! One type per kind of id, so that a server can never be passed where a migration is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where new ids come from. Production draws time-ordered random ones, the simulated world counts, so that
/// a scenario's log is the same on every run.
pub trait IdSource: Send + Sync {
    /// A new id, never given before.
    fn next(&self) -> Uuid;
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl $name {
            /// Draws a new id.
            pub fn draw(ids: &dyn IdSource) -> Self {
                Self(ids.next())
            }
        }
    )+};
}

impl ReplicaId {
    /// What its files and checkpoints are called by, eight hexadecimal digits: the last ones of its id. The first ones of an id tell the
    /// time, and are the same for all replicas that are begun within a minute.
    #[must_use]
    pub fn mark(&self) -> String {
        let digits = self.0.simple().to_string();
        digits[digits.len() - 8..].to_owned()
    }
}

uuid_id! {
    /// A server: the uuid of its libvirt domain, the same on every host it ever runs on.
    ServerId,
    /// An operator's request to free hosts.
    MaintenanceId,
    /// One plan of a maintenance.
    PlanId,
    /// Moving one server off one host.
    MigrationId,
    /// One order to a host agent.
    OperationId,
    /// The thread with an owner about one migration.
    TicketId,
    /// One message of a ticket.
    NoticeId,
    /// A time in which an owner allows reboot migrations.
    WindowId,
    /// A webhook that an owner has registered.
    WebhookId,
    /// A time in which an owner wants nothing to happen.
    FreezeId,
    /// How many of an owner's servers may be rebooted at once.
    LimitId,
    /// Something that an owner wants his servers to be looked at for.
    CheckId,
    /// The copy of a server's local disks at a destination.
    ReplicaId,
    /// Bringing a server of another kind of hypervisor here.
    ImportId,
}

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not usable: {rule}")]
pub struct BadName {
    /// What the name was to be the name of.
    pub what: &'static str,
    /// The refused text.
    pub given: String,
    /// What would be right.
    pub rule: &'static str,
}

// Names are keys everywhere, and copied with all that is about a host: a copy shares the text.
macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks a name.
            ///
            /// # Errors
            /// Refuses an empty name, one over 253 bytes, and one with white space, control characters, `/`, `?` or `#`
            /// (it stands in paths and in addresses of the API).
            pub fn new(name: impl Into<String>) -> Result<Self, BadName> {
                let name = name.into();
                let usable = !name.is_empty()
                    && name.len() <= 253
                    && !name.starts_with('.')
                    && !name.chars().any(|c| c.is_whitespace() || c.is_control() || "/?#\"'<>".contains(c));
                if usable {
                    Ok(Self(name.into()))
                } else {
                    Err(BadName {
                        what: $what,
                        given: name,
                        rule: "1 to 253 characters without spaces, quotes, '/', '?', '#', '<' or '>', not starting with a dot",
                    })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name_id! {
    /// A hypervisor, by the name that its agent was given.
    HostName, "host name"
}
name_id! {
    /// A customer account.
    OwnerId, "owner"
}
name_id! {
    /// A webhook: one of the operator's by its name in the configuration, one of an owner's by its id.
    WebhookName, "webhook name"
}

name_id! {
    /// A program that an agent's configuration allows to be run on its host.
    HookName, "hook name"
}

impl HookName {
    /// Run when a host is empty, before anything is done to it.
    #[must_use]
    pub fn pre() -> Self {
        Self("pre".into())
    }

    /// Does what the maintenance is for.
    #[must_use]
    pub fn maintain() -> Self {
        Self("maintain".into())
    }

    /// Says whether a host is well afterwards.
    #[must_use]
    pub fn health() -> Self {
        Self("health".into())
    }

    /// Run before servers may be placed on the host again.
    #[must_use]
    pub fn post() -> Self {
        Self("post".into())
    }
}

impl WebhookId {
    /// As the name of a channel.
    #[must_use]
    pub fn name(self) -> WebhookName {
        WebhookName(self.0.to_string().into())
    }
}

impl WebhookName {
    /// The id, of one that an owner has registered; nothing of one of the operator's, whose names are too short for an id.
    #[must_use]
    pub fn registered(&self) -> Option<WebhookId> {
        self.0.parse().ok()
    }
}

/// Grows with every change of what is wanted; an order with an older one than known is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation of something new.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
