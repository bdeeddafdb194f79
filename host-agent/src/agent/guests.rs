//! What guests on this host are told of their own servers, and what they have acknowledged.
//!
//! The scheduler says what is to be served; it is held in memory, for it comes again with the first call after a start. What a guest
//! has acknowledged is on the disk before the guest is told so, and is told to the scheduler until that has taken it.

use std::collections::BTreeMap;

use drover_agent_api::{Acknowledgement, GuestEvents, GuestStart, GuestsAnswer, GuestsAsk};
use drover_policies::ids::{MigrationId, ServerId};
use drover_policies::upcoming::azure::{Document, EventStatus};

use super::{Agent, Urgency, lock};
use crate::ledger::LedgerError;

#[derive(Default)]
pub(super) struct GuestState {
    serving: Serving,
    told: Option<Told>,
    /// By event, of which each is one server's.
    acknowledged: BTreeMap<MigrationId, Acknowledgement>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Serving {
    Yes,
    #[default]
    No,
}

struct Told {
    revision: u64,
    events: BTreeMap<ServerId, GuestEvents>,
    incarnation: u64,
}

/// The scheduler has not said yet what is to be served: to say that there is nothing would be a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the events are not known here yet; ask again in a few seconds")]
pub struct NotKnownYet;

/// Why an acknowledgement was not taken up.
#[derive(Debug, thiserror::Error)]
pub enum NotAcknowledged {
    /// Nothing is known yet.
    #[error(transparent)]
    NotKnownYet(#[from] NotKnownYet),
    /// The guest's server has no such event.
    #[error("there is no event {event} of this server; the document names those there are")]
    NoSuchEvent {
        /// What was named.
        event: String,
    },
    /// The guest may only read.
    #[error("{why}")]
    Forbidden {
        /// Why.
        why: String,
    },
    /// It could not be kept.
    #[error("it could not be written down, so it was not taken up; ask again")]
    NotKept(#[source] LedgerError),
}

impl GuestState {
    pub(super) fn new(acknowledged: Vec<Acknowledgement>) -> Self {
        let acknowledged = acknowledged.into_iter().map(|one| (one.event, one)).collect();
        Self { acknowledged, ..Self::default() }
    }

    /// Nothing where guests are not served, and nothing is left of a time when they were.
    pub(super) fn ask(&self) -> Option<GuestsAsk> {
        (self.serving == Serving::Yes || !self.acknowledged.is_empty()).then(|| GuestsAsk {
            seen_revision: self.told.as_ref().map(|told| told.revision),
            acknowledged: self.acknowledged.values().cloned().collect(),
        })
    }
}

impl Agent {
    /// Asks the scheduler for guests' events from now on.
    pub fn serve_guests(&self) {
        lock(&self.guests).serving = Serving::Yes;
        self.tell(Urgency::Casual);
    }

    /// What a guest reads of its own server.
    ///
    /// # Errors
    /// Nothing is known yet.
    pub fn events_of(&self, server: ServerId) -> Result<Document, NotKnownYet> {
        let guests = lock(&self.guests);
        let told = guests.told.as_ref().ok_or(NotKnownYet)?;
        let none = || Document { document_incarnation: told.incarnation, events: Vec::new() };
        Ok(told.events.get(&server).map_or_else(none, |events| events.document.clone()))
    }

    /// A guest is ready for an event of its own server. When this returns, that is on the disk. A repeat does nothing, and neither does
    /// what comes after the event has begun.
    ///
    /// # Errors
    /// There is no such event, the guest may not, or it could not be kept.
    pub fn acknowledge(&self, server: ServerId, event: MigrationId) -> Result<(), NotAcknowledged> {
        let _alone = lock(&self.acknowledging);
        let Some(acknowledgement) = self.to_be_kept(server, event)? else { return Ok(()) };
        self.ledger.acknowledge(&acknowledgement).map_err(NotAcknowledged::NotKept)?;
        tracing::info!(%server, %event, "acknowledged by its guest: it may start");
        lock(&self.guests).acknowledged.insert(event, acknowledgement);
        self.tell(Urgency::Urgent);
        Ok(())
    }

    fn to_be_kept(
        &self,
        server: ServerId,
        event: MigrationId,
    ) -> Result<Option<Acknowledgement>, NotAcknowledged> {
        let guests = lock(&self.guests);
        let told = guests.told.as_ref().ok_or(NotKnownYet)?;
        let named = event.to_string();
        let events = told.events.get(&server);
        let known = events.and_then(|events| {
            events.document.events.iter().find(|known| known.event_id.eq_ignore_ascii_case(&named))
        });
        let (Some(events), Some(known)) = (events, known) else {
            return Err(NotAcknowledged::NoSuchEvent { event: named.to_uppercase() });
        };
        match known.event_status {
            EventStatus::Scheduled => {}
            EventStatus::Started | EventStatus::Completed => return Ok(None),
        }
        if let GuestStart::Forbidden { why } = &events.start {
            return Err(NotAcknowledged::Forbidden { why: why.clone() });
        }
        let same = |kept: &Acknowledgement| kept.server == server && kept.not_before == known.not_before;
        if guests.acknowledged.get(&event).is_some_and(same) {
            return Ok(None);
        }
        Ok(Some(Acknowledgement {
            server,
            event,
            not_before: known.not_before.clone(),
            at: self.clock.now(),
        }))
    }

    pub(super) fn take_guests(&self, answer: &GuestsAnswer) {
        if let Some(told) = &answer.told {
            let events = told.events.iter().map(|one| (one.server, one.clone())).collect();
            let told = Told { revision: told.revision, events, incarnation: told.incarnation };
            lock(&self.guests).told = Some(told);
        }
        if answer.taken.is_empty() {
            return;
        }
        let _alone = lock(&self.acknowledging);
        for one in &answer.taken {
            // One that has come since then is another, and is told with the next call.
            if lock(&self.guests).acknowledged.get(&one.event) != Some(one) {
                continue;
            }
            match self.ledger.forget_acknowledged(one.event) {
                Ok(()) => drop(lock(&self.guests).acknowledged.remove(&one.event)),
                Err(error) => {
                    tracing::error!(server = %one.server, "what was acknowledged could not be forgotten: {error}");
                }
            }
        }
    }
}
