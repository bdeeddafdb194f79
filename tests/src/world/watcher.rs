//! What must never happen, whatever a scenario does: checked after every moment, by the world's own knowledge rather than Drover's.

use std::collections::{BTreeMap, BTreeSet};

use drover_host_agent::hypervisor::State as DomainState;
use drover_host_agent::hypervisor::simulated::SimulatedFleet;
use drover_policies::attempt::{Method, Phase};
use drover_policies::events::{Event, Happened};
use drover_policies::fleet::HostFacts;
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, MaintenanceId, MigrationId, ServerId};
use drover_policies::notices::{Actor, Tells};
use drover_policies::windows::Slot;

use super::mail::Mail;

/// A server as the watcher knows it.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// What it needs, in bytes.
    pub memory: u64,
    /// Whether it is to be found somewhere: it has appeared and its owner has not deleted it.
    pub exists: bool,
    /// Whether only the script may be blamed for where it is: it was carried by hand, or its host has lost its power.
    pub touched: bool,
    writes: u64,
}

/// What events are judged against.
pub struct Around<'a> {
    /// How hosts stood before them.
    pub standings: &'a BTreeMap<HostName, Standing>,
    /// The machines as they are now.
    pub fleet: &'a SimulatedFleet,
    /// Migrations about which there is a ticket.
    pub ticketed: &'a BTreeSet<MigrationId>,
}

/// Looks.
#[derive(Debug, Default)]
pub struct Watcher {
    servers: BTreeMap<ServerId, Watched>,
    hosts: BTreeMap<HostName, HostFacts>,
    slots: BTreeMap<MigrationId, Slot>,
    start_now: BTreeSet<MigrationId>,
    emergencies: BTreeSet<MaintenanceId>,
    arrived: BTreeMap<(MaintenanceId, ServerId), u32>,
    counted: BTreeMap<MigrationId, BTreeMap<&'static str, i64>>,
    violations: Vec<String>,
}

impl Watcher {
    /// A host to be watched.
    pub fn add_host(&mut self, name: &HostName, facts: &HostFacts) {
        self.hosts.insert(name.clone(), facts.clone());
    }

    /// A server to be watched.
    pub fn add_server(&mut self, id: ServerId, name: &str, memory: u64, exists: bool) {
        let watched = Watched { name: name.to_owned(), memory, exists, touched: false, writes: 0 };
        self.servers.insert(id, watched);
    }

    /// The script does something to a server.
    pub fn server_mut(&mut self, id: ServerId) -> Option<&mut Watched> {
        self.servers.get_mut(&id)
    }

    /// Somebody carries it by hand: it begins to count its writes anew.
    pub fn carried(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.touched = true;
            server.writes = 0;
        }
    }

    /// Everything that is wrong, so far.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Something that only the runner can see is wrong.
    pub fn blame(&mut self, what: String) {
        if !self.violations.contains(&what) {
            self.violations.push(what);
        }
    }

    /// Looks at all machines.
    pub fn look_at_fleet(&mut self, fleet: &SimulatedFleet) {
        let mut found: Vec<String> = fleet.violations();
        let mut used: BTreeMap<HostName, u64> = BTreeMap::new();
        for (id, server) in &mut self.servers {
            let places = fleet.places(*id);
            let writes = fleet.acknowledged_writes(*id);
            if writes < server.writes && !fleet.may_lose_writes(*id) {
                found.push(format!("{} has lost writes: {} of {}", server.name, writes, server.writes));
            }
            server.writes = writes;
            for place in places {
                if !matches!(place.state, DomainState::Off) {
                    *used.entry(place.host).or_default() += server.memory;
                }
            }
        }
        for (host, used) in used {
            let has = self.hosts.get(&host).map_or(0, |facts| facts.memory_bytes);
            if used > has {
                found.push(format!("{host} carries {used} bytes of memory and has {has}"));
            }
        }
        found.into_iter().for_each(|violation| self.blame(violation));
    }

    /// At the end: a server that exists is known to exactly one host. (On its way between two it may be known to its agent's ledger alone.)
    pub fn look_for_lost(&mut self, fleet: &SimulatedFleet) {
        let wrong: Vec<String> = self
            .servers
            .iter()
            .filter(|(_, server)| server.exists)
            .map(|(id, server)| (server, fleet.places(*id)))
            .filter(|(_, places)| places.len() != 1)
            .map(|(server, places)| format!("{} is known to {} hosts at the end", server.name, places.len()))
            .collect();
        wrong.into_iter().for_each(|violation| self.blame(violation));
    }

    /// Takes in what has happened since the last look.
    pub fn take_in(&mut self, events: &[Event], around: &Around<'_>) {
        for event in events {
            self.take_in_one(event, around);
        }
    }

    fn take_in_one(&mut self, event: &Event, around: &Around<'_>) {
        match &event.what {
            Happened::EmergencyDeclared { .. } => {
                self.emergencies.extend(event.maintenance);
            }
            Happened::HostEmpty => self.host_called_empty(event, around.fleet),
            Happened::Proposed { slot } => self.agreed(event, "proposed", *slot),
            Happened::Rescheduled { slot, .. } => self.agreed(event, "rescheduled", *slot),
            Happened::AskedFor { slot, .. } => self.agreed(event, "asked", *slot),
            Happened::DrillBegan { .. } => self.count(event, "started"),
            Happened::GivenUp { .. } => self.count(event, "given_up"),
            Happened::Confirmed { by: Actor::Owner { .. } | Actor::Operator { .. } } => {
                self.count(event, "confirmed");
            }
            Happened::Accepted { .. } => self.count(event, "accepted"),
            Happened::Missed { .. } => self.count(event, "missed"),
            // That time is not agreed any more.
            Happened::Declined { .. } | Happened::Withdrawn { .. } => {
                if let Some(migration) = event.migration {
                    self.slots.remove(&migration);
                }
            }
            Happened::Avoided { .. } => self.count(event, "avoided"),
            Happened::Cancelled => self.count(event, "cancelled"),
            Happened::StartNow { .. } => {
                self.start_now.extend(event.migration);
            }
            Happened::Began { method, to, .. } => self.begun(event, *method, to, around),
            Happened::PhaseReached { phase: Phase::PowerOffSource } => {
                self.agreed_to_reboot(event, around.fleet)
            }
            Happened::PhaseReached { .. } | Happened::PhaseDone { .. } => {}
            Happened::Arrived { .. } => {
                if let (Some(maintenance), Some((server, name))) = (event.maintenance, &event.server) {
                    let moves = self.arrived.entry((maintenance, *server)).or_default();
                    *moves += 1;
                    let touched = self.servers.get(server).is_some_and(|server| server.touched);
                    if *moves > 1 && !touched {
                        let what = format!("{name} was moved {moves} times in one maintenance");
                        self.blame(what);
                    }
                }
            }
            Happened::Requested { .. }
            | Happened::Paused { .. }
            | Happened::Resumed { .. }
            | Happened::MaintenanceCancelled { .. }
            | Happened::DeadlineNear { .. }
            | Happened::HostNotEmpty { .. }
            | Happened::MaintenanceCompleted
            | Happened::Planned { .. }
            | Happened::Replanned { .. }
            | Happened::FellBack { .. }
            | Happened::BecameLive
            | Happened::Waits { .. }
            | Happened::DowntimeRaised { .. }
            | Happened::Aborting { .. }
            | Happened::Forced { .. }
            | Happened::Retried { .. }
            | Happened::AttemptFailed { .. }
            | Happened::Alive { .. }
            | Happened::Failed { .. }
            | Happened::Closed
            | Happened::Adopted
            | Happened::DrillAskedFor { .. }
            | Happened::DrillEnded
            | Happened::Released
            | Happened::Confirmed { by: Actor::Drover }
            | Happened::Reverting { .. }
            | Happened::Reverted { .. }
            | Happened::NotReverted { .. }
            | Happened::Checked { .. }
            | Happened::ReplicaInitiating { .. }
            | Happened::ReplicaRefused { .. }
            | Happened::InitialSyncDone { .. }
            | Happened::ReplicaReady { .. }
            | Happened::ReplicaStalled { .. }
            | Happened::ReplicaLate { .. }
            | Happened::ReplicaCaughtUp { .. }
            | Happened::ReplicaPaused { .. }
            | Happened::ReplicaResumed { .. }
            | Happened::SyncAskedFor { .. }
            | Happened::BlueprintSet { .. }
            | Happened::Shaped { .. }
            | Happened::ShapedBack
            | Happened::TestLaunch { .. }
            | Happened::ReplicaReleased { .. }
            | Happened::ReplicaLeft { .. }
            | Happened::ReplicaGoesOn
            | Happened::Import { .. }
            | Happened::Rolling { .. }
            | Happened::TokenIssued { .. }
            | Happened::TokenRevoked { .. }
            | Happened::TicketTaken { .. }
            | Happened::TicketGivenBack { .. }
            | Happened::StandingChanged { .. } => {}
        }
    }

    fn host_called_empty(&mut self, event: &Event, fleet: &SimulatedFleet) {
        let Some(host) = &event.host else { return };
        let left: Vec<String> = self
            .servers
            .iter()
            .filter(|(id, _)| fleet.places(**id).iter().any(|place| place.host == *host))
            .map(|(_, server)| server.name.clone())
            .collect();
        if !left.is_empty() {
            self.blame(format!("{host} was called empty at {} and has {}", event.at, left.join(", ")));
        }
    }

    fn agreed(&mut self, event: &Event, kind: &'static str, slot: Slot) {
        if let Some(migration) = event.migration {
            self.slots.insert(migration, slot);
        }
        self.count(event, kind);
    }

    fn count(&mut self, event: &Event, kind: &'static str) {
        if let Some(migration) = event.migration {
            *self.counted.entry(migration).or_default().entry(kind).or_default() += 1;
        }
    }

    fn begun(&mut self, event: &Event, method: Method, to: &HostName, around: &Around<'_>) {
        let Around { standings, fleet, ticketed } = around;
        let name = event.subject().to_owned();
        if let Some(standing) = standings.get(to).filter(|standing| !standing.takes_servers()) {
            self.blame(format!(
                "the migration of {name} to {to} was begun at {} while it is {standing}",
                event.at
            ));
        }
        let Some(migration) = event.migration else { return };
        let emergency = event.maintenance.is_some_and(|id| self.emergencies.contains(&id));
        if method == Method::Reboot && ticketed.contains(&migration) && !emergency {
            self.count(event, "started");
        }
        if method == Method::Reboot {
            self.agreed_to_reboot(event, fleet);
        }
    }

    /// A server that runs is rebooted only when that was agreed: looked at when it is ordered, and when it is done.
    fn agreed_to_reboot(&mut self, event: &Event, fleet: &SimulatedFleet) {
        let (Some(migration), Some((server, name))) = (event.migration, &event.server) else { return };
        let emergency = event.maintenance.is_some_and(|id| self.emergencies.contains(&id));
        let off = fleet.places(*server).iter().all(|place| place.state == DomainState::Off);
        if emergency || off || self.start_now.contains(&migration) {
            return;
        }
        let agreed = self.slots.get(&migration).copied();
        if !agreed.is_some_and(|slot| slot.start <= event.at && event.at <= slot.end) {
            self.blame(format!("{name} was rebooted at {}, and {agreed:?} was agreed", event.at));
        }
    }

    /// At the end: every fact that concerns an owner was told once, and nothing twice.
    pub fn compare_told(&mut self, migration: MigrationId, name: &str, told: &[(String, Tells)]) {
        let mut facts = self.counted.remove(&migration).unwrap_or_default();
        let mut keys = BTreeSet::new();
        for (key, tells) in told {
            if !keys.insert(key) {
                self.blame(format!("{name}: two notices tell the same fact, {key}"));
            }
            for kind in facts_told(tells) {
                *facts.entry(kind).or_default() -= 1;
            }
        }
        for (kind, missing) in facts.into_iter().filter(|(_, missing)| *missing != 0) {
            self.blame(match missing {
                1.. => format!("{name}: {missing} times {kind}, and its owner was not told"),
                ..1 => format!("{name}: its owner was told {} times too often that it is {kind}", -missing),
            });
        }
    }

    /// At the end: no mail came twice.
    pub fn compare_mails(&mut self, mails: &[Mail]) {
        // Every try begins with the same words; that each was told once is compared with the story.
        for (index, mail) in mails.iter().enumerate().filter(|(_, mail)| mail.kind != "started") {
            let same = |other: &&Mail| {
                (&other.ticket, &other.subject, &other.says) == (&mail.ticket, &mail.subject, &mail.says)
            };
            if mails[..index].iter().any(|other| same(&other)) {
                self.blame(format!("{} got the same mail twice: {}", mail.to, mail.subject));
            }
        }
    }
}

fn facts_told(tells: &Tells) -> Vec<&'static str> {
    match tells {
        Tells::Proposed { .. } => vec!["proposed"],
        Tells::Rescheduled { .. } => vec!["rescheduled"],
        Tells::Accepted { .. } => vec!["accepted"],
        Tells::Missed { slot, .. } => {
            if slot.is_some() {
                vec!["missed", "proposed"]
            } else {
                vec!["missed"]
            }
        }
        Tells::RolledBack { slot, .. } => {
            if slot.is_some() {
                vec!["proposed"]
            } else {
                Vec::new()
            }
        }
        Tells::Started { .. } => vec!["started"],
        Tells::Cancelled => vec!["cancelled"],
        Tells::Avoided { .. } => vec!["avoided"],
        Tells::Requested { .. } | Tells::Reverting { .. } => vec!["asked"],
        Tells::GivenUp { .. } => vec!["given_up"],
        Tells::Confirmed { .. } => vec!["confirmed"],

        Tells::Reminder { .. }
        | Tells::Needed { .. }
        | Tells::Reverted { .. }
        | Tells::Done { .. }
        | Tells::NotSeenAlive { .. }
        | Tells::ChecksFailed { .. }
        | Tells::Emergency { .. }
        | Tells::NoSlot { .. }
        | Tells::Written { .. }
        | Tells::Answered { .. } => Vec::new(),
    }
}
