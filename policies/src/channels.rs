//! Where messages go: the names of the channels, and which message goes to which of them.
//!
//! Asked when a message is stored, not when it is delivered: what goes where is written down with the fact, and a channel that is
//! set up later does not begin with everything that was ever said.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bulletins::{Bulletin, Says};
use crate::ids::{BadName, OwnerId, WebhookName};
use crate::notices::{Actor, Notice, Reader, Tells, Via};

/// One way to somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ChannelName {
    /// To the addresses of the ticket's owner.
    Mail,
    /// Into the operators' ticket system.
    Rt,
    /// To somebody's program.
    Webhook(WebhookName),
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail => f.pad("mail"),
            Self::Rt => f.pad("rt"),
            Self::Webhook(name) => f.pad(&format!("webhook:{name}")),
        }
    }
}

/// A text that names no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChannel {
    /// Another word.
    #[error("{given:?} is no channel; write mail, rt or webhook:NAME")]
    Unknown {
        /// The refused text.
        given: String,
    },
    /// The name of a webhook can't be one.
    #[error(transparent)]
    Name(#[from] BadName),
}

impl FromStr for ChannelName {
    type Err = BadChannel;

    fn from_str(text: &str) -> Result<Self, BadChannel> {
        match (text, text.strip_prefix("webhook:")) {
            ("mail", _) => Ok(Self::Mail),
            ("rt", _) => Ok(Self::Rt),
            (_, Some(name)) => Ok(Self::Webhook(WebhookName::new(name)?)),
            (given, None) => Err(BadChannel::Unknown { given: given.to_owned() }),
        }
    }
}

impl TryFrom<String> for ChannelName {
    type Error = BadChannel;

    fn try_from(text: String) -> Result<Self, BadChannel> {
        text.parse()
    }
}

impl From<ChannelName> for String {
    fn from(name: ChannelName) -> String {
        name.to_string()
    }
}

/// A channel that is in use, and what it wants to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Which.
    pub channel: ChannelName,
    /// The owner whose tickets it hears of; nothing for all.
    pub owner: Option<OwnerId>,
    /// The kinds of messages that it hears ([`kinds`]); none for all.
    pub kinds: BTreeSet<String>,
}

impl Listener {
    /// One that hears all that a channel of its kind may hear.
    #[must_use]
    pub fn to_all(channel: ChannelName) -> Self {
        Self { channel, owner: None, kinds: BTreeSet::new() }
    }

    /// Whether a message is for it.
    #[must_use]
    pub fn hears(&self, notice: &Notice) -> bool {
        goes_to(&notice.tells, &self.channel)
            && self.owner.as_ref().is_none_or(|owner| *owner == notice.ticket.owner)
            && self.hears_kind(notice.tells.kind())
    }

    /// Whether what operators are told of a maintenance is for it: it may name every host, so no owner's listener hears it.
    #[must_use]
    pub fn hears_bulletin(&self, bulletin: &Bulletin) -> bool {
        let is_operators = match &self.channel {
            ChannelName::Mail => true,
            // It keeps copies of tickets, and no ticket is about a maintenance.
            ChannelName::Rt => false,
            ChannelName::Webhook(name) => name.registered().is_none(),
        };
        is_operators && self.owner.is_none() && self.hears_kind(bulletin.says.kind())
    }

    fn hears_kind(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.contains(kind)
    }
}

/// Every kind of message that operators can be told: of tickets, then of maintenances.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    Tells::KINDS.into_iter().chain(Says::KINDS)
}

/// Whether a message belongs on a channel at all: nobody is sent what he has just said himself.
#[must_use]
pub fn goes_to(tells: &Tells, channel: &ChannelName) -> bool {
    match (tells, channel) {
        // Ours go everywhere.
        (
            Tells::Proposed { .. }
            | Tells::Reminder { .. }
            | Tells::Rescheduled { .. }
            | Tells::Accepted { .. }
            | Tells::Missed { .. }
            | Tells::Started { .. }
            | Tells::Done { .. }
            | Tells::NotSeenAlive { .. }
            | Tells::ChecksFailed { .. }
            | Tells::RolledBack { .. }
            | Tells::Cancelled
            | Tells::Avoided { .. }
            | Tells::Emergency { .. }
            | Tells::NoSlot { .. }
            | Tells::Requested { .. }
            | Tells::Needed { .. }
            | Tells::GivenUp { .. }
            | Tells::Confirmed { .. }
            | Tells::Reverting { .. }
            | Tells::Reverted { .. },
            ChannelName::Mail | ChannelName::Rt | ChannelName::Webhook(_),
        ) => true,
        // What it is about has been told to all others by a message of its own.
        (Tells::Written { by: Actor::Drover, .. }, ChannelName::Rt | ChannelName::Webhook(_)) => false,
        (Tells::Written { .. } | Tells::Answered { .. }, ChannelName::Mail) => {
            tells.mailed_to() != Reader::Nobody
        }
        (Tells::Written { via, .. }, ChannelName::Rt) => match via {
            Via::Api | Via::Mail => true,
            Via::TicketSystem => false,
        },
        (Tells::Written { .. }, ChannelName::Webhook(_))
        | (Tells::Answered { .. }, ChannelName::Rt | ChannelName::Webhook(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{MigrationId, NoticeId, ServerId, TicketId};
    use crate::notices::{Cause, Disks, TicketSummary};
    use crate::samples::{NOON, owner_id};
    use uuid::Uuid;

    fn cancelled() -> Notice {
        Notice {
            id: NoticeId(Uuid::from_u128(1)),
            key: "m/cancelled".to_owned(),
            ticket: TicketSummary {
                id: TicketId(Uuid::from_u128(2)),
                number: "DR-1001".to_owned(),
                migration: MigrationId(Uuid::from_u128(3)),
                server: ServerId(Uuid::from_u128(4)),
                server_name: "db".to_owned(),
                owner: owner_id("acme"),
                reason: "kernel update".to_owned(),
                why_not_live: String::new(),
                deadline: NOON,
                cause: Cause::default(),
                disks: Disks::default(),
                blueprint: crate::blueprint::Blueprint::default(),
            },
            tells: Tells::Cancelled,
            at: NOON,
        }
    }

    #[test]
    fn a_channels_name_is_read_as_it_is_written() {
        for text in ["mail", "rt", "webhook:portal"] {
            let name: ChannelName = text.parse().expect("a channel");
            assert_eq!(name.to_string(), text);
        }
        for (text, says) in [
            ("fax", "\"fax\" is no channel; write mail, rt or webhook:NAME"),
            ("webhook:", "webhook name \"\" is not usable"),
            ("webhook:a b", "webhook name \"a b\" is not usable"),
        ] {
            let refused = text.parse::<ChannelName>().expect_err("refused").to_string();
            assert!(refused.starts_with(says), "{refused}");
        }
    }

    #[test]
    fn a_listener_hears_what_is_of_its_owner_and_of_its_kinds() {
        let webhook: ChannelName = "webhook:portal".parse().expect("a channel");
        let all = Listener::to_all(webhook);
        let of = |name: &str| Listener { owner: Some(owner_id(name)), ..all.clone() };
        let only = |kind: &str| Listener { kinds: [kind.to_owned()].into(), ..all.clone() };
        assert!(all.hears(&cancelled()));
        assert!(of("acme").hears(&cancelled()) && !of("globex").hears(&cancelled()));
        assert!(only("cancelled").hears(&cancelled()) && !only("done").hears(&cancelled()));
    }
}
