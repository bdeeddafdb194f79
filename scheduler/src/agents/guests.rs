//! What guests are told by the agents of their hosts. Held in memory: it is worked out anew with every look.

use std::collections::{BTreeMap, BTreeSet};

use drover_agent_api::{GuestEvents, GuestStart, GuestsAnswer, GuestsAsk, GuestsTold};
use drover_policies::ids::{HostName, ServerId};
use drover_policies::time::Instant;
use drover_policies::upcoming::azure::{Document, Event};

use super::{Agents, Inner};

/// What is known of guests.
#[derive(Default)]
pub(super) struct Guests {
    /// Hosts whose agents serve them.
    served: BTreeSet<HostName>,
    /// The last of each server, also when nothing is left in it: its incarnation must never go back.
    documents: BTreeMap<ServerId, Document>,
}

/// What one server's guest is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestNews {
    /// Its events.
    pub events: Vec<Event>,
    /// Whether it may have them started.
    pub start: GuestStart,
    /// The hosts where it is, or will be.
    pub hosts: BTreeSet<HostName>,
}

impl Inner {
    /// Whether this is new: then there is something to be worked out.
    pub(super) fn serves_guests(&mut self, host: &HostName) -> bool {
        self.guests.served.insert(host.clone())
    }

    pub(super) fn answer_for_guests(&self, host: &HostName, ask: &GuestsAsk) -> GuestsAnswer {
        let told = self.wanted.get(host).and_then(|wanted| wanted.guests.clone());
        GuestsAnswer { told: told.filter(|told| ask.seen_revision != Some(told.revision)), taken: Vec::new() }
    }
}

impl Agents {
    /// Whether any agent serves guests.
    #[must_use]
    pub fn serve_guests(&self) -> bool {
        !self.lock().guests.served.is_empty()
    }

    /// All that guests are to be told now; the agents for which that is another than before are answered.
    pub fn tell_guests(&self, news: BTreeMap<ServerId, GuestNews>, now: Instant) {
        let mut inner = self.lock();
        let first = seconds(now);
        let known: BTreeSet<ServerId> = inner.guests.documents.keys().chain(news.keys()).copied().collect();
        let mut places: BTreeMap<ServerId, BTreeSet<HostName>> =
            news.iter().map(|(server, new)| (*server, new.hosts.clone())).collect();
        for (host, seen) in &inner.fleet.sightings {
            for server in seen.keys().filter(|server| known.contains(server)) {
                places.entry(*server).or_default().insert(host.clone());
            }
        }
        let mut by_host: BTreeMap<HostName, Vec<GuestEvents>> = BTreeMap::new();
        for server in known {
            let new = news.get(&server);
            let events = new.map(|new| new.events.clone()).unwrap_or_default();
            let document = match inner.guests.documents.get(&server) {
                Some(last) => Document::succeeding(Some(last), events),
                None => Document { document_incarnation: first, ..Document::succeeding(None, events) },
            };
            let hosts = places.remove(&server).unwrap_or_default();
            if hosts.is_empty() {
                // It is gone, and nobody is left who could see its document go back.
                inner.guests.documents.remove(&server);
                continue;
            }
            inner.guests.documents.insert(server, document.clone());
            let start = new.map_or(GuestStart::Allowed, |new| new.start.clone());
            let told = GuestEvents { server, document, start };
            for host in hosts {
                by_host.entry(host).or_default().push(told.clone());
            }
        }
        for host in inner.guests.served.clone() {
            inner.tell_guests_of(&host, by_host.remove(&host).unwrap_or_default(), first);
        }
    }
}

impl Inner {
    fn tell_guests_of(&mut self, host: &HostName, events: Vec<GuestEvents>, incarnation: u64) {
        let wanted = self.wanted(host);
        if wanted.guests.as_ref().is_some_and(|told| told.events == events) {
            return;
        }
        // What has no events keeps the incarnation that it was told with first.
        let incarnation = wanted.guests.as_ref().map_or(incarnation, |told| told.incarnation);
        wanted.revision.send_modify(|revision| *revision += 1);
        let revision = *wanted.revision.borrow();
        wanted.guests = Some(GuestsTold { revision, events, incarnation });
    }
}

/// Where a document's incarnation begins. Seconds: a later life of the scheduler begins above, as no document changes every second, and
/// programs that read a number of 32 bits can.
fn seconds(now: Instant) -> u64 {
    u64::try_from(now.timestamp()).unwrap_or(1)
}
